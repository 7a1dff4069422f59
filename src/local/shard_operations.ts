// Owns: the operations that change which shards a stream has, and how a shard is described.
// Must not: touch records; ListShards has its own file.
// Called by: kinesis_engine.ts; stream_operations.ts, shard_listing.ts and record_operations.ts describe shards.
import type { Account } from "./account.ts";
import { type Input, integer, name, optionalHashKey, text, unsatisfied } from "./input.ts";
import { ACCOUNT_ID, KinesisError } from "./kinesis_error.ts";
import { checkMerge, checkSplit, merge, scaleUniformly, split } from "./resharding.ts";
import type { Shard } from "./shard.ts";
import type { Stream } from "./stream.ts";

export function splitShard(account: Account, input: Input): object {
  const shardId = name(input, "ShardToSplit");
  const startingHashKey = optionalHashKey(input, "NewStartingHashKey");
  if (startingHashKey === undefined) throw unsatisfied("null", "NewStartingHashKey", "not be null");
  const stream = account.streamOf(input);
  const shard = stream.shard(shardId);
  checkSplit(stream, shard, startingHashKey);
  update(account, stream, (nowMs) => split(stream, shard, { startingHashKey, nowMs }));
  return {};
}

export function mergeShards(account: Account, input: Input): object {
  const shardIds = [name(input, "ShardToMerge"), name(input, "AdjacentShardToMerge")] as const;
  const stream = account.streamOf(input);
  const pair = [stream.shard(shardIds[0]), stream.shard(shardIds[1])] as const;
  checkMerge(stream, ...pair);
  update(account, stream, (nowMs) => merge(stream, pair, nowMs));
  return {};
}

export function updateShardCount(account: Account, input: Input): object {
  const target = integer(input, "TargetShardCount", { min: 1, max: 10_000 });
  const scaling = text(input, "ScalingType");
  if (scaling !== "UNIFORM_SCALING") {
    throw unsatisfied(scaling, "ScalingType", "satisfy enum value set: [UNIFORM_SCALING]");
  }
  const stream = account.streamOf(input);
  const current = stream.openShards.length;
  checkTarget(stream, current, target);
  update(account, stream, (nowMs) => scaleUniformly(stream, target, nowMs));
  return {
    StreamName: stream.streamName,
    StreamARN: stream.arn,
    CurrentShardCount: current,
    TargetShardCount: target,
  };
}

/** A shard as DescribeStream and ListShards show it. */
export function describeShard(shard: Shard): object {
  const [parentId, adjacentParentId] = shard.parentIds;
  return {
    ShardId: shard.shardId,
    ...(parentId === undefined ? {} : { ParentShardId: parentId }),
    ...(adjacentParentId === undefined ? {} : { AdjacentParentShardId: adjacentParentId }),
    HashKeyRange: describeRange(shard),
    SequenceNumberRange: {
      StartingSequenceNumber: shard.startingSequenceNumber,
      ...(shard.endingSequenceNumber === undefined
        ? {}
        : { EndingSequenceNumber: shard.endingSequenceNumber }),
    },
  };
}

/** A shard as the last GetRecords of its parent shows it. */
export function describeChild(shard: Shard): object {
  return {
    ShardId: shard.shardId,
    ParentShards: shard.parentIds,
    HashKeyRange: describeRange(shard),
  };
}

function describeRange({ range }: Shard): object {
  return { StartingHashKey: range.start.toString(), EndingHashKey: range.end.toString() };
}

/** Carries out a change at once, or at the end of the time that the stream stays UPDATING. */
function update(account: Account, stream: Stream, change: (nowMs: number) => void): void {
  stream.requireActive();
  const nowMs = account.now();
  stream.startTransition("UPDATING", { dueMs: nowMs + account.transitionMs, complete: change });
  stream.advance(nowMs);
}

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html; the limit of ten calls
// in 24 hours is left out, since a test that scales often is no mistake.
function checkTarget(stream: Stream, current: number, target: number): void {
  if (stream.mode === "ON_DEMAND") {
    throw new KinesisError(
      "ValidationException",
      `Stream ${stream.streamName} under account ${ACCOUNT_ID} is in ON_DEMAND mode, which does not support UpdateShardCount.`,
    );
  }
  const counts = `Current open shard count: ${current}, Target shard count: ${target}`;
  if (target > current * 2) {
    throw new KinesisError(
      "LimitExceededException",
      `UpdateShardCount cannot scale up over double your current open shard count. ${counts}`,
    );
  }
  if (target < current / 2) {
    throw new KinesisError(
      "LimitExceededException",
      `UpdateShardCount cannot scale down below half your current open shard count. ${counts}`,
    );
  }
}
