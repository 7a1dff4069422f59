/**
 * Owns: who should have which shard: what this worker takes, asks for, gives and refuses, from the rows alone.
 * Must not: wait, write, or know the time.
 * Called by: `runtime/survey.ts`; properties in `tests/unit/balance_test.ts`.
 *
 * There is no leader: every worker computes the same assignment of the free shards from the same rows and takes its own
 * part of it; where two workers saw different rows, the term in the row lets one of them win. A shard that somebody has
 * only moves when its owner agrees.
 *
 * @module
 */

import { score } from "./duty.ts";
import { isEnded, isHalted, type ShardRow } from "./lease.ts";
import { isReady } from "./lineage.ts";
import { isStoppedEverywhere } from "./status.ts";

/** What a worker knows when it plans. */
export interface ClusterView {
  /** This worker. */
  readonly self: string;
  readonly shards: readonly ShardRow[];
  /** The workers that are alive, this one included. */
  readonly alive: ReadonlySet<string>;
  /** Those of them that take shards: the others are stopping. */
  readonly takers: ReadonlySet<string>;
  /** Whether this worker works on the shard, or still has a record of it in hand. */
  readonly isHere: (shardId: string) => boolean;
  /** Whether this worker was told not to process the shard, or gave up on it. */
  readonly isStoppedHere: (shardId: string) => boolean;
  /** Whether the shard has been free, given or asked for so long that whoever should act on it evidently does not. */
  readonly isOverdue: (row: ShardRow) => boolean;
  /** Whether it is for this worker to tell others that the shard, which is free, is for them; by default it is. */
  readonly isToTell?: (row: ShardRow) => boolean;
}

/** What a worker does about the shards that nobody works on. */
export interface Plan {
  /** Shards to take. The owners of some seem dead: make sure first. */
  readonly take: readonly ShardRow[];
  /** Shards to refuse, so that others and operators know. The owners of some seem dead: make sure first. */
  readonly refuse: readonly ShardRow[];
  /** Other workers who have shards to take. */
  readonly remind: ReadonlySet<string>;
}

/** What a worker does about the requests for its own shards. */
export interface Answer {
  readonly give: readonly ShardRow[];
  readonly decline: readonly ShardRow[];
}

/** The free shards that this worker takes or refuses. */
export function plan(view: ClusterView): Plan {
  const free = freeShards(view);
  const assignment = assign(view, free);
  const wanted = free.filter((row) => !view.isHere(row.id));
  return {
    take: wanted.filter((row) =>
      !view.isStoppedHere(row.id) &&
      (row.owner === view.self || assignment.get(row.id) === view.self || view.isOverdue(row))
    ),
    refuse: free.filter((row) =>
      view.isHere(row.id)
        // It was given to this worker while an earlier turn of it has not returned from the user's code yet.
        ? row.owner === view.self && row.holder === null
        : view.isStoppedHere(row.id) && (row.owner !== null || !row.stoppedBy.includes(view.self))
    ),
    remind: new Set([
      ...free.filter((row) => view.isToTell?.(row) ?? true)
        .flatMap((row) => assignment.get(row.id) ?? []),
      ...forgetful(view),
    ]),
  };
}

/** The shards that this worker asks others for, so that no one has two more than it, up to its fair share. */
export function shardsToAskFor(
  view: ClusterView,
  random: () => number,
): readonly ShardRow[] {
  const loads = loadsOf(view);
  const movable = Map.groupBy(
    view.shards.filter((row) => isMovable(row, view)),
    (row) => row.owner ?? "",
  );
  const fairShare = Math.ceil(sum(loads.values()) / Math.max(1, loads.size));
  const asked: ShardRow[] = [];
  let mine = loads.get(view.self) ?? 0;
  while (mine < fairShare) {
    const donor = busiest([...movable.keys()], loads, random);
    if (donor === undefined || (loads.get(donor) ?? 0) < mine + 2) break;
    const choices = movable.get(donor) ?? [];
    asked.push(...choices.splice(Math.floor(random() * choices.length), 1));
    if (choices.length === 0) movable.delete(donor);
    loads.set(donor, (loads.get(donor) ?? 0) - 1);
    mine += 1;
  }
  return asked;
}

/**
 * Which requests this worker grants. Several workers may have asked at once, each seeing the same surplus; the owner is
 * the one place where that is noticed, so it grants a request only while the one that asks stays at most as busy as it.
 */
export function answerRequests(view: ClusterView): Answer {
  const loads = loadsOf(view, (row) => row.owner);
  const give: ShardRow[] = [];
  const decline: ShardRow[] = [];
  for (const row of view.shards) {
    if (row.handover === null || row.owner !== view.self || isEnded(row)) continue;
    const { to, isOrder } = row.handover;
    const own = loads.get(view.self) ?? 0;
    const theirs = loads.get(to) ?? 0;
    const isFair = isOrder ? !row.stoppedBy.includes(to) : theirs + 1 <= own - 1;
    if (!view.takers.has(to) || isHalted(row) || !isFair) {
      decline.push(row);
    } else {
      give.push(row);
      loads.set(view.self, own - 1);
      loads.set(to, theirs + 1);
    }
  }
  return { give, decline };
}

/**
 * Who gets each of this worker's shards when it gives them up; a shard that nobody can take is not in it. Of workers with as
 * many shards each one that leaves prefers others: many may leave at once, and see the same loads.
 */
