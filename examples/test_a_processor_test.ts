// How to test a processor, without a network, a permission or waiting:
//   deno test examples/test_a_processor_test.ts
import { assertEquals } from "@std/assert";
import { type RecordProcessor, retryAndSkip } from "@reacto/kinesix";
import { simulate, testKit } from "@reacto/kinesix/testing";

/** The processor under test: adds up the orders of each customer, each order once, however often it comes. */
function billing(totals: Map<string, Map<string, number>>): RecordProcessor {
  return {
    process(record) {
      const order = record.json<{ id: string; total: number }>();
      const orders = totals.get(record.partitionKey) ?? new Map<string, number>();
      totals.set(record.partitionKey, orders.set(order.id, order.total));
    },
    // What is no JSON today will be none tomorrow.
    getErrorHandlingMode: (_record, error) => retryAndSkip(error instanceof SyntaxError ? 0 : 5),
  };
}

Deno.test("billing adds up the orders of a customer", async () => {
  const totals = new Map<string, Map<string, number>>();
  await using kit = await testKit({ shards: 2, processor: billing(totals) });
  kit.put("customer-1", { id: "a", total: 3 });
  kit.put("customer-1", { id: "b", total: 4 });
  await kit.runUntilIdle();
  assertEquals(totals.get("customer-1"), new Map([["a", 3], ["b", 4]]));
});

Deno.test("billing gives up what is no JSON, at once, and goes on", async () => {
  await using kit = await testKit({ processor: billing(new Map()) });
  kit.put("customer-1", "not JSON");
  kit.put("customer-1", { id: "a", total: 3 });
  await kit.runUntilIdle();
  assertEquals(kit.skipped.map(({ record, attempts }) => [record.text(), attempts]), [
    ["not JSON", 1],
  ]);
  assertEquals(kit.processed.length, 1);
});

Deno.test("billing goes on where a worker crashed", async () => {
  const totals = new Map<string, Map<string, number>>();
  await using kit = await testKit({ processor: billing(totals) });
  kit.put("customer-1", { id: "a", total: 3 });
  await kit.runUntilIdle();
  kit.workers[0]?.crash();
  kit.put("customer-1", { id: "b", total: 4 });
  const second = await kit.addWorker();
  await kit.runUntilIdle(); // Three minutes, which take no time.
  assertEquals(second.processed.map((record) => record.json<{ id: string }>().id), ["b"]);
});

Deno.test("billing counts each order once, whatever crashes, moves or fails", async () => {
  const totals = new Map<string, Map<string, number>>();
  await simulate({
    seeds: 20,
    setUp: () => totals.clear(),
    processor: billing(totals),
    record: (n) => ({ partitionKey: `customer-${n % 7}`, data: { id: `order-${n}`, total: 1 } }),
    check() {
      const orders = [...totals.values()].flatMap((orders) => [...orders.values()]);
      assertEquals(orders.length, 100);
    },
  });
});
