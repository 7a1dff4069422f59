// Owns: the arithmetic of hash keys: where a partition key falls and how the key space is cut.
// Must not: know shards, streams or time.
// Called by: resharding.ts, shard.ts, record_operations.ts.
import { createHash } from "node:crypto";

/** A part of the 128-bit hash key space; both ends belong to it. */
export interface HashKeyRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** The last hash key: 2^128 - 1. */
export const HASH_KEY_MAX: bigint = (1n << 128n) - 1n;

/** The whole space cut into `count` ranges of one size; the last takes the remainder, as in AWS. */
export function evenRanges(count: number): HashKeyRange[] {
  const size = (HASH_KEY_MAX + 1n) / BigInt(count);
  return Array.from({ length: count }, (_, index) => ({
    start: size * BigInt(index),
    end: index === count - 1 ? HASH_KEY_MAX : size * BigInt(index + 1) - 1n,
  }));
}

/** Cuts a range in two; `at` is the first key of the upper part. */
export function splitRange(
  range: HashKeyRange,
  at: bigint,
): { readonly lower: HashKeyRange; readonly upper: HashKeyRange } {
  return { lower: { start: range.start, end: at - 1n }, upper: { start: at, end: range.end } };
}

export function areAdjacent(one: HashKeyRange, other: HashKeyRange): boolean {
  return one.end + 1n === other.start || other.end + 1n === one.start;
}

/** The range that covers two adjacent ones. */
export function joinRanges(one: HashKeyRange, other: HashKeyRange): HashKeyRange {
  return one.start < other.start
    ? { start: one.start, end: other.end }
    : { start: other.start, end: one.end };
}

/** Kinesis hashes a partition key with MD5 to find its shard. */
export function hashKeyOf(partitionKey: string): bigint {
  return BigInt("0x" + createHash("md5").update(partitionKey).digest("hex"));
}
