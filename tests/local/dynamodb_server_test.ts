// Proves that the local DynamoDB starts, counts, survives rude clients and goes away.
import {
  ConditionalCheckFailedException,
  CreateTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  PutItemCommand,
} from "@aws-sdk/client-dynamodb";
import { assertEquals, assertRejects } from "@std/assert";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";

const TableName = "leases";
const ITEM = { TableName, Item: { id: { S: "one" } } };

function makeClient(endpoint: string): DynamoDBClient {
  const credentials = { accessKeyId: "local", secretAccessKey: "local" };
  return new DynamoDBClient({ endpoint, region: "us-east-1", credentials, maxAttempts: 1 });
}

async function createTable(client: DynamoDBClient): Promise<void> {
  await client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
      KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    }),
  );
}

Deno.test("the local DynamoDB keeps conditions, and tells of each operation", async () => {
  const operations: string[] = [];
  await using server = await startLocalDynamoDB({
    port: 0,
    onRequest: (operation) => operations.push(operation),
  });
  const client = makeClient(server.url);
  await createTable(client);
  const { Table } = await client.send(new DescribeTableCommand({ TableName }));
  assertEquals(Table?.TableStatus, "ACTIVE");
  const once = new PutItemCommand({ ...ITEM, ConditionExpression: "attribute_not_exists(id)" });
  await client.send(once);
  await assertRejects(() => client.send(once), ConditionalCheckFailedException);
  assertEquals(operations, ["CreateTable", "DescribeTable", "PutItem", "PutItem"]);
  assertEquals(new URL(server.url).hostname, "127.0.0.1");
  client.destroy();
});

Deno.test("the local DynamoDB outlives a client that goes away in mid-request", async () => {
  let arrived = () => {};
  const arrival = new Promise<void>((resolve) => arrived = resolve);
  await using server = await startLocalDynamoDB({ port: 0, onRequest: () => arrived() });
  const { hostname, port } = new URL(server.url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const half = "POST / HTTP/1.1\r\nHost: local\r\nContent-Length: 100\r\n\r\n{";
  await connection.write(new TextEncoder().encode(half));
  await arrival;
  connection.close();
  const client = makeClient(server.url);
  await createTable(client);
  await client.send(new PutItemCommand(ITEM));
  client.destroy();
});

Deno.test("a port that is taken is an error, not a second server", async () => {
  await using server = await startLocalDynamoDB({ port: 0 });
  const port = Number(new URL(server.url).port);
  await assertRejects(() => startLocalDynamoDB({ port }));
});
