// Owns: one batch through the user's processor: the order, the checkpoint, the end of a shard, a change of the processor, the time of others.
import { assert, assertEquals } from "@std/assert";
import { retryAndSkip } from "../../src/core/policy.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import { Breather } from "../../src/runtime/tasks.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";
import { at, batch, longestWait, running } from "./runner_testing.ts";

Deno.test("record runner: records are processed in order, each with what it needs to know", async () => {
  const seen: unknown[] = [];
  const { bench, lease, runner } = await running({
    process(record, { signal, checkpoint, transact, ...context }) {
      assert(!signal.aborted && typeof checkpoint === "function" && typeof transact === "function");
      seen.push([record.text(), record.partitionKey, record.shardId, context]);
    },
  });
  assertEquals(await runner.run(batch(1, 2)), "done");
  const context = {
    shardId: "s",
    workerId: "A",
    streamName: "orders",
    attempt: 1,
    millisBehindLatest: 42,
    term: 1,
  };
  assertEquals(seen, [["1", "key 1", "s", context], ["2", "key 2", "s", context]]);
  assertEquals(lease.position, at(2));
  assertEquals(bench.told("batch_processed"), [
    {
      type: "batch_processed",
      shardId: "s",
      records: 2,
      bytes: 2,
      filtered: 0,
      millisBehindLatest: 42,
      processMs: 0,
    },
  ]);
});

Deno.test("B18: the checkpoint may follow each record, not only each batch", async () => {
  const gate = Promise.withResolvers<void>();
  const { bench, lease, runner } = await running({
    process: (record) => record.text() === "3" ? gate.promise : undefined,
  });
  const run = runner.run(batch(1, 5));
  await settled();
  assertEquals(lease.position, at(2));
  assertEquals((await bench.store.shard("s")).checkpoint, at(2));
  gate.resolve();
  await run;
});

Deno.test("record runner: what is in hand is not held by the batch it came in", async () => {
  let isReleased = false;
  const { runner } = await running({
    process: () => assert(isReleased, "before the first record, since it may take long"),
  });
  const release = (): void => void (isReleased = true);
  assertEquals(await runner.run({ ...batch(1, 2), release }), "done");
  assert(isReleased);
});

Deno.test("record runner: processBatch gets the whole batch, and fails or is finished as one", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running({
    processBatch(records, { attempt }) {
      log.push(`${records.map((record) => record.text())}#${attempt}`);
      if (records.length === 3) throw new Error("too many");
    },
    process: () => log.push("never") as never,
    getErrorHandlingMode(record) {
      log.push(`mode of ${record.text()}`);
      return retryAndSkip(1);
    },
    onMaxRetryExceeded: (record) => void log.push(`gave up ${record.text()}`),
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "done");
  assertEquals(await bench.clock.until(runner.run(batch(4, 5))), "done");
  const givenUp = ["gave up 1", "gave up 2", "gave up 3"];
  assertEquals(log, ["1,2,3#1", "mode of 1", "1,2,3#2", ...givenUp, "4,5#1"]);
  assertEquals(lease.position, at(5));
  assertEquals(bench.told("record_skipped").length, 3);
  assertEquals(await runner.run(batch(6, 5)), "done");
  assertEquals(log.at(-1), "4,5#1", "an empty batch is nobody's work");
});

Deno.test("record runner: shardEnded is tried three times, then the shard stops here", async () => {
  for (const [failures, outcome] of [[0, "done"], [2, "done"], [3, "processorFailed"]] as const) {
    let calls = 0;
    const { bench, runner } = await running({
      process: () => {},
      shardEnded() {
        calls += 1;
        if (calls <= failures) throw new Error("disk full");
      },
    });
    assertEquals(await bench.clock.until(runner.shardEnded()), outcome);
    assertEquals(calls, Math.min(3, failures + 1));
    assertEquals(bench.told("processor_failed").length, failures);
  }
});

Deno.test("record runner: a processor that never waits lets heartbeats through", async () => {
  const { bench: { clock }, runner } = await running({
    // Each record takes 30 ms of the machine, without waiting.
    process: () => void clock.pass(30),
  });
  const run = runner.run(batch(1, 20));
  await settled();
  assertEquals(clock.sleeping, 2, "the run waits, besides the writer of checkpoints");
  assertEquals(await clock.until(run), "done");
});

Deno.test("B4: a changed processor gets the next record, also in the middle of a batch", async () => {
  const log: string[] = [];
  const named = (name: string): RecordProcessor => ({
    async process(record) {
      log.push(`${name} ${record.text()}`);
      if (record.text() === "2") void processors.change(named("new"));
      await settled();
    },
    [Symbol.asyncDispose]: () => void log.push(`dispose ${name}`),
  });
  const { runner, processors } = await running(named("old"));
  assertEquals(await runner.run(batch(1, 3)), "done");
  assertEquals(log, ["old 1", "old 2", "dispose old", "new 3"]);
});

for (const together of [false, true]) {
  Deno.test(`record runner: records that fail without waiting let heartbeats through, ${together ? "in one batch" : "one by one"}`, async () => {
    const fail = (): never => {
      clock.pass(30);
      throw new Error("broken");
    };
    const { bench: { clock }, runner } = await running({
      ...together ? { processBatch: fail } : { process: fail },
      getErrorHandlingMode: () => retryAndSkip(0),
      onMaxRetryExceeded: () => clock.pass(30),
    });
    assert(await longestWait(clock, runner.run(batch(1, 20))) <= 200);
    assert(clock.monotonic() >= 600);
  });
}

Deno.test("record runner: records of many shards that never wait let heartbeats through together, each shard in its turn", async () => {
  const clock = new VirtualClock();
  const breather = new Breather(clock);
  const counts: number[] = [];
  const runs: Promise<unknown>[] = [];
  for (let shard = 0; shard < 20; shard++) {
    counts[shard] = 0;
    const process = (): void => {
      clock.pass(5);
      counts[shard] = (counts[shard] ?? 0) + 1;
      const [least, most] = [Math.min(...counts), Math.max(...counts)];
      assert(most - least <= 45, `${least} and ${most}`);
    };
    const { runner } = await running({ process }, { clock, breather });
    runs.push(runner.run(batch(1, 100)));
  }
  // A stretch, and the record that each shard has in hand when it is over.
  assert(await longestWait(clock, Promise.all(runs)) <= 100 + 20 * 5);
  assertEquals(new Set(counts), new Set([100]));
});
