// Owns: the example of a DynamoDB sink adds up what is in the stream, on the local stack.
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateTableCommand, PutItemCommand, ScanCommand } from "@aws-sdk/client-dynamodb";
import { assertEquals } from "@std/assert";
import { sumUpOrders } from "../../examples/dynamodb_exactly_once.ts";
import type { FailedRecord } from "../../mod.ts";
import { startLocalStack } from "../../src/cli/local_stack.ts";
import { MemoryStream } from "../../src/adapters/memory.ts";

const AWS = {
  region: "us-east-1",
  credentials: { accessKeyId: "local", secretAccessKey: "local" },
};

Deno.test("the example of a DynamoDB sink counts each order once, and puts aside what is refused", async () => {
  await using stack = await startLocalStack({ kinesis: 0, dynamoDB: 0 });
  const { dynamoDBEndpoint } = stack;
  const client = new DynamoDBClient({ ...AWS, endpoint: dynamoDBEndpoint });
  const TableName = "totals";
  await client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [{ AttributeName: "customer", AttributeType: "S" }],
      KeySchema: [{ AttributeName: "customer", KeyType: "HASH" }],
    }),
  );
  const closed = { customer: { S: "C" }, isClosed: { BOOL: true } };
  await client.send(new PutItemCommand({ TableName, Item: closed }));
  const source = new MemoryStream({ shards: 2 });
  const put = (customer: string, cents: number) =>
    source.put(customer, JSON.stringify({ customer, cents }));
  for (let i = 0; i < 60; i++) put(i % 3 === 0 ? "A" : "B", i);
  put("C", 7);
  put("A", 1_000);
  const failures: FailedRecord[] = [];
  const app = await sumUpOrders({
    ...AWS,
    ...{ appName: "Totals", streamName: "orders", workerId: "worker", dynamoDBEndpoint },
    totals: TableName,
    ports: { source },
    onFailure: (failure) => void failures.push(failure),
  });
  const isDone = async (): Promise<boolean> => {
    const { shards } = await app.status();
    return shards.every(({ shardId, checkpoint }) =>
      !/^\d+$/.test(checkpoint) ||
      !source.hasRecordsAfter(shardId, { kind: "sequence", sequenceNumber: checkpoint })
    ) && shards.some(({ checkpoint }) => /^\d+$/.test(checkpoint)) && failures.length > 0;
  };
  for (let i = 0; i < 200 && !await isDone(); i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await app.stop();
  const { Items = [] } = await client.send(new ScanCommand({ TableName }));
  client.destroy();
  const found = Items.map(({ customer, cents, orders }) =>
    `${customer?.S} ${cents?.N ?? "-"} ${orders?.N ?? "-"}`
  );
  const sum = (isMine: (i: number) => boolean) =>
    Array.from({ length: 60 }, (_, i) => isMine(i) ? i : 0).reduce((a, b) => a + b);
  assertEquals(found.sort(), [
    `A ${sum((i) => i % 3 === 0) + 1_000} 21`,
    `B ${sum((i) => i % 3 !== 0)} 40`,
    "C - -",
  ]);
  assertEquals(failures.map(({ partitionKey, attempts }) => [partitionKey, attempts]), [["C", 1]]);
});
