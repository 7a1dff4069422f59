/**
 * Owns: what a cluster asks of its state table, as arithmetic: writes, reads, bytes.
 * Must not: know prices, or what a table has.
 * Called by: `cli/doctor/table_checks.ts`, `cli/cost/bill.ts`.
 *
 * @module
 */

import type { ResolvedConfig } from "./config.ts";
import { ON_DUTY_MAX, watchEvery } from "./duty.ts";

/** How large a cluster is. */
export interface ClusterSize {
  readonly workers: number;
  /** Those that have a row: open ones, and closed ones that the stream still lists. */
  readonly shards: number;
}

/** How busy a stream is. */
export interface Load {
  /** Those that get records. */
  readonly shards: number;
  /** Of all of them together. */
  readonly recordsPerSecond: number;
}

/** The settings that decide it. */
export type SizingConfig = Pick<
  ResolvedConfig,
  | "heartbeat"
  | "heartbeatTimeout"
  | "checkpointFrequency"
  | "checkStreamChangesFrequency"
  | "checkUnprocessedShardsFrequency"
  | "checkPendingHandoverRequestFrequency"
>;

/** What a row weighs, about, with names of usual length: names of attributes count too. */
export const ROW_BYTES = { shard: 450, worker: 250 } as const;

/** A consistent read of up to 4 KB is a read unit; a write of up to 1 KB is a write unit, and each row is smaller. */
const READ_UNIT_BYTES = 4_096;
const SECOND_MS = 1_000;
/** Kinesis lets a shard be read five times a second; a checkpoint between two reads saves little. */
const READS_PER_SECOND_MAX = 5;

/** Writes a second while nothing happens: one heartbeat of each worker. */
export function writesAtRest({ workers }: ClusterSize, { heartbeat }: SizingConfig): number {
  return workers * SECOND_MS / heartbeat;
}

/** Writes a second of the checkpoints: of each busy shard one per `checkpointFrequency`, and no more than one per record. */
export function checkpointWrites(load: Load, { checkpointFrequency }: SizingConfig): number {
  if (load.shards === 0) return 0;
  const records = load.recordsPerSecond / load.shards;
  const each = checkpointFrequency === 0
    ? records
    : Math.min(records, SECOND_MS / checkpointFrequency);
  return load.shards * each;
}

/** The most writes a second of the checkpoints that shards may come to when nobody knows how busy they are. */
export function checkpointWritesMax(shards: number, config: SizingConfig): number {
  return checkpointWrites({ shards, recordsPerSecond: shards * READS_PER_SECOND_MAX }, config);
}

/**
 * Read units a second while nothing happens. Each worker reads the rows of the workers now and then; those of the shards are
 * read by the few on duty, as often as these settings say, and by the others as much less often as there are more of them.
 */
export function readUnitsAtRest(
  { workers, shards }: ClusterSize,
  config: SizingConfig,
  rowBytes: { readonly shard: number; readonly worker: number } = ROW_BYTES,
): number {
  if (workers === 0) return 0;
  const readers = workers <= ON_DUTY_MAX
    ? workers
    : ON_DUTY_MAX + (workers - ON_DUTY_MAX) * ON_DUTY_MAX / workers;
  const lookEvery = Math.min(
    config.checkUnprocessedShardsFrequency,
    config.checkPendingHandoverRequestFrequency,
  );
  const looks = readers / lookEvery;
  const shardLists = looks + readers / config.checkStreamChangesFrequency;
  const workerLists = looks + workers / watchEvery(workers, config);
  return SECOND_MS *
    (shardLists * unitsOf(shards * rowBytes.shard) +
      workerLists * unitsOf(workers * rowBytes.worker));
}

/** What the rows weigh, in bytes. */
export function tableBytes({ workers, shards }: ClusterSize): number {
  return workers * ROW_BYTES.worker + shards * ROW_BYTES.shard;
}

function unitsOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / READ_UNIT_BYTES));
}
