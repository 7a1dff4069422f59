// Where an app begins, and which shard a fact is about.
import { assertEquals } from "@std/assert";
import type { InitialPosition } from "../../src/core/config.ts";
import { Cluster, Journal, upTo } from "./app_testing.ts";

Deno.test("B31: an app begins at the oldest record, at a time, or at the tip", async () => {
  const expectations: readonly (readonly [(now: number) => InitialPosition, number])[] = [
    [() => "TRIM_HORIZON", 0],
    [(now) => now - 5_000, 10],
    [(now) => new Date(now - 5_000), 10],
    [() => "LATEST", 20],
  ];
  for (const [position, first] of expectations) {
    await using cluster = new Cluster(2);
    cluster.put(10);
    await cluster.clock.advance(60_000);
    cluster.put(10, 10);
    await cluster.clock.advance(1_000);
    const journal = new Journal();
    const initialPosition = position(cluster.clock.now());
    await cluster.start("A", journal.of("A"), { initialPosition });
    cluster.put(10, 20);
    await cluster.clock.advance(5_000);
    assertEquals(journal.numbers(), upTo(30).slice(first));
  }
});

Deno.test("B29: every batch is told with its own shard", async () => {
  await using cluster = new Cluster(4);
  const journal = new Journal();
  const { told } = await cluster.start("A", journal.of("A"));
  cluster.put(100);
  await cluster.clock.advance(5_000);
  const countOf = (shardId: string): number =>
    told("batch_processed").reduce(
      (sum, event) => sum + (event.shardId === shardId ? event.records : 0),
      0,
    );
  for (const shardId of new Set(journal.lines.map(({ shard }) => shard))) {
    assertEquals(countOf(shardId), journal.lines.filter(({ shard }) => shard === shardId).length);
  }
  assertEquals(told("batch_processed").reduce((sum, event) => sum + event.records, 0), 100);
});
