// Owns: several records of a shard at the same time: order, how far it is finished, what one failure does to the others.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import { SourceError } from "../../src/errors.ts";
import type {
  KinesisRecord,
  RecordProcessor,
  RunOptions,
  RunProcessor,
  RunResult,
} from "../../src/processor.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster, Journal, upTo } from "./app_testing.ts";
import { at, batch, longestWait, type Running, running } from "./runner_testing.ts";

const SHARD = "shardId-000000000000";

/** Records that wait until a test lets them go, and which of them are in hand. */
class Gates {
  readonly started: string[] = [];
  readonly inHand = new Map<string, PromiseWithResolvers<void>>();
  most = 0;

  readonly process = async (record: KinesisRecord): Promise<void> => {
    const gate = Promise.withResolvers<void>();
    this.started.push(record.text());
    this.inHand.set(record.text(), gate);
    this.most = Math.max(this.most, this.inHand.size);
    await gate.promise;
    this.inHand.delete(record.text());
  };

  async open(...names: readonly (number | string)[]): Promise<void> {
    for (const name of names) this.inHand.get(String(name))?.resolve();
    await settled();
  }

  async openAll(): Promise<void> {
    while (this.inHand.size > 0) await this.open(...this.inHand.keys());
  }
}

const keyOf = (modulus: number) => (number: number): string => `key ${number % modulus}`;

/** How long it takes to process 6,000 records that take 5 ms each; checks the order of each key. */
async function timeOf(concurrency: number): Promise<number> {
  const last = new Map<string, number>();
  const { bench, runner }: Running = await running({
    async process(record) {
      const number = Number(record.text());
      assert((last.get(record.partitionKey) ?? -1) < number, "the order of a key");
      last.set(record.partitionKey, number);
      await bench.clock.sleep(5, bench.signal);
    },
  }, { concurrency });
  const startedAt = bench.clock.monotonic();
  for (let first = 0; first < 6_000; first += 1_000) {
    await bench.clock.until(runner.run(batch(first, first + 999, keyOf(1_500))));
  }
  assertEquals(await bench.clock.until(runner.settled()), "done");
  assertEquals(bench.told("batch_processed").map(({ records }) => records), Array(6).fill(1_000));
  return bench.clock.monotonic() - startedAt;
}

Deno.test("lanes: sixteen at a time by key are at least twelve times as fast as one, each key in order", async () => {
  const [one, sixteen] = [await timeOf(1), await timeOf(16)];
  assertEquals(one, 30_000);
  assert(one / sixteen >= 12, `${one} ms and ${sixteen} ms`);
});

Deno.test("lanes: the checkpoint stays before the first unfinished record", async () => {
  const gates = new Gates();
  const { bench, lease, runner } = await running(gates, { concurrency: 1_000 });
  const run = runner.run(batch(1, 5));
  await settled();
  assertEquals(gates.started.length, 5, "other lanes for other keys");
  await gates.open(2, 3, 5);
  assertEquals([lease.position, bench.told("batch_processed")], [TRIM_HORIZON, []]);
  await runner.run({ ...batch(6, 6), millisBehindLatest: 7 });
  await gates.open(6);
  const [told] = bench.told("batch_processed");
  assertEquals(told?.millisBehindLatest, 7, "a later read may be finished before");
  await gates.open(1);
  const row = await bench.store.shard("s");
  assertEquals([row.checkpoint, row.millisBehindLatest], [at(3), 42]);
  await gates.open(4);
  assertEquals([await run, lease.position], ["done", at(6)]);
  assertEquals((await bench.store.shard("s")).millisBehindLatest, 7);
  const sizes = bench.told("batch_processed").map(({ records, bytes }) => [records, bytes]);
  assertEquals(sizes, [[1, 1], [5, 5]]);
});

