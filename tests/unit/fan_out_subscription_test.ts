// Proves how a shard is read by enhanced fan-out: subscriptions follow each other, and whatever ends one, no record is lost or comes twice.
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { heldBytesOf } from "../../src/core/byte_size.ts";
import { SourceError } from "../../src/errors.ts";
import type { Batch, ReadBudget } from "../../src/ports.ts";
import { inStream, setUp } from "./fan_out_testing.ts";
import { SHARD, STREAM, textsOf } from "./source_testing.ts";

const MINUTE_MS = 60_000;

Deno.test("a subscription that ends after its five minutes is followed by another, without a gap", async () => {
  await using test = await setUp();
  await test.put(1);
  const batches = test.open();
  await test.take(batches, 1);
  for (let round = 1; round < 4; round++) {
    const pending = test.take(batches, 1);
    test.clock.leap(5 * MINUTE_MS);
    await test.put(1);
    assertEquals(await pending, [`record ${round}`]);
  }
  assertEquals([test.subscriptions.length, test.facts], [4, []]);
});

Deno.test("a renewal goes on where the last event ended, also when no record ever came", async () => {
  await using test = await setUp();
  await test.put(3);
  const batches = test.open({ kind: "timestamp", timestamp: test.clock.now() + 1 });
  assertEquals((await batches.next()).value?.records, []);
  test.subscriptions.at(-1)?.close();
  await test.put(1);
  test.clock.leap(10_000);
  assertEquals(await test.take(batches, 1), ["record 3"]);
  const [, second] = test.calls("SubscribeToShard").slice(-2);
  const position = second?.input["StartingPosition"] as { readonly Type: string };
  assertEquals(position.Type, "AFTER_SEQUENCE_NUMBER");
});

Deno.test("a subscription over which nothing comes for 30 seconds is given up for another one", async () => {
  await using test = await setUp();
  await test.put(1);
  const batches = test.open();
  await test.take(batches, 1);
  // The connection is there, and nothing comes over it any more.
  Object.assign(test.subscriptions.at(-1) ?? {}, { next: () => ({ kind: "wait", ms: 1e6 }) });
  await test.put(1);
  test.clock.isSilent = true;
  const pending = test.take(batches, 1);
  await Promise.resolve();
  test.clock.isSilent = false;
  assertEquals(await pending, ["record 1"]);
  assertEquals(test.clock.sleeps.includes(30_000), true);
});

Deno.test("a shard that a crashed reader subscribed to is waited for, and told to nobody", async () => {
  await using test = await setUp();
  await test.put(1);
  await test.open().next();
  test.clock.leap(1_000);
  const start = test.clock.now();
  assertEquals(await test.take(test.open(), 1), ["record 0"]);
  const waitedMs = test.clock.now() - start;
  assert(waitedMs >= 4_000 && waitedMs < 8_000, `${waitedMs}`);
  assertEquals(test.facts, []);
});

Deno.test("who is taken over says so, since only a reader of another app would do that for long", async () => {
  await using test = await setUp();
  const batches = test.open();
  await batches.next();
  test.clock.leap(10_000);
  const pending = batches.next();
  await test.open().next();
  const error = await assertRejects(
    () => pending,
    SourceError,
    `Cannot read shard "${SHARD}" of stream "${STREAM}": somebody else subscribed to it as consumer ` +
      '"billing"; if that is no other worker of this app, set consumerName',
  );
  assertEquals(error.kind, "unavailable");
});

Deno.test("a shard that stays in use is told in the end", async () => {
  await using test = await setUp();
  test.fails("SubscribeToShard", Array.from({ length: 50 }, () => "ResourceInUseException"));
  const error = await assertRejects(() => test.open().next(), SourceError, "somebody else");
  assertEquals(error.kind, "unavailable");
  assertEquals(test.calls("SubscribeToShard").length, 16);
});

Deno.test("throttling is told and waited out, longer each time", async () => {
  await using test = await setUp({ maxKinesisRetries: 0 });
  await test.put(1);
  test.fails("SubscribeToShard", Array.from({ length: 3 }, () => "LimitExceededException"));
  assertEquals(await test.take(test.open(), 1), ["record 0"]);
  assertEquals(
    test.facts,
    [375, 750, 1_500].map((retryInMs) => (
      { type: "throttled", shardId: SHARD, operation: "SubscribeToShard", retryInMs }
    )),
  );
});

