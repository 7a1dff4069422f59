// Owns: records that are collected for `processBatch`: how many, for how long, and what ends it before.
import { assert, assertEquals } from "@std/assert";
import { heldBytesOf } from "../../src/core/byte_size.ts";
import { retryAndStop } from "../../src/core/policy.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import { BufferBudget } from "../../src/runtime/buffer_budget.ts";
import type { RecordRunnerDeps } from "../../src/runtime/record_runner.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster } from "./app_testing.ts";
import { at, batch, type Running, running } from "./runner_testing.ts";

const WINDOW = { batchWindow: 1_000, batchSize: 5 };

interface Collecting extends Running {
  /** Each batch with when it came. */
  readonly log: string[];
}

async function collecting(
  deps: Partial<RecordRunnerDeps> = WINDOW,
  more: RecordProcessor = {},
): Promise<Collecting> {
  const log: string[] = [];
  const run = await running({
    processBatch(records) {
      log.push(`${run.bench.clock.monotonic()}: ${records.map((record) => record.text())}`);
    },
    ...more,
  }, deps);
  return { ...run, log };
}

Deno.test("window: records are collected until there are enough, or the first one has waited for long enough", async () => {
  const { bench: { clock }, runner, lease, log } = await collecting();
  assertEquals(await runner.run(batch(1, 2)), "done");
  await clock.advance(400);
  assertEquals(await runner.run(batch(3, 3)), "done");
  await clock.advance(599);
  assertEquals([log, lease.position.kind], [[], "trimHorizon"], "nothing that waits is finished");
  await clock.advance(1);
  assertEquals([log, lease.position], [["1000: 1,2,3"], at(3)]);
  assertEquals(await runner.run(batch(4, 6)), "done");
  assertEquals(await runner.run(batch(7, 15)), "done");
  await settled();
  assertEquals(log.slice(1), ["1000: 4,5,6,7,8", "1000: 9,10,11,12,13"]);
  await clock.advance(1_000);
  assertEquals([log.at(-1), lease.position], ["2000: 14,15", at(15)]);
});

Deno.test("window: each read of a batch is told when it is finished", async () => {
  const { bench, runner } = await collecting();
  await runner.run(batch(1, 2));
  await runner.run(batch(3, 8));
  await bench.clock.advance(1_000);
  assertEquals(bench.told("batch_processed").map(({ records }) => records), [2, 6]);
});

Deno.test("window: without one, a batch is what a read brings, in parts of batchSize", async () => {
  const { runner, log } = await collecting({ batchSize: 3 });
  await runner.run(batch(1, 7));
  await runner.run(batch(8, 9));
  assertEquals(log, ["0: 1,2,3", "0: 4,5,6", "0: 7", "0: 8,9"]);
});

Deno.test("window: a processor for single records does not wait for others", async () => {
  const seen: string[] = [];
  const { runner } = await running({ process: (record) => void seen.push(record.text()) }, WINDOW);
  await runner.run(batch(1, 2));
  await settled();
  assertEquals(seen, ["1", "2"]);
});

Deno.test("window: the end of a shard does not wait for it", async () => {
  const { runner, lease, log } = await collecting();
  await runner.run(batch(1, 2));
  assertEquals(await runner.settled(), "done");
  assertEquals([log, lease.position], [["0: 1,2"], at(2)]);
  assertEquals(await runner.shardEnded(), "done");
});

Deno.test("window: a stop, a handover or a loss leaves to the next owner what was collected", async () => {
  for (const how of ["drain", "lose"] as const) {
    const { bench, runner, lease, drain, log } = await collecting();
    await runner.run(batch(1, 2));
    await settled();
    if (how === "drain") drain.abort();
    else lease.lose("test");
    assertEquals(await runner.leaveOff(), how === "drain" ? "drained" : "lost");
    assertEquals([log, lease.position.kind], [[], "trimHorizon"]);
    await runner.close();
    lease.lose("over");
    await bench.tasks.settled();
    assertEquals(bench.clock.sleeping, 0, "no timer stays behind");
  }
});

Deno.test("window: reading goes on meanwhile, and what is in hand is bounded by number", async () => {
  const gate = Promise.withResolvers<void>();
  const { runner, log } = await collecting(WINDOW, {
    async processBatch(records) {
      log.push(String(records.length));
      await gate.promise;
    },
  });
  assertEquals(await runner.run(batch(1, 4)), "done");
  assertEquals(await runner.run(batch(5, 7)), "done", "half a read and a batch");
  let isBlocked = true;
  const third = runner.run(batch(8, 10)).then(() => isBlocked = false);
  await settled();
  assertEquals([log, isBlocked], [["5"], true]);
  gate.resolve();
  await third;
  await settled();
  assertEquals(log, ["5", "5"]);
});