Deno.test("lanes: the pause of a failing key holds no other key, and no read", async () => {
  const log: string[] = [];
  const { bench, lease, runner } = await running({
    process(record, { attempt }) {
      log.push(`${record.text()}#${attempt}`);
      if (record.text() === "1") throw new Error("broken");
    },
    getErrorHandlingMode: () => retryAndSkip(1),
  }, { concurrency: 16 });
  // The odd ones are of one key, which waits.
  const parity = (number: number): string => number % 2 === 1 ? "odd" : `key ${number}`;
  assertEquals(await runner.run(batch(1, 4, parity)), "done");
  assertEquals(await runner.run(batch(5, 8, parity)), "done");
  assertEquals(log, ["1#1", "2#1", "4#1", "6#1", "8#1"]);
  assertEquals([lease.position, runner.readTo], [TRIM_HORIZON, at(8)]);
  assertEquals(await bench.clock.until(runner.settled()), "done");
  assertEquals(log.slice(5), ["1#2", "3#1", "5#1", "7#1"]);
  assertEquals(lease.position, at(8));
  assertEquals(bench.told("record_skipped").map(({ sequenceNumber }) => sequenceNumber), ["1"]);
});

Deno.test("lanes: what is read and not finished is bounded, and so is what is finished after a record that fails", async () => {
  const gates = new Gates();
  const slow = await running(gates, { concurrency: 2 });
  let read = 0;
  for (let isWaiting = false; !isWaiting; read += 100) {
    assert(read < 1_000, "nobody waits");
    isWaiting = true;
    void slow.runner.run(batch(read, read + 99)).then(() => isWaiting = false);
    await settled();
  }
  assertEquals([read, gates.most], [100, 2]);
  await gates.openAll();

  const quick = await running({
    process: (record) => record.text() === "1" ? gates.process(record) : undefined,
  }, { concurrency: 1_000 });
  const isOdd = (number: number): string => number === 1 ? "odd" : "key";
  let isWaiting = false;
  for (read = 0; !isWaiting && read < 200_000; read += 10_000) {
    isWaiting = true;
    void quick.runner.run(batch(read + 1, read + 10_000, isOdd)).then(() => isWaiting = false);
    await settled();
  }
  assertEquals(read, 110_000);
  await gates.openAll();
  assertEquals(await quick.runner.settled(), "done");
  assertEquals(quick.lease.position, at(110_000));
});

Deno.test("lanes: a drain finishes the records in hand; what is beyond a gap comes again", async () => {
  const gates = new Gates();
  const { bench, lease, runner, drain } = await running(gates, { concurrency: 16 });
  const run = runner.run(batch(1, 30, keyOf(6)));
  await settled();
  const { size } = gates.inHand;
  await gates.open(1, 2, 3);
  assertEquals(lease.position, at(3));
  drain.abort();
  await gates.openAll();
  assertEquals(await run, "drained");
  assertEquals(gates.started.length, size + 3, "nothing was started after the drain");
  assertEquals(await runner.leaveOff(), "drained");
  const [told] = bench.told("batch_processed");
  assertEquals(told?.records, size + 3);
});

Deno.test("lanes: a record that stops the shard ends the others after the record in hand", async () => {
  const gates = new Gates();
  let givenUp = 0;
  const { bench, lease, runner } = await running({
    async process(record) {
      await gates.process(record);
      if (record.text() === "2") throw new Error("broken");
    },
    getErrorHandlingMode: () => retryAndStop(0),
    onMaxRetryExceeded: () => void (givenUp += 1),
  }, { concurrency: 1_000 });
  assertEquals(await runner.run(batch(1, 40, keyOf(4))), "done", "there is room for more");
  assertEquals(gates.started, ["1", "2", "3", "4"]);
  await gates.open(2);
  assertEquals(runner.until.aborted, true);
  await gates.openAll();
  assertEquals(await runner.settled(), "recordFailed");
  assertEquals([gates.started.length, givenUp, lease.position], [4, 1, at(1)]);
  assertEquals(bench.told("record_failed").length, 1);
});

