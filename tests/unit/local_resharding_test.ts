// Proves that the shards of a stream cover the key space once, whatever was split and merged.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseSequenceNumber } from "../../src/local/sequence_numbers.ts";
import { makeMove, moves, openShards } from "./local_histories.ts";
import { HASH_KEY_HALF, kinesisWithStream, shardId, type ShardOutput } from "./local_testing.ts";

Deno.test("open shards never leave a hole nor overlap, after any history of splits, merges and scalings", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), moves, (shardCount, history) => {
      const kinesis = kinesisWithStream(shardCount);
      for (const move of history) {
        makeMove(kinesis, move);
        assertCovered(openShards(kinesis));
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("every sequence number of a child is above every one of its parents", () => {
  fc.assert(
    fc.property(moves, (history) => {
      const kinesis = kinesisWithStream(2);
      for (const move of history) makeMove(kinesis, move);
      const byId = new Map(kinesis.shards().map((shard) => [shard.ShardId, shard]));
      for (const shard of byId.values()) {
        for (const parentId of [shard.ParentShardId, shard.AdjacentParentShardId]) {
          const parent = byId.get(parentId ?? "");
          if (parent === undefined) continue;
          const { StartingSequenceNumber } = shard.SequenceNumberRange;
          const end = parent.SequenceNumberRange.EndingSequenceNumber ?? "";
          assert(BigInt(StartingSequenceNumber) > BigInt(end));
        }
      }
    }),
    { numRuns: 100 },
  );
});

Deno.test("UpdateShardCount ends with ranges of one size", () => {
  for (const [from, to] of [[1, 2], [2, 3], [4, 2], [3, 5], [7, 4], [5, 10]] as const) {
    const scaled = kinesisWithStream(from);
    scaled.call("UpdateShardCount", { TargetShardCount: to, ScalingType: "UNIFORM_SCALING" });
    assertEquals(
      openShards(scaled).map(({ HashKeyRange }) => HashKeyRange),
      openShards(kinesisWithStream(to)).map(({ HashKeyRange }) => HashKeyRange),
    );
  }
});

Deno.test("UpdateShardCount refuses more than double and less than half", () => {
  const kinesis = kinesisWithStream(4);
  for (const target of [9, 1]) {
    const input = { TargetShardCount: target, ScalingType: "UNIFORM_SCALING" };
    assertEquals(kinesis.errorOf("UpdateShardCount", input), "LimitExceededException");
  }
});

Deno.test("a closed shard is split or merged no more", () => {
  const kinesis = kinesisWithStream(1);
  const split = { ShardToSplit: shardId(0), NewStartingHashKey: HASH_KEY_HALF };
  kinesis.call("SplitShard", split);
  assertEquals(kinesis.errorOf("SplitShard", split), "InvalidArgumentException");
  const merge = { ShardToMerge: shardId(0), AdjacentShardToMerge: shardId(1) };
  assertEquals(kinesis.errorOf("MergeShards", merge), "InvalidArgumentException");
});

Deno.test("shards that do not touch are not merged", () => {
  const merge = { ShardToMerge: shardId(0), AdjacentShardToMerge: shardId(2) };
  assertEquals(kinesisWithStream(3).errorOf("MergeShards", merge), "InvalidArgumentException");
});

Deno.test("a split needs a hash key inside the shard", () => {
  const kinesis = kinesisWithStream(2);
  for (const key of ["0", "1", HASH_KEY_HALF]) {
    const split = { ShardToSplit: shardId(0), NewStartingHashKey: key };
    assertEquals(kinesis.errorOf("SplitShard", split), "InvalidArgumentException");
  }
});

Deno.test("a stream stays UPDATING for the set time, takes records meanwhile, and is split at its end", () => {
  const kinesis = kinesisWithStream(1, { transitionMs: 1000 });
  kinesis.nowMs += 1000;
  const split = { ShardToSplit: shardId(0), NewStartingHashKey: HASH_KEY_HALF };
  kinesis.call("SplitShard", split);
  assertEquals(kinesis.put("k").ShardId, shardId(0));
  assertEquals(kinesis.errorOf("SplitShard", split), "ResourceInUseException");
  kinesis.nowMs += 1000;
  const splitSeconds = kinesis.nowMs / 1000;
  kinesis.nowMs += 60_000;
  assertEquals(kinesis.shardIds(), [0, 1, 2]);
  const ShardFilter = { Type: "AT_TIMESTAMP", Timestamp: splitSeconds + 30 };
  assertEquals(kinesis.shardIds({ ShardFilter }), [1, 2]);
});

Deno.test("a sequence number can be read back, and looks like those of AWS", () => {
  const kinesis = kinesisWithStream(2);
  kinesis.put("a", { ExplicitHashKey: HASH_KEY_HALF });
  const { SequenceNumber } = kinesis.put("a", { ExplicitHashKey: HASH_KEY_HALF });
  assert(/^49\d{54}$/.test(SequenceNumber));
  assertEquals(parseSequenceNumber(SequenceNumber), {
    shardCreatedSeconds: 1_700_000_000,
    arrivedSeconds: 1_700_000_000,
    shardIndex: 1,
    ordinal: 2n,
  });
});

function assertCovered(open: readonly ShardOutput[]): void {
  let next = 0n;
  for (const { HashKeyRange } of open) {
    assertEquals(HashKeyRange.StartingHashKey, next.toString());
    next = BigInt(HashKeyRange.EndingHashKey) + 1n;
  }
  assertEquals(next, 2n ** 128n);
}
