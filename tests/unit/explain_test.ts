// Owns: what is told of a shard: the case it is in, and the stance of each worker, by what the workers themselves would do.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { freeShards, plan } from "../../src/core/balance.ts";
import { SHARD_END } from "../../src/core/checkpoint.ts";
import { explainShard, type ShardExplanation, type Situation } from "../../src/core/explain.ts";
import type { ShardRow, WorkerRow } from "../../src/core/lease.ts";
import { shardRow, workerRow } from "./arbitraries.ts";
import { clusters, viewOf } from "./balance_testing.ts";

const NOW = 1_000_000;

function worker(id: string, fields: Partial<WorkerRow> = {}): WorkerRow {
  return workerRow(id, { beatAt: NOW - 10, ...fields });
}

function explained(
  fields: Partial<ShardRow>,
  workers: readonly WorkerRow[] = [worker("A"), worker("B")],
  others: readonly ShardRow[] = [],
): ShardExplanation {
  const shard = explainShard("s", {
    shards: [shardRow("s", fields), ...others],
    workers,
    now: NOW,
  });
  assert(shard);
  return shard;
}

function stances(shard: ShardExplanation): Readonly<Record<string, string>> {
  return Object.fromEntries(shard.workers.map(({ workerId, stance }) => [workerId, stance]));
}

const HELD = { owner: "A", holder: "A-1", term: 3 };

Deno.test("explain: the case that a shard is in", () => {
  const dead = worker("Z", { beatAt: NOW - 2_000 });
  const stop = { kind: "stop", id: "1", at: NOW } as const;
  const open = shardRow("p", { owner: "B", holder: "B-1" });
  const cases: readonly (readonly [Situation, ShardExplanation])[] = [
    ["finished", explained({ checkpoint: SHARD_END })],
    ["stoppedByOperator", explained({ order: stop })],
    ["stoppedByOperator", explained({ ...HELD, order: stop })],
    ["waitsForParents", explained({ parents: ["p"] }, undefined, [open])],
    ["noWorkers", explained({}, [dead])],
    ["noWorkers", explained({ owner: "Z", holder: "Z-1" }, [dead])],
    ["stoppedEverywhere", explained({ stoppedBy: ["A", "B"] })],
    ["ownerSilent", explained({ owner: "Z", holder: "Z-1" }, [worker("A"), dead])],
    ["ownerSilent", explained({ owner: "gone", holder: "gone-1" })],
    ["free", explained({})],
    ["free", explained({ stoppedBy: ["A"] })],
    ["given", explained({ owner: "A" })],
    ["requested", explained({ ...HELD, handover: { to: "B", id: "1" } })],
    ["processed", explained(HELD)],
    ["processed", explained({ ...HELD, order: { ...stop, kind: "start" } })],
  ];
  for (const [situation, shard] of cases) assertEquals(shard.situation, situation);
});

Deno.test("explain: the stance of each worker", () => {
  const workers = [
    worker("A"),
    worker("B"),
    worker("C"),
    worker("D", { isDraining: true }),
    worker("E", { beatAt: NOW - 1_000 }),
  ];
  const load = (owner: string, amount: number): readonly ShardRow[] =>
    Array.from(
      { length: amount },
      (_, i) => shardRow(`${owner}-${i}`, { owner, holder: `${owner}-1` }),
    );
  const free = explained({ stoppedBy: ["C"] }, workers, load("A", 1));
  assertEquals(stances(free), {
    ...{ A: "leavesIt", B: "takes", C: "hasStopped", D: "isStopping", E: "isDead" },
  });
  const held = explained(HELD, workers, [...load("A", 2), ...load("B", 2)]);
  assertEquals(stances(held), {
    ...{ A: "has", B: "leavesIt", C: "asks", D: "isStopping", E: "isDead" },
  });
  const given = explained({ owner: "A" }, workers);
  assertEquals(stances(given).A, "takes");
});

Deno.test("explain: a request is granted or declined as the owner would", () => {
  const more = [1, 2].map((i) => shardRow(`x${i}`, { owner: "A", holder: "A-1" }));
  const asked = { ...HELD, handover: { to: "B", id: "1" } };
  assertEquals(explained(asked, undefined, more).request, {
    ...{ to: "B", isOrder: false, isGranted: true },
  });
  assertEquals(explained(asked).request?.isGranted, false, "A has one shard only");
  const ordered = { ...HELD, handover: { to: "B", id: "1", isOrder: true } };
  assertEquals(explained(ordered).request, { to: "B", isOrder: true, isGranted: true });
});

Deno.test("explain: a silent owner is told, and when others may take its shards", () => {
  const at = (age: number): string | null | undefined =>
    explained(HELD, [worker("A", { beatAt: NOW - age })]).workers[0]?.givenUpAt;
  assertEquals(at(400), null);
  assertEquals(at(600), new Date(NOW + 400).toISOString());
});

Deno.test("explain: family, orders and the last move are told as the rows have them", () => {
  const parents = [
    shardRow("p1", { checkpoint: SHARD_END }),
    shardRow("p2", { owner: "B", holder: "B-1" }),
    shardRow("c", { parents: ["s"] }),
  ];
  const shard = explained(
    { parents: ["p1", "p2", "gone"], previousOwner: "B", because: "leaving", stoppedBy: ["B"] },
    undefined,
    parents,
  );
  assertEquals(shard.parents, [
    { shardId: "p1", isFinished: true, state: "closed", owner: null },
    { shardId: "p2", isFinished: false, state: "processing", owner: "B" },
    { shardId: "gone", isFinished: true, state: null, owner: null },
  ]);
  assertEquals([shard.children, shard.previousOwner, shard.because], [["c"], "B", "leaving"]);
  assertEquals(explainShard("none", { shards: [], workers: [], now: NOW }), undefined);
});

Deno.test("explain: whoever is said to take a shard is who the balance lets take it", () => {
  fc.assert(fc.property(clusters, (cluster) => {
    const workers = [...cluster.alive].map((id) =>
      worker(id, { isDraining: !cluster.takers.has(id) })
    );
    for (const { id } of cluster.rows) {
      const shard = explainShard(id, { shards: cluster.rows, workers, now: NOW });
      assert(shard);
      for (const { workerId, stance } of shard.workers) {
        const view = viewOf(workerId, cluster);
        const takes = plan(view).take.some((row) => row.id === id);
        if (stance === "takes") assert(takes, `${workerId} does not take ${id}`);
        if (stance === "leavesIt" || stance === "asks") assert(!takes, `${workerId} takes ${id}`);
        if (shard.situation === "free") assert(freeShards(view).some((row) => row.id === id));
      }
    }
  }));
});