Deno.test("lanes: a lost shard starts nothing more in any lane", async () => {
  const gates = new Gates();
  const { lease, runner } = await running(gates, { concurrency: 16 });
  const run = runner.run(batch(1, 30, keyOf(6)));
  await settled();
  await gates.open(1);
  const { length } = gates.started;
  lease.lose("test");
  await gates.openAll();
  assertEquals([await run, gates.started.length], ["lost", length]);
  assertEquals(lease.position, at(1));
});

Deno.test("lanes: with processBatch a lane gets the records of the read that belong to it", async () => {
  const batches: string[][] = [];
  const together = (): RecordProcessor => ({
    processBatch: (records) => void batches.push(records.map((record) => record.text())),
  });
  const byKey = await running(together(), { concurrency: 1_000 });
  await byKey.runner.run(batch(1, 6, keyOf(2)));
  assertEquals(batches.splice(0).sort(), [["1", "3", "5"], ["2", "4", "6"]]);
  const unordered = await running(together(), { concurrency: 3, orderBy: "none" });
  await unordered.runner.run(batch(1, 7));
  assertEquals(batches, [["1", "2", "3"], ["4", "5", "6"], ["7"]]);
  await byKey.runner.settled();
  assertEquals([byKey.lease.position, unordered.lease.position], [at(6), at(7)]);
});

Deno.test("lanes: without an order, whichever lane is free takes the next record", async () => {
  const gates = new Gates();
  const { lease, runner } = await running(gates, { concurrency: 3, orderBy: "none" });
  const run = runner.run(batch(1, 10, () => "one key"));
  await settled();
  for (let next = 4; next <= 10; next++) {
    assertEquals(gates.inHand.size, 3);
    await gates.open(next - 1);
    assertEquals(gates.started.length, next);
  }
  assertEquals([gates.most, lease.position], [3, TRIM_HORIZON]);
  await gates.openAll();
  await run;
  assertEquals(await runner.settled(), "done");
  assertEquals(lease.position, at(10));
});

Deno.test("lanes: a changed processor gets the next record, while another lane still uses the old one", async () => {
  const gates = new Gates();
  const log: string[] = [];
  const named = (name: string): RecordProcessor => ({
    async process(record) {
      log.push(`${name} ${record.text()}`);
      await gates.process(record);
    },
    [Symbol.asyncDispose]: () => void log.push(`dispose ${name}`),
  });
  const { runner, processors } = await running(named("old"), { concurrency: 1_000 });
  const run = runner.run(batch(1, 4, keyOf(2)));
  await settled();
  const changed = processors.change(named("new"));
  await gates.open(1);
  assertEquals(log, ["old 1", "old 2", "new 3"]);
  await gates.open(2);
  await changed;
  assertEquals(log.slice(3).sort(), ["dispose old", "new 4"]);
  await gates.openAll();
  assertEquals(await run, "done");
});

Deno.test("lanes: records that never wait let heartbeats through, in all lanes together", async () => {
  const { bench: { clock }, runner } = await running({
    process: () => void clock.pass(30),
  }, { concurrency: 4, orderBy: "none" });
  // Each of four lanes may finish a record after the time is up.
  assert(await longestWait(clock, runner.run(batch(1, 40))) <= 300);
  assert(await longestWait(clock, runner.settled()) <= 300);
  assertEquals(clock.monotonic(), 1_200);
});

/** A processor in another thread, as far as the runner can tell: it says what it was given, and answers as told. */
class Elsewhere implements RunProcessor {
  readonly keepsTime = true;
  readonly runs: string[] = [];
  readonly answers: ((records: number, options: RunOptions) => RunResult | Promise<RunResult>)[] =
    [];

  async processRun(
    records: readonly KinesisRecord[],
    context: { readonly attempt: number },
    options: RunOptions,
  ): Promise<RunResult> {
    this.runs.push(`${records.map((record) => record.text())}#${context.attempt}`);
    return await this.answers.shift()?.(records.length, options) ?? { finished: records.length };
  }

  readonly process = (): void => {};
  readonly getErrorHandlingMode = () => retryAndSkip(1);
}

