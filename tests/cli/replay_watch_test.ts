// Owns: when a replay is done, what is left of it, from when on it goes on, and what its bar shows.
import { assertEquals } from "@std/assert";
import { MemoryLeaseStore } from "../../src/adapters/memory.ts";
import { RangeSource } from "../../src/cli/range_source.ts";
import { ReplayWatch } from "../../src/cli/replay_watch.ts";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { create, newShardRow } from "../../src/core/lease.ts";
import type { ShardInfo, StreamSource } from "../../src/ports.ts";
import { fakeTerminal } from "./cli_testing.ts";

const signal = new AbortController().signal;
const [FROM, TO] = [1_000_000, 2_000_000];
const START: Checkpoint = { kind: "timestamp", timestamp: FROM };
const after = (i: number): Checkpoint => ({ kind: "sequence", sequenceNumber: String(1_000 + i) });

/** 1,000 records in each shard, a second apart. */
const STREAM: StreamSource = {
  listShards: () => Promise.resolve([]),
  async *open() {
    const records = Array.from({ length: 1_000 }, (_, i) => ({
      sequenceNumber: String(1_000 + i),
      partitionKey: "k",
      data: new Uint8Array(),
      approximateArrivalTimestamp: FROM + i * 1_000,
    }));
    yield await Promise.resolve({ records, millisBehindLatest: 0 });
  },
};

/** A watch of shards with their parents, of which those with a checkpoint were read. */
async function watchOf(
  shards: Readonly<Record<string, { readonly parents?: readonly string[]; at?: Checkpoint }>>,
) {
  const source = new RangeSource({ source: STREAM, from: FROM, to: TO, now: () => TO });
  const store = new MemoryLeaseStore();
  const infos: ShardInfo[] = [];
  for (const [id, { parents = [], at }] of Object.entries(shards)) {
    infos.push({ id, parents, hashKeyRange: null, isClosed: true });
    await store.write(
      create(newShardRow({ id, parents, hashKeyRange: null }, at ?? START)),
      signal,
    );
    if (at !== undefined) await Array.fromAsync(source.open(id, START, signal));
  }
  const shown: (readonly [number, string])[] = [];
  const said: string[] = [];
  const watch = new ReplayWatch({
    ...{ source, store, shards: infos, terminal: fakeTerminal() },
    progress: { update: (share, note = "") => shown.push([Math.round(share * 100), note]) },
    say: (line) => said.push(line),
  });
  return { watch, shown, said };
}

const isDone = (watch: ReplayWatch): Promise<boolean> =>
  Promise.race([watch.done.then(() => true), Promise.resolve().then(() => false)]);
const end = (shardId: string) =>
  ({ type: "shard_ended", shardId, term: 1, children: [], wasTrimmed: false }) as const;
const stop = (shardId: string) =>
  ({ type: "shard_stopped", shardId, reason: "recordFailed" }) as const;

Deno.test("replay watch: it goes on from the shard that is furthest behind, a child after its parents", async () => {
  const { watch } = await watchOf({
    a: { at: after(500) },
    b: { at: after(250) },
    c: { parents: ["a"] },
    d: { at: { kind: "shardEnd" } },
  });
  using _ = watch;
  watch.observe(end("d"));
  const result = await watch.result();
  assertEquals(result.unfinished.map(({ shardId }) => shardId), ["a", "b"]);
  // Of 100 records one is remembered, and neighbours may differ by a second.
  assertEquals(result.resumeFrom, new Date(FROM + 200_000 - 1_000).toISOString());
  assertEquals([result.shards, result.shardsDone], [4, 1]);
});

Deno.test("replay watch: a shard that has not begun means the beginning", async () => {
  const { watch } = await watchOf({ a: { at: after(500) }, b: {} });
  using _ = watch;
  assertEquals((await watch.result()).resumeFrom, null);
});

Deno.test("replay watch: it is done when all have ended, or come from one that was stopped", async () => {
  const { watch, said } = await watchOf({
    ...{ a: { at: after(1) }, b: { at: after(1) }, c: { parents: ["a", "b"] } },
    d: { parents: ["c"] },
  });
  using _ = watch;
  watch.observe(end("b"));
  assertEquals(await isDone(watch), false);
  watch.observe(stop("a"));
  assertEquals(await isDone(watch), true);
  const { stopped, unfinished } = await watch.result();
  assertEquals(stopped, [{ shardId: "a", checkpoint: "1001", reason: "recordFailed" }]);
  assertEquals(unfinished, []);
  assertEquals(said.length, 1, "a person is told of the stop alone");
  using none = (await watchOf({})).watch;
  assertEquals(await isDone(none), true);
});

Deno.test("replay watch: the bar shows what is finished, not what is read", async () => {
  const { watch, shown } = await watchOf({ a: { at: after(500) }, b: { at: after(999) } });
  watch.follow(() => [{ shardId: "a", checkpoint: "1500" }]);
  watch.observe(end("b"));
  const record = { shardId: "a", sequenceNumber: "1400", attempts: 1, reason: "failed" } as const;
  watch.observe({ type: "record_skipped", ...record });
  watch[Symbol.dispose]();
  assertEquals(shown.at(-1), [75, "1,500 records, 1 failed"]);
});
