// Owns: the three ways to change a stream's shards, so that open shards always cover the key space once.
// Must not: look at requests or at the stream's status.
// Called by: shard_operations.ts.
import { areAdjacent, evenRanges, joinRanges, splitRange } from "./hash_ranges.ts";
import { ACCOUNT_ID, invalidArgument } from "./kinesis_error.ts";
import type { Shard } from "./shard.ts";
import type { Stream } from "./stream.ts";

export function checkSplit(stream: Stream, shard: Shard, startingHashKey: bigint): void {
  requireOpen(stream, shard);
  const { start, end } = shard.range;
  if (startingHashKey > start + 1n && startingHashKey < end) return;
  throw invalidArgument(
    `NewStartingHashKey ${startingHashKey} used in SplitShard() on shard ${shard.shardId} in stream ` +
      `${stream.streamName} under account ${ACCOUNT_ID} is not both greater than one plus the shard's ` +
      `StartingHashKey ${start} and less than the shard's EndingHashKey ${end}.`,
  );
}

export function checkMerge(stream: Stream, one: Shard, other: Shard): void {
  requireOpen(stream, one);
  requireOpen(stream, other);
  if (areAdjacent(one.range, other.range)) return;
  throw invalidArgument(
    `Shards ${one.shardId} and ${other.shardId} in stream ${stream.streamName} under account ` +
      `${ACCOUNT_ID} are not an adjacent pair of shards eligible for merging`,
  );
}

export function split(stream: Stream, shard: Shard, options: {
  readonly startingHashKey: bigint;
  readonly nowMs: number;
}): void {
  const { lower, upper } = splitRange(shard.range, options.startingHashKey);
  stream.addShard(lower, [shard], options.nowMs);
  stream.addShard(upper, [shard], options.nowMs);
}

export function merge(stream: Stream, pair: readonly [Shard, Shard], nowMs: number): void {
  stream.addShard(joinRanges(pair[0].range, pair[1].range), pair, nowMs);
}

/**
 * Cuts the key space evenly, by splits and merges only and so with short-lived shards in between, as
 * https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html describes.
 */
export function scaleUniformly(stream: Stream, shardCount: number, nowMs: number): void {
  const targets = evenRanges(shardCount);
  for (const { start } of targets) {
    const shard = stream.shardForHashKey(start);
    if (shard.range.start !== start) split(stream, shard, { startingHashKey: start, nowMs });
  }
  for (const { start, end } of targets) {
    let shard = stream.shardForHashKey(start);
    while (shard.range.end < end) {
      merge(stream, [shard, stream.shardForHashKey(shard.range.end + 1n)], nowMs);
      shard = stream.shardForHashKey(start);
    }
  }
}

function requireOpen(stream: Stream, shard: Shard): void {
  if (shard.closedMs === undefined) return;
  throw invalidArgument(
    `Shard ${shard.shardId} in stream ${stream.streamName} under account ${ACCOUNT_ID} has already ` +
      "been merged or split, and thus is not eligible for merging or splitting.",
  );
}