Deno.test("runs elsewhere: a run goes on after the record that failed, which is tried again alone", async () => {
  const elsewhere = new Elsewhere();
  elsewhere.answers.push(() => ({ finished: 1, error: undefined }));
  const { bench, lease, runner } = await running(elsewhere);
  assertEquals(await bench.clock.until(runner.run(batch(1, 4))), "done");
  assertEquals(elsewhere.runs, ["1,2,3,4#1", "2#2", "3,4#1"]);
  assertEquals(bench.told("record_failed").map(({ sequenceNumber }) => sequenceNumber), ["2"]);
  assertEquals(lease.position, at(4));
});

Deno.test("runs elsewhere: what is finished counts during the run, and when the other thread dies", async () => {
  const elsewhere = new Elsewhere();
  const gate = Promise.withResolvers<void>();
  elsewhere.answers.push(async (_records, { progressed }) => {
    progressed(2);
    await gate.promise;
    throw new Error("the thread died");
  });
  const { bench, lease, runner } = await running(elsewhere);
  const run = runner.run(batch(1, 4));
  await settled();
  assertEquals(lease.position, at(2));
  gate.resolve();
  assertEquals(await bench.clock.until(run), "done");
  assertEquals(elsewhere.runs, ["1,2,3,4#1", "3#2", "4#1"]);
});

Deno.test("runs elsewhere: a drain and a change of the processor end a run after the record in hand", async () => {
  const elsewhere = new Elsewhere();
  const stopped = (finished: number) => (_records: number, { until }: RunOptions) =>
    new Promise<RunResult>((resolve) =>
      until.addEventListener("abort", () => resolve({ finished }))
    );
  elsewhere.answers.push(stopped(1));
  const { lease, runner, processors, drain } = await running(elsewhere);
  const run = runner.run(batch(1, 6));
  await settled();
  const next = new Elsewhere();
  next.answers.push(stopped(2));
  await processors.change(next);
  await settled();
  assertEquals([elsewhere.runs, next.runs], [["1,2,3,4,5,6#1"], ["2,3,4,5,6#1"]]);
  drain.abort();
  assertEquals([await run, lease.position], ["drained", at(3)]);
});

Deno.test("runs elsewhere: each lane has one run at a time", async () => {
  const elsewhere = new Elsewhere();
  const lanes: number[] = [];
  const gate = Promise.withResolvers<void>();
  for (let i = 0; i < 4; i++) {
    elsewhere.answers.push(async (finished, { lane }) => {
      lanes.push(lane);
      await gate.promise;
      return { finished };
    });
  }
  const { runner } = await running(elsewhere, { concurrency: 3, orderBy: "none" });
  const run = runner.run(batch(1, 9));
  await settled();
  assertEquals([elsewhere.runs, lanes], [["1,2,3#1", "4,5,6#1", "7,8,9#1"], [0, 1, 2]]);
  gate.resolve();
  assertEquals(await run, "done");
});

Deno.test("runs elsewhere: more records than there are cannot be finished", async () => {
  for (const concurrency of [1, 2]) {
    const elsewhere = new Elsewhere();
    for (let i = 0; i < 2; i++) elsewhere.answers.push((records) => ({ finished: records + 1 }));
    const { bench, runner } = await running(elsewhere, { concurrency });
    const run = bench.clock.until(runner.run(batch(1, 100)));
    await assertRejects(() => run, Error, "a run ends with its last record");
  }
});

