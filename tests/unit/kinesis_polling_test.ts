// Owns: how a shard is read by GetRecords: iterators, pace, failures; whatever fails, no record is lost or comes twice.
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { type Checkpoint, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { type ReactoKinesixConfig, resolveConfig } from "../../src/core/config.ts";
import { SourceError } from "../../src/errors.ts";
import type { Batch } from "../../src/ports.ts";
import { LeapingClock } from "../leaping_clock.ts";
import { SHARD, SourceTest, STREAM, textsOf } from "./source_testing.ts";

const MINUTE_MS = 60_000;
setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

function setUp(
  config: ReactoKinesixConfig = {},
): Promise<SourceTest<KinesisPollingSource, LeapingClock>> {
  return SourceTest.start(
    new LeapingClock(),
    (deps) => new KinesisPollingSource({ ...deps, config: resolveConfig(config) }),
  );
}

Deno.test("an iterator that expired is made anew after the last record", async () => {
  await using test = await setUp();
  await test.put(3);
  const batches = test.open();
  assertEquals((await test.take(batches, 3)).length, 3);
  await test.put(2);
  test.fails("GetRecords", ["ExpiredIteratorException"]);
  assertEquals(await test.take(batches, 2), ["record 3", "record 4"]);
  assertEquals(test.calls("GetShardIterator").length, 2);
});

Deno.test("an iterator that expired after empty reads is made anew at the opening position", async () => {
  for (const after of [TRIM_HORIZON, { kind: "timestamp", timestamp: 0 }] as Checkpoint[]) {
    await using test = await setUp();
    const batches = test.open(after);
    for (let i = 0; i < 3; i++) assertEquals((await batches.next()).value?.records, []);
    await test.put(2);
    test.fails("GetRecords", ["ExpiredIteratorException"]);
    assertEquals(await test.take(batches, 2), ["record 0", "record 1"]);
  }
});

Deno.test("a start in the future is waited for: nothing before it comes, and nothing after it is lost", async () => {
  await using test = await setUp();
  await test.put(1);
  const start = test.clock.now() + 3_000;
  const batches = test.open({ kind: "timestamp", timestamp: start });
  assertEquals((await batches.next()).value?.records, []);
  assert(test.clock.now() >= start, "the time has come");
  await test.put(1);
  test.fails("GetRecords", ["ExpiredIteratorException"]);
  assertEquals(await test.take(batches, 1), ["record 1"]);
});

Deno.test("records that were taken out of their batch are held by nobody, while the next read is awaited", async () => {
  await using test = await setUp();
  await test.put(3);
  const batches = test.open();
  const { value: batch } = await batches.next();
  const taken = new WeakRef(batch?.records ?? []);
  batch?.release?.();
  assertEquals(batch?.records, []);
  // What a WeakRef was asked for stays until the end of the turn.
  await new Promise((resolve) => setTimeout(resolve, 0));
  collectGarbage();
  assertEquals(taken.deref(), undefined);
  await test.put(1);
  assertEquals(await test.take(batches, 1), ["record 3"]);
});

Deno.test("an iterator is renewed before it expires, however long the reader was away", async () => {
  await using test = await setUp();
  await test.put(3);
  const batches = test.open();
  await test.take(batches, 1);
  for (let round = 0; round < 3; round++) {
    test.clock.leap(20 * MINUTE_MS);
    await test.put(1);
    assertEquals(await test.take(batches, 1), [`record ${round + 3}`]);
  }
  // One for each read: none of them was spent on an expired iterator.
  assertEquals([test.calls("GetShardIterator").length, test.calls("GetRecords").length], [4, 4]);
});

Deno.test("iterators that expire at once are a failure, not a loop", async () => {
  await using test = await setUp();
  test.fails(
    "GetRecords",
    Array.from({ length: 50 }, () => "ExpiredIteratorException"),
  );
  const error = await assertRejects(() => test.open().next(), SourceError, "iterators in a row");
  assertEquals(error.kind, "unavailable");
  const times = test.calls("GetRecords").map(({ time }) => time);
  assertEquals(times.map((time) => time - (times[0] ?? 0)), [0, 210, 420, 630]);
});

Deno.test("throttling is told and waited out, longer each time", async () => {
  for (const operation of ["GetShardIterator", "GetRecords"]) {
    await using test = await setUp({ maxKinesisRetries: 0 });
    await test.put(1);
    const throttle = "ProvisionedThroughputExceededException";
    test.fails(operation, Array.from({ length: 4 }, () => throttle));
    assertEquals(await test.take(test.open(), 1), ["record 0"]);
    assertEquals(
      test.facts,
      [375, 750, 1_500, 3_000].map((retryInMs) => (
        { type: "throttled", shardId: SHARD, operation, retryInMs }
      )),
    );
    assertEquals(test.clock.sleeps.slice(0, 4), [375, 750, 1_500, 3_000]);
  }
});

Deno.test("B8: other failures, of either call, are retried as often as allowed, then told", async () => {
  for (const operation of ["GetShardIterator", "GetRecords"]) {
    await using test = await setUp({ maxKinesisRetries: 2 });
    await test.put(1);
    const failure = "InternalFailure";
    test.fails(operation, [failure, failure]);
    assertEquals(await test.take(test.open(), 1), ["record 0"]);
    test.fails(operation, [failure, failure, failure]);
    const error = await assertRejects(() => test.open().next(), SourceError);
    assertEquals(error.kind, "unavailable");
    assertEquals(test.calls(operation).length, 6);
  }
});

Deno.test("failures that repeating does not help are told at once", async () => {
  const errors = [
    ["AccessDeniedException", "denied", "the credentials lack kinesis:GetRecords"],
    ["ResourceNotFoundException", "missing", "it does not exist in region us-east-1"],
    ["InvalidArgumentException", "invalid", "Kinesis does not accept the request"],
  ] as const;
  for (const [name, kind, words] of errors) {
    await using test = await setUp();
    test.fails("GetRecords", [name]);
    const error = await assertRejects(() => test.open().next(), SourceError, words);
    assertEquals(error.kind, kind);
    assert(error.message.startsWith(`Cannot read shard "${SHARD}" of stream "${STREAM}": `));
  }
});

Deno.test("an answer that says nothing is no end of the shard: the read is made again", async () => {
  await using test = await setUp({ maxKinesisRetries: 2 });
  await test.put(1);
  let empty = 2;
  test.answers("GetRecords", (proceed) => empty-- > 0 ? {} : proceed());
  const batches = test.open();
  assertEquals(await test.take(batches, 1), ["record 0"]);
  empty = 100;
  await assertRejects(() => batches.next(), SourceError, "it has no Records");
});

Deno.test("a reader who opens anew after an error goes on where it was", async () => {
  await using test = await setUp({ maxKinesisRetries: 0 });
  await test.put(2);
  const batches = test.open();
  const { value } = await batches.next();
  const sequenceNumber = value?.records.at(-1)?.sequenceNumber ?? "";
  await test.put(1);
  test.fails("GetRecords", ["InternalFailure"]);
  await assertRejects(() => batches.next(), SourceError);
  const again = test.open({ kind: "sequence", sequenceNumber });
  assertEquals(await test.take(again, 1), ["record 2"]);
});

Deno.test("reads keep the pace of the stream while behind, and rest at the tip", async () => {
  await using test = await setUp({ maxBatchSize: 2, emptyReceiveDelay: 5_000 });
  await test.put(6);
  const batches = test.open();
  await test.take(batches, 6);
  for (let i = 0; i < 3; i++) await batches.next();
  const times = test.calls("GetRecords").map(({ time }) => time);
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  // The first rest is shorter by chance, here by half.
  assertEquals(gaps, [210, 210, 210, 2_500, 5_000]);
});

Deno.test("a slow reader waits for nothing", async () => {
  await using test = await setUp({ maxBatchSize: 1 });
  await test.put(3);
  const batches = test.open();
  await batches.next();
  test.clock.leap(10_000);
  const sleeps = test.clock.sleeps.length;
  await batches.next();
  assertEquals(test.clock.sleeps.length, sleeps);
});

Deno.test("a gap without records is crossed at the pace of the stream", async () => {
  await using test = await setUp();
  await test.put(1);
  test.answers("GetRecords", (proceed) => ({
    ...proceed(),
    Records: [],
    MillisBehindLatest: 90_000,
  }));
  const batches = test.open();
  for (let i = 0; i < 3; i++) {
    const { value } = await batches.next();
    assertEquals([value?.records, value?.millisBehindLatest], [[], 90_000]);
  }
  assertEquals(test.clock.sleeps, [210, 210]);
});

Deno.test("10 MiB are read at 2 MiB a second, without a throttle", async () => {
  await using test = await setUp();
  const data = new Uint8Array(1_000_000);
  for (let i = 0; i < 22; i++) await test.putData(data);
  const start = test.clock.now();
  await test.take(test.open(), 22);
  assertEquals(test.facts, []);
  const seconds = (test.clock.now() - start) / 1_000;
  assert(seconds > 9 && seconds < 11, `${seconds}`);
});

Deno.test("all pages of shards are listed", async () => {
  await using test = await setUp();
  const tokens: unknown[] = [];
  test.answers("ListShards", (_, { input }) => {
    tokens.push(input);
    const NextToken = tokens.length < 3 ? `page ${tokens.length}` : undefined;
    return { Shards: [{ ShardId: `shard-${tokens.length}` }], NextToken };
  });
  const shards = await test.source.listShards(new AbortController().signal);
  assertEquals(shards.length, 3);
  assertEquals(tokens, [{ StreamName: STREAM }, { NextToken: "page 1" }, { NextToken: "page 2" }]);
});

Deno.test("a stream that does not exist is missing", async () => {
  await using test = await setUp();
  const source = test.makeSource("no-such");
  const error = await assertRejects(
    () => source.listShards(new AbortController().signal),
    SourceError,
    'Cannot read stream "no-such": it does not exist in region us-east-1; check the name, ' +
      "the region and the account",
  );
  assertEquals(error.kind, "missing");
});

Deno.test("an abort ends a call and a wait at once", async () => {
  await using test = await setUp();
  const controller = new AbortController();
  const batches = test.source.open(SHARD, TRIM_HORIZON, controller.signal);
  const iterator = batches[Symbol.asyncIterator]();
  await iterator.next();
  // The shard is at its tip: the reader is about to sleep.
  const pending = iterator.next();
  controller.abort(new RangeError("enough"));
  await assertRejects(() => pending, RangeError, "enough");
  assertEquals(test.calls("GetRecords").length, 1);
});

Deno.test("whatever fails on the way, each record comes once and in order", async () => {
  const error = fc.constantFrom(
    "ExpiredIteratorException",
    "ProvisionedThroughputExceededException",
    "InternalFailure",
  );
  const fault = fc.oneof(
    { arbitrary: fc.constant(null), weight: 6 },
    error,
    error.map((afterwards) => ({ afterwards })),
  );
  const steps = fc.array(
    fc.record({
      puts: fc.nat({ max: 5 }),
      leapMs: fc.constantFrom(0, 100, 3_000, 6 * MINUTE_MS),
      faults: fc.array(fault, { maxLength: 3 }),
    }),
    { maxLength: 12 },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (steps) => {
      await using test = await setUp({ maxBatchSize: 3, maxKinesisRetries: 4 });
      const batches = test.open();
      const seen: string[] = [];
      for (const { puts, leapMs, faults } of steps) {
        await test.put(puts);
        test.clock.leap(leapMs);
        test.fails("GetRecords", faults);
        const { value } = await batches.next();
        seen.push(...textsOf(value as Batch));
      }
      test.fails("GetRecords", []);
      seen.push(...await test.takeRest(batches));
      const puts = steps.reduce((sum, { puts }) => sum + puts, 0);
      assertEquals(seen, Array.from({ length: puts }, (_, i) => `record ${i}`));
    }),
    { numRuns: 60 },
  );
});
