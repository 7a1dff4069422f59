/**
 * Owns: when lag comes near to how long a stream keeps its records, and when a checkpoint is older than that.
 * Must not: remember what was told.
 * Called by: `runtime/retention_watch.ts`.
 *
 * @module
 */

import type { ShardRow } from "./lease.ts";

/** Percents of the retention that are worth telling; 0 is none of them. */
export type RetentionMark = 0 | 50 | 80;

/** What was told is forgotten below this share of a mark: a lag that moves about it is told once. */
const FORGET_SHARE = 0.9;

/** The mark that a lag has passed, or has not fallen clearly below again since it was told. Both in milliseconds. */
export function retentionMark(
  lagMs: number,
  retentionMs: number,
  told: RetentionMark,
): RetentionMark {
  const percent = lagMs / retentionMs * 100;
  const isPast = (mark: 50 | 80): boolean => percent >= (told >= mark ? mark * FORGET_SHARE : mark);
  if (isPast(80)) return 80;
  return isPast(50) ? 50 : 0;
}

/**
 * Up to when a shard was read, by its last owner's clock, in milliseconds since the epoch; null if the row does not tell, or is to be
 * read from the oldest record on, whichever that is.
 */
export function readUntil(
  { checkpoint, checkpointAt, millisBehindLatest }: Pick<
    ShardRow,
    "checkpoint" | "checkpointAt" | "millisBehindLatest"
  >,
): number | null {
  if (checkpoint.kind === "timestamp") return checkpoint.timestamp;
  if (checkpoint.kind !== "sequence" || checkpointAt === null) return null;
  const until = checkpointAt - (millisBehindLatest ?? 0);
  // A row may hold any number; not all of them are times.
  return Number.isNaN(new Date(until).getTime()) ? null : until;
}
