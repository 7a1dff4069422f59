// Owns: one batch through `processBatch`: which records are tried again, which are halved, and in which order.
import { assert, assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { type ErrorHandlingMode, retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import type { BatchResult, KinesisRecord, RecordProcessor } from "../../src/processor.ts";
import type { RecordRunnerDeps } from "../../src/runtime/record_runner.ts";
import { settled } from "../virtual_clock.ts";
import { at, batch, type Running, running } from "./runner_testing.ts";

/** What a test sees of a batch. */
interface Play extends Running {
  /** Each batch that the processor got, as `1,2,3#1`, and what followed. */
  readonly log: string[];
}

async function play(
  work: (texts: readonly string[], attempt: number) => readonly string[] | void,
  more: RecordProcessor & { readonly deps?: Partial<RecordRunnerDeps> } = {},
): Promise<Play> {
  const log: string[] = [];
  const { deps, ...methods } = more;
  const run = await running({
    processBatch(records, { attempt }) {
      const texts = records.map((record) => record.text());
      log.push(`${texts}#${attempt}`);
      const failed = work(texts, attempt) ?? [];
      return { failed };
    },
    onMaxRetryExceeded: (record, { kind, retries }, _error, { attempt }) =>
      void log.push(`gave up ${record.text()} ${kind} ${retries} #${attempt}`),
    ...methods,
  }, deps);
  return { ...run, log };
}

/** The records of a batch are named by their sequence numbers, which are their texts. */
const fail = (broken: readonly string[]) => (texts: readonly string[]) =>
  texts.filter((text) => broken.includes(text));

const throwAt = (broken: readonly string[]) => (texts: readonly string[]) => {
  const found = texts.find((text) => broken.includes(text));
  if (found !== undefined) throw new Error(`broken ${found}`);
};

Deno.test("batch: only the records that failed are tried again, together and in order", async () => {
  const { bench, runner, lease, log } = await play((texts, attempt) =>
    texts.filter((text) => Number(text) % 2 === 0 && Number(text) > 2 * attempt)
  );
  assertEquals(await bench.clock.until(runner.run(batch(1, 8))), "done");
  assertEquals(log, ["1,2,3,4,5,6,7,8#1", "4,6,8#2", "6,8#3", "gave up 8 retryAndSkip 2 #3"]);
  assertEquals(lease.position, at(8));
  const failures = bench.told("record_failed").map((f) => [f.sequenceNumber, f.attempt]);
  assertEquals(failures, [["4", 1], ["6", 1], ["8", 1], ["6", 2], ["8", 2], ["8", 3]]);
  assertEquals(bench.told("record_failed")[0]?.error.name, "RecordFailedError");
  assertEquals(bench.told("record_skipped").map((s) => [s.sequenceNumber, s.attempts, s.reason]), [
    ["8", 3, "failed"],
  ]);
  assertEquals(bench.told("batch_processed").map(({ records }) => records), [8]);
});

Deno.test("batch: the checkpoint stays before the first record that is not finished, while others are", async () => {
  const { bench, runner, lease } = await play(fail(["3"]), {
    getErrorHandlingMode: () => retryAndSkip(1),
  });
  const run = runner.run(batch(1, 5));
  await settled();
  assertEquals(lease.position, at(2));
  assertEquals(await bench.clock.until(run), "done");
  assertEquals(lease.position, at(5));
});

Deno.test("batch: each record that failed is asked about with its own error, once, and has its own end", async () => {
  const asked: string[] = [];
  const modes: Record<string, ErrorHandlingMode> = { 2: retryAndSkip(0), 4: retryAndSkip(2) };
  const { bench, runner, log } = await play(() => {}, {
    processBatch(records, { attempt }): BatchResult {
      log.push(`${records.map((record) => record.text())}#${attempt}`);
      const failed = records.filter((record) => record.text() in modes);
      return {
        failed: failed.map((record) => ({ record, error: new Error(`no ${record.text()}`) })),
      };
    },
    getErrorHandlingMode(record, error) {
      asked.push(`${record.text()}: ${(error as Error).message}`);
      return modes[record.text()] ?? retryAndStop(0);
    },
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 5))), "done");
  assertEquals(asked, ["2: no 2", "4: no 4"]);
  const ends = ["gave up 2 retryAndSkip 0 #1", "4#2", "4#3", "gave up 4 retryAndSkip 2 #3"];
  assertEquals(log, ["1,2,3,4,5#1", ...ends]);
});

