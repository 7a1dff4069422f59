/**
 * Owns: what the rows of the state table mean to a person: who is alive, who has which shard, and in what state it is.
 * Must not: decide who takes what; that is `core/balance.ts`.
 * Called by: `app.status()` and the command line.
 *
 * @module
 */

import { formatCheckpoint } from "./checkpoint.ts";
import { isHalted, type ShardRow, type WorkerRow } from "./lease.ts";

/** What happens with a shard:
 * - `processing`: a live worker has it.
 * - `handingOver`: a live worker has it and was asked for it, or it was given to a worker that has not taken it yet.
 * - `unowned`: no live worker has it; the next look of any worker takes it.
 * - `stopped`: every live worker was told to stop it, or gave it up; or an operator stopped it for the whole cluster.
 * - `waitingForParents`: the shards that it came from are not finished yet.
 * - `closed`: every record of it is finished.
 */
export type ShardState =
  | "processing"
  | "handingOver"
  | "unowned"
  | "stopped"
  | "waitingForParents"
  | "closed";

/** A worker of the cluster, as the state table shows it. */
export interface WorkerStatus {
  /** The worker id. */
  readonly workerId: string;
  /** Whether it showed a heartbeat within its own `heartbeatTimeout`. */
  readonly alive: boolean;
  /** How many open shards are assigned to it. */
  readonly shards: number;
  /** When the last heartbeat was written, by the worker's clock, as an ISO time. */
  readonly lastHeartbeatAt: string;
  /** The version of this software that it runs. */
  readonly version: string;
}

/** A shard of the stream, as the state table shows it. */
export interface ShardStatus {
  /** The shard id. */
  readonly shardId: string;
  /** What happens with it. */
  readonly state: ShardState;
  /** The worker that has it; null if nobody has. */
  readonly owner: string | null;
  /** The fencing token: goes up by one at every change of owner. */
  readonly term: number;
  /** What is finished: a sequence number, `TRIM_HORIZON`, `AT_TIMESTAMP:<ISO time>` or `SHARD_END`. */
  readonly checkpoint: string;
  /** When the checkpoint was written, by the writer's clock, as an ISO time; null before the first one. */
  readonly checkpointAt: string | null;
  /** How far the checkpoint was behind the tip of the shard when it was written, in milliseconds. */
  readonly millisBehindLatest: number | null;
  /** When an operator stopped it for the whole cluster, by the operator's clock, as an ISO time; null if it is not. */
  readonly stoppedAt: string | null;
  /** The worker that is to get the shard. */
  readonly handoverTo: string | null;
  /** The shards that this one was split or merged from. */
  readonly parents: readonly string[];
}

/** The cluster, as the state table shows it. */
export interface ClusterStatus {
  /** Every worker, sorted by worker id. */
  readonly workers: readonly WorkerStatus[];
  /** Every shard, sorted by shard id. */
  readonly shards: readonly ShardStatus[];
}

/** Makes the status of the cluster from its rows. */
export function clusterStatus(
  workers: readonly WorkerRow[],
  shards: readonly ShardRow[],
  isAlive: (worker: WorkerRow) => boolean,
): ClusterStatus {
  const alive = new Set(workers.filter(isAlive).map((worker) => worker.id));
  const ended = new Map(shards.map((row) => [row.id, row.checkpoint.kind === "shardEnd"]));
  return {
    workers: workers.map((worker) => ({
      workerId: worker.id,
      alive: alive.has(worker.id),
      shards: shards.filter((row) => row.owner === worker.id && !ended.get(row.id)).length,
      lastHeartbeatAt: new Date(worker.beatAt).toISOString(),
      version: worker.version,
    })).sort((a, b) => a.workerId < b.workerId ? -1 : 1),
    shards: shards.map((row) => ({
      shardId: row.id,
      state: shardState(row, alive, ended),
      owner: row.owner,
      term: row.term,
      checkpoint: formatCheckpoint(row.checkpoint),
      checkpointAt: row.checkpointAt === null ? null : new Date(row.checkpointAt).toISOString(),
      millisBehindLatest: row.millisBehindLatest,
      stoppedAt: row.order?.kind === "stop" ? new Date(row.order.at).toISOString() : null,
      handoverTo: row.handover?.to ?? (row.holder === null ? row.owner : null),
      parents: row.parents,
    })).sort((a, b) => a.shardId < b.shardId ? -1 : 1),
  };
}

/** Whether every worker that could process a shard has stopped it. False while there is none. */
export function isStoppedEverywhere(row: ShardRow, alive: ReadonlySet<string>): boolean {
  return row.owner === null && alive.size > 0 &&
    [...alive].every((workerId) => row.stoppedBy.includes(workerId));
}

function shardState(
  row: ShardRow,
  alive: ReadonlySet<string>,
  ended: ReadonlyMap<string, boolean>,
): ShardState {
  if (ended.get(row.id)) return "closed";
  const isHeld = row.holder !== null && row.owner !== null && alive.has(row.owner);
  if (isHalted(row) && !isHeld) return "stopped";
  if (row.parents.some((parent) => ended.get(parent) === false)) return "waitingForParents";
  if (row.owner !== null && alive.has(row.owner)) {
    return row.handover !== null || row.holder === null ? "handingOver" : "processing";
  }
  return isStoppedEverywhere(row, alive) ? "stopped" : "unowned";
}
