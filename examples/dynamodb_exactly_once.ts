// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// Totals of orders by customer in DynamoDB, each order counted exactly once, whatever crashes. The tables of the totals and of
// the worker are in one account and region:
//   aws dynamodb create-table --table-name totals --billing-mode PAY_PER_REQUEST \
//     --attribute-definitions AttributeName=customer,AttributeType=S --key-schema AttributeName=customer,KeyType=HASH
//   deno run -A examples/dynamodb_exactly_once.ts orders totals
import {
  type AppOptions,
  dynamoSink,
  ReactoKinesixApp,
  retryAndSkip,
  TransactionRefusedError,
} from "@reacto/kinesix";

/** An order, as it is in the stream. */
export interface Order {
  readonly customer: string;
  readonly cents: number;
}

/** A worker that adds orders up, customer by customer; not for those whose account is closed. */
export async function sumUpOrders(
  options: Omit<AppOptions, "processor"> & { readonly totals: string },
): Promise<ReactoKinesixApp> {
  const { totals, ...app } = options;
  const processor = dynamoSink({
    items(record) {
      const { customer, cents } = record.json<Order>();
      return [{
        Update: {
          TableName: totals,
          Key: { customer: { S: customer } },
          UpdateExpression: "ADD cents :cents, orders :one",
          ConditionExpression: "attribute_not_exists(isClosed)",
          ExpressionAttributeValues: { ":cents": { N: String(cents) }, ":one": { N: "1" } },
        },
      }];
    },
    // A closed account stays closed; anything else may be mended meanwhile.
    getErrorHandlingMode: (_record, error) =>
      retryAndSkip(error instanceof TransactionRefusedError ? 0 : 5),
  });
  return await ReactoKinesixApp.createNew({ ...app, processor });
}

if (import.meta.main) {
  const [streamName = "orders", totals = "totals"] = Deno.args;
  const stop = new AbortController();
  Deno.addSignalListener("SIGINT", () => stop.abort());
  const options = { appName: "Totals", streamName, totals, signal: stop.signal };
  const app = await sumUpOrders({
    ...options,
    onFailure: "file:refused.jsonl",
    onEvent: (event) => event.type === "record_failed" && console.error(event.error.message),
  });
  await app.finished;
}
