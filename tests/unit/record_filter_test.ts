// Owns: the filter of the app: what it leaves out is finished and counted, and what it cannot judge is processed.
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ReactoKinesixApp } from "../../src/app.ts";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import type { KinesisRecord, RecordFilter, RecordProcessor } from "../../src/processor.ts";
import { settled } from "../virtual_clock.ts";
import { Cluster } from "./app_testing.ts";
import { at, batch, longestWait, type Running, running } from "./runner_testing.ts";

interface Filtering extends Running {
  readonly seen: string[];
}

async function filtering(filter: RecordFilter, more = {}): Promise<Filtering> {
  const seen: string[] = [];
  const process = (record: { text(): string }): void => void seen.push(record.text());
  return { ...await running({ process }, { filter, ...more }), seen };
}

const isOdd: RecordFilter = (record) => Number(record.text()) % 2 === 1;

Deno.test("filter: what it leaves out is not delivered, is finished, and is counted", async () => {
  const { bench, runner, lease, seen } = await filtering(isOdd);
  assertEquals(await runner.run(batch(1, 6)), "done");
  assertEquals([seen, lease.position], [["1", "3", "5"], at(6)]);
  const told = bench.told("batch_processed").map((b) => [b.records, b.filtered, b.bytes]);
  assertEquals(told, [[3, 3, 3]]);
});

Deno.test("filter: a read of which nothing is left moves the checkpoint on", async () => {
  const { bench, runner, lease } = await filtering(() => false);
  assertEquals(await runner.run(batch(1, 3)), "done");
  assertEquals(lease.position, at(3));
  const told = bench.told("batch_processed").map((b) => [b.records, b.filtered, b.bytes]);
  assertEquals(told, [[0, 3, 0]]);
  assertEquals(await runner.shardEnded(), "done");
});

Deno.test("filter: with checkpoints by hand a shard ends when all that was given is finished", async () => {
  const process: RecordProcessor["process"] = (record, context) => context.checkpoint(record);
  const more = { filter: isOdd, checkpointMode: "manual" } as const;
  const { bench, runner } = await running({ process }, more);
  assertEquals(await bench.clock.until(runner.run(batch(1, 4))), "done");
  assertEquals(await bench.clock.until(runner.shardEnded()), "done");
  assertEquals(bench.told("shard_end_waiting"), []);
});

Deno.test("filter: the checkpoint does not pass a record in hand because of those that are left out after it", async () => {
  const gate = Promise.withResolvers<void>();
  const { runner, lease } = await running({ process: () => gate.promise }, {
    filter: (record) => record.text() === "2",
    concurrency: 2,
  });
  await runner.run(batch(1, 5));
  await settled();
  assertEquals(lease.position, at(1));
  gate.resolve();
  assertEquals([await runner.settled(), lease.position], ["done", at(5)]);
});

Deno.test("filter: a throw, and an answer that is none, are told once for a read, and the record is processed", async () => {
  const odd: readonly unknown[] = [undefined, 1, "", null, Promise.resolve(false), {}];
  for (
    const answer of [() => {
      throw new Error("broken");
    }, ...odd.map((value) => () => value)]
  ) {
    const { bench, runner, lease, seen } = await filtering(answer as RecordFilter);
    await runner.run(batch(1, 3));
    assertEquals([seen, lease.position], [["1", "2", "3"], at(3)]);
    const told = bench.told("processor_failed");
    assertEquals(told.map(({ operation }) => operation), ["filter"]);
    assertMatch(told[0]?.error.message ?? "", /^(broken|Cannot use what the filter returned)/);
  }
});

Deno.test("filter: one that takes long lets heartbeats through", async () => {
  const { bench: { clock }, runner } = await filtering(() => {
    clock.pass(30);
    return false;
  });
  assert(await longestWait(clock, settled().then(() => runner.run(batch(1, 100)))) <= 200);
});

Deno.test("filter: in the manual mode, what it leaves out is passed with the next checkpoint, and at the end of the shard", async () => {
  const { bench, runner, lease } = await running({
    process: (_record, { checkpoint }) => checkpoint(),
    shardEnded: ({ checkpoint }) => checkpoint(),
  }, { filter: isOdd, checkpointMode: "manual" });
  await bench.clock.until(runner.run(batch(2, 2)));
  assertEquals(lease.position, TRIM_HORIZON);
  await bench.clock.until(runner.run(batch(3, 4)));
  assertEquals(lease.position, at(3));
  assertEquals(await bench.clock.until(runner.shardEnded()), "done");
  assertEquals(lease.position, at(4));
});

Deno.test("filter: an app takes it as an option, and refuses what is none", async () => {
  await using cluster = new Cluster(1);
  const seen: string[] = [];
  const processor = { process: (record: KinesisRecord) => void seen.push(record.text()) };
  const wrong = "x" as unknown as RecordFilter;
  await assertRejects(
    () => ReactoKinesixApp.createNew(cluster.options("A", processor, { filter: wrong })),
    TypeError,
    'Cannot use filter "x"',
  );
  cluster.put(10);
  const options = cluster.options("A", processor, { filter: isOdd });
  const app = await cluster.clock.until(ReactoKinesixApp.createNew(options));
  await cluster.clock.advance(1_000);
  assertEquals(seen, ["1", "3", "5", "7", "9"]);
  await cluster.clock.until(app.stop());
});