Deno.test("runs elsewhere: what a run left comes before the rest of its read", async () => {
  const elsewhere = new Elsewhere();
  const gates = [Promise.withResolvers<RunResult>(), Promise.withResolvers<RunResult>()];
  const [first, second] = gates;
  for (const gate of gates) elsewhere.answers.push(() => gate.promise);
  elsewhere.answers.push((_records, { until }) =>
    new Promise((resolve) => until.addEventListener("abort", () => resolve({ finished: 1 })))
  );
  const options = { concurrency: 2, orderBy: "none" } as const;
  const { lease, runner, processors } = await running(elsewhere, options);
  assertEquals(await runner.run(batch(1, 2)), "done");
  const run = runner.run(batch(3, 8));
  await settled();
  first?.resolve({ finished: 1 });
  await settled();
  assertEquals(elsewhere.runs, ["1#1", "2#1", "3,4,5#1"]);
  const next = new Elsewhere();
  const changed = processors.change(next);
  await settled();
  second?.resolve({ finished: 1 });
  await changed;
  assertEquals([await run, await runner.settled()], ["done", "done"]);
  assertEquals(next.runs, ["4,5#1", "6,7,8#1"]);
  assertEquals(lease.position, at(8));
});

Deno.test("lanes: the end of a shard waits for all of them", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  const gate = Promise.withResolvers<void>();
  let ended = 0;
  cluster.put(20);
  const { told } = await cluster.start("A", {
    ...journal.of("A", (record) => record.text() === "7" ? gate.promise : undefined),
    shardEnded: () => void (ended += 1),
  }, { concurrency: 16 });
  cluster.stream.split(SHARD);
  cluster.put(10, 20);
  await cluster.clock.advance(20_000);
  assertEquals([ended, told("shard_ended").length], [0, 0]);
  assertEquals(journal.numbers(), upTo(20).filter((number) => number !== 17));
  gate.resolve();
  await cluster.clock.advance(20_000);
  assertEquals(journal.numbers(), upTo(30));
  assertEquals(told("shard_ended").map(({ shardId }) => shardId), [SHARD]);
});

Deno.test("lanes: a record that stops the shard does so while the next read is waited for", async () => {
  await using cluster = new Cluster(1);
  const gate = Promise.withResolvers<void>();
  const { told } = await cluster.start("A", {
    async process(record) {
      if (record.text() !== "2") return;
      await gate.promise;
      throw new Error("broken");
    },
    getErrorHandlingMode: () => retryAndStop(0),
  }, { concurrency: 16, emptyReceiveDelay: 3_600_000 });
  cluster.put(5);
  await cluster.clock.advance(3_600_000);
  gate.resolve();
  await cluster.clock.advance(100);
  assertEquals(told("shard_stopped").map(({ reason }) => reason), ["recordFailed"]);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, {
    kind: "sequence",
    sequenceNumber: "2",
  });
});

Deno.test("lanes: a read that fails opens the shard after what is in hand, so that nothing comes twice", async () => {
  await using cluster = new Cluster(1);
  const gates = new Gates();
  const open = cluster.stream.open.bind(cluster.stream);
  let failures = 0;
  cluster.stream.open = async function* (shardId, after, signal) {
    for await (const batch of open(shardId, after, signal)) {
      yield { ...batch, records: batch.records.slice(0, 2) };
      failures += 1;
      throw new SourceError("Cannot read: iterator expired", { kind: "unavailable" });
    }
  };
  cluster.put(10);
  const { app } = await cluster.start("A", gates, { concurrency: 16 });
  await cluster.clock.advance(60_000);
  assert(failures > 5 && gates.inHand.size > 1);
  await gates.openAll();
  assertEquals(gates.started.map(Number).sort((a, b) => a - b), upTo(10));
  await cluster.clock.until(app.stop());
});

Deno.test("lanes: a record that comes in the very moment in which its lane ends does not wait for the next one", async () => {
  for (let ticks = 0; ticks < 40; ticks++) {
    const done: string[] = [];
    const { runner, lease } = await running({
      process: (record) => void done.push(record.text()),
    }, { concurrency: 2 });
    await runner.run(batch(1, 1));
    for (let i = 0; i < ticks; i++) await undefined;
    await runner.run(batch(2, 2, () => "key 1"));
    assertEquals(await runner.settled(), "done");
    assertEquals([done, lease.position], [["1", "2"], at(2)], `${ticks} moments later`);
  }
});

