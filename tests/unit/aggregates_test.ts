// Owns: records of aggregates on their way through a turn: order, lanes, failures, checkpoints, what is told.
import { assert, assertEquals, fail } from "@std/assert";
import { heldBytesOf } from "../../src/core/byte_size.ts";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import type { Batch, SourceRecord } from "../../src/ports.ts";
import type { KinesisRecord, RecordProcessor } from "../../src/processor.ts";
import { BufferBudget } from "../../src/runtime/buffer_budget.ts";
import { aggregate } from "../kpl.ts";
import { settled } from "../virtual_clock.ts";
import { at, running } from "./runner_testing.ts";

const UTF_8 = new TextEncoder();

/** A record of the stream with its number as its text, or one that aggregates such records. */
function record(sequence: number, texts: string | readonly string[]): SourceRecord {
  const data = typeof texts === "string" ? UTF_8.encode(texts) : aggregate(
    texts.map((text) => ({ partitionKey: `key ${text}`, data: UTF_8.encode(text) })),
  );
  return {
    sequenceNumber: String(sequence),
    partitionKey: typeof texts === "string" ? `key ${texts}` : "a",
    data,
    approximateArrivalTimestamp: 1_000,
  };
}

function batchOf(...records: readonly SourceRecord[]): Batch {
  return { records, millisBehindLatest: 42 };
}

/** The position within an aggregate. */
function within(sequence: number, subSequenceNumber: number): Checkpoint {
  return { kind: "sequence", sequenceNumber: String(sequence), subSequenceNumber };
}

/** Some records, an aggregate of three, and one more. */
const MIXED = batchOf(record(1, "1"), record(2, ["2.0", "2.1", "2.2"]), record(3, "3"));

Deno.test("aggregates: each record in one is delivered by itself, with its own key and the arrival of the whole", async () => {
  const seen: unknown[] = [];
  const { bench, lease, runner } = await running({
    process(record, { millisBehindLatest }) {
      const { sequenceNumber, subSequenceNumber, partitionKey } = record;
      const arrival = record.approximateArrivalTimestamp.getTime();
      seen.push([sequenceNumber, subSequenceNumber, partitionKey, record.text(), arrival]);
      assertEquals(millisBehindLatest, 42);
    },
  });
  assertEquals(await runner.run(MIXED), "done");
  assertEquals(seen, [
    ["1", undefined, "key 1", "1", 1_000],
    ["2", 0, "key 2.0", "2.0", 1_000],
    ["2", 1, "key 2.1", "2.1", 1_000],
    ["2", 2, "key 2.2", "2.2", 1_000],
    ["3", undefined, "key 3", "3", 1_000],
  ]);
  assertEquals([lease.position, runner.readTo], [at(3), at(3)]);
  assertEquals(bench.told("batch_processed"), [
    {
      type: "batch_processed",
      shardId: "s",
      records: 5,
      bytes: 11,
      filtered: 0,
      millisBehindLatest: 42,
      processMs: 0,
    },
  ]);
});

Deno.test("aggregates: within one the position names the record, at its end the whole", async () => {
  const positions: Checkpoint[] = [];
  const { lease, runner } = await running({
    async process() {
      await settled();
      positions.push(lease.position);
    },
  });
  assertEquals(await runner.run(MIXED), "done");
  assertEquals(positions.slice(1), [at(1), within(2, 0), within(2, 1), at(2)]);
});

Deno.test("aggregates: a batch is the records in them, of which no more come at once than may", async () => {
  const batches: string[][] = [];
  const processor: RecordProcessor = {
    processBatch: (records) => void batches.push(records.map((record) => record.text())),
  };
  const whole = await running(processor);
  await whole.runner.run(MIXED);
  assertEquals(batches.splice(0), [["1", "2.0", "2.1", "2.2", "3"]]);

  const { bench, lease, runner } = await running(processor, { maxBatchSize: 2 });
  await runner.run(MIXED);
  assertEquals(batches, [["1", "2.0"], ["2.1", "2.2"], ["3"]]);
  assertEquals(bench.told("batch_processed").map(({ records }) => records), [2, 2, 1]);
  assertEquals(lease.position, at(3));
});

