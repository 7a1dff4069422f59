// Owns: which records of a batch failed, by whatever a processor may return.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { RecordFailedError } from "../../src/errors.ts";
import { failedOf } from "../../src/runtime/batch_result.ts";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";

function record(sequenceNumber: string, subSequenceNumber?: number): DeliveredRecord {
  return new DeliveredRecord("s", {
    sequenceNumber,
    ...subSequenceNumber !== undefined && { subSequenceNumber },
    partitionKey: "key",
    data: new Uint8Array(),
    approximateArrivalTimestamp: 0,
  });
}

/** A record alone, an aggregate of three, and another one alone. */
const BATCH = [record("7"), record("8", 0), record("8", 1), record("8", 2), record("9")];

function indexes(failed: unknown): readonly number[] {
  return failedOf(BATCH, { failed }).map(({ index }) => index);
}

Deno.test("batch result: nothing, and whatever says nothing about failures, is that none failed", () => {
  for (const returned of [undefined, null, 7, "8", true, () => [], {}, [], [1], { failed: [] }]) {
    assertEquals(failedOf(BATCH, returned), []);
  }
  assertEquals(failedOf(BATCH, { failed: undefined, inserted: 5 }), []);
});

Deno.test("batch result: records are named by themselves, by what has their numbers, or by their numbers", () => {
  assertEquals(indexes([BATCH[4], BATCH[0]]), [0, 4], "in the order of the batch");
  assertEquals(indexes([BATCH[2]]), [2], "one record of an aggregate");
  assertEquals(indexes([{ ...BATCH[3] }, { sequenceNumber: "7" }]), [0, 3]);
  assertEquals(indexes(["9", "8:1"]), [2, 4]);
  assertEquals(indexes(["8"]), [1, 2, 3], "all of an aggregate");
  assertEquals(indexes(["8", BATCH[1], "8:0"]), [1, 2, 3], "once each");
});

Deno.test("batch result: a record that failed has the error that came with it, or one that says so", () => {
  const error = new TypeError("no");
  const [first, second, third] = failedOf(BATCH, {
    failed: [{ record: BATCH[0], error }, { record: BATCH[1], error: null }, "8:2"],
  });
  assertEquals([first?.error, second?.error], [error, null]);
  assert(third?.error instanceof RecordFailedError);
  assertMatch(third.error.message, /record "8:2"/);
});

Deno.test("batch result: a record that is not in the batch is refused by name", () => {
  for (const [item, name] of [["10", "10"], ["8:3", "8:3"], ["7:0", "7:0"], [record("11"), "11"]]) {
    const error = assertThrows(() => indexes([BATCH[0], item]), RangeError);
    assert(error.message.includes(`record "${name}" is not in the batch`), error.message);
  }
});

Deno.test("batch result: what cannot be understood is refused, and never taken for success", () => {
  for (const failed of ["7", new Set(["7"]), {}, 0, null, [undefined], [7], [null], [{}], [[]]]) {
    assertMatch(assertThrows(() => indexes(failed), TypeError).message, /return \{ failed/);
  }
  for (const failed of [[{ record: undefined }], [{ record: null, error: 1 }]]) {
    assertThrows(() => indexes(failed), TypeError);
  }
  const returned = { batchItemFailures: [{ itemIdentifier: "7" }] };
  const error = assertThrows(() => failedOf(BATCH, returned), TypeError);
  assertMatch(error.message, /AWS Lambda/);
});
