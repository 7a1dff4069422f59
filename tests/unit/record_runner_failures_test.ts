// Owns: a record that fails, or takes too long: attempts, modes, and what of it is told.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import { at, batch, failing, running } from "./runner_testing.ts";

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