Deno.test("aggregates: what is held for their records is given back when they are finished, with lanes or without", async () => {
  for (const concurrency of [1, 3]) {
    const budget = new BufferBudget(2 ** 26);
    const held: number[] = [];
    const process = async (): Promise<void> => {
      held.push(budget.heldBytes);
      await settled();
    };
    const options = { budget, concurrency, maxBatchSize: 2 };
    const { runner } = await running({ process }, options);
    const arrived = heldBytesOf(MIXED.records);
    runner.budget.arrived(arrived);
    assertEquals(await runner.run(MIXED), "done");
    assertEquals(await runner.settled(), "done");
    assert(Math.max(...held) > arrived, "the parts of an aggregate count beside it");
    assertEquals(budget.heldBytes, 0);
  }
});

Deno.test("aggregates: one of which all is finished is given back at once", async () => {
  const budget = new BufferBudget(2 ** 26);
  const { runner } = await running({ process: () => fail("it is finished") }, {
    budget,
    checkpoint: within(2, 1),
  });
  const batch = batchOf(record(2, ["2.0", "2.1"]));
  runner.budget.arrived(heldBytesOf(batch.records));
  assertEquals([await runner.run(batch), budget.heldBytes], ["done", 0]);
});

Deno.test("aggregates: a turn that is drained within one is finished up to there, and the next goes on right after", async () => {
  const log: string[] = [];
  const { lease, runner, drain } = await running({
    process(record) {
      log.push(record.text());
      if (record.text() === "2.1") drain.abort();
    },
  });
  assertEquals(await runner.run(MIXED), "drained");
  assertEquals([log, lease.position], [["1", "2.0", "2.1"], within(2, 1)]);

  // A reader begins with the record of which a part is finished.
  const rest = batchOf(record(2, ["2.0", "2.1", "2.2"]), record(3, "3"));
  assertEquals(await textsAfter(lease.position, rest), ["2.2", "3"]);
});

Deno.test("aggregates: with lanes the records of one key stay in order, and the position has nothing unfinished before it", async () => {
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const log: string[] = [];
  const { lease, runner } = await running({
    process(record) {
      log.push(record.text());
      const gate = Promise.withResolvers<void>();
      gates.set(record.text(), gate);
      return gate.promise;
    },
  }, { concurrency: 16 });
  const keys = ["a", "b", "a", "c"];
  const packed = keys.map((partitionKey, i) => ({ partitionKey, data: UTF_8.encode(String(i)) }));
  const run = runner.run(batchOf({ ...record(7, []), data: aggregate(packed) }));
  await settled();
  assertEquals(log.toSorted(), ["0", "1", "3"], "2 has the key of 0");
  const finish = async (text: string): Promise<Checkpoint> => {
    gates.get(text)?.resolve();
    await settled();
    return lease.position;
  };
  assertEquals((await finish("1")).kind, "trimHorizon");
  assertEquals(await finish("0"), within(7, 1));
  assertEquals(log.at(-1), "2");
  assertEquals(await finish("3"), within(7, 1));
  assertEquals(await finish("2"), at(7));
  await run;
});

/** Fails at one text for ever. */
function failingAt(text: string, more: RecordProcessor): RecordProcessor {
  return {
    process(record) {
      if (record.text() === text) throw new Error(`broken ${text}`);
    },
    ...more,
  };
}

Deno.test("aggregates: one record in them is tried again and skipped by itself, and is named so", async () => {
  const givenUp: KinesisRecord[] = [];
  const { bench, lease, runner } = await running(failingAt("2.1", {
    getErrorHandlingMode: () => retryAndSkip(1),
    onMaxRetryExceeded: (record) => void givenUp.push(record),
  }));
  assertEquals(await bench.clock.until(runner.run(MIXED)), "done");
  assertEquals(givenUp.map((record) => record.text()), ["2.1"]);
  assertEquals(lease.position, at(3));
  const place = { shardId: "s", sequenceNumber: "2", subSequenceNumber: 1 };
  const failed = bench.told("record_failed").map(({ error: _, ...fact }) => fact);
  assertEquals(failed, [1, 2].map((attempt) => ({ type: "record_failed", ...place, attempt })));
  assertEquals(bench.told("record_skipped"), [{
    type: "record_skipped",
    ...place,
    attempts: 2,
    reason: "failed",
  }]);
});

