// Owns: several records of a shard at the same time: order, how far it is finished, what one failure does to the others.
import { assert, assertEquals } from "@std/assert";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import { settled } from "../virtual_clock.ts";
import { at, batch, Gates, longestWait, type Running, running } from "./runner_testing.ts";

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
  const run = runner.run(batch(1, 300, keyOf(6)));
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
  const run = runner.run(batch(1, 300, keyOf(6)));
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
