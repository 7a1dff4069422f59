/**
 * Owns: how soon a shard may be read again, and how long to wait after a failure.
 * Must not: wait, or know the time.
 * Called by: `shard_reader.ts`, `shard_subscriber.ts`, `shard_retries.ts`.
 *
 * @module
 */

import type { Amount } from "./read_limit.ts";

/** What a read gave, as far as the pace depends on it. */
export interface ReadSize extends Amount {
  readonly millisBehindLatest: number;
}

/**
 * 5 reads a second for each shard: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
 * A little more than a fifth of a second, since reads do not arrive as evenly as they are sent.
 */
export const READ_INTERVAL_MS = 210;
/** 2 MiB a second for each shard, by the same page. */
const READ_BYTES_PER_MS = 2 * 1024 * 1024 / 1_000;

/** One call of SubscribeToShard a second for each shard: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html */
export const SUBSCRIBE_INTERVAL_MS = 1_050;

/** A start may lie five minutes ahead of this machine's clock (`app.ts`), which may be ahead of that of Kinesis. */
export const FUTURE_WAIT_MS = 2_000;
export const FUTURE_WAITS_MAX = 300;

const BACKOFF_MS = 500;
const BACKOFF_MAX_MS = 10_000;

/** The least time between the start of a read and the start of the next one, in milliseconds. */
export function readIntervalMs(read: ReadSize, emptyReceiveDelay: number): number {
  const isAtTip = read.records === 0 && read.millisBehindLatest === 0;
  return Math.max(
    READ_INTERVAL_MS,
    read.bytes / READ_BYTES_PER_MS,
    isAtTip ? emptyReceiveDelay : 0,
  );
}

/**
 * How long to wait after a throttled read, in milliseconds: doubles with each one in a row, half of it by chance so
 * that readers which were throttled together do not come back together.
 *
 * @param throttles How many reads in a row were throttled, from 1.
 * @param chance At least 0 and less than 1.
 */
export function backoffMs(throttles: number, chance: number): number {
  return Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** (throttles - 1)) * (1 + chance) / 2;
}