Deno.test("batch: of the records in an aggregate, only the one that failed is tried again, and the checkpoint is before it", async () => {
  const { records: [first, ...others], millisBehindLatest } = batch(1, 4);
  assert(first !== undefined);
  const users = others.map((record, subSequenceNumber) => ({
    ...record,
    sequenceNumber: "2",
    subSequenceNumber,
    isLastOfAggregate: subSequenceNumber === 2,
  }));
  const { bench, runner, lease, log } = await play((texts, attempt) =>
    texts.includes("3") && attempt < 3 ? ["2:1"] : []
  );
  const run = runner.run({ records: [first, ...users], millisBehindLatest });
  await settled();
  assertEquals(lease.position, { kind: "sequence", sequenceNumber: "2", subSequenceNumber: 0 });
  assertEquals(await bench.clock.until(run), "done");
  assertEquals([log, lease.position], [["1,2,3,4#1", "3#2", "3#3"], at(2)]);
  const told = bench.told("record_failed").map((f) => [f.sequenceNumber, f.subSequenceNumber]);
  assertEquals(told, [["2", 1], ["2", 1]]);
});

Deno.test("batch: a record that stops the shard leaves the checkpoint before it; what was finished beyond comes again", async () => {
  const { bench, runner, lease, log } = await play(fail(["2", "4"]), {
    getErrorHandlingMode: (record) => record.text() === "2" ? retryAndSkip(5) : retryAndStop(0),
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 5))), "recordFailed");
  assertEquals(log, ["1,2,3,4,5#1", "gave up 4 retryAndStop 0 #1"]);
  assertEquals(lease.position, at(1));
  assertEquals(bench.told("record_skipped"), []);
});

Deno.test("batch: a record that it was not given fails the whole batch, and says so", async () => {
  const { bench, runner, lease, log } = await play((_texts, attempt) => attempt === 1 ? ["6"] : []);
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "done");
  assertEquals(log, ["1,2,3#1", "1,2,3#2"]);
  const [failure] = bench.told("record_failed");
  assertMatch(failure?.error.message ?? "", /record "6" is not in the batch/);
  assertEquals(lease.position, at(3));
});

Deno.test("batch: a drain between two attempts leaves what failed, and whatever is after it, to the next owner", async () => {
  const { runner, lease, drain, log } = await play(fail(["3"]), {
    getErrorHandlingMode: () => retryAndStop(9),
  });
  const run = runner.run(batch(1, 5));
  await settled();
  drain.abort();
  assertEquals(await run, "drained");
  assertEquals([log, lease.position], [["1,2,3,4,5#1"], at(2)]);
});

Deno.test("batch: a lost shard is nobody's business, whatever is returned", async () => {
  const { runner, lease, log, bench } = await play(() => {
    lease.lose("test");
    return ["2"];
  });
  assertEquals(await runner.run(batch(1, 3)), "lost");
  assertEquals([log.length, bench.told("record_failed")], [1, []]);
});

Deno.test("batch: what is returned behind the fence does not count", async () => {
  const { bench, runner, lease } = await play(() => bench.fence.lower());
  assertEquals(await runner.run(batch(1, 3)), "lost");
  assertEquals([lease.position, bench.told("batch_processed")], [TRIM_HORIZON, []]);
});

Deno.test("bisect: a batch that throws is halved until the bad record is alone; that is no attempt", async () => {
  const { bench, runner, lease, log } = await play(throwAt(["6"]), {
    deps: { bisectBatchOnError: true },
    getErrorHandlingMode: (record) => retryAndSkip(Number(record.text()) - 5),
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 8))), "done");
  const halves = ["1,2,3,4,5,6,7,8#1", "1,2,3,4#1", "5,6,7,8#1", "5,6#1", "5#1", "6#1", "6#2"];
  assertEquals(log, [...halves, "gave up 6 retryAndSkip 1 #2", "7,8#1"]);
  assertEquals(lease.position, at(8));
  const cuts = bench.told("batch_bisected").map((cut) => [cut.records, cut.sequenceNumber]);
  assertEquals(cuts, [[8, "5"], [4, "7"], [2, "6"]]);
  assertEquals(bench.told("record_failed").map((f) => f.sequenceNumber), ["6", "6"]);
});

Deno.test("bisect: off, a batch that throws is tried again whole", async () => {
  const { bench, runner, log } = await play(throwAt(["2"]), {
    getErrorHandlingMode: () => retryAndSkip(1),
  });
  await bench.clock.until(runner.run(batch(1, 3)));
  const givenUp = ["1", "2", "3"].map((text) => `gave up ${text} retryAndSkip 1 #2`);
  assertEquals(log, ["1,2,3#1", "1,2,3#2", ...givenUp]);
});

