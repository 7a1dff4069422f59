// Owns: who should have which shard: the properties that make a cluster without a leader agree.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  answerRequests,
  type ClusterView,
  freeShards,
  heirs,
  plan,
  shardsToAskFor,
  stoppedEverywhere,
} from "../../src/core/balance.ts";
import { SHARD_END } from "../../src/core/checkpoint.ts";
import type { ShardRow } from "../../src/core/lease.ts";
import { shardRow } from "./arbitraries.ts";

import {
  balanceOnce,
  both,
  chance,
  clusterOf,
  clusters,
  loadsAfter,
  nameOf,
  NAMES,
  RUNS,
  viewOf,
} from "./balance_testing.ts";

Deno.test("balance: each free shard is taken by exactly one taker that does not refuse it", () => {
  fc.assert(
    fc.property(clusters, (cluster) => {
      const { rows, takers, alive } = cluster;
      const takes = new Map<string, string[]>(rows.map((row) => [row.id, []]));
      for (const self of takers) {
        for (const { id } of plan(viewOf(self, cluster)).take) takes.get(id)?.push(self);
      }
      const free = freeShards(viewOf("nobody", cluster));
      for (const row of free) {
        const by = takes.get(row.id) ?? [];
        const willing = [...takers].filter((name) => !row.stoppedBy.includes(name));
        assertEquals(by.length, Math.min(1, willing.length), `${row.id} is taken by ${by}`);
        assert(by.every((name) => willing.includes(name)));
      }
      for (const row of rows.filter((row) => !free.includes(row))) {
        const ownerOf = row.owner !== null && alive.has(row.owner) ? row.owner : undefined;
        assert((takes.get(row.id) ?? []).every((name) => name === ownerOf), row.id);
      }
    }),
    RUNS,
  );
});

Deno.test("balance: nobody takes a shard that has ended, that waits for a parent, or that is here", () => {
  fc.assert(
    fc.property(clusters, (cluster) => {
      for (const self of cluster.takers) {
        const view = viewOf(self, cluster, { isOverdue: () => true });
        const rows = new Map(cluster.rows.map((row) => [row.id, row]));
        for (const row of plan(view).take) {
          assert(row.checkpoint !== SHARD_END);
          assert(row.parents.every((id) => rows.get(id)?.checkpoint === SHARD_END));
          assert(!view.isHere(row.id) && !view.isStoppedHere(row.id));
          assert(row.owner === null || row.owner === self || !cluster.alive.has(row.owner));
        }
      }
    }),
    RUNS,
  );
});

Deno.test("balance: free shards go where the fewest are", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 30 }), (workers, n) => {
      const takers = new Set(NAMES.slice(0, workers));
      const rows = Array.from({ length: n }, (_, i) => shardRow(nameOf(i)));
      const counts = [...takers].map((self) =>
        plan(viewOf(self, { rows, takers, alive: takers })).take.length
      );
      assertEquals(counts.reduce((sum, count) => sum + count, 0), n);
      assert(Math.max(...counts) - Math.min(...counts) <= 1, `${counts}`);
    }),
  );
});

Deno.test("balance: a shard that was given to this worker is taken, or refused if it is stopped here", () => {
  const cluster = { rows: [shardRow("s", { owner: "A" })], ...both("A", "B") };
  assertEquals(plan(viewOf("A", cluster)).take.map(({ id }) => id), ["s"]);
  assertEquals(plan(viewOf("B", cluster)).take, []);
  const refusing = plan(viewOf("A", cluster, { isStoppedHere: () => true }));
  assertEquals([refusing.take.length, refusing.refuse.length], [0, 1]);
});

Deno.test("balance: an overdue shard is taken by whoever sees it first", () => {
  const cluster = { rows: [shardRow("s")], ...both("A", "B") };
  assertEquals(plan(viewOf("B", cluster)).take.length, 0);
  assertEquals(plan(viewOf("B", cluster, { isOverdue: () => true })).take.length, 1);
});

Deno.test("balance: a refusal is written once, never for a live worker's shard, and frees a dead one's", () => {
  const refuse = (row: Partial<ShardRow>): number => {
    const cluster = { rows: [shardRow("s", row)], ...both("A", "B") };
    return plan(viewOf("A", cluster, { isStoppedHere: () => true })).refuse.length;
  };
  assertEquals(refuse({}), 1);
  assertEquals(refuse({ stoppedBy: ["A"] }), 0);
  assertEquals(refuse({ owner: "B", holder: "B-1" }), 0);
  // A dead worker's shard is freed, or it would seem to be on its way to somebody for ever.
  assertEquals(refuse({ owner: "E", holder: "E-1" }), 1);
  assertEquals(refuse({ owner: "E", holder: "E-1", stoppedBy: ["A"] }), 1);
});

