// Owns: reading shards without a lease: the merge by arrival, patience with a slow shard, families, back-pressure, failures.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { type FollowOptions, StreamFollower } from "../../src/cli/stream_follower.ts";
import { SourceError } from "../../src/errors.ts";
import type { Batch, ShardInfo, StreamSource } from "../../src/ports.ts";

type Step = Batch | { readonly waitMs: number } | { readonly error: SourceError };

const batch = (times: readonly number[], millisBehindLatest = 0): Batch => ({
  records: times.map((time) => ({
    sequenceNumber: String(time),
    partitionKey: "k",
    data: new Uint8Array(),
    approximateArrivalTimestamp: time,
  })),
  millisBehindLatest,
});
const info = (id: string, ...parents: readonly string[]): ShardInfo => ({
  ...{ id, parents, hashKeyRange: null, isClosed: false },
});
const ended = (times: readonly number[], ...children: readonly ShardInfo[]): Batch => ({
  ...batch(times),
  end: { children },
});

/** A stream that gives these steps; it counts the batches that were taken from each shard. */
function streamOf(
  shards: Readonly<Record<string, readonly Step[]>>,
  listed: readonly ShardInfo[] = [],
): StreamSource & { readonly taken: Map<string, number> } {
  const taken = new Map<string, number>();
  return {
    taken,
    listShards: () => Promise.resolve(listed),
    async *open(shardId, _after, signal) {
      for (const step of shards[shardId] ?? []) {
        if ("waitMs" in step) await delay(step.waitMs, { signal });
        else if ("error" in step) throw step.error;
        else {
          taken.set(shardId, (taken.get(shardId) ?? 0) + 1);
          yield step;
        }
      }
    },
  };
}

async function timesOf(
  source: StreamSource,
  shards: readonly ShardInfo[],
  options: Partial<FollowOptions> = {},
): Promise<readonly number[]> {
  await using follower = new StreamFollower({
    ...{ source, shards, from: { kind: "trimHorizon" }, isFollowing: true, hasChildren: true },
    ...{ startedAt: 0, onEnd: () => {}, ...options },
  });
  const batches = await Array.fromAsync(follower.records(new AbortController().signal));
  return batches.flat().map(({ approximateArrivalTimestamp }) => approximateArrivalTimestamp);
}

const A_AND_B = [info("a"), info("b")];

Deno.test("follower: shards that are behind are merged by arrival, however slow one is within reason", async () => {
  const source = streamOf({
    a: [batch([1, 4], 9), batch([5, 8], 9), ended([9])],
    b: [{ waitMs: 200 }, batch([2, 3], 9), { waitMs: 200 }, ended([6, 7])],
  });
  assertEquals(await timesOf(source, A_AND_B), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

Deno.test("follower: a shard that does not answer is waited for once, not for each record of the others", async () => {
  const startedMs = performance.now();
  const source = streamOf({
    a: [1, 2, 3, 4].map((time) => batch([time], 9)).concat(ended([5])),
    b: [{ waitMs: 2_500 }, ended([0])],
  });
  const seen: number[] = [];
  await using follower = new StreamFollower({
    ...{ source, shards: A_AND_B, from: { kind: "trimHorizon" }, isFollowing: true },
    ...{ hasChildren: true, startedAt: 0, onEnd: () => {} },
  });
  for await (const records of follower.records(new AbortController().signal)) {
    for (const { approximateArrivalTimestamp: time } of records) {
      seen.push(time);
      if (time === 5) assert(performance.now() - startedMs < 2_400, "one wait of a second");
    }
  }
  assertEquals(seen, [1, 2, 3, 4, 5, 0]);
});

Deno.test("follower: children begin when each parent is read, those of a merge too", async () => {
  const child = info("c", "a", "b");
  const source = streamOf({
    a: [ended([1], child)],
    b: [{ waitMs: 100 }, ended([3], child)],
    c: [ended([2, 4])],
  });
  assertEquals(await timesOf(source, [...A_AND_B, child]), [1, 3, 2, 4]);
  assertEquals(await timesOf(source, [info("a")], { hasChildren: false }), [1]);
});

Deno.test("follower: without following it ends at the tip, and where what came after the start begins", async () => {
  const source = streamOf({
    a: [batch([1], 9), batch([2], 0), batch([3], 0)],
    b: [batch([4], 9), batch([400_000], 9), batch([400_001], 9)],
  });
  const times = await timesOf(source, A_AND_B, { isFollowing: false, startedAt: 1 });
  assertEquals(times.toSorted((a, b) => a - b), [1, 2, 4, 400_000]);
});

Deno.test("follower: without following, the children of a closed shard are read that tells its tip before its end", async () => {
  const source = streamOf({ a: [batch([1]), ended([])], b: [batch([2])], c: [batch([3])] });
  const shards = [info("a"), info("b", "a"), info("c", "b")];
  assertEquals(await timesOf(source, shards, { isFollowing: false }), [1, 2, 3]);
});

Deno.test("follower: a batch that comes at the very end is not waited for", async () => {
  const late = Promise.withResolvers<void>();
  const source: StreamSource = {
    listShards: () => Promise.resolve([]),
    async *open(_shardId, _after, signal) {
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => resolve(), { once: true });
        late.resolve();
      });
      yield batch([1]);
    },
  };
  const follower = new StreamFollower({
    ...{ source, shards: [info("a")], from: { kind: "trimHorizon" }, isFollowing: true },
    ...{ hasChildren: true, startedAt: 0, onEnd: () => {} },
  });
  await late.promise;
  const timer = new AbortController();
  const ended = await Promise.race([
    follower[Symbol.asyncDispose]().then(() => true),
    delay(2_000, { signal: timer.signal }).catch(() => {}).then(() => false),
  ]);
  timer.abort();
  assert(ended, "it waits for ever");
});

Deno.test("follower: it reads no more than is taken", async () => {
  const source = streamOf({ a: Array.from({ length: 50 }, (_, i) => batch([i])) });
  await using follower = new StreamFollower({
    ...{ source, shards: [info("a")], from: { kind: "trimHorizon" }, isFollowing: true },
    ...{ hasChildren: true, startedAt: 0, onEnd: () => {} },
  });
  for await (const _ of follower.records(new AbortController().signal)) {
    await delay(50);
    break;
  }
  assert((source.taken.get("a") ?? 0) <= 2, `${source.taken.get("a")} batches`);
});

Deno.test("follower: a shard that left the stream makes way for its children; other failures end it", async () => {
  const missing = { error: new SourceError("gone", { kind: "missing" }) };
  const child = info("c", "a");
  const trimmed = streamOf({ a: [missing], b: [ended([2])], c: [ended([1])] }, [info("b"), child]);
  const times = await timesOf(trimmed, A_AND_B);
  assertEquals(times.toSorted(), [1, 2]);
  const denied = { error: new SourceError("not allowed", { kind: "denied" }) };
  const source = streamOf({ a: [denied], b: [batch([1])] });
  await assertRejects(() => timesOf(source, A_AND_B), SourceError, "not allowed");
});
