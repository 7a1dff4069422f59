// Owns: one batch through the user's processor: attempts, skip and stop, time-out, drain, and what is finished.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type Checkpoint, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import { LeaseLostError } from "../../src/errors.ts";
import type { ProcessContext, RecordProcessor } from "../../src/processor.ts";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";
import { Breather } from "../../src/runtime/tasks.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";
import { at, batch, longestWait, running } from "./runner_testing.ts";

/** A processor that fails at some records for ever, and writes down what happens. */
function failing(log: string[], broken: readonly number[], more: RecordProcessor = {}) {
  return {
    process(record, context) {
      log.push(`${record.text()}#${context.attempt}`);
      if (broken.includes(Number(record.text()))) throw new TypeError(`broken ${record.text()}`);
    },
    onMaxRetryExceeded(record, mode, error) {
      log.push(`gave up ${record.text()} ${mode.kind} ${(error as Error).message}`);
    },
    ...more,
  } satisfies RecordProcessor;
}

Deno.test("record runner: records are processed in order, each with what it needs to know", async () => {
  const seen: unknown[] = [];
  const { bench, lease, runner } = await running({
    process(record, { signal, checkpoint, ...context }) {
      assert(!signal.aborted && typeof checkpoint === "function");
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

Deno.test("record runner: n retries are n + 1 attempts of the record alone, then it is given up once", async () => {
  const log: string[] = [];
  let asked = 0;
  const { bench, runner, lease } = await running(failing(log, [2], {
    getErrorHandlingMode(record, error, { attempt }) {
      asked += 1;
      assertEquals([record.text(), (error as Error).message, attempt], ["2", "broken 2", 1]);
      return retryAndSkip(3);
    },
  }));
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "done");
  assertEquals(log, ["1#1", "2#1", "2#2", "2#3", "2#4", "gave up 2 retryAndSkip broken 2", "3#1"]);
  assertEquals(asked, 1);
  assertEquals(lease.position, at(3));
  assertEquals(bench.told("record_failed").map(({ attempt }) => attempt), [1, 2, 3, 4]);
  assertEquals(bench.told("record_failed")[0]?.error.name, "TypeError");
  assertEquals(bench.told("record_skipped").map(({ attempts }) => attempts), [4]);
});

Deno.test("B24: the waits between attempts grow", async () => {
  const times: number[] = [];
  const { bench: { clock }, runner } = await running({
    process() {
      times.push(clock.monotonic());
      throw new Error("broken");
    },
    getErrorHandlingMode: () => retryAndSkip(8),
  });
  await clock.until(runner.run(batch(1, 1)));
  const waits = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  for (const [i, wait] of waits.entries()) {
    assert(wait >= 50 * 2 ** i && wait <= 100 * 2 ** i, `wait ${i} is ${wait}`);
  }
});

Deno.test("record runner: without a mode of its own a record is tried three times and skipped", async () => {
  const log: string[] = [];
  const { bench, runner } = await running(failing(log, [1]));
  assertEquals(await bench.clock.until(runner.run(batch(1, 1))), "done");
  assertEquals(log.length, 4);
});

Deno.test("record runner: stop leaves the checkpoint before the record, after giving it up once", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running(
    failing(log, [2], { getErrorHandlingMode: () => retryAndStop(1) }),
  );
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "recordFailed");
  assertEquals(log, ["1#1", "2#1", "2#2", "gave up 2 retryAndStop broken 2"]);
  assertEquals(lease.position, at(1));
  assertEquals(bench.told("record_skipped"), []);
  assertEquals(bench.told("batch_processed").map(({ records }) => records), [1]);
});

Deno.test("B9: a throw in getErrorHandlingMode is told, and the default holds", async () => {
  for (
    const answer of [
      () => Promise.reject(new Error("no idea")),
      () => {
        throw new Error("no idea");
      },
      () => "skip",
      () => ({ kind: "retryAndSkip", retries: -1 }),
      () => undefined,
    ]
  ) {
    const log: string[] = [];
    const getErrorHandlingMode = answer as unknown as () => ReturnType<typeof retryAndSkip>;
    const { bench, runner, lease } = await running(failing(log, [1], { getErrorHandlingMode }));
    assertEquals(await bench.clock.until(runner.run(batch(1, 2))), "done");
    assertEquals(log.filter((line) => line.startsWith("1#")).length, 3);
    assertEquals(lease.position, at(2));
    assertEquals(
      bench.told("processor_failed").map(({ operation }) => operation),
      ["getErrorHandlingMode"],
    );
  }
});

Deno.test("B9: a throw in onMaxRetryExceeded is told, and changes nothing", async () => {
  for (const make of [retryAndSkip, retryAndStop]) {
    let calls = 0;
    const { bench, runner, lease } = await running({
      process(record) {
        if (record.text() === "2") throw new Error("broken");
      },
      getErrorHandlingMode: () => make(0),
      onMaxRetryExceeded() {
        calls += 1;
        throw new Error("also broken");
      },
    });
    const outcome = await bench.clock.until(runner.run(batch(1, 3)));
    const isSkip = make === retryAndSkip;
    assertEquals([outcome, calls], [isSkip ? "done" : "recordFailed", 1]);
    assertEquals(lease.position, at(isSkip ? 3 : 1));
    assertEquals(bench.told("processor_failed")[0]?.error.message, "also broken");
  }
});

Deno.test("record runner: anything can be thrown", async () => {
  for (const thrown of [undefined, null, "text", 7, { odd: true }, Symbol("s")]) {
    const { bench, runner } = await running({
      process: () => Promise.reject(thrown),
      getErrorHandlingMode: () => retryAndSkip(0),
    });
    assertEquals(await bench.clock.until(runner.run(batch(1, 1))), "done");
    assertEquals(bench.told("record_failed").length, 1);
  }
});

Deno.test("B10: a factory that keeps throwing stops the shard here, before its record", async () => {
  let calls = 0;
  const { bench, runner, lease } = await running(() => {
    calls += 1;
    throw new Error("no database");
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "processorFailed");
  assertEquals([calls, lease.position], [3, TRIM_HORIZON]);
  const told = bench.told("processor_failed");
  assertEquals(told.map(({ operation }) => operation), ["factory", "factory", "factory"]);
});

Deno.test("B10: a factory that throws once loses nothing", async () => {
  let calls = 0;
  const seen: string[] = [];
  const { bench, runner } = await running(() => {
    if (++calls === 1) throw new Error("not yet");
    return { process: (record) => void seen.push(record.text()) };
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "done");
  assertEquals([seen, calls], [["1", "2", "3"], 2]);
});

Deno.test("record runner: an attempt beyond processTimeout has failed, and is told so by its signal", async () => {
  const signals: AbortSignal[] = [];
  const { bench, runner, lease } = await running({
    process(_record, { signal }) {
      signals.push(signal);
      return new Promise(() => {});
    },
    getErrorHandlingMode: () => retryAndSkip(1),
  }, { processTimeout: 500 });
  assertEquals(await bench.clock.until(runner.run(batch(1, 1))), "done");
  assertEquals(signals.map(({ aborted }) => aborted), [true, true]);
  assertEquals(lease.position, at(1));
  const [first] = bench.told("record_failed");
  assertEquals(first?.error.name, "ProcessTimeoutError");
  assertMatch(first?.error.message ?? "", /500 ms/);
  assertEquals(lease.signal.aborted, false);
});

Deno.test("record runner: within processTimeout nothing changes, and no timer stays behind", async () => {
  const { bench, lease, runner } = await running({ process: () => {} }, { processTimeout: 500 });
  assertEquals(await runner.run(batch(1, 100)), "done");
  lease.lose("test over");
  await bench.tasks.settled();
  assertEquals(bench.clock.sleeping, 0);
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

Deno.test("B1: a drain finishes the record in hand and starts no other", async () => {
  const gate = Promise.withResolvers<void>();
  const log: string[] = [];
  const { runner, lease, drain } = await running({
    async process(record, { signal }) {
      log.push(record.text());
      await gate.promise;
      assertEquals(signal.aborted, false);
    },
  });
  const run = runner.run(batch(1, 5));
  await settled();
  drain.abort();
  await settled();
  gate.resolve();
  assertEquals(await run, "drained");
  assertEquals([log, lease.position], [["1"], at(1)]);
});

Deno.test("B1: a drain ends the wait for the next attempt, and the record is left to the next owner", async () => {
  const log: string[] = [];
  const { runner, lease, drain } = await running(
    failing(log, [2], { getErrorHandlingMode: () => retryAndStop(1_000) }),
  );
  const run = runner.run(batch(1, 5));
  await settled();
  drain.abort();
  assertEquals(await run, "drained");
  assertEquals([log, lease.position], [["1#1", "2#1"], at(1)]);
});

Deno.test("record runner: a lost shard ends delivery, tells the record in hand, and finishes nothing", async () => {
  const gate = Promise.withResolvers<void>();
  const log: string[] = [];
  let context: ProcessContext | undefined;
  const { runner, lease } = await running({
    async process(record, given) {
      log.push(record.text());
      context = given;
      if (record.text() === "2") await gate.promise;
    },
  });
  const run = runner.run(batch(1, 5));
  await settled();
  lease.lose("test");
  assert(context?.signal.reason instanceof LeaseLostError);
  gate.resolve();
  assertEquals(await run, "lost");
  assertEquals([log, lease.position], [["1", "2"], at(1)]);
});

Deno.test("B11: behind the fence no record is started, noticed by anybody or not", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running({
    process(record) {
      log.push(record.text());
      if (record.text() === "2") bench.fence.lower();
    },
  });
  assertEquals(await runner.run(batch(1, 5)), "lost");
  assertEquals([log, lease.position], [["1", "2"], at(1)]);
});

Deno.test("B11: the fence goes down by time alone, on either clock, while records never wait", async () => {
  for (const [at, wallAt] of [[-20_000_000, 0], [0, -20_000_000]] as const) {
    const log: string[] = [];
    const { bench, runner } = await running({
      process(record) {
        log.push(record.text());
        if (record.text() !== "2") return;
        bench.fence.raise({ at, wallAt: bench.clock.now() + wallAt }, 10_000_000);
      },
    });
    assertEquals(await runner.run(batch(1, 5)), "lost");
    assertEquals(log, ["1", "2"]);
  }
});

Deno.test("record runner: a failure after the shard was lost is nobody's business any more", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running({
    process() {
      lease.lose("test");
      throw new Error("because it was aborted");
    },
    getErrorHandlingMode: () => log.push("asked") as never,
  });
  assertEquals(await runner.run(batch(1, 1)), "lost");
  assertEquals([log, bench.told("record_failed")], [[], []]);
});

Deno.test("record runner: a checkpoint by hand is written before it resolves", async () => {
  const written: unknown[] = [];
  const { bench, runner, lease } = await running({
    async process(record, { checkpoint }) {
      if (record.text() !== "2") return;
      await checkpoint();
      written.push((await bench.store.shard("s")).checkpoint);
    },
  }, { checkpointMode: "manual" });
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "done");
  assertEquals(written, [at(2)]);
  assertEquals(lease.position, at(2), "a record that nobody said is finished is not");
});

Deno.test("record runner: with processBatch a checkpoint by hand is for the given record, or the batch", async () => {
  const positions: Checkpoint[] = [];
  const { bench, runner, lease } = await running({
    async processBatch(records, { checkpoint }) {
      await checkpoint(records[1]);
      positions.push(lease.position);
      await checkpoint();
      positions.push(lease.position);
    },
  }, { checkpointMode: "manual" });
  await bench.clock.until(runner.run(batch(1, 3)));
  assertEquals(positions, [at(2), at(3)]);
});

Deno.test("record runner: a checkpoint by hand of a record before the last one goes back nowhere", async () => {
  const contexts: ProcessContext[] = [];
  const { bench, runner, lease } = await running({
    process: (_record, context) => void contexts.push(context),
  }, { checkpointMode: "manual" });
  await runner.run(batch(1, 2));
  await bench.clock.until(contexts[1]?.checkpoint() ?? Promise.resolve());
  // A processor that finishes its records in the background may do so in any order.
  await bench.clock.until(contexts[0]?.checkpoint() ?? Promise.resolve());
  assertEquals([lease.position, (await bench.store.shard("s")).checkpoint], [at(2), at(2)]);
});

Deno.test("record runner: a checkpoint by hand fails in the mode auto, after a record of another shard, and after the shard was lost", async () => {
  const contexts: ProcessContext[] = [];
  const keep: RecordProcessor = { process: (_record, context) => void contexts.push(context) };
  const auto = await running(keep);
  await auto.runner.run(batch(1, 1));
  await assertRejects(async () => await contexts[0]?.checkpoint(), TypeError, '"checkpointMode"');

  const manual = await running(keep, { checkpointMode: "manual" });
  await manual.runner.run(batch(1, 1));
  const foreign = new DeliveredRecord("other", {
    sequenceNumber: "9",
    partitionKey: "key",
    data: new Uint8Array(),
    approximateArrivalTimestamp: 0,
  });
  await assertRejects(async () => await contexts[1]?.checkpoint(foreign), RangeError, '"other"');
  assertEquals(manual.lease.position, TRIM_HORIZON);
  manual.lease.lose("test");
  await assertRejects(async () => await contexts[1]?.checkpoint(), LeaseLostError);
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

Deno.test("record runner: a shard that is lost while the mode is asked for is not stopped here", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running(failing(log, [1], {
    getErrorHandlingMode: () => {
      lease.lose("test");
      return retryAndStop(0);
    },
  }));
  assertEquals(await bench.clock.until(runner.run(batch(1, 2))), "lost");
  assertEquals(log, ["1#1"]);
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