Deno.test("no shard is subscribed to more than once a second", async () => {
  await using test = await setUp({}, { subscriptionTimes: { inUseMs: 0 } });
  const batches = test.open();
  for (let round = 0; round < 5; round++) {
    await batches.next();
    test.subscriptions.at(-1)?.close();
  }
  const times = test.calls("SubscribeToShard").map(({ time }) => time);
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  assertEquals(gaps.filter((gap) => gap < 1_000), []);
  assertEquals(test.facts, []);
});

Deno.test("other failures, of the call or within, are retried as often as allowed, then told", async () => {
  await using test = await setUp({ maxKinesisRetries: 2 });
  await test.put(1);
  const failure = "InternalFailure";
  test.fails("SubscribeToShard", [failure, failure]);
  const batches = test.open();
  assertEquals(await test.take(batches, 1), ["record 0"]);
  test.fails("SubscribeToShard", [failure, failure]);
  test.subscriptions.at(-1)?.fail(inStream("InternalFailureException"));
  const error = await assertRejects(() => batches.next(), SourceError);
  assertEquals(error.kind, "unavailable");
});

Deno.test("failures with events in between are not counted together", async () => {
  await using test = await setUp({ maxKinesisRetries: 1 });
  const batches = test.open();
  for (let round = 0; round < 4; round++) {
    await test.put(1);
    assertEquals(await test.take(batches, 1), [`record ${round}`]);
    test.subscriptions.at(-1)?.fail(inStream("InternalFailureException"));
  }
});

Deno.test("a connection that ends at once, again and again, is a failure, not a loop", async () => {
  await using test = await setUp({ maxKinesisRetries: 2 }, {
    subscriptionTimes: { lifetimeMs: 0, inUseMs: 0 },
  });
  const error = await assertRejects(() => test.open().next(), SourceError, "without an event");
  assertEquals(error.kind, "unavailable");
  assertEquals(test.calls("SubscribeToShard").length, 3);
});

Deno.test("a shard that left the stream is missing", async () => {
  await using test = await setUp();
  const batches = test.source.open(
    "shardId-000000000009",
    { kind: "trimHorizon" },
    new AbortController().signal,
  );
  const error = await assertRejects(() => batches[Symbol.asyncIterator]().next(), SourceError);
  assertEquals(error.kind, "missing");
});

Deno.test("an event larger than a batch may be comes in parts", async () => {
  await using test = await setUp({ maxBatchSize: 4 });
  await test.put(10);
  await test.split();
  const batches: Batch[] = [];
  const { signal } = new AbortController();
  for await (const batch of test.source.open(SHARD, { kind: "trimHorizon" }, signal)) {
    batches.push(batch);
  }
  assertEquals(batches.map((batch) => batch.records.length), [4, 4, 2]);
  assertEquals(batches.map((batch) => batch.end?.children.length), [undefined, undefined, 2]);
  // Of what is at hand, some is still behind the tip.
  assertEquals(batches.map((batch) => batch.millisBehindLatest > 0), [true, true, false]);
});

Deno.test("what was said before it was asked for does not say that the shard is at its tip now", async () => {
  await using test = await setUp();
  const batches = test.open();
  const behind = async () => (await batches.next()).value?.millisBehindLatest;
  assertEquals(await behind(), 0, "the first one of a subscription is an answer");
  const subscription = test.subscriptions.at(-1);
  let waitedMs = 0;
  const event = { Records: [], ContinuationSequenceNumber: "1", MillisBehindLatest: 0 };
  Object.assign(subscription ?? {}, {
    next: () => {
      test.clock.leap(waitedMs);
      return { kind: "event", event };
    },
  });
  // One event may be on its way already.
  await test.put(1);
  await behind();
  assertEquals([await behind(), await behind()], [1, 1]);
  waitedMs = 5_000;
  await behind();
  assertEquals([await behind(), await behind()], [0, 0]);
});

Deno.test("an event that says neither where to go on nor that the shard has ended ends nothing", async () => {
  await using test = await setUp();
  const batches = test.open();
  await batches.next();
  const event = { Records: [], ContinuationSequenceNumber: null, MillisBehindLatest: 0 };
  Object.assign(test.subscriptions.at(-1) ?? {}, { next: () => ({ kind: "event", event }) });
  // One event may be on its way already.
  await test.put(1);
  const error = await assertRejects(
    async () => {
      for (let i = 0; i < 3; i++) await batches.next();
    },
    SourceError,
    "says neither",
  );
  assertEquals(error.kind, "invalid");
});

