// Owns: runs of records by a processor that is elsewhere: what is finished, what comes again, and when.
import { assertEquals, assertRejects } from "@std/assert";
import { retryAndSkip } from "../../src/core/policy.ts";
import type { KinesisRecord, RunOptions, RunProcessor, RunResult } from "../../src/processor.ts";
import { settled } from "../virtual_clock.ts";
import { at, batch, running } from "./runner_testing.ts";

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
