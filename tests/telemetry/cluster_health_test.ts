import { assertEquals, assertMatch } from "@std/assert";
import type { ClusterStatus, ShardStatus } from "../../src/core/status.ts";
import { ClusterHealth } from "../../src/telemetry/cluster_health.ts";

const LIMITS = { maxLagMs: 60_000, maxStallMs: 600_000, maxUnownedMs: 30_000 };

function shard(changes: Partial<ShardStatus> = {}): ShardStatus {
  return {
    shardId: "s1",
    state: "processing",
    owner: "w",
    term: 1,
    checkpoint: "7",
    checkpointAt: null,
    millisBehindLatest: 0,
    stoppedAt: null,
    handoverTo: null,
    parents: [],
    because: null,
    ...changes,
  } as ShardStatus;
}

function cluster(...shards: readonly ShardStatus[]): ClusterStatus {
  const worker = { workerId: "w", alive: true, shards: 1, lastHeartbeatAt: "", version: "1" };
  return { workers: [worker], shards };
}

/** The kinds of problems at each look. */
function kinds(looks: readonly (readonly [number, ShardStatus])[], limits = LIMITS): string[] {
  const health = new ClusterHealth(limits);
  return looks.map(([at, shard]) =>
    health.judge(cluster(shard), at).map(({ kind }) => kind).join()
  );
}

Deno.test("cluster health: a cluster at rest is sound, however long", () => {
  assertEquals(kinds([[0, shard()], [1e9, shard()]]), ["", ""]);
});

Deno.test("cluster health: nobody has a shard for longer than others take", () => {
  const free = shard({ state: "unowned", owner: null });
  assertEquals(kinds([[0, free], [29_999, free], [30_000, free], [30_001, shard()]]), [
    "",
    "",
    "unowned",
    "",
  ]);
  // Each look may show another term: a claim that nobody keeps.
  assertEquals(kinds([[0, free], [30_000, { ...free, term: 2 }]]), ["", "unowned"]);
});

Deno.test("cluster health: a shard that is stopped everywhere, by whom", () => {
  const health = new ClusterHealth(LIMITS);
  const stopped = shard({ state: "stopped", owner: null });
  const halted = shard({ shardId: "s2", state: "stopped", owner: null, stoppedAt: "2026" });
  assertEquals(health.judge(cluster(stopped, halted), 0), [
    { kind: "stopped", shardId: "s1", reason: "every live worker has stopped it; start it again" },
    { kind: "stopped", shardId: "s2", reason: "an operator has stopped it; start it again" },
  ]);
});

Deno.test("cluster health: a shard that is behind lags, and stalls when its checkpoint stands still", () => {
  const behind = (millisBehindLatest: number, checkpoint = "7") =>
    shard({ millisBehindLatest, checkpoint });
  assertEquals(kinds([[0, behind(60_000)], [1_000, behind(61_000, "8")]]), ["", "lagging"]);
  // The tip moves on while the checkpoint does not.
  assertEquals(kinds([[0, behind(30_000)], [31_000, behind(30_000)]]), ["", "lagging"]);
  assertEquals(kinds([[0, behind(30_000)], [600_000, behind(30_000)]]), ["", "stalled"]);
  const moving = [[0, behind(30_000)], [600_000, behind(30_000, "8")]] as const;
  assertEquals(kinds(moving), ["", ""]);
  // A row may show so much although the shard has caught up since.
  assertEquals(kinds([[0, behind(9_999)], [1e9, behind(9_999)]]), ["", ""]);
  const patient = { ...LIMITS, maxLagMs: undefined };
  const health = new ClusterHealth(patient);
  assertEquals(health.judge(cluster(behind(1e9)), 0), []);
});

Deno.test("cluster health: finished shards, and those that wait for their parents, are no problem", () => {
  for (const state of ["closed", "waitingForParents"] as const) {
    const row = shard({ state, owner: null, millisBehindLatest: 1e9 });
    assertEquals(kinds([[0, row], [1e9, row]]), ["", ""]);
  }
});

Deno.test("cluster health: without a live worker there is one thing to say", () => {
  const health = new ClusterHealth(LIMITS);
  const dead = { workerId: "w", alive: false, shards: 1, lastHeartbeatAt: "", version: "1" };
  const [first, second] = health.judge({ workers: [dead], shards: [shard(), shard()] }, 0);
  assertEquals([first?.kind, first?.shardId, second], ["noWorker", null, undefined]);
  assertMatch(first?.reason ?? "", /no worker is alive/);
});