Deno.test("bisect: records that are returned as failed are not halved, but are when they throw", async () => {
  const { bench, runner, log } = await play((texts, attempt) => {
    if (attempt === 1) return ["2", "3", "4"];
    return throwAt(["3"])(texts);
  }, { deps: { bisectBatchOnError: true }, getErrorHandlingMode: () => retryAndSkip(1) });
  assertEquals(await bench.clock.until(runner.run(batch(1, 4))), "done");
  const halves = ["1,2,3,4#1", "2,3,4#2", "2,3#2", "2#2", "3#2"];
  assertEquals(log, [...halves, "gave up 3 retryAndSkip 1 #2", "4#2"]);
});

Deno.test("bisect: a drain between two halves leaves the second one", async () => {
  const { runner, lease, drain, log } = await play((texts) => {
    if (texts.length === 2) drain.abort();
    if (texts.length > 2) throw new Error("too many");
  }, { deps: { bisectBatchOnError: true } });
  assertEquals(await runner.run(batch(1, 4)), "drained");
  assertEquals([log, lease.position], [["1,2,3,4#1", "1,2#1"], at(2)]);
});

Deno.test("bisect: a record that stops the shard leaves what is after it", async () => {
  const { bench, runner, lease, log } = await play(throwAt(["2"]), {
    deps: { bisectBatchOnError: true },
    getErrorHandlingMode: () => retryAndStop(0),
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 4))), "recordFailed");
  assertEquals(log, ["1,2,3,4#1", "1,2#1", "1#1", "2#1", "gave up 2 retryAndStop 0 #1"]);
  assertEquals(lease.position, at(1));
});

Deno.test("bisect: if all are bad, each record comes at most once for each halving, and the work is bounded", async () => {
  const counts = new Map<string, number>();
  let calls = 0;
  const { bench, runner } = await play((texts) => {
    calls += 1;
    for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
    throw new Error("all");
  }, { deps: { bisectBatchOnError: true }, getErrorHandlingMode: () => retryAndSkip(0) });
  assertEquals(await bench.clock.until(runner.run(batch(1, 1_000))), "done");
  assertEquals(calls, 2 * 1_000 - 1);
  assert(Math.max(...counts.values()) <= 11);
});

Deno.test("batch: whatever fails and however, nothing finished comes again, and each record is finished or given up once", async () => {
  const records = fc.array(
    fc.record({
      /** How many attempts fail, and whether by a throw. */
      failures: fc.nat(3),
      throws: fc.boolean(),
      retries: fc.nat(2),
    }),
    { minLength: 1, maxLength: 12 },
  );
  await fc.assert(
    fc.asyncProperty(records, fc.boolean(), async (plan, bisectBatchOnError) => {
      const finished = new Set<number>();
      const givenUp = new Set<number>();
      const broken: string[] = [];
      const of = (record: KinesisRecord) => plan[Number(record.text()) - 1];
      const fails = (record: KinesisRecord, attempt: number): boolean =>
        attempt <= (of(record)?.failures ?? 0);
      const { bench, runner, lease } = await play(() => {}, {
        deps: { bisectBatchOnError },
        processBatch(given, { attempt }) {
          const numbers = given.map((record) => Number(record.text()));
          if (numbers.some((n) => finished.has(n) || givenUp.has(n))) broken.push("again");
          if (numbers.some((n, i) => n <= (numbers[i - 1] ?? 0))) broken.push("order");
          const failed = given.filter((record) => fails(record, attempt));
          if (failed.some((record) => of(record)?.throws)) throw new Error("batch");
          for (const record of given) {
            if (!failed.includes(record)) finished.add(Number(record.text()));
          }
          return { failed };
        },
        getErrorHandlingMode: (record) => retryAndSkip(of(record)?.retries ?? 0),
        onMaxRetryExceeded: (record) => {
          if (givenUp.has(Number(record.text()))) broken.push("given up twice");
          givenUp.add(Number(record.text()));
        },
      });
      assertEquals(await bench.clock.until(runner.run(batch(1, plan.length))), "done");
      assertEquals([broken, lease.position], [[], at(plan.length)]);
      assertEquals(finished.size + givenUp.size, plan.length);
      await runner.close();
    }),
    { numRuns: 300 },
  );
});