Deno.test("balance: what an earlier life of this worker refused is taken again", () => {
  const cluster = { rows: [shardRow("s", { stoppedBy: ["A"] })], ...both("A") };
  assertEquals(plan(viewOf("A", cluster, { isStoppedHere: () => false })).take.length, 1);
});

Deno.test("balance: who asks never becomes busier than who is asked", () => {
  fc.assert(
    fc.property(clusters, fc.nat(), (cluster, seed) => {
      for (const self of cluster.takers) {
        const view = viewOf(self, cluster);
        const asked = shardsToAskFor(view, chance(seed));
        const loads = loadsAfter(cluster, asked, self);
        const donors = new Set(asked.map((row) => row.owner));
        for (const donor of donors) {
          assert((loads.get(self) ?? 0) <= (loads.get(donor ?? "") ?? 0), `${self} and ${donor}`);
        }
        for (const row of asked) {
          assert(row.handover === null && row.holder !== null && row.owner !== self);
          assert(cluster.takers.has(row.owner ?? "") && !view.isStoppedHere(row.id));
        }
        assertEquals(new Set(asked).size, asked.length);
      }
    }),
    RUNS,
  );
});

Deno.test("balance: a request is granted only while the owner stays at least as busy as who asks", () => {
  fc.assert(
    fc.property(clusters, (cluster) => {
      for (const self of cluster.alive) {
        const { give, decline } = answerRequests(viewOf(self, cluster));
        const toAnswer = cluster.rows.filter((row) =>
          row.owner === self && row.handover !== null && row.checkpoint !== SHARD_END
        );
        assertEquals(
          [...give, ...decline].map(({ id }) => id).sort(),
          toAnswer.map(({ id }) => id),
        );
        const loads = new Map([...cluster.takers].map((name) => [name, 0]));
        const move = (name: string, by: number): void => {
          const load = loads.get(name);
          if (load !== undefined) loads.set(name, load + by);
        };
        for (const row of cluster.rows) {
          if (row.owner !== null && row.checkpoint !== SHARD_END) move(row.owner, 1);
        }
        for (const row of give) {
          const to = row.handover?.to ?? "";
          move(self, -1);
          move(to, 1);
          assert(cluster.takers.has(to), `${to} takes no shards`);
          assert((loads.get(to) ?? 0) <= (loads.get(self) ?? 0), `${self} gives to ${to}`);
        }
      }
    }),
    RUNS,
  );
});

Deno.test("balance: a request of a worker with two shards fewer is granted, with one fewer declined", () => {
  for (
    const [own, theirs, isGranted] of [[1, 0, false], [2, 0, true], [3, 2, false], [4, 2, true]]
  ) {
    const rows = Array.from(
      { length: Number(own) + Number(theirs) },
      (_, i) =>
        shardRow(nameOf(i), {
          owner: i < Number(own) ? "A" : "B",
          handover: i === 0 ? { to: "B", id: "1" } : null,
        }),
    );
    const { give } = answerRequests(viewOf("A", clusterOf(rows, ["A", "B"])));
    assertEquals(give.length === 1, isGranted, `${own} and ${theirs}`);
  }
});

