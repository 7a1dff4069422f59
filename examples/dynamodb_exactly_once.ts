// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// Totals by customer in a table of DynamoDB, each order counted exactly once: also when it is killed with `kill -9`, and another one
// goes on (after `heartbeatTimeout`, 3 minutes). Ctrl-C stops it, and shows the totals:
//   deno run -A examples/dynamodb_exactly_once.ts orders order_totals
import {
  CreateTableCommand,
  DynamoDBClient,
  paginateScan,
  ResourceInUseException,
  waitUntilTableExists,
} from "@aws-sdk/client-dynamodb";
import { dynamoSink, ReactoKinesixApp, retryAndStop } from "@reacto/kinesix";

/** An order, as it is in the stream. */
interface Order {
  readonly id: string;
  readonly total: number;
}

const [streamName = "orders", TableName = "order_totals"] = Deno.args;
const client = new DynamoDBClient();
await createTable();

const processor = dynamoSink({
  items(record) {
    const { total } = record.json<Order>();
    return [{
      Update: {
        TableName,
        Key: { customer: { S: record.partitionKey } },
        UpdateExpression: "ADD orders :one, cents :cents",
        ExpressionAttributeValues: { ":one": { N: "1" }, ":cents": { N: `${total * 100}` } },
      },
    }];
  },
  // No order is left out: one that cannot be counted stops its shard.
  getErrorHandlingMode: () => retryAndStop(3),
});

const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());
const app = await ReactoKinesixApp.createNew({
  appName: "OrderTotals",
  streamName,
  processor,
  signal: stop.signal,
  onEvent(event) {
    if (event.type === "checkpoint_written") console.log("counted up to", event.checkpoint);
    if (event.type === "record_failed") console.error(event.error.message);
  },
});
await app.finished;
for await (const { Items = [] } of paginateScan({ client }, { TableName })) {
  for (const { customer, orders, cents } of Items) {
    console.log(`${customer?.S}: ${orders?.N} orders, ${Number(cents?.N) / 100}`);
  }
}
client.destroy();

async function createTable(): Promise<void> {
  const command = new CreateTableCommand({
    TableName,
    BillingMode: "PAY_PER_REQUEST",
    AttributeDefinitions: [{ AttributeName: "customer", AttributeType: "S" }],
    KeySchema: [{ AttributeName: "customer", KeyType: "HASH" }],
  });
  try {
    await client.send(command);
  } catch (error) {
    if (!(error instanceof ResourceInUseException)) throw error;
  }
  await waitUntilTableExists({ client, maxWaitTime: 60, minDelay: 1 }, { TableName });
}