Deno.test("aggregates: a record that stops its shard leaves the position before it, within the aggregate or not", async () => {
  for (
    const [text, position] of [["2.0", at(1)], ["2.1", within(2, 0)], ["3", at(2)]] as const
  ) {
    const processor = failingAt(text, { getErrorHandlingMode: () => retryAndStop(0) });
    const { lease, runner } = await running(processor);
    assertEquals(await runner.run(MIXED), "recordFailed");
    assertEquals(lease.position, position, text);
  }
});

Deno.test("aggregates: a checkpoint by hand after a record in one is there; after its last one it is the whole", async () => {
  const records: KinesisRecord[] = [];
  const checkpoint: ((record: KinesisRecord) => Promise<void>)[] = [];
  const { bench, lease, runner } = await running({
    process(record, context) {
      records.push(record);
      checkpoint.push(context.checkpoint);
    },
  }, { checkpointMode: "manual" });
  assertEquals(await runner.run(batchOf(record(2, ["2.0", "2.1", "2.2"]))), "done");
  assertEquals([lease.position.kind, lease.readTo], ["trimHorizon", at(2)]);
  for (const [i, position] of [[1, within(2, 1)], [2, at(2)]] as const) {
    const given = records[i];
    assert(given !== undefined);
    await bench.clock.until(Promise.resolve(checkpoint[0]?.(given)));
    assertEquals((await bench.store.shard("s")).checkpoint, position);
    assertEquals(lease.isAllFinished, i === 2);
  }
});

Deno.test("aggregates: by hand, the end of a shard waits for the checkpoint of the last record in the last one", async () => {
  const checkpoints: (() => Promise<void>)[] = [];
  const { bench, runner } = await running({
    process: (record, { checkpoint }) => void checkpoints.push(() => checkpoint(record)),
  }, { checkpointMode: "manual" });
  await runner.run(batchOf(record(2, ["2.0", "2.1", "2.2"])));
  const ended = runner.shardEnded();
  let isOver = false;
  ended.then(() => isOver = true);
  await bench.clock.until(Promise.resolve(checkpoints[1]?.()));
  assertEquals([isOver, bench.told("shard_end_waiting").length], [false, 1]);
  await bench.clock.until(Promise.resolve(checkpoints[2]?.()));
  assertEquals(await ended, "done");
});

/** What a turn that goes on after a position delivers of a batch. */
async function textsAfter(
  position: Checkpoint,
  batch: Batch,
  options: { readonly deaggregate?: boolean } = {},
): Promise<readonly string[]> {
  const texts: string[] = [];
  const { runner } = await running(
    { process: (record) => void texts.push(new TextDecoder().decode(record.data)) },
    { checkpoint: position, ...options },
  );
  assertEquals(await runner.run(batch), "done");
  return texts;
}

Deno.test("aggregates: a turn goes on right after its position, wherever in an aggregate that is", async () => {
  const batch = batchOf(record(2, ["2.0", "2.1", "2.2"]), record(3, ["3.0", "3.1"]));
  const all = ["2.0", "2.1", "2.2", "3.0", "3.1"];
  assertEquals(await textsAfter(at(1), batch), all);
  for (const place of [0, 1, 2]) {
    assertEquals(await textsAfter(within(2, place), batch), all.slice(place + 1));
  }
  // The producer's bytes do not change; but should there be fewer records than a position says, none is to come again.
  assertEquals(await textsAfter(within(3, 9), batchOf(record(3, ["3.0", "3.1"]))), []);
  // A position that the KCL writes after a record that stands alone.
  assertEquals(await textsAfter(within(2, 0), batchOf(record(2, "2"), record(3, "3"))), ["3"]);
});

Deno.test("aggregates: they are delivered as they are when they are not to be taken apart, also from within one", async () => {
  const whole = record(2, ["2.0", "2.1"]);
  for (const position of [at(1), within(2, 0)]) {
    const texts = await textsAfter(position, batchOf(whole), { deaggregate: false });
    assertEquals(texts, [new TextDecoder().decode(whole.data)]);
  }
});
