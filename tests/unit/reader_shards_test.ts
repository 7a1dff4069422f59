// Owns: readers of several shards, and several loops of one reader: who gets what, how much, and in which order.
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Reader, ShardReader } from "../../src/reader.ts";
import type { RecordDelivery } from "../../src/pull/delivery.ts";
import { Cluster, CONFIG, Journal, upTo } from "./app_testing.ts";
import { checkpointOf, leave, SHARD, startRecords, take } from "./reader_testing.ts";

/** Reads every shard in a loop of its own; gives what each was. */
function readByShard(
  reader: Reader<RecordDelivery>,
  work: (shard: ShardReader<RecordDelivery>) => Promise<void>,
): Promise<readonly PromiseSettledResult<void>[]> {
  return (async () => {
    const loops: Promise<void>[] = [];
    for await (const shard of reader.shards()) loops.push(work(shard));
    return await Promise.allSettled(loops);
  })();
}

Deno.test("reader: a loop over all shards takes from each in turn", async () => {
  const cluster = new Cluster(4);
  cluster.put(400);
  const { reader } = await startRecords(cluster, "A");
  const loop = reader[Symbol.asyncIterator]();
  const counts = new Map<string, number>();
  for (let i = 0; i < 40; i++) {
    const { shardId } = (await take(cluster, loop)).record;
    counts.set(shardId, (counts.get(shardId) ?? 0) + 1);
  }
  assertEquals([...counts.values()], [10, 10, 10, 10]);
  await leave(cluster, loop);
});

Deno.test("reader: with ack manual, each shard has at most `concurrency` records out, no two of one key", async () => {
  const cluster = new Cluster(2);
  cluster.put(200);
  const config = { concurrency: 3 };
  const { reader } = await startRecords(cluster, "A", { ack: "manual", config });
  const out: RecordDelivery[] = [];
  const numbers: number[] = [];
  void (async () => {
    for await (const delivery of reader) {
      out.push(delivery);
      numbers.push(Number(delivery.record.text()));
    }
  })();
  await cluster.clock.advance(60_000);
  let most = 0;
  while (out.length > 0) {
    const shards = Map.groupBy(out, ({ record }) => record.shardId);
    for (const { length } of shards.values()) {
      assert(length <= 3, `${length} of one shard`);
      most = Math.max(most, length);
    }
    const keys = out.map(({ record }) => record.partitionKey);
    assertEquals(new Set(keys).size, keys.length, "one of a key at a time");
    // The last one first: what comes next does not wait for those before it.
    out.pop()?.ack();
    await cluster.clock.advance(0);
  }
  assertEquals(most, 3);
  for (let key = 0; key < 10; key++) {
    const ofKey = numbers.filter((number) => number % 10 === key);
    assertEquals(ofKey, upTo(20).map((i) => i * 10 + key));
  }
  await cluster.clock.until(reader.stop());
  assertEquals(cluster.clock.sleeping, 0);
});

Deno.test("reader: of several loops each record goes to one; to leave one of them ends all", async () => {
  const cluster = new Cluster(2);
  cluster.put(100);
  const { reader } = await startRecords(cluster, "A", { config: { concurrency: 4 } });
  const seen: number[][] = [];
  const loops = upTo(3).map(async (i) => {
    const mine: number[] = seen[i] = [];
    for await (const { record } of reader) {
      mine.push(Number(record.text()));
      await cluster.clock.sleep(100, new AbortController().signal);
    }
  });
  await cluster.clock.advance(10_000);
  assertEquals(seen.flat().sort((a, b) => a - b), upTo(100));
  assert(seen.every(({ length }) => length > 10));
  await leave(cluster, reader[Symbol.asyncIterator]());
  await cluster.clock.until(Promise.all(loops));
});

Deno.test("reader: shards() gives each shard, in order, and its loop ends when the shard has", async () => {
  const cluster = new Cluster(2);
  cluster.put(40);
  const ended: string[] = [];
  const { reader } = await startRecords(cluster, "A", {
    shardEnded: ({ shardId }) => void ended.push(shardId),
  });
  const seen = new Map<string, number[]>();
  const done: string[] = [];
  const all = readByShard(reader, async (shard) => {
    const numbers: number[] = [];
    seen.set(shard.shardId, numbers);
    for await (const { record } of shard) {
      assertEquals(record.shardId, shard.shardId);
      numbers.push(Number(record.text()));
    }
    done.push(shard.shardId);
  });
  await cluster.clock.advance(1_000);
  assertThrows(() => reader[Symbol.asyncIterator](), TypeError, "Cannot read both");
  const [left] = cluster.stream.split(SHARD);
  cluster.put(40, 40);
  await cluster.clock.advance(3 * CONFIG.checkStreamChangesFrequency);
  assertEquals(done, [SHARD]);
  assertEquals(ended, [SHARD]);
  assert(seen.has(left) && (seen.get(left)?.length ?? 0) > 0);
  assertEquals([...seen.values()].flat().sort((a, b) => a - b), upTo(80));
  for (const numbers of seen.values()) assertEquals(numbers, numbers.toSorted((a, b) => a - b));
  await cluster.clock.until(reader.stop());
  await cluster.clock.until(all);
});

