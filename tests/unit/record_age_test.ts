// Owns: `maxRecordAge`: which records are given up because of it, and what is told.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import { RecordTooOldError } from "../../src/errors.ts";
import type { Batch } from "../../src/ports.ts";
import type { RecordProcessor, RunProcessor, TimedProcessor } from "../../src/processor.ts";
import { settled, type VirtualClock } from "../virtual_clock.ts";
import { at, batch, running } from "./runner_testing.ts";

const DEPS = { maxRecordAge: 1_000 };

/** Records that arrived so long ago, in milliseconds. */
function aged(clock: VirtualClock, ...ages: readonly number[]): Batch {
  const { records, millisBehindLatest } = batch(1, ages.length);
  return {
    millisBehindLatest,
    records: records.map((record, i) => ({
      ...record,
      approximateArrivalTimestamp: clock.now() - (ages[i] ?? 0),
    })),
  };
}

/** Writes down what it gets and what is given up. */
function writing(log: string[], more: RecordProcessor = {}): RecordProcessor {
  return {
    process: (record, { attempt }) => void log.push(`${record.text()}#${attempt}`),
    onMaxRetryExceeded(record, mode, error, { attempt }) {
      assert(error instanceof RecordTooOldError, String(error));
      assertEquals(mode.kind, "retryAndSkip");
      const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
      log.push(`gave up ${record.text()} #${attempt}${cause}`);
    },
    ...more,
  };
}

Deno.test("age: a record that is too old is given up without an attempt, and the checkpoint passes it", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running(writing(log), DEPS);
  const { clock } = bench;
  assertEquals(await clock.until(runner.run(aged(clock, 1_001, 1_000, 5_000, 0))), "done");
  assertEquals(log, ["gave up 1 #0", "2#1", "gave up 3 #0", "4#1"]);
  assertEquals(lease.position, at(4));
  const told = bench.told("record_skipped").map((s) => [s.sequenceNumber, s.attempts, s.reason]);
  assertEquals(told, [["1", 0, "tooOld"], ["3", 0, "tooOld"]]);
  assertEquals(bench.told("record_failed"), []);
  assertEquals(bench.told("batch_processed").map(({ records }) => records), [4]);
});

Deno.test("age: 0 is no limit", async () => {
  const log: string[] = [];
  const { bench, runner } = await running(writing(log));
  await runner.run(aged(bench.clock, 1e12));
  assertEquals(log, ["1#1"]);
});

Deno.test("age: records that become too old while others are processed are not started", async () => {
  const log: string[] = [];
  const { bench, runner } = await running(
    writing(log, {
      process: (record) => {
        log.push(record.text());
        bench.clock.pass(600);
      },
    }),
    DEPS,
  );
  await bench.clock.until(runner.run(aged(bench.clock, 0, 0, 0)));
  assertEquals(log, ["1", "2", "gave up 3 #0"]);
});

Deno.test("age: a record that fails is given up when it is too old to be tried again, whatever its mode", async () => {
  for (const mode of [retryAndSkip(1_000), retryAndStop(1_000)]) {
    const log: string[] = [];
    const { bench, runner, lease } = await running(
      writing(log, {
        process(record, { attempt }) {
          if (record.text() === "2") return;
          log.push(`${record.text()}#${attempt}`);
          throw new Error(`broken #${attempt}`);
        },
        getErrorHandlingMode: () => mode,
      }),
      DEPS,
    );
    assertEquals(await bench.clock.until(runner.run(aged(bench.clock, 0, -60_000))), "done");
    const attempts = log.length - 1;
    assert(attempts >= 4 && attempts <= 6, `${log}`);
    assertEquals(log.at(-1), `gave up 1 #${attempts}: broken #${attempts}`);
    assertEquals(lease.position, at(2));
  }
});

Deno.test("age: of a batch, those that are too old are given up, and the others delivered", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running(
    writing(log, {
      processBatch(records, { attempt }) {
        log.push(`${records.map((record) => record.text())}#${attempt}`);
        return { failed: records.filter((record) => record.text() === "2") };
      },
      getErrorHandlingMode: () => retryAndStop(1_000),
    }),
    DEPS,
  );
  assertEquals(
    await bench.clock.until(runner.run(aged(bench.clock, 2_000, 950, 2_000, 0))),
    "done",
  );
  assertEquals(log.slice(0, 4), [
    "gave up 1 #0",
    "gave up 3 #0",
    "2,4#1",
    "gave up 2 #1: " + failed,
  ]);
  assertEquals(lease.position, at(4));
});
const failed = `Cannot process record "2": processBatch returned it as failed, without an error`;

Deno.test("age: a batch of nothing but old records is not delivered", async () => {
  const { bench, runner, lease } = await running({
    processBatch: () => {
      throw new Error("never");
    },
  }, DEPS);
  assertEquals(await bench.clock.until(runner.run(aged(bench.clock, 2_000, 3_000))), "done");
  assertEquals([lease.position, bench.told("record_failed")], [at(2), []]);
});

Deno.test("age: a shard that is to be given up while old records of a batch are starts no batch any more", async () => {
  const log: string[] = [];
  const { bench, runner, lease, drain } = await running({
    processBatch: (records) => void log.push(records.map((record) => record.text()).join()),
    async onMaxRetryExceeded(record) {
      log.push(`gave up ${record.text()}`);
      drain.abort();
      await bench.clock.sleep(100, bench.signal);
    },
  }, DEPS);
  const { clock } = bench;
  assertEquals(await clock.until(runner.run(aged(clock, 5_000, 0, 0))), "drained");
  assertEquals(log, ["gave up 1"]);
  assertEquals(lease.position, at(1));
});

Deno.test("age: a record that is too old is put aside, whole, before the checkpoint passes it", async () => {
  for (const together of [false, true]) {
    const put: unknown[] = [];
    const { bench, runner, lease, drain } = await running(
      together ? { processBatch: () => {} } : { process: () => {} },
      {
        ...DEPS,
        failureDestination: {
          name: "test",
          put({ sequenceNumber, attempts, error }) {
            put.push([sequenceNumber, attempts, (error as Error).name]);
            if (sequenceNumber === "2") throw new Error("disk full");
          },
        },
      },
    );
    const run = runner.run(aged(bench.clock, 2_000, 2_000, 0));
    await settled();
    assertEquals(put, [["1", 0, "RecordTooOldError"], ["2", 0, "RecordTooOldError"]]);
    assertEquals(lease.position, at(1));
    drain.abort();
    assertEquals(await bench.clock.until(run), "drained");
    assertEquals(lease.position, at(1));
  }
});

Deno.test("age: a run in another thread ends before a record that became too old", async () => {
  const log: string[] = [];
  const processor: RunProcessor & TimedProcessor = {
    ...writing(log),
    keepsTime: true,
    async processRun(records, _context, { isTooOld }) {
      let finished = 0;
      for (const record of records) {
        if (finished > 0 && isTooOld(record)) break;
        log.push(record.text());
        await bench.clock.sleep(600, bench.signal);
        finished += 1;
      }
      return { finished };
    },
  };
  const { bench, runner } = await running(processor, DEPS);
  assertEquals(await bench.clock.until(runner.run(aged(bench.clock, 0, 0, 0, 0))), "done");
  assertEquals(log, ["1", "2", "gave up 3 #0", "gave up 4 #0"]);
});

Deno.test("age: the error says how old the record was, and how old it may be", () => {
  assertMatch(new RecordTooOldError(1_234, 1_000).message, /1234 ms.*"maxRecordAge" is 1000 ms/);
});