Deno.test("window: what is collected is given away when somebody waits for its memory, or does already", async () => {
  const budget = new BufferBudget(8_000);
  for (const concurrency of [1, 4]) {
    const deps = { batchWindow: 300_000, batchSize: 10_000, concurrency, budget };
    const { bench, runner, lease, log } = await collecting(deps);
    using other = budget.open();
    await runner.run(batch(1, 8));
    // What it holds beside the nine records.
    runner.budget.arrived(7_000 + heldBytesOf([...batch(1, 9).records]));
    await settled();
    assertEquals(log, []);
    const options = { least: 6_000, signal: bench.signal };
    const room = other.take(6_000, options);
    await settled();
    assertEquals(lease.position, at(8));
    const stillWaits = budget.isScarce;
    assert(stillWaits);
    await runner.run(batch(9, 9));
    await settled();
    assertEquals(lease.position, at(9), "as long as somebody waits");
    runner.budget.finished(7_000);
    await room;
    await runner.run(batch(10, 10));
    await settled();
    assertEquals(lease.position, at(9));
    await runner.close();
  }
});

Deno.test("window: many shards that are behind, with little memory, come to their end without waiting for a window", async () => {
  await using cluster = new Cluster(8);
  const data = "x".repeat(20_000);
  for (let n = 0; n < 400; n++) cluster.stream.put(`key-${n}`, data);
  let seen = 0;
  await cluster.start("A", { processBatch: (records) => void (seen += records.length) }, {
    batchWindow: 300_000,
    maxBufferedBytes: 2 ** 20,
    maxBatchSize: 10,
    emptyReceiveDelay: 200,
  });
  await cluster.clock.advance(60_000);
  // What nobody waits for may be collected at the end.
  assert(seen >= 350, `${seen}`);
});

Deno.test("window: a lane whose window is open keeps nobody from reading on, however far the others are", async () => {
  const deps = { batchSize: 10_000, batchWindow: 300_000, concurrency: 2 };
  let processed = 0;
  const { bench: { clock }, runner } = await collecting(deps, {
    processBatch: (records) => void (processed += records.length),
  });
  // One key gets the first record; the other one all the others, which are finished at once.
  for (let first = 1; first <= 110_000; first += 10_000) {
    const read = batch(first, first + 9_999, (n) => n === 1 ? "a" : "b");
    assertEquals(await clock.until(runner.run(read), 1_000), "done");
  }
  assert(processed > 100_000, `${processed}`);
});

Deno.test("window: without an order, the lanes share what is collected, each record once", async () => {
  const { bench, runner, log } = await collecting({ ...WINDOW, concurrency: 3, orderBy: "none" });
  await runner.run(batch(1, 4));
  await bench.clock.advance(999);
  assertEquals(log, []);
  await runner.run(batch(5, 8));
  await bench.clock.advance(1_000);
  assertEquals(log, ["999: 1,2,3,4,5", "1999: 6,7,8"]);
});

Deno.test("window: a changed processor gets what is collected, and the old one is disposed at once", async () => {
  const { bench, runner, processors, log } = await collecting(WINDOW, {
    [Symbol.asyncDispose]: () => void log.push("disposed"),
  });
  await runner.run(batch(1, 2));
  await settled();
  await processors.change({ processBatch: (records) => void log.push(`new: ${records.length}`) });
  assertEquals(log, ["disposed"]);
  await bench.clock.advance(1_000);
  assertEquals(log, ["disposed", "new: 2"]);
});

Deno.test("window: a failure in a batch of several reads leaves the checkpoint before its record", async () => {
  const { bench, runner, lease } = await collecting(WINDOW, {
    processBatch: (records) => ({ failed: records.filter((record) => record.text() === "4") }),
    getErrorHandlingMode: () => retryAndStop(0),
  });
  await runner.run(batch(1, 3));
  await runner.run(batch(4, 5));
  await bench.clock.until(runner.settled());
  assertEquals(await runner.settled(), "recordFailed");
  assertEquals(lease.position, at(3));
});

Deno.test("window: in a worker, what is collected is neither lost nor processed twice by a stop and a handover", async () => {
  await using cluster = new Cluster(1);
  const seen: Record<string, string[]> = { A: [], B: [] };
  const collect = (worker: string): RecordProcessor => ({
    processBatch: (records) => void seen[worker]?.push(...records.map((record) => record.text())),
  });
  const config = { batchWindow: 60_000, batchSize: 10, emptyReceiveDelay: 200 };
  const first = await cluster.start("A", collect("A"), config);
  for (let n = 0; n < 14; n++) cluster.stream.put("key", String(n));
  await cluster.clock.advance(2_000);
  assertEquals(seen["A"]?.length, 10);
  await cluster.start("B", collect("B"), config);
  await cluster.clock.until(first.app.stop());
  await cluster.clock.advance(70_000);
  assertEquals(seen["B"], ["10", "11", "12", "13"]);
});