Deno.test("reader: to leave the loop of a shard leaves that shard to others, and the other loops go on", async () => {
  await using cluster = new Cluster(2);
  const journal = new Journal();
  cluster.put(20);
  const { reader, failures } = await startRecords(cluster, "A");
  const seen: string[] = [];
  const all = readByShard(reader, async (shard) => {
    for await (const { record } of shard) {
      if (shard.shardId === SHARD && seen.length > 2) break;
      seen.push(record.text());
    }
  });
  await cluster.clock.advance(1_000);
  assertEquals(reader.app.shards().map(({ shardId }) => shardId), ["shardId-000000000001"]);
  await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(2 * CONFIG.heartbeat);
  assertEquals([...seen.map(Number), ...journal.numbers()].sort((a, b) => a - b), upTo(20));
  await cluster.clock.until(reader.stop());
  const results = await cluster.clock.until(all);
  assert(results.every(({ status }) => status === "fulfilled"));
  assertEquals(failures(), []);
});

Deno.test("reader: a record whose shard was lost aborts its signal; to finish it late does nothing", async () => {
  await using cluster = new Cluster(1);
  const journal = new Journal();
  cluster.put(3);
  const { reader } = await startRecords(cluster, "A", { ack: "manual" });
  const loop = reader[Symbol.asyncIterator]();
  const { context, ack } = await take(cluster, loop);
  const { signal } = context;
  cluster.store.fate = ({ id }) => id === "A" ? "request lost" : "made";
  await cluster.start("B", journal.of("B"));
  await cluster.clock.advance(3 * CONFIG.heartbeatTimeout);
  assert(signal.aborted);
  assertEquals(journal.texts("B"), ["0", "1", "2"]);
  const before = await checkpointOf(cluster);
  ack();
  await cluster.clock.advance(1_000);
  assertEquals(await checkpointOf(cluster), before);
  await leave(cluster, loop);
});

Deno.test("reader: a loop of a shard that is left after the shard went away changes nothing", async () => {
  const cluster = new Cluster(1);
  cluster.put(1);
  const { reader } = await startRecords(cluster, "A", { ack: "manual" });
  const shards = reader.shards();
  const loop = (await take(cluster, shards))[Symbol.asyncIterator]();
  (await take(cluster, loop)).ack();
  cluster.stream.split(SHARD);
  await cluster.clock.advance(3 * CONFIG.checkStreamChangesFrequency);
  await leave(cluster, loop);
  assertEquals(reader.app.shards().length, 2);
  await leave(cluster, shards);
});

Deno.test("reader: when the time to stop has run out, loops end that have nothing in hand", async () => {
  const cluster = new Cluster(1);
  cluster.put(1);
  const { reader } = await startRecords(cluster, "A", { ack: "manual" });
  const shard = await take(cluster, reader.shards());
  const hung = await take(cluster, shard[Symbol.asyncIterator]());
  const waiting = shard[Symbol.asyncIterator]().next();
  await cluster.clock.until(reader.stop(), CONFIG.shutdownTimeout);
  assertEquals((await waiting).done, true);
  hung.ack();
  await cluster.clock.advance(1_000);
  assertEquals(await checkpointOf(cluster), 0);
});

/** Has the next read of a row wait until what this returns is called. */
function holdRead({ store }: Cluster): () => void {
  const held = Promise.withResolvers<void>();
  const read = store.read.bind(store);
  store.read = async (kind, id, signal) => {
    store.read = read;
    await held.promise;
    return await read(kind, id, signal);
  };
  return held.resolve;
}

Deno.test("reader: to leave the loop of a shard that ends meanwhile is no failure", async () => {
  const cluster = new Cluster(1);
  cluster.put(1);
  const { reader } = await startRecords(cluster, "A", { ack: "manual" });
  const shards = reader.shards();
  const loop = (await take(cluster, shards))[Symbol.asyncIterator]();
  const { ack } = await take(cluster, loop);
  const release = holdRead(cluster);
  cluster.stream.split(SHARD);
  ack();
  const left = leave(cluster, loop);
  await cluster.clock.advance(1_000);
  assertEquals((await cluster.store.shard(SHARD)).checkpoint, { kind: "shardEnd" });
  release();
  await left;
  await leave(cluster, shards);
});

Deno.test("reader: to leave the loop of a shard while the worker comes to its end is no failure", async () => {
  const cluster = new Cluster(1);
  cluster.put(1);
  const { reader } = await startRecords(cluster, "A", { ack: "manual" });
  const shards = reader.shards();
  const loop = (await take(cluster, shards))[Symbol.asyncIterator]();
  await take(cluster, loop);
  const stopped = reader.stop();
  let isLeft = false;
  while (reader.app.health().phase !== "stopped") await cluster.clock.advance(100);
  void leave(cluster, loop).then(() => isLeft = true);
  await cluster.clock.until(stopped);
  assert(isLeft);
});
