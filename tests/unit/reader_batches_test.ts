// Owns: batches that are asked for: they are finished, fail and come again as those of `processBatch`.
import { assert, assertEquals } from "@std/assert";
import { retryAndSkip } from "../../src/core/policy.ts";
import type { BatchDelivery } from "../../src/pull/delivery.ts";
import { Cluster, CONFIG, Journal } from "./app_testing.ts";
import { checkpointOf, leave, startBatches, take } from "./reader_testing.ts";

function textsOf({ records }: BatchDelivery): readonly string[] {
  return records.map((record) => record.text());
}

Deno.test("reader: a batch is finished when the next one is asked for", async () => {
  const cluster = new Cluster(1);
  cluster.put(5);
  const { reader } = await startBatches(cluster, "A", { config: { batchSize: 2 } });
  const loop = reader[Symbol.asyncIterator]();
  assertEquals(textsOf(await take(cluster, loop)), ["0", "1"]);
  await cluster.clock.advance(1_000);
  assertEquals(await checkpointOf(cluster), 0);
  assertEquals(textsOf(await take(cluster, loop)), ["2", "3"]);
  await cluster.clock.advance(1_000);
  assertEquals(await checkpointOf(cluster), 2);
  await leave(cluster, loop);
  assertEquals(await checkpointOf(cluster), 2);
  assertEquals(cluster.clock.sleeping, 0);
});

Deno.test("reader: what ack() names as failed comes again alone; nack() fails the whole batch", async () => {
  const cluster = new Cluster(1);
  cluster.put(4);
  const given: string[] = [];
  const { reader } = await startBatches(cluster, "A", {
    getErrorHandlingMode: () => retryAndSkip(2),
    onMaxRetryExceeded: (record) => void given.push(record.text()),
  });
  const loop = reader[Symbol.asyncIterator]();
  const first = await take(cluster, loop);
  first.ack({ failed: first.records.slice(1, 3) });
  const second = await take(cluster, loop);
  assertEquals([textsOf(second), second.context.attempt], [["1", "2"], 2]);
  second.nack(new Error("both"));
  const third = await take(cluster, loop);
  assertEquals([textsOf(third), third.context.attempt], [["1", "2"], 3]);
  third.nack(new Error("both"));
  await cluster.clock.advance(1_000);
  assertEquals(given, ["1", "2"]);
  assertEquals(await checkpointOf(cluster), 4);
  await leave(cluster, loop);
});

Deno.test("reader: batches are collected and cut in two as the settings say", async () => {
  const cluster = new Cluster(1);
  cluster.put(4);
  const config = { bisectBatchOnError: true, batchWindow: 2_000 };
  const { reader } = await startBatches(cluster, "A", { config });
  const loop = reader[Symbol.asyncIterator]();
  const begun = cluster.clock.monotonic();
  const first = await take(cluster, loop);
  assert(cluster.clock.monotonic() - begun >= 1_900);
  first.nack(new Error("one of them"));
  assertEquals(textsOf(await take(cluster, loop)), ["0", "1"]);
  assertEquals(textsOf(await take(cluster, loop)), ["2", "3"]);
  await leave(cluster, loop);
});

Deno.test("reader: a batch that was in hand when the loop was left comes again whole, and has not failed", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  cluster.put(6);
  const { reader, failures } = await startBatches(cluster, "A", { config: { batchSize: 2 } });
  const loop = (async () => {
    for await (const { records } of reader) if (records[0]?.text() === "2") break;
  })();
  const begun = cluster.clock.monotonic();
  await cluster.clock.until(loop);
  assert(cluster.clock.monotonic() - begun < 1_000);
  await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(2 * CONFIG.heartbeat);
  assertEquals(journal.texts("B"), ["2", "3", "4", "5"]);
  assertEquals(failures(), []);
});

Deno.test("reader: the time of a batch runs from when it is in hand", async () => {
  const cluster = new Cluster(1);
  cluster.put(2);
  const { reader } = await startBatches(cluster, "A", { config: { processTimeout: 1_000 } });
  await cluster.clock.advance(60_000);
  const loop = reader[Symbol.asyncIterator]();
  assertEquals((await take(cluster, loop)).context.attempt, 1);
  await cluster.clock.advance(1_000);
  assertEquals((await take(cluster, loop)).context.attempt, 2);
  await leave(cluster, loop);
});

Deno.test("reader: stop() lets a batch be finished that is in hand", async () => {
  const cluster = new Cluster(1);
  cluster.put(4);
  const config = { batchSize: 2 };
  const { reader } = await startBatches(cluster, "A", { ack: "manual", config });
  const loop = reader[Symbol.asyncIterator]();
  const { ack } = await take(cluster, loop);
  const stopped = reader.stop();
  await cluster.clock.advance(1_000);
  ack();
  await cluster.clock.until(stopped);
  assertEquals(await checkpointOf(cluster), 2);
  assert((await cluster.clock.until(loop.next())).done);
});
