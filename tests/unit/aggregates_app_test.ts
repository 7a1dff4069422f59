// Owns: aggregates through whole workers: a stop, a handover and a split in the middle of one lose nothing and repeat nothing.
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { KinesisRecord } from "../../src/processor.ts";
import { aggregate } from "../kpl.ts";
import { Cluster, Journal, upTo } from "./app_testing.ts";

const WITHIN = /^\d+:\d+$/;

/** Puts numbers from one on as an aggregate, where the key of the first one belongs; gives the shard. */
function putAggregate(cluster: Cluster, from: number, count: number, key = `key-${from}`): string {
  const records = Array.from({ length: count }, (_, i) => ({
    partitionKey: i === 0 ? key : `key-${from + i}`,
    data: new TextEncoder().encode(String(from + i)),
  }));
  return cluster.stream.put(key, aggregate(records)).shardId;
}

/** A processor that takes a second for each record. */
function slow(cluster: Cluster, journal: Journal, worker: string) {
  const { signal } = new AbortController();
  return journal.of(worker, () => cluster.clock.sleep(1_000, signal));
}

Deno.test("aggregates: a stop in the middle of one is finished up to there, and the next worker goes on right after", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  for (let i = 0; i < 4; i++) putAggregate(cluster, i * 10, 10);
  const first = await cluster.start("A", slow(cluster, journal, "A"));
  await cluster.clock.advance(14_500);
  await cluster.clock.until(first.app.stop());
  const [{ checkpoint } = { checkpoint: "" }] = first.told("shard_released");
  assertMatch(checkpoint, WITHIN);
  const before = journal.lines.length;
  assert(before > 10 && before < 20, `${before} records`);
  await cluster.start("B", slow(cluster, journal, "B"));
  await cluster.clock.advance(60_000);
  assertEquals(journal.texts().map(Number), upTo(40));
  assertEquals(journal.texts("B").length, 40 - before);
});

Deno.test("aggregates: a handover in the middle of one loses and repeats nothing", async () => {
  await using cluster = new Cluster(4);
  const journal = new Journal();
  for (let i = 0; i < 40; i++) putAggregate(cluster, i * 5, 5);
  const first = await cluster.start("A", slow(cluster, journal, "A"));
  await cluster.clock.advance(3_500);
  await cluster.start("B", slow(cluster, journal, "B"));
  await cluster.clock.advance(200_000);
  const given = first.told("shard_handed_over").map(({ checkpoint }) => checkpoint);
  assert(given.some((checkpoint) => WITHIN.test(checkpoint)), String(given));
  assertEquals(journal.numbers(), upTo(200));
  assert(journal.texts("B").length > 50);
});

Deno.test("aggregates: one that is the last of a split shard is finished before its children begin", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  cluster.stream.split(putAggregate(cluster, 0, 5, "key-0"));
  putAggregate(cluster, 5, 5, "key-0");
  const first = await cluster.start("A", slow(cluster, journal, "A"));
  await cluster.clock.advance(2_500);
  await cluster.clock.until(first.app.stop());
  const second = await cluster.start("B", slow(cluster, journal, "B"));
  await cluster.clock.advance(60_000);
  assertEquals(journal.texts().map(Number), upTo(10));
  // After the split half of the keys belong elsewhere; they are there all the same, and it is told.
  const [told] = second.told("aggregate_misplaced");
  assertEquals([told?.aggregates, told?.shardId === journal.lines.at(-1)?.shard], [1, true]);
});

Deno.test("aggregates: a batch by hand after a record within one goes on right after it", async () => {
  await using cluster = new Cluster(1);
  putAggregate(cluster, 0, 10);
  const batches: string[][] = [];
  const until = (text: string | undefined) => ({
    async processBatch(records: readonly KinesisRecord[], context: {
      checkpoint(record?: KinesisRecord): Promise<void>;
    }) {
      batches.push(records.map((record) => record.text()));
      await context.checkpoint(records.find((record) => record.text() === text));
    },
  });
  const config = { checkpointMode: "manual" } as const;
  const first = await cluster.start("A", until("6"), config);
  await cluster.clock.until(first.app.stop());
  const second = await cluster.start("B", until(undefined), config);
  await cluster.clock.until(second.app.stop());
  await cluster.start("C", until(undefined), config);
  assertEquals(batches, [upTo(10).map(String), ["7", "8", "9"]]);
  const [{ checkpoint } = { checkpoint: "" }] = second.told("shard_released");
  assertEquals(checkpoint, "1", "all of an aggregate is the whole record");
});
