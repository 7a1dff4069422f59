/**
 * Owns: what the worker tells the page.
 * Must not: contain code; the page and the worker share the types only.
 * Called by: both sides.
 *
 * @module
 */

import type { ShardState } from "../../core/status.ts";
import type { Tone } from "../event_text.ts";

/** A worker of the cluster. Times are milliseconds since 1970. */
export interface WorkerView {
  readonly id: string;
  readonly isAlive: boolean;
  readonly beatAt: number;
  readonly version: string;
}

/** A shard of the stream. Times are milliseconds since 1970. */
export interface ShardView {
  readonly id: string;
  readonly state: ShardState;
  readonly owner: string | null;
  /** Who is to get it. */
  readonly to: string | null;
  readonly term: number;
  readonly checkpoint: string;
  readonly checkpointAt: number | null;
  /** In milliseconds, when the checkpoint was written. */
  readonly lag: number | null;
  readonly stoppedAt: number | null;
  readonly parents: readonly string[];
}

/** Something that happened on this worker. */
export interface EventView {
  /** Goes up by one with each. */
  readonly id: number;
  readonly at: number;
  readonly type: string;
  readonly shard: string | null;
  readonly tone: Tone;
  readonly text: string;
}

/** What this worker did in one interval. */
export interface Point {
  /** The end of the interval. */
  readonly at: number;
  readonly recordsPerSecond: number;
  readonly bytesPerSecond: number;
  /** Of the shard of this worker that is furthest behind, in milliseconds; null without a shard. */
  readonly lag: number | null;
}

/** A shard of this worker: its id, records a second, and how far it is behind in milliseconds. */
export type ShardRate = readonly [shardId: string, recordsPerSecond: number, lag: number];

/** Everything, at the begin of a connection. */
export interface Snapshot {
  readonly appName: string;
  readonly streamName: string;
  readonly workerId: string;
  readonly version: string;
  /** This worker's clock. */
  readonly now: number;
  /** Whether the worker has a token, so that whoever knows it can give orders. */
  readonly takesOrders: boolean;
  /** Whether it can look for a new version of the processor. */
  readonly takesProcessors: boolean;
  readonly look: Look;
  readonly workers: readonly WorkerView[];
  readonly shards: readonly ShardView[];
  readonly rates: readonly ShardRate[];
  readonly events: readonly EventView[];
  readonly points: readonly Point[];
}

/** The last look at the state table. */
export interface Look {
  /** When every row was read, and lags with them. Null before the first time. */
  readonly at: number | null;
  /** When it was known last who has which shard. The same, unless the cluster is large. */
  readonly movesAt: number | null;
  /** How long until every row is read again at the latest, in milliseconds. */
  readonly everyMs: number;
  /** Why the last one failed; null if it did not. */
  readonly error: string | null;
}

/** What changed; a part that did not is not there. */
export interface Update {
  readonly now: number;
  readonly look?: Look;
  readonly workers?: readonly WorkerView[];
  readonly goneWorkers?: readonly string[];
  readonly shards?: readonly ShardView[];
  readonly goneShards?: readonly string[];
  readonly rates?: readonly ShardRate[];
  readonly events?: readonly EventView[];
  readonly points?: readonly Point[];
}
