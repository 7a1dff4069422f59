// Owns: the implementations of LeaseStore that the contract runs on.
import { PutItemCommand } from "@aws-sdk/client-dynamodb";
import { connectAws } from "../../src/adapters/aws_calls.ts";
import { DynamoLeaseStore } from "../../src/adapters/dynamo_lease_store.ts";
import { MemoryLeaseStore } from "../../src/adapters/memory.ts";
import { systemClock } from "../../src/adapters/system.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { dynamoDBLocalDirectory, startAmazonDynamoDB } from "./dynamodb_local.ts";
import { type LeaseStoreBackend, testLeaseStore } from "./lease_store_contract.ts";
import { simulatedTable } from "./sim_backends.ts";

const TABLE = "appKinesisState";
const AWS = {
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
};

testLeaseStore("memory", () => {
  const stores = new Map<string, MemoryLeaseStore>();
  return Promise.resolve({
    store(streamName) {
      const store = stores.get(streamName) ?? new MemoryLeaseStore();
      stores.set(streamName, store);
      return store;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

testLeaseStore("simulated", () => Promise.resolve(simulatedTable()));

testLeaseStore("DynamoDB, on dynalite", async () => backend(await startLocalDynamoDB({ port: 0 })));

testLeaseStore(
  dynamoDBLocalDirectory === undefined
    ? "DynamoDB, on Amazon's DynamoDB Local (KINESIX_DYNAMODB_LOCAL does not name its directory)"
    : "DynamoDB, on Amazon's DynamoDB Local",
  async () => backend(await startAmazonDynamoDB(dynamoDBLocalDirectory ?? "")),
  { ignore: dynamoDBLocalDirectory === undefined },
);

async function backend(server: AsyncDisposable & { url: string }): Promise<LeaseStoreBackend> {
  const clients = connectAws({ ...AWS, dynamoDBEndpoint: server.url });
  const client = await clients.dynamoDB();
  return {
    store: (streamName) =>
      new DynamoLeaseStore({
        client,
        tableName: TABLE,
        streamName,
        config: resolveConfig(),
        clock: systemClock,
      }),
    async putItem(streamName, rowKey, item) {
      const Item = { Stream: { S: streamName }, Row: { S: rowKey }, ...item };
      await client.send(new PutItemCommand({ TableName: TABLE, Item }));
    },
    async [Symbol.asyncDispose]() {
      clients.close();
      await server[Symbol.asyncDispose]();
    },
  };
}