Deno.test("an event waits for room, and nothing more is taken before there is some", async () => {
  await using test = await setUp({ maxBatchSize: 2 });
  await test.put(3);
  const asked: number[] = [];
  let makeRoom: () => void = () => {};
  const budget: ReadBudget = {
    take(wanted, { least }) {
      assertEquals(wanted, least);
      asked.push(wanted);
      return new Promise((resolve) => {
        makeRoom = () => resolve(wanted);
      });
    },
    giveBack: () => {},
    mayComeInParts: false,
    turn: () => Promise.resolve(),
    keep: () => {},
  };
  const { signal } = new AbortController();
  const batches = test.source.open(SHARD, { kind: "trimHorizon" }, signal, budget);
  for (const count of [2, 1]) {
    let isGiven = false;
    const next = batches.next().finally(() => {
      isGiven = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(isGiven, false);
    makeRoom();
    const { value } = await next;
    assertEquals([value?.records.length, asked.pop()], [count, heldBytesOf(value?.records ?? [])]);
  }
  await batches.return(undefined);
});

Deno.test("what nobody asks for is not sent", async () => {
  await using test = await setUp({}, { limits: "off" });
  for (let i = 0; i < 40; i++) await test.putData(new Uint8Array(1_000_000));
  const batches = test.open();
  let events = 0;
  await batches.next();
  const subscription = test.subscriptions.at(-1);
  const next = subscription?.next.bind(subscription);
  Object.assign(subscription ?? {}, {
    next: () => {
      events++;
      return next?.();
    },
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  // The connection itself holds a few.
  assert(events <= 3, `${events}`);
});

Deno.test("an abort ends the connection, and so does a reader that leaves", async () => {
  for (const isAborted of [true, false]) {
    await using test = await setUp();
    const controller = new AbortController();
    const batches = test.open(undefined, controller.signal);
    await batches.next();
    if (isAborted) {
      const pending = batches.next();
      controller.abort(new RangeError("enough"));
      await assertRejects(() => pending, RangeError, "enough");
    }
    await batches.return?.(undefined);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(test.subscriptions.at(-1)?.next(), { kind: "end" });
  }
});

Deno.test("whatever ends subscriptions, each record comes once and in order", async () => {
  const ending = fc.oneof(
    { arbitrary: fc.constant("none"), weight: 3 },
    fc.constantFrom("life", "cut", "InternalFailureException", "KMSThrottlingException"),
  );
  const fault = fc.constantFrom(
    null,
    "InternalFailure",
    "LimitExceededException",
    "ResourceInUseException",
  );
  const steps = fc.array(
    fc.record({
      puts: fc.nat({ max: 5 }),
      leapMs: fc.constantFrom(0, 100, 3_000, 6 * MINUTE_MS),
      faults: fc.array(fault, { maxLength: 3 }),
      ending,
    }),
    { maxLength: 12 },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (steps) => {
      // Each look at the shard is an event.
      const subscriptionTimes = { heartbeatMs: 0 };
      await using test = await setUp({ maxBatchSize: 3, maxKinesisRetries: 5 }, {
        subscriptionTimes,
      });
      const batches = test.open();
      const seen: string[] = [];
      for (const { puts, leapMs, faults, ending } of steps) {
        await test.put(puts);
        test.clock.leap(leapMs);
        test.fails("SubscribeToShard", faults);
        const subscription = test.subscriptions.at(-1);
        if (ending === "life") subscription?.close();
        else if (ending === "cut") {
          const next = () => {
            throw new TypeError("connection reset");
          };
          Object.assign(subscription ?? {}, { next });
        } else if (ending !== "none") subscription?.fail(inStream(ending));
        seen.push(...textsOf((await batches.next()).value as Batch));
      }
      test.fails("SubscribeToShard", []);
      seen.push(...await test.takeRest(batches));
      const puts = steps.reduce((sum, { puts }) => sum + puts, 0);
      assertEquals(seen, Array.from({ length: puts }, (_, i) => `record ${i}`));
    }),
    { numRuns: 60 },
  );
});
