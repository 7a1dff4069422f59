// Records that are asked for, in a loop of one's own. Ctrl-C finishes the order in hand:
//   deno run -A examples/pull.ts orders https://billing.example.com
import { type ReaderOptions, readRecords, retryAndStop } from "@reacto/kinesix";

/** An order, as it is in the stream. */
export interface Order {
  readonly id: string;
  readonly total: number;
}

/** Bills one order after the other, until the signal aborts. */
export async function billOrders(
  options: ReaderOptions,
  bill: (order: Order, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  await using orders = await readRecords({
    getErrorHandlingMode: () => retryAndStop(5),
    ...options,
  });
  for await (const { record, context, nack } of orders) {
    try {
      await bill(record.json<Order>(), context.signal);
    } catch (error) {
      nack(error); // it is tried again; a throw out of the loop would stop the worker
    }
  }
}

if (import.meta.main) {
  const [streamName = "orders", billingUrl = "https://billing.example.com"] = Deno.args;
  const stop = new AbortController();
  Deno.addSignalListener("SIGINT", () => stop.abort());
  const options = { appName: "Billing", streamName, signal: stop.signal };
  await billOrders(options, async ({ id, total }, signal) => {
    const body = JSON.stringify({ id, total });
    const response = await fetch(billingUrl, { method: "POST", body, signal });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`billing ${id}: ${response.status} ${response.statusText}`);
  });
}
