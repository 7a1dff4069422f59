// Owns: what looks at the stream do to the rows, when what they show is out of date.
import { assertEquals } from "@std/assert";
import { SHARD_END, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { create } from "../../src/core/lease.ts";
import type { ShardInfo, StreamSource } from "../../src/ports.ts";
import { ShardSync } from "../../src/runtime/shard_sync.ts";
import { shardRow } from "./arbitraries.ts";
import { Bench } from "./runtime_testing.ts";

const LOOK_MS = 60_000;
const RANGE = { start: "0", end: "9" };

/** A sync at a stream that shows what the test says, and rows that are all finished. */
async function syncOf(
  ids: readonly string[],
): Promise<{ bench: Bench; sync: ShardSync; show: (shards: readonly ShardInfo[]) => void }> {
  const bench = new Bench();
  const { clock, random, store, emit, signal } = bench;
  for (const id of ids) {
    await store.table.write(create(shardRow(id, { checkpoint: SHARD_END })), signal);
  }
  let shown: readonly ShardInfo[] = [];
  const source: StreamSource = {
    listShards: () => Promise.resolve(shown),
    open: () => {
      throw new Error("nothing is read here");
    },
  };
  const config = { checkStreamChangesFrequency: LOOK_MS };
  const sync = new ShardSync(
    { workerId: "A", clock, random, store, emit, source, config },
    TRIM_HORIZON,
  );
  return { bench, sync, show: (shards) => shown = shards };
}

function shard(id: string, isClosed: boolean): ShardInfo {
  return { id, parents: [], hashKeyRange: RANGE, isClosed };
}

Deno.test("shard sync: a finished row is forgotten when its shard is missing for as long as a regular look takes, however many looks there are", async () => {
  const { bench: { clock, store, signal }, sync } = await syncOf(["a"]);
  for (let looks = 0; looks < 5; looks++) await sync.look(signal);
  await clock.advance(LOOK_MS / 2);
  await sync.look(signal);
  assertEquals((await store.shard("a")).checkpoint, SHARD_END);
  await clock.advance(LOOK_MS / 2);
  await sync.look(signal);
  assertEquals((await store.table.list("shard", signal)).rows, []);
});

Deno.test("shard sync: a shard that is listed again in between begins its absence anew", async () => {
  const { bench: { clock, store, signal }, sync, show } = await syncOf(["a"]);
  await sync.look(signal);
  show([shard("a", true)]);
  await clock.advance(LOOK_MS);
  await sync.look(signal);
  show([]);
  await clock.advance(LOOK_MS);
  await sync.look(signal);
  assertEquals((await store.shard("a")).checkpoint, SHARD_END);
});

Deno.test("shard sync: a stream that was made anew under its name is told when it lasts", async () => {
  const { bench, bench: { clock, signal }, sync, show } = await syncOf(["a"]);
  show([shard("a", false)]);
  await sync.look(signal);
  await sync.look(signal);
  assertEquals(bench.told("task_failed"), []);
  await clock.advance(LOOK_MS);
  await sync.look(signal);
  assertEquals(bench.told("task_failed").map(({ task }) => task), ["look at the stream"]);
});

Deno.test("shard sync: what a parent left stays while a row cannot be read, which may be that of its child", async () => {
  const { bench: { clock, store, signal }, sync } = await syncOf([]);
  const parent = shardRow("p", { checkpoint: SHARD_END, state: "windows" });
  await store.table.write(create(parent), signal);
  const list = store.list.bind(store);
  const malformed = [{ id: "child", reason: "its parents are no list" }];
  Object.assign(store, {
    list: async (kind: "shard", signal: AbortSignal) => ({
      ...await list(kind, signal),
      malformed,
    }),
  });
  for (let looks = 0; looks < 3; looks++) {
    await sync.look(signal);
    await clock.advance(LOOK_MS);
  }
  assertEquals((await store.shard("p")).state, "windows");
});

Deno.test("shard sync: what a parent left stays when only one of its children has got a row so far", async () => {
  const { bench: { store, signal }, sync, show } = await syncOf([]);
  const parents = ["p"];
  const parent = { ...shard("p", true), hashKeyRange: { start: "0", end: "19" } };
  const lower = { ...shard("a", false), parents, hashKeyRange: { start: "0", end: "9" } };
  const upper = { ...shard("b", false), parents, hashKeyRange: { start: "10", end: "19" } };
  const ended = { checkpoint: SHARD_END, state: "windows", hashKeyRange: parent.hashKeyRange };
  await store.table.write(create(shardRow("p", ended)), signal);
  const begun = { parents, state: "its part", hashKeyRange: lower.hashKeyRange };
  await store.table.write(create(shardRow("a", begun)), signal);
  // A write failed when the parent ended: this look makes up for it.
  show([parent, lower, upper]);
  await sync.look(signal);
  assertEquals((await store.shard("b")).state, null);
  assertEquals((await store.shard("p")).state, "windows");
});
