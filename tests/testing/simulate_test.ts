// Owns: that a simulation passes what is right, finds what is wrong, and shows the same again by its seed.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { AppEvent, KinesisRecord } from "@reacto/kinesix";
import { record, simulate, SimulationError, type VirtualClock } from "@reacto/kinesix/testing";
import { RecordBook } from "../../src/testing/record_book.ts";

const { signal } = new AbortController();

Deno.test("simulate: an idempotent processor holds, whatever its settings; things do go wrong meanwhile", async () => {
  const told = new Set<string>();
  const configs = [
    {},
    { concurrency: 4 },
    { concurrency: 4, orderBy: "none" as const },
    { batchWindow: 5_000, batchSize: 5, bisectBatchOnError: true },
    { heartbeat: 1_000, heartbeatTimeout: 5_000, processTimeout: 700 },
  ];
  for (const config of configs) {
    let clock: VirtualClock | undefined;
    const seen = new Set<string>();
    await simulate({
      seeds: 10,
      config,
      setUp(world) {
        clock = world.clock;
        seen.clear();
      },
      processor: {
        async processBatch(records) {
          await clock?.sleep(100 * Math.min(records.length, 5), signal);
          for (const record of records) seen.add(record.text());
        },
      },
      check(kit) {
        assertEquals(seen.size, 100);
        for (const { type } of kit.events) told.add(type);
      },
    });
  }
  for (
    const type of ["worker_lost", "shard_handed_over", "shard_ended", "read_failed", "throttled"]
  ) {
    assert(told.has(type), type);
  }
});

Deno.test("simulate: a processor that takes its time for each record holds, and nothing crashes in the end", async () => {
  let clock: VirtualClock | undefined;
  await simulate({
    seeds: 15,
    setUp: (world) => void (clock = world.clock),
    processor: {
      process: (record) => clock?.sleep(Number(record.sequenceNumber) % 7 * 100, signal),
    },
    check: (kit) => assertEquals(kit.skipped, []),
  });
});

Deno.test("simulate: a processor that counts what comes twice is found, and found again by its seed", async () => {
  let count = 0;
  const options = {
    setUp: () => void (count = 0),
    processor: { process: () => void (count += 1) },
    check: () => assertEquals(count, 100, "a record was counted twice"),
  };
  const error = await assertRejects(() => simulate({ ...options, seeds: 50 }), SimulationError);
  const counted = count;
  assert(error.message.startsWith(`Seed ${error.seed}: `), error.message);
  assert(error.message.includes("a record was counted twice"), error.message);
  const again = await assertRejects(
    () => simulate({ ...options, seeds: [error.seed] }),
    SimulationError,
  );
  assertEquals([again.message, count], [error.message, counted]);
});

Deno.test("simulate: a checkpoint before what it stands for is written is found", async () => {
  const sink = new Set<string>();
  const error = await assertRejects(() =>
    simulate({
      seeds: 100,
      config: { checkpointMode: "manual" },
      setUp: () => sink.clear(),
      processor: () => {
        let buffer: KinesisRecord[] = [];
        const write = (): void => {
          for (const record of buffer) sink.add(record.text());
          buffer = [];
        };
        return {
          async process(record, context) {
            buffer.push(record);
            await context.checkpoint(); // Too early: a crash now loses the buffer.
            if (buffer.length === 5) write();
          },
          async shardEnded(context) {
            write();
            await context.checkpoint();
          },
          [Symbol.asyncDispose]: () => Promise.resolve(write()),
        };
      },
      check: () => assertEquals(sink.size, 100, "a record was lost"),
    }), SimulationError);
  assert(error.message.includes("a record was lost"), error.message);
});

Deno.test("simulate: the same seed tells the same story, another one another", async () => {
  const stories: (readonly AppEvent[])[] = [];
  for (const seed of [3, 3, 4]) {
    await simulate({
      seeds: [seed],
      processor: { process: () => {} },
      check: (kit) => void stories.push(kit.events),
    });
  }
  assertEquals(stories[0], stories[1]);
  assert(JSON.stringify(stories[0]) !== JSON.stringify(stories[2]));
});

Deno.test("simulate: records are the user's own, and a record that is never finished fails the seed", async () => {
  const error = await assertRejects(() =>
    simulate({
      seeds: [1],
      records: 10,
      record: (n) => ({ partitionKey: "one", data: { n } }),
      processor: {
        process(record) {
          if (record.json<{ n: number }>().n === 3) throw new Error("not this one");
        },
        getErrorHandlingMode: () => ({ kind: "retryAndStop", retries: 0 }),
      },
    }), SimulationError);
  assert(error.message.includes('of key "one" was never finished'), error.message);
  assert(error.message.includes("not this one"), error.message);
  await assertRejects(
    () => simulate({ seeds: 1, records: 0, processor: { process: () => {} } }),
    RangeError,
    "0 records",
  );
  for (const seeds of [0, -1, 1.5, NaN, []]) {
    await assertRejects(() => simulate({ seeds, processor: { process: () => {} } }), RangeError);
  }
});

Deno.test("record book: a record before an earlier one of its key is told, unless order is not promised", () => {
  const at = (sequenceNumber: string): KinesisRecord => record({ sequenceNumber });
  for (const isOrdered of [true, false]) {
    const book = new RecordBook({ isOrdered });
    for (const n of ["1", "2", "3"]) book.put("key", n);
    book.delivered([at("1"), at("2")]);
    book.finished([at("2")]);
    book.check();
    book.delivered([at("3")]);
    const check = (): void => book.check();
    if (isOrdered) assertThrows(check, Error, "before record 1 of the same key was finished");
    else check();
  }
});

Deno.test("record book: what is finished may come again, and what is not is told", () => {
  const at = (sequenceNumber: string): KinesisRecord => record({ sequenceNumber });
  const book = new RecordBook({ isOrdered: true });
  for (const n of ["1", "2"]) book.put("key", n);
  book.delivered([at("1")]);
  book.finished([at("1")]);
  book.delivered([at("1")]);
  assertThrows(() => book.checkAll([]), Error, "record 2 of key");
  book.delivered([at("2")]);
  book.finished([at("2")]);
  book.checkAll([]);
});
