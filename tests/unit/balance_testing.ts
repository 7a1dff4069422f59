// Owns: clusters as their rows show them, drawn or made up, and what a round of balancing makes of them.
// Must not: assert anything.
// Called by: balance_test.ts.
import fc from "fast-check";
import { answerRequests, type ClusterView, shardsToAskFor } from "../../src/core/balance.ts";
import { SHARD_END, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import type { ShardRow } from "../../src/core/lease.ts";
import { shardRow } from "./arbitraries.ts";

export const NAMES: string[] = ["A", "B", "C", "D", "E"];
export const RUNS: { readonly numRuns: number } = { numRuns: 1_000 };

/** A cluster as its rows show it; `E` may be dead, some may be leaving. */
export interface Cluster {
  readonly rows: readonly ShardRow[];
  readonly alive: ReadonlySet<string>;
  readonly takers: ReadonlySet<string>;
}

export const clusters: fc.Arbitrary<Cluster> = fc.record({
  alive: fc.subarray(NAMES, { minLength: 1 }),
  leaving: fc.subarray(NAMES, { maxLength: 2 }),
  shards: fc.array(
    fc.record({
      owner: fc.constantFrom(null, null, ...NAMES),
      isTaken: fc.boolean(),
      isEnded: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
      parent: fc.nat(20),
      hasParent: fc.boolean(),
      stoppedBy: fc.oneof(fc.constant([]), fc.subarray(NAMES)),
      request: fc.option(fc.constantFrom(...NAMES), { freq: 3 }),
    }),
    { maxLength: 20 },
  ),
}).map(({ alive, leaving, shards }) => ({
  alive: new Set(alive),
  takers: new Set(alive.filter((name) => !leaving.includes(name))),
  rows: shards.map((shard, i) => {
    const { owner, isTaken, isEnded, hasParent, parent, request, stoppedBy } = shard;
    return shardRow(nameOf(i), {
      owner: isEnded ? null : owner,
      holder: owner !== null && isTaken ? `${owner}-1` : null,
      checkpoint: isEnded ? SHARD_END : TRIM_HORIZON,
      parents: hasParent && parent < i ? [nameOf(parent)] : [],
      stoppedBy,
      handover: owner === null || request === null ? null : { to: request, id: `${i}` },
    });
  }),
}));

export function nameOf(index: number): string {
  return `shard-${String(index).padStart(3, "0")}`;
}

/** What a worker sees that has in hand what its rows say, and refuses what they say. */
export function viewOf(
  self: string,
  cluster: Cluster,
  changes: Partial<ClusterView> = {},
): ClusterView {
  const rows = new Map(cluster.rows.map((row) => [row.id, row]));
  return {
    self,
    shards: cluster.rows,
    alive: cluster.alive,
    takers: cluster.takers,
    isHere: (id) => rows.get(id)?.owner === self && rows.get(id)?.holder === `${self}-1`,
    isStoppedHere: (id) => rows.get(id)?.stoppedBy.includes(self) ?? false,
    isOverdue: () => false,
    ...changes,
  };
}

export function both(...names: readonly string[]): Pick<Cluster, "alive" | "takers"> {
  return { alive: new Set(names), takers: new Set(names) };
}

export function clusterOf(rows: readonly ShardRow[], names: readonly string[]): Cluster {
  return { rows, ...both(...names) };
}

export function chance(seed: number): () => number {
  let state = (seed >>> 0) + 1;
  return () => (state = state * 48_271 % 2_147_483_647) / 2_147_483_647;
}

/** Loads when everything that is under way, and what `self` asks for now, is done. */
export function loadsAfter(
  { rows, takers }: Cluster,
  asked: readonly ShardRow[],
  self: string,
): ReadonlyMap<string, number> {
  const loads = new Map<string, number>();
  for (const row of rows) {
    if (row.owner === null || row.checkpoint === SHARD_END) continue;
    const requested = row.handover !== null && takers.has(row.handover.to) && row.handover.to;
    const owner = asked.includes(row) ? self : requested || row.owner;
    loads.set(owner, (loads.get(owner) ?? 0) + 1);
  }
  return loads;
}

/** All workers ask, seeing the same rows or one after the other; the owners answer; the moves are made. */
export function balanceOnce(
  rows: readonly ShardRow[],
  names: readonly string[],
  random: () => number,
  isTogether: boolean,
): readonly ShardRow[] {
  let asked = rows;
  for (const name of names) {
    const seen = clusterOf(isTogether ? rows : asked, names);
    const wanted = new Set(shardsToAskFor(viewOf(name, seen), random).map(({ id }) => id));
    // The store lets only the first request for a shard through.
    asked = asked.map((row) =>
      wanted.has(row.id) && row.handover === null
        ? { ...row, handover: { to: name, id: `${name} ${row.id}` } }
        : row
    );
  }
  const answers = names.map((name) => answerRequests(viewOf(name, clusterOf(asked, names))));
  const given = new Set(answers.flatMap(({ give }) => give));
  return asked.map((row) => {
    if (row.handover === null) return row;
    const owner = given.has(row) ? row.handover.to : row.owner;
    return { ...row, owner, holder: `${owner}-1`, handover: null };
  });
}
