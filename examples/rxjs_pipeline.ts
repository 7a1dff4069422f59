// deno-lint-ignore-file no-console -- an example talks to whoever tries it
// Records through RxJS: read, checked, collected, and written many at a time:
//   deno run -A examples/rxjs_pipeline.ts orders
import { type Reader, readRecords, type RecordDelivery, retryAndStop } from "@reacto/kinesix";
import { bufferTime, concatMap, filter, from, mergeMap, type Observable } from "rxjs";

/** An order, as it is in the stream. */
export interface Order {
  readonly id: string;
  readonly total: number;
}

/** Where orders are written. */
export interface OrderSink {
  write(orders: readonly Order[]): Promise<void>;
}

/**
 * Writes orders, a hundred at a time or those of a tenth of a second. The reader needs `ack: "manual"`: RxJS asks for the next
 * record at once. No more are under way than `concurrency` allows, since no more are given before those are finished.
 */
export function writeOrders(records: Reader<RecordDelivery>, sink: OrderSink): Observable<number> {
  return from(records).pipe(
    mergeMap((delivery) => {
      try {
        return [{ delivery, order: delivery.record.json<Order>() }];
      } catch (error) {
        delivery.nack(error);
        return [];
      }
    }),
    bufferTime(100, null, 100),
    filter((orders) => orders.length > 0),
    concatMap(async (orders) => {
      try {
        await sink.write(orders.map(({ order }) => order));
        for (const { delivery } of orders) delivery.ack();
      } catch (error) {
        for (const { delivery } of orders) delivery.nack(error);
      }
      return orders.length;
    }),
  );
}

if (import.meta.main) {
  const [streamName = "orders"] = Deno.args;
  await using records = await readRecords({
    appName: "Warehouse",
    streamName,
    ack: "manual",
    config: { concurrency: 200 },
    getErrorHandlingMode: () => retryAndStop(5),
  });
  Deno.addSignalListener("SIGINT", () => void records.stop());
  const sink: OrderSink = { write: (orders) => Promise.resolve(console.table(orders)) };
  await writeOrders(records, sink).forEach((written) => console.log("wrote", written));
}
