// Owns: what is handed out to loops, and what is not: by hand, with a runtime that a test plays.
import { assert, assertEquals } from "@std/assert";
import { batchPuller, type PullDeps, recordPuller } from "../../src/pull/pull_processor.ts";
import { Puller } from "../../src/pull/puller.ts";
import type {
  BrokeredProcessor,
  KinesisRecord,
  ProcessContext,
  RecordProcessor,
  RunOptions,
  RunProcessor,
} from "../../src/processor.ts";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";
import { batch, running } from "./runner_testing.ts";

const SHARD = "shardId-000000000000";

function records(count: number): readonly KinesisRecord[] {
  return Array.from({ length: count }, (_, i) =>
    new DeliveredRecord(SHARD, {
      sequenceNumber: String(i + 1),
      partitionKey: "key",
      data: new Uint8Array(),
      approximateArrivalTimestamp: 0,
    }));
}

function context(signal: AbortSignal = new AbortController().signal): ProcessContext {
  return {
    ...{ shardId: SHARD, workerId: "A", streamName: "orders", attempt: 1, millisBehindLatest: 0 },
    ...{ term: 1, signal, checkpoint: () => Promise.resolve(), transact: () => Promise.resolve() },
  };
}

function pullerOf<T>(makeProcessor: (deps: PullDeps<T>) => RecordProcessor): Puller<T> {
  const clock = new VirtualClock();
  return new Puller<T>({ clock, processTimeout: 0, hooks: {}, ack: "auto", makeProcessor });
}

function runOptions(more: Partial<RunOptions> = {}): RunOptions {
  const until = new AbortController().signal;
  return {
    ...{ lane: 0, until, progressed: () => {}, isTooOld: () => false, isHeld: () => true },
    call: (_, code) => code(context()),
    ...more,
  };
}

const stay = (): Promise<void> => Promise.resolve();

Deno.test("puller: a record that waited while the shard was lost is not handed out", async () => {
  const puller = pullerOf(recordPuller);
  const processor = await puller.processorOf(SHARD) as RunProcessor;
  let isHeld = true;
  const options = runOptions({ isHeld: () => isHeld });
  const run = processor.processRun(records(2), context(), options);
  isHeld = false;
  const next = puller.loop(stay).next();
  assertEquals(await run, { finished: 0 });
  puller.end();
  assertEquals((await next).done, true);
});

Deno.test("puller: a record is not offered after the shard was lost while the one before it was in hand", async () => {
  const puller = pullerOf(recordPuller);
  const processor = await puller.processorOf(SHARD) as RunProcessor;
  let isHeld = true;
  const run = processor.processRun(records(2), context(), runOptions({ isHeld: () => isHeld }));
  const { value } = await puller.loop(stay).next();
  const next = puller.loop(stay).next();
  isHeld = false;
  value?.ack();
  assertEquals(await run, { finished: 1 });
  // Whoever waited still does.
  const other = await puller.processorOf("other") as RunProcessor;
  void other.processRun(records(1), { ...context(), shardId: "other" }, runOptions());
  assertEquals((await next).value?.context.shardId, "other");
});

Deno.test("puller: a batch that waited while the shard was lost is not handed out", async () => {
  const puller = pullerOf(batchPuller);
  const processor = await puller.processorOf(SHARD) as BrokeredProcessor;
  const until = new AbortController().signal;
  const left = processor.processBatch(records(2), context(), { until, isHeld: () => false });
  void puller.loop(stay).next();
  assertEquals(await left, { failed: [], isLeftOff: true } as unknown as { failed: [] });
});

Deno.test("puller: a record that became too old while the one before it was in hand is left to the runtime", async () => {
  const puller = pullerOf(recordPuller);
  const processor = await puller.processorOf(SHARD) as RunProcessor;
  const asked: string[] = [];
  const isTooOld = ({ sequenceNumber }: KinesisRecord): boolean => {
    asked.push(sequenceNumber);
    return sequenceNumber === "3";
  };
  const told: number[] = [];
  const progressed = (finished: number): void => void told.push(finished);
  const run = processor.processRun(records(4), context(), runOptions({ isTooOld, progressed }));
  const loop = puller.loop(stay);
  for (let i = 0; i < 2; i++) await loop.next();
  void loop.next();
  assertEquals(await run, { finished: 2 });
  assertEquals([asked, told], [["2", "3"], [1, 2]]);
});

Deno.test("puller: what is in hand is waited for when the shard is given up; what nobody has is not", async () => {
  const puller = pullerOf(recordPuller);
  const processor = await puller.processorOf(SHARD) as RunProcessor;
  const drain = new AbortController();
  const run = processor.processRun(records(3), context(), runOptions({ until: drain.signal }));
  const { value } = await puller.loop(stay).next();
  drain.abort();
  let isOver = false;
  void run.then(() => isOver = true);
  await settled();
  assert(!isOver);
  value?.ack();
  assertEquals(await run, { finished: 1 });
});