Deno.test("balance: rounds of asking and answering end in balance, and then nobody asks", () => {
  const workers = fc.integer({ min: 1, max: 5 });
  const owners = fc.array(fc.nat(4), { maxLength: 40 });
  fc.assert(
    fc.property(workers, owners, fc.nat(), fc.boolean(), (count, owners, seed, isTogether) => {
      const names = NAMES.slice(0, count);
      let rows: readonly ShardRow[] = owners.map((owner, i) => {
        const name = names[owner % count] ?? "A";
        return shardRow(nameOf(i), { owner: name, holder: `${name}-1` });
      });
      const random = chance(seed);
      for (let round = 0; round < 12; round++) rows = balanceOnce(rows, names, random, isTogether);
      const counts = names.map((name) => rows.filter((row) => row.owner === name).length);
      assert(Math.max(...counts) - Math.min(...counts) <= 1, `${counts}`);
      assertEquals(rows.length, owners.length);
      for (const name of names) {
        assertEquals(shardsToAskFor(viewOf(name, clusterOf(rows, names)), random), []);
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("B19: one stopped shard, or one that nobody can take, does not freeze balancing", () => {
  const sick: readonly Partial<ShardRow>[] = [
    { stoppedBy: ["A", "B"] },
    { stoppedBy: ["A"] },
    { owner: "gone", holder: "gone-1" },
    { owner: "A", holder: "A-1", handover: { to: "gone", id: "1" } },
    { parents: [nameOf(0)] },
    { checkpoint: SHARD_END },
  ];
  for (const fields of sick) {
    const rows = [
      ...Array.from({ length: 6 }, (_, i) => shardRow(nameOf(i), { owner: "A", holder: "A-1" })),
      shardRow("sick", fields),
    ];
    const asked = shardsToAskFor(viewOf("B", clusterOf(rows, ["A", "B"])), chance(1));
    assert(asked.length >= 3, JSON.stringify(fields));
  }
});

Deno.test("balance: a shard of the busiest worker that was only given, not taken, is not asked for", () => {
  const rows = Array.from({ length: 6 }, (_, i) => shardRow(nameOf(i), { owner: "A" }));
  assertEquals(shardsToAskFor(viewOf("B", clusterOf(rows, ["A", "B"])), chance(1)), []);
});

Deno.test("balance: an heir is another taker, never one that refuses; without one there is none", () => {
  fc.assert(
    fc.property(clusters, (cluster) => {
      for (const self of cluster.alive) {
        const own = cluster.rows.filter((row) => row.owner === self);
        const chosen = heirs(viewOf(self, cluster), own);
        for (const row of own) {
          const heir = chosen.get(row.id);
          const willing = [...cluster.takers].filter((name) =>
            name !== self && !row.stoppedBy.includes(name)
          );
          if (heir === undefined) assertEquals(willing, []);
          else assert(willing.includes(heir), `${heir} for ${row.id}`);
        }
      }
    }),
    RUNS,
  );
});

Deno.test("balance: a worker that leaves spreads its shards evenly", () => {
  const rows = Array.from({ length: 9 }, (_, i) => shardRow(nameOf(i), { owner: "A" }));
  const chosen = [...heirs(viewOf("A", clusterOf(rows, ["A", "B", "C", "D"])), rows).values()];
  assertEquals(
    ["B", "C", "D"].map((name) => chosen.filter((heir) => heir === name).length),
    [3, 3, 3],
  );
});

Deno.test("balance: stopped everywhere are the open shards that every live worker refuses", () => {
  const rows = [
    shardRow("s-1", { stoppedBy: ["A", "B"] }),
    shardRow("s-2", { stoppedBy: ["A"] }),
    shardRow("s-3", { stoppedBy: ["A", "B"], checkpoint: SHARD_END }),
    shardRow("s-4", { stoppedBy: ["A", "B"], owner: "B" }),
  ];
  const view = viewOf("A", clusterOf(rows, ["A", "B"]));
  assertEquals(stoppedEverywhere(view).map(({ id }) => id), ["s-1"]);
});

Deno.test("plan: others are told only of the shards that it is for this worker to tell of", () => {
  const rows = [0, 1, 2, 3].map((i) => shardRow(nameOf(i), { owner: i < 2 ? "D" : "E" }));
  const everyone = new Set(["A", "B", "C"]);
  const view: ClusterView = {
    self: "A",
    shards: rows,
    alive: everyone,
    takers: everyone,
    isHere: () => false,
    isStoppedHere: () => false,
    isOverdue: () => false,
  };
  assertEquals([...plan(view).remind].sort(), ["A", "B", "C"]);
  const { take, remind } = plan({ ...view, isToTell: (row) => row.owner === "E" });
  assertEquals([...remind].sort(), ["A", "C"], "who gets the shards of E");
  assertEquals(take.map(({ id }) => id), [nameOf(0), nameOf(3)], "it takes all that is its own");
});

Deno.test("balance: workers that leave together do not give all to the same few", () => {
  const names = Array.from({ length: 60 }, (_, i) => `worker-${i}`);
  const rows = names.flatMap((owner, i) =>
    [0, 1, 2, 3].map((j) => shardRow(nameOf(4 * i + j), { owner, holder: `${owner}-1` }))
  );
  const leaving = names.slice(0, 10);
  const takers = new Set(names.slice(10));
  const given = new Map<string, number>();
  for (const self of leaving) {
    const view: ClusterView = {
      self,
      shards: rows,
      alive: new Set(names),
      takers,
      isHere: () => true,
      isStoppedHere: () => false,
      isOverdue: () => false,
    };
    for (const heir of heirs(view, rows.filter(({ owner }) => owner === self)).values()) {
      given.set(heir, (given.get(heir) ?? 0) + 1);
    }
  }
  assertEquals([...given.values()].reduce((sum, count) => sum + count), 40);
  assert(Math.max(...given.values()) <= 4, "nobody gets something from everyone");
});
