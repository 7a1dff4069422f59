// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// Many records with one call, as for a bulk API or an INSERT of many rows; only what failed is tried again:
//   deno run -A examples/batch.ts orders
import { ReactoKinesixApp, type RecordProcessor, retryAndSkip } from "@reacto/kinesix";

/** An order, as it is in the stream. */
interface Order {
  readonly id: string;
  readonly total: number;
}

/** Stands for a bulk API: it takes what it can, and answers with what it refused and why. */
function insertMany(orders: readonly Order[]): Promise<ReadonlyMap<string, string>> {
  const refused = orders.filter(({ total }) => total < 0);
  console.log(`inserted ${orders.length - refused.length} of ${orders.length} orders`);
  return Promise.resolve(new Map(refused.map(({ id }) => [id, "a total below zero"])));
}

const processor: RecordProcessor = {
  async processBatch(records) {
    const failed: { readonly record: typeof records[number]; readonly error: unknown }[] = [];
    const orders = records.flatMap((record) => {
      try {
        return [{ record, order: record.json<Order>() }];
      } catch (error) {
        failed.push({ record, error }); // A throw would fail the whole batch, for the sake of one record.
        return [];
      }
    });
    const refused = await insertMany(orders.map(({ order }) => order));
    for (const { record, order: { id } } of orders) {
      const reason = refused.get(id);
      if (reason !== undefined) failed.push({ record, error: new RangeError(reason) });
    }
    return { failed }; // All others are finished, and do not come again.
  },
  getErrorHandlingMode: (_record, error) => retryAndSkip(error instanceof SyntaxError ? 0 : 1),
  onMaxRetryExceeded: (record, _mode, error) => console.log(`gave up ${record.text()}: ${error}`),
};

const [streamName = "orders"] = Deno.args;
await using app = await ReactoKinesixApp.createNew({
  appName: "Batch",
  streamName,
  processor,
  // Up to 500 orders at once, or those of two seconds: fewer, larger calls at the price of latency.
  config: { batchSize: 500, batchWindow: 2_000 },
});
Deno.addSignalListener("SIGINT", () => void app.stop());
await app.finished;