Deno.test("puller: what a loop has in hand when it is left aborts, and is neither finished nor failed", async () => {
  const puller = pullerOf(recordPuller);
  const processor = await puller.processorOf(SHARD) as RunProcessor;
  const drain = new AbortController();
  const run = processor.processRun(records(3), context(), runOptions({ until: drain.signal }));
  const loop = puller.loop(() => Promise.resolve(drain.abort()));
  const { value } = await loop.next();
  const signal = value?.context.signal;
  await loop.return();
  assert(signal?.aborted);
  value?.ack();
  assertEquals(await run, { finished: 0 });
  assertEquals(await loop.next(), { done: true, value: undefined });
});

Deno.test("puller: the signal of a delivery follows its shard, until the delivery is finished", async () => {
  const puller = pullerOf(recordPuller);
  const processor = await puller.processorOf(SHARD) as RunProcessor;
  const shard = new AbortController();
  void processor.processRun(records(3), context(shard.signal), runOptions());
  const loop = puller.loop(stay);
  const first = (await loop.next()).value?.context.signal;
  const late = (await loop.next()).value?.context;
  const second = (await loop.next()).value?.context;
  const lateSignal = late?.signal;
  shard.abort(new Error("lost"));
  assertEquals([first?.aborted, lateSignal?.aborted], [false, false]);
  assertEquals(second?.signal.aborted, true);
  assertEquals(second?.signal.reason.message, "lost");
});

Deno.test("puller: what is asked for ahead comes in the order of the asking, to the end", async () => {
  const puller = pullerOf(recordPuller);
  const processor = await puller.processorOf(SHARD) as RunProcessor;
  const loop = puller.loop(stay);
  const asked = [loop.next(), loop.next(), loop.next()];
  void processor.processRun(records(1), context(), runOptions());
  const other = await puller.processorOf("other") as RunProcessor;
  void other.processRun(records(1), { ...context(), shardId: "other" }, runOptions());
  puller.end({ error: new Error("cannot go on") });
  const results = await Promise.allSettled(asked);
  const told = results.map((result) =>
    result.status === "rejected" ? result.reason.message : result.value.value?.context.shardId
  );
  assertEquals(told, [SHARD, "other", "cannot go on"]);
});

Deno.test("puller: a loop that is left while it waits ends, and takes nothing that comes later", async () => {
  const puller = pullerOf(recordPuller);
  const loop = puller.loop(stay);
  const next = loop.next();
  await settled();
  await loop.return();
  assertEquals(await next, { done: true, value: undefined });
  const processor = await puller.processorOf(SHARD) as RunProcessor;
  void processor.processRun(records(1), context(), runOptions());
  assertEquals((await puller.loop(stay).next()).value?.record.sequenceNumber, "1");
});

Deno.test("puller: a batch that a loop left goes to no other loop, but back", async () => {
  const puller = pullerOf(batchPuller);
  const processor = await puller.processorOf(SHARD) as BrokeredProcessor;
  const drain = new AbortController();
  const options = { until: drain.signal, isHeld: () => true };
  const call = processor.processBatch(records(2), context(), options);
  let isOver = false;
  void call.then(() => isOver = true);
  const loop = puller.loop(stay);
  await loop.next();
  await loop.return();
  await settled();
  assert(!isOver);
  drain.abort();
  assertEquals(await call, { failed: [], isLeftOff: true } as unknown as { failed: [] });
});

Deno.test("puller: a shard whose turn is over before anybody asks for it is not told of", async () => {
  const puller = pullerOf(recordPuller);
  const gone = await puller.processorOf(SHARD);
  await gone[Symbol.asyncDispose]?.();
  await puller.processorOf("other");
  const shards = puller.turns(({ shardId }) => shardId, stay);
  assertEquals((await shards.next()).value, "other");
});

Deno.test("puller: of two turns on one shard, what each offers goes to its own loop only", async () => {
  const puller = pullerOf(recordPuller);
  for (const term of [1, 2]) {
    const processor = await puller.processorOf(SHARD) as RunProcessor;
    void processor.processRun(records(1), { ...context(), term }, runOptions());
  }
  const turns = puller.turns((turn) => puller.loopOf(turn, stay), stay);
  const first = (await turns.next()).value;
  const second = (await turns.next()).value;
  const [one, two] = [await first?.next(), await second?.next()];
  assertEquals([one?.value?.context.term, two?.value?.context.term], [1, 2]);
});

for (const [name, makeProcessor] of [["record", recordPuller], ["batch", batchPuller]] as const) {
  Deno.test(`B11: behind the fence no ${name} is handed out, noticed by anybody or not`, async () => {
    const puller = pullerOf<unknown>(makeProcessor as (deps: PullDeps<unknown>) => RecordProcessor);
    const { bench, runner } = await running(puller.processorOf);
    const run = runner.run(batch(1, 3));
    await settled();
    bench.fence.lower();
    const next = puller.loop(stay).next();
    assertEquals(await run, "lost");
    puller.end();
    assertEquals((await next).done, true);
    await runner.close();
  });
}
