/**
 * Owns: why a shard is where it is, from the rows alone: who has it, how it came there, what keeps it, what every worker would do.
 * Must not: decide anything; it asks `core/balance.ts`, as the workers do. Must not put it into words either.
 * Called by: `kinesix explain`.
 *
 * @module
 */

import { answerRequests, type ClusterView, plan } from "./balance.ts";
import type { MoveReason, ShardRow, WorkerRow } from "./lease.ts";
import { isEnded, isHalted } from "./lease.ts";
import { isReady } from "./lineage.ts";
import { clusterStatus, isStoppedEverywhere, type ShardState, type ShardStatus } from "./status.ts";

/** What a worker would do about a shard at its next look:
 * - `has`: it works on it. `takes`: it would take it. `asks`: it has so few shards that it may ask the owner for it.
 * - `leavesIt`: others come first, or have it. `hasStopped`: it was told to stop it, or gave up on it. `isStopping`: it takes no
 *   more shards. `isDead`: it showed no heartbeat within its `heartbeatTimeout`.
 */
export type WorkerStance =
  | "has"
  | "takes"
  | "asks"
  | "leavesIt"
  | "hasStopped"
  | "isStopping"
  | "isDead";

/** A worker, with regard to a shard. */
export interface WorkerView {
  readonly workerId: string;
  readonly stance: WorkerStance;
  /** How many open shards are assigned to it. */
  readonly shards: number;
  /** When its last heartbeat was written, by its clock, as an ISO time. */
  readonly lastHeartbeatAt: string;
  /** When others may take its shards if no heartbeat comes, about, as an ISO time; null while its heartbeat is fresh. */
  readonly givenUpAt: string | null;
}

/** What keeps a shard from being processed, or decides what is next:
 * - `finished`: nothing is left to do. `stoppedByOperator`: an order holds. `waitsForParents`: `parents` tells which.
 * - `noWorkers`: none is alive. `stoppedEverywhere`: every live one has stopped it. `ownerSilent`: its owner shows no heartbeat.
 * - `free`: the next look of a worker takes it. `given`: it was given to a worker that has not taken it yet.
 * - `requested`: its owner was asked for it. `processed`: a live worker has it, and nobody wants it.
 */
export type Situation =
  | "finished"
  | "stoppedByOperator"
  | "waitsForParents"
  | "noWorkers"
  | "stoppedEverywhere"
  | "ownerSilent"
  | "free"
  | "given"
  | "requested"
  | "processed";

/** A shard, explained. */
export interface ShardExplanation extends Omit<ShardStatus, "parents" | "handoverTo"> {
  readonly state: ShardState;
  readonly situation: Situation;
  /** Whether the owner has taken it; false while it is free, or given but not taken yet. */
  readonly isTaken: boolean;
  readonly previousOwner: string | null;
  /** The reason for the last change of owner; null if there was none. */
  readonly because: MoveReason | null;
  /** The shards that it came from. One that has left the table is finished. */
  readonly parents: readonly {
    readonly shardId: string;
    readonly isFinished: boolean;
    /** Null if it has no row any more. */
    readonly state: ShardState | null;
    readonly owner: string | null;
  }[];
  /** The shards that came from it. */
  readonly children: readonly string[];
  /** Who asks for it, and what its owner would answer. */
  readonly request: {
    readonly to: string;
    readonly isOrder: boolean;
    readonly isGranted: boolean;
  } | null;
  /** The last order of an operator. */
  readonly order: { readonly kind: "stop" | "start"; readonly at: string } | null;
  /** The workers that will not process it until they are told to. */
  readonly stoppedBy: readonly string[];
  /** Every worker, sorted by worker id. */
  readonly workers: readonly WorkerView[];
}

/** The rows of an app, as they were read. */
export interface ClusterRows {
  readonly shards: readonly ShardRow[];
  readonly workers: readonly WorkerRow[];
  /** When, in milliseconds since the epoch. Compared with the clocks of the workers, so that the answer is a guess. */
  readonly now: number;
}

/** A heartbeat is due at the latest every second part of the time-out; half of it without one is worth a word. */
const SILENCE_SHARE = 0.5;

