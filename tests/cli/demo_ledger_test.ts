import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { DemoLedger, type ProcessedRecord } from "../../src/cli/demo_ledger.ts";

function record(index: number, more: Partial<ProcessedRecord> = {}): ProcessedRecord {
  return { workerId: "w1", shardId: "s1", term: 1, partitionKey: "k", index, ...more };
}

function summarize(records: readonly ProcessedRecord[], put: number) {
  const ledger = new DemoLedger();
  records.forEach((entry) => ledger.enter(entry));
  return ledger.summarize(["w1", "w2"], put, 1);
}

Deno.test("records in order, each once, are neither duplicates nor out of order", () => {
  assertEquals(summarize([record(0), record(0, { partitionKey: "l" }), record(1)], 3), {
    put: 3,
    processed: 3,
    duplicates: 0,
    outOfOrder: 0,
    workers: [{ workerId: "w1", records: 3, shards: 1 }, { workerId: "w2", records: 0, shards: 0 }],
    seconds: 1,
  });
});

Deno.test("a later record of a key that comes first is out of order", () => {
  assertEquals(summarize([record(1), record(0), record(2)], 3).outOfOrder, 1);
});

Deno.test("a record that comes again is a duplicate, not out of order, and hides no loss", () => {
  const { processed, duplicates, outOfOrder } = summarize([record(0), record(1), record(0)], 3);
  assertEquals([processed, duplicates, outOfOrder], [2, 1, 0]);
});

Deno.test("the terms tell who came first when the reports of two workers cross", () => {
  const late = { workerId: "w2", term: 2 };
  const crossed = [record(2, late), record(0), record(3, late), record(1)];
  assertEquals(summarize(crossed, 4).outOfOrder, 0);
});

Deno.test("any loss, duplicate or inversion is seen", () => {
  fc.assert(fc.property(
    fc.array(fc.nat({ max: 30 }), { maxLength: 60 }),
    (indexes) => {
      const distinct = [...new Set(indexes)];
      const inversions = distinct.filter((index, at) =>
        distinct.slice(0, at).some((earlier) => earlier > index)
      );
      const { processed, duplicates, outOfOrder } = summarize(
        indexes.map((index) => record(index)),
        31,
      );
      assertEquals(processed, distinct.length);
      assertEquals(duplicates, indexes.length - distinct.length);
      assertEquals(outOfOrder, inversions.length);
    },
  ));
});
