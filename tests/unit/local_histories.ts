// Owns: histories of a stream's shards for property tests: moves drawn at random, and how each is made.
// Must not: assert anything.
// Called by: local_resharding_test.ts, local_lineage_test.ts.
import fc from "fast-check";
import type { ShardOutput, TestKinesis } from "./local_testing.ts";

export type Move =
  | { readonly kind: "split"; readonly pick: number; readonly share: number }
  | { readonly kind: "merge"; readonly pick: number }
  | { readonly kind: "scale"; readonly factor: number }
  | { readonly kind: "wait"; readonly ms: number };

export const moves: fc.Arbitrary<Move[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("split" as const),
      pick: fc.nat(99),
      share: fc.integer({ min: 1, max: 99 }),
    }),
    fc.record({ kind: fc.constant("merge" as const), pick: fc.nat(99) }),
    fc.record({ kind: fc.constant("scale" as const), factor: fc.integer({ min: 50, max: 200 }) }),
    fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(3000) }),
  ),
  { maxLength: 12 },
);

/** Makes a move, or nothing when the stream has too few or too small shards for it. */
export function makeMove(kinesis: TestKinesis, move: Move): void {
  const open = openShards(kinesis);
  switch (move.kind) {
    case "wait":
      kinesis.nowMs += move.ms;
      return;
    case "scale": {
      const target = Math.ceil((open.length * move.factor) / 100);
      kinesis.call("UpdateShardCount", {
        TargetShardCount: Math.min(target, open.length * 2, 12 + open.length),
        ScalingType: "UNIFORM_SCALING",
      });
      return;
    }
    case "split": {
      const shard = open[move.pick % open.length];
      const start = BigInt(shard?.HashKeyRange.StartingHashKey ?? 0);
      const size = BigInt(shard?.HashKeyRange.EndingHashKey ?? 0) - start;
      if (size < 1000n) return;
      const NewStartingHashKey = (start + (size * BigInt(move.share)) / 100n).toString();
      kinesis.call("SplitShard", { ShardToSplit: shard?.ShardId, NewStartingHashKey });
      return;
    }
    case "merge": {
      if (open.length < 2) return;
      const at = move.pick % (open.length - 1);
      kinesis.call("MergeShards", {
        ShardToMerge: open[at]?.ShardId,
        AdjacentShardToMerge: open[at + 1]?.ShardId,
      });
      return;
    }
    default:
      move satisfies never;
  }
}

/** The open shards by hash key. */
export function openShards(kinesis: TestKinesis): ShardOutput[] {
  const start = ({ HashKeyRange }: ShardOutput) => BigInt(HashKeyRange.StartingHashKey);
  return [...kinesis.shards({ ShardFilter: { Type: "AT_LATEST" } })]
    .sort((a, b) => (start(a) < start(b) ? -1 : 1));
}