/** Explains a shard; undefined if there is no row of it. */
export function explainShard(shardId: string, cluster: ClusterRows): ShardExplanation | undefined {
  const row = cluster.shards.find(({ id }) => id === shardId);
  if (row === undefined) return undefined;
  const isAlive = ({ beatAt, heartbeatTimeout }: WorkerRow): boolean =>
    cluster.now - beatAt < heartbeatTimeout;
  const status = clusterStatus(cluster.workers, cluster.shards, isAlive);
  const states = new Map(status.shards.map((shard) => [shard.shardId, shard]));
  const own = states.get(shardId);
  if (own === undefined) return undefined;
  const { parents: _, handoverTo: __, ...rest } = own;
  const alive = new Set(cluster.workers.filter(isAlive).map(({ id }) => id));
  return {
    ...rest,
    situation: situationOf(row, cluster, alive),
    isTaken: row.owner !== null && row.holder !== null,
    previousOwner: row.previousOwner,
    because: row.because,
    parents: row.parents.map((id) => {
      const parent = states.get(id);
      return {
        shardId: id,
        isFinished: parent === undefined || parent.state === "closed",
        state: parent?.state ?? null,
        owner: parent?.owner ?? null,
      };
    }),
    children: cluster.shards.filter(({ parents }) => parents.includes(shardId)).map(({ id }) => id),
    request: requestOf(row, cluster, alive),
    order: row.order === null
      ? null
      : { kind: row.order.kind, at: new Date(row.order.at).toISOString() },
    stoppedBy: row.stoppedBy,
    workers: workersOf(row, cluster, { alive, status }),
  };
}

function situationOf(
  row: ShardRow,
  { shards }: ClusterRows,
  alive: ReadonlySet<string>,
): Situation {
  if (isEnded(row)) return "finished";
  const isHeld = row.owner !== null && row.holder !== null && alive.has(row.owner);
  if (isHalted(row)) return "stoppedByOperator";
  if (isHeld) return row.handover === null ? "processed" : "requested";
  if (!isReady(row, new Map(shards.map((shard) => [shard.id, shard])))) return "waitsForParents";
  if (alive.size === 0) return "noWorkers";
  if (row.owner !== null) return alive.has(row.owner) ? "given" : "ownerSilent";
  return isStoppedEverywhere(row, alive) ? "stoppedEverywhere" : "free";
}

function requestOf(
  row: ShardRow,
  cluster: ClusterRows,
  alive: ReadonlySet<string>,
): ShardExplanation["request"] {
  const { handover, owner } = row;
  if (handover === null) return null;
  const isGranted = owner !== null && alive.has(owner) &&
    answerRequests(viewOf(owner, cluster, alive)).give.includes(row);
  return { to: handover.to, isOrder: handover.isOrder ?? false, isGranted };
}

function workersOf(
  row: ShardRow,
  cluster: ClusterRows,
  { alive, status }: {
    readonly alive: ReadonlySet<string>;
    readonly status: ReturnType<typeof clusterStatus>;
  },
): readonly WorkerView[] {
  const loads = new Map(status.workers.map(({ workerId, shards }) => [workerId, shards]));
  return cluster.workers.map((worker) => {
    const { id, beatAt, heartbeatTimeout } = worker;
    const isSilent = cluster.now - beatAt > heartbeatTimeout * SILENCE_SHARE;
    return {
      workerId: id,
      stance: stanceOf(worker, row, { cluster, alive, loads }),
      shards: loads.get(id) ?? 0,
      lastHeartbeatAt: new Date(beatAt).toISOString(),
      givenUpAt: isSilent ? new Date(beatAt + heartbeatTimeout).toISOString() : null,
    };
  }).sort((a, b) => a.workerId < b.workerId ? -1 : 1);
}

function stanceOf(
  { id, isDraining }: WorkerRow,
  row: ShardRow,
  { cluster, alive, loads }: {
    readonly cluster: ClusterRows;
    readonly alive: ReadonlySet<string>;
    readonly loads: ReadonlyMap<string, number>;
  },
): WorkerStance {
  if (!alive.has(id)) return "isDead";
  if (row.owner === id && row.holder !== null) return "has";
  if (isDraining) return "isStopping";
  if (row.stoppedBy.includes(id)) return "hasStopped";
  const view = viewOf(id, cluster, alive);
  if (plan(view).take.includes(row)) return "takes";
  const isMovable = row.owner !== null && row.holder !== null && alive.has(row.owner) &&
    row.handover === null && !isHalted(row) && !isEnded(row);
  const hasFewer = (loads.get(row.owner ?? "") ?? 0) >= (loads.get(id) ?? 0) + 2;
  return isMovable && hasFewer ? "asks" : "leavesIt";
}

/** What a worker sees, as far as the rows tell. */
function viewOf(self: string, cluster: ClusterRows, alive: ReadonlySet<string>): ClusterView {
  const rows = new Map(cluster.shards.map((row) => [row.id, row]));
  const stopping = new Set(
    cluster.workers.filter(({ isDraining }) => isDraining).map(({ id }) => id),
  );
  return {
    self,
    shards: cluster.shards,
    alive,
    takers: alive.difference(stopping),
    isHere: (shardId) => rows.get(shardId)?.owner === self && rows.get(shardId)?.holder !== null,
    isStoppedHere: (shardId) => rows.get(shardId)?.stoppedBy.includes(self) ?? false,
    isOverdue: () => false,
  };
}