Deno.test("lanes: a record that stops the shard ends the others at once, and comes to none of them", async () => {
  const gates = new Gates();
  const disposed = Promise.withResolvers<void>();
  const named = (name: string): RecordProcessor => ({
    async process(record) {
      await gates.process(record);
      if (record.text() === "1") throw new Error(`broken in ${name}`);
    },
    getErrorHandlingMode: () => retryAndStop(0),
    [Symbol.asyncDispose]: () => disposed.promise,
  });
  const { runner, processors } = await running(() => named("old"), {
    concurrency: 2,
    orderBy: "none",
  });
  const run = runner.run(batch(1, 9));
  await settled();
  const changed = processors.change(() => named("new"));
  await gates.open(2);
  await gates.open(1); // It was the last one of the old processor, which is being disposed now.
  await gates.open(3);
  assertEquals(gates.started, ["1", "2", "3"]);
  disposed.resolve();
  await changed;
  assertEquals([await run, await runner.settled()], ["recordFailed", "recordFailed"]);
});

Deno.test("runs elsewhere: a record that is tried again keeps its processor, and a change of it drains nothing", async () => {
  const elsewhere = new Elsewhere();
  elsewhere.answers.push(() => ({ finished: 0, error: new Error("broken") }));
  elsewhere.answers.push((finished, { until }) => ({ finished: until.aborted ? 0 : finished }));
  const { bench, runner, lease, processors } = await running(elsewhere);
  const run = runner.run(batch(1, 2));
  await settled();
  const next = new Elsewhere();
  const changed = processors.change(next);
  assertEquals(await bench.clock.until(run), "done");
  await changed;
  assertEquals([elsewhere.runs, next.runs], [["1,2#1", "1#2"], ["2#1"]]);
  assertEquals(lease.position, at(2));
});

Deno.test("lanes: a factory is asked once for all lanes, also when it throws", async () => {
  let calls = 0;
  const { bench, runner } = await running(() => {
    calls += 1;
    return Promise.reject(new Error("no processor"));
  }, { concurrency: 16 });
  void runner.run(batch(1, 100));
  assertEquals(await bench.clock.until(runner.settled()), "processorFailed");
  assertEquals([calls, bench.told("processor_failed").length], [3, 3]);
});

for (const concurrency of [1, 2]) {
  Deno.test(`factory: what comes while a processor is made is seen before its first record, with concurrency ${concurrency}`, async () => {
    const log: string[] = [];
    const gates = new Map<string, PromiseWithResolvers<void>>();
    const factory = (name: string) => async (): Promise<RecordProcessor> => {
      const gate = Promise.withResolvers<void>();
      gates.set(name, gate);
      await gate.promise;
      return { process: (record) => void log.push(`${name} ${record.text()}`) };
    };
    const { runner, processors, drain } = await running(factory("first"), { concurrency });
    const run = runner.run(batch(1, 4));
    await settled();
    const changed = processors.change(factory("second"));
    gates.get("first")?.resolve();
    await settled();
    assertEquals([log, [...gates.keys()]], [[], ["first", "second"]], "a change of the processor");
    await changed;
    drain.abort();
    gates.get("second")?.resolve();
    assertEquals([await run, log], ["drained", []], "a drain");
  });
}

Deno.test("factory: one that hangs keeps the shard neither from its next processor nor from its next owner", async () => {
  const log: string[] = [];
  const hung = Promise.withResolvers<RecordProcessor>();
  const { runner, processors, drain } = await running(() => hung.promise);
  const run = runner.run(batch(1, 1));
  await settled();
  await processors.change({ process: (record) => void log.push(record.text()) });
  assertEquals([await run, log], ["done", ["1"]]);
  await processors.change(() => new Promise(() => {}));
  const next = runner.run(batch(2, 2));
  await settled();
  drain.abort();
  assertEquals(await next, "drained");
  hung.resolve({ process: () => {}, [Symbol.asyncDispose]: () => void log.push("disposed") });
  await settled();
  assertEquals(log, ["1", "disposed"]);
});