export function heirs(view: ClusterView, shards: readonly ShardRow[]): ReadonlyMap<string, string> {
  const takers = new Set(view.takers);
  takers.delete(view.self);
  const queue = queueOf(takers, loadsOf({ ...view, takers }), (name) => score(name, view.self));
  return assignTo(shards.filter((row) => !isHalted(row)), queue, (row) => row.stoppedBy);
}

/** The open shards that may run and that no live worker has, or that were given to this one. */
export function freeShards(view: ClusterView): readonly ShardRow[] {
  const rows = new Map(view.shards.map((row) => [row.id, row]));
  return view.shards.filter((row) =>
    !isEnded(row) && !isHalted(row) &&
    (row.owner === null || row.owner === view.self || !view.alive.has(row.owner)) &&
    isReady(row, rows)
  );
}

/** The shards that no live worker wants to process. */
export function stoppedEverywhere(view: ClusterView): readonly ShardRow[] {
  // A worker that was restarted finds its own name in a row, and is about to take the shard.
  return view.shards.filter((row) =>
    !isEnded(row) && view.isStoppedHere(row.id) && isStoppedEverywhere(row, view.alive)
  );
}

/** Workers who were given a shard, or asked for one, so long ago that they evidently do not know. */
function forgetful(view: ClusterView): readonly string[] {
  return view.shards.filter((row) =>
    !isEnded(row) && !isHalted(row) && (row.holder === null || row.handover !== null) &&
    view.isOverdue(row)
  ).flatMap((row) => row.owner ?? []);
}

function assign(view: ClusterView, free: readonly ShardRow[]): ReadonlyMap<string, string> {
  const unowned = free.filter((row) => row.owner !== view.self);
  // This worker knows best what it has stopped: its own name in a row may stem from an earlier life.
  const refusers = (row: ShardRow): readonly string[] => [
    ...row.stoppedBy.filter((workerId) => workerId !== view.self),
    ...(view.isStoppedHere(row.id) || view.isHere(row.id) ? [view.self] : []),
  ];
  // The order of names breaks ties, so that every worker agrees.
  return assignTo(unowned, queueOf(view.takers, loadsOf(view), () => 0), refusers);
}

/** The workers in the order in which they get shards: those with the fewest first. */
function queueOf(
  takers: ReadonlySet<string>,
  loads: ReadonlyMap<string, number>,
  placeInTie: (name: string) => number,
): LoadedWorker[] {
  return [...takers].map((name) => ({ name, load: loads.get(name) ?? 0, tie: placeInTie(name) }))
    .sort(byLoad);
}

/** Gives each shard to the worker with the fewest. */
function assignTo(
  shards: readonly ShardRow[],
  queue: LoadedWorker[],
  refusers: (row: ShardRow) => readonly string[],
): ReadonlyMap<string, string> {
  const assignment = new Map<string, string>();
  for (const row of [...shards].sort((a, b) => a.id < b.id ? -1 : 1)) {
    const refused = refusers(row);
    const at = queue.findIndex((worker) => !refused.includes(worker.name));
    const [chosen] = at < 0 ? [] : queue.splice(at, 1);
    if (chosen === undefined) continue;
    assignment.set(row.id, chosen.name);
    chosen.load += 1;
    queue.splice(placeOf(chosen, queue), 0, chosen);
  }
  return assignment;
}

interface LoadedWorker {
  readonly name: string;
  load: number;
  /** Decides between workers with the same load. */
  readonly tie: number;
}

function byLoad(a: LoadedWorker, b: LoadedWorker): number {
  return a.load - b.load || a.tie - b.tie || (a.name < b.name ? -1 : 1);
}

/** Where a worker belongs in a sorted queue, by bisection. */
function placeOf(worker: LoadedWorker, queue: readonly LoadedWorker[]): number {
  let from = 0;
  let to = queue.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    const other = queue[middle];
    if (other !== undefined && byLoad(other, worker) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** How many open shards each taker has; unless said otherwise, once every handover that is under way is done. */
function loadsOf(
  view: Pick<ClusterView, "shards" | "takers">,
  ownerOf: (row: ShardRow) => string | null = (row) =>
    row.handover !== null && view.takers.has(row.handover.to) ? row.handover.to : row.owner,
): Map<string, number> {
  const loads = new Map([...view.takers].map((workerId) => [workerId, 0]));
  for (const row of view.shards) {
    if (isEnded(row) || row.owner === null) continue;
    const owner = ownerOf(row) ?? "";
    const load = loads.get(owner);
    if (load !== undefined) loads.set(owner, load + 1);
  }
  return loads;
}

/** Whether this worker may ask for the shard: somebody else works on it, and nobody asked yet. */
function isMovable(row: ShardRow, view: ClusterView): boolean {
  return !isEnded(row) && !isHalted(row) && row.owner !== null && row.owner !== view.self &&
    row.holder !== null &&
    row.handover === null && view.takers.has(row.owner) && !view.isStoppedHere(row.id) &&
    !view.isHere(row.id);
}

function busiest(
  workers: readonly string[],
  loads: ReadonlyMap<string, number>,
  random: () => number,
): string | undefined {
  const most = Math.max(...workers.map((workerId) => loads.get(workerId) ?? 0));
  const candidates = workers.filter((workerId) => (loads.get(workerId) ?? 0) === most);
  return candidates[Math.floor(random() * candidates.length)];
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
