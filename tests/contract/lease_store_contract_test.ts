// Owns: the implementations of LeaseStore that the contract runs on.
import { CreateTableCommand, GetItemCommand, PutItemCommand } from "@aws-sdk/client-dynamodb";
import type { TransactionItem } from "../../src/transaction_item.ts";
import { connectAws } from "../../src/adapters/aws_calls.ts";
import { DynamoLeaseStore } from "../../src/adapters/dynamo_lease_store.ts";
import { MemoryLeaseStore } from "../../src/adapters/memory.ts";
import { systemClock } from "../../src/adapters/system.ts";
import { resolveConfig } from "../../src/core/config.ts";
import type { RefusedItem } from "../../src/errors.ts";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { dynamoDBLocalDirectory, startAmazonDynamoDB } from "./dynamodb_local.ts";
import { type LeaseStoreBackend, testLeaseStore } from "./lease_store_contract.ts";
import { simulatedTable } from "./sim_backends.ts";
import { idOf, SINK_TABLE, testTransactions } from "./transaction_contract.ts";

const TABLE = "appKinesisState";
const AWS = {
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
};

for (const test of [testLeaseStore, testTransactions]) {
  test("memory", () => Promise.resolve(inMemory()));

  test("simulated", () => Promise.resolve(simulatedTable()));

  test("DynamoDB, on dynalite", async () => backend(await startLocalDynamoDB({ port: 0 })));

  test(
    dynamoDBLocalDirectory === undefined
      ? "DynamoDB, on Amazon's DynamoDB Local (KINESIX_DYNAMODB_LOCAL does not name its directory)"
      : "DynamoDB, on Amazon's DynamoDB Local",
    async () => backend(await startAmazonDynamoDB(dynamoDBLocalDirectory ?? "")),
    { ignore: dynamoDBLocalDirectory === undefined },
  );
}

function inMemory(): LeaseStoreBackend {
  const stores = new Map<string, MemoryLeaseStore>();
  const writes = (id: string) =>
    [...stores.values()].flatMap(({ transacted }) => transacted.flat())
      .filter((item) => idOf(item) === id);
  const refuse = (items: readonly TransactionItem[]): readonly RefusedItem[] =>
    items.flatMap((item, index) => {
      if (item.Put === undefined || writes(idOf(item)).length === 0) return [];
      const code = "ConditionalCheckFailed";
      return [{ index, code, message: "it is there", item: { count: { N: "1" } } }];
    });
  return {
    store(streamName) {
      const store = stores.get(streamName) ?? new MemoryLeaseStore({ refuse });
      stores.set(streamName, store);
      return store;
    },
    sink: { count: (id) => Promise.resolve(writes(id).length) },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function backend(server: AsyncDisposable & { url: string }): Promise<LeaseStoreBackend> {
  const clients = connectAws({ ...AWS, dynamoDBEndpoint: server.url });
  const client = await clients.dynamoDB();
  await client.send(
    new CreateTableCommand({
      TableName: SINK_TABLE,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
      KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    }),
  );
  return {
    sink: {
      async count(id) {
        const input = { TableName: SINK_TABLE, Key: { id: { S: id } }, ConsistentRead: true };
        const { Item } = await client.send(new GetItemCommand(input));
        return Number(Item?.count?.N ?? 0);
      },
    },
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
