/**
 * Owns: the shards of the stream under test, and splitting and merging them.
 * Called by: `arena.ts`.
 *
 * @module
 */

import type { KinesisEngine } from "../../src/local/kinesis_engine.ts";
import type { WorldAction } from "./schedule.ts";

const STREAM = "ClusterStream";
const OPEN_MIN = 4;
const OPEN_MAX = 9;

/** A shard. */
export interface StreamShard {
  readonly id: string;
  readonly parents: readonly string[];
  readonly start: bigint;
  readonly end: bigint;
  readonly isOpen: boolean;
}

/** Every shard of the stream. */
export function shardsOf(engine: KinesisEngine): readonly StreamShard[] {
  const { Shards } = engine.call("ListShards", { StreamName: STREAM }) as {
    readonly Shards: readonly {
      readonly ShardId: string;
      readonly ParentShardId?: string;
      readonly AdjacentParentShardId?: string;
      readonly HashKeyRange: { readonly StartingHashKey: string; readonly EndingHashKey: string };
      readonly SequenceNumberRange: { readonly EndingSequenceNumber?: string };
    }[];
  };
  return Shards.map((shard) => ({
    id: shard.ShardId,
    parents: [shard.ParentShardId, shard.AdjacentParentShardId].filter((id) => id !== undefined),
    start: BigInt(shard.HashKeyRange.StartingHashKey),
    end: BigInt(shard.HashKeyRange.EndingHashKey),
    isOpen: shard.SequenceNumberRange.EndingSequenceNumber === undefined,
  }));
}

/** Splits or merges, and says what. The number of open shards stays between bounds. */
export function reshard(
  engine: KinesisEngine,
  { where, prefersMerge }: Extract<WorldAction, { kind: "reshard" }>,
): string {
  const open = shardsOf(engine).filter((shard) => shard.isOpen)
    .sort((a, b) => a.start < b.start ? -1 : 1);
  const isMerge = open.length >= OPEN_MAX || (prefersMerge && open.length > OPEN_MIN);
  const index = Math.floor(where * (open.length - 1));
  const [one, other] = [open[index], open[index + 1]];
  if (one === undefined || other === undefined) return "nothing to split or merge";
  if (isMerge) {
    engine.call("MergeShards", {
      StreamName: STREAM,
      ShardToMerge: one.id,
      AdjacentShardToMerge: other.id,
    });
    return `merged ${one.id} and ${other.id}`;
  }
  engine.call("SplitShard", {
    StreamName: STREAM,
    ShardToSplit: one.id,
    NewStartingHashKey: ((one.start + one.end) / 2n).toString(),
  });
  return `split ${one.id}`;
}
