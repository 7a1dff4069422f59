// Proves that a reader who follows children after parents gets every record once, in the order of its key.
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { makeMove, moves } from "./local_histories.ts";
import { kinesisWithStream, type TestKinesis } from "./local_testing.ts";

Deno.test("a reader that follows ChildShards gets every record once and each key in order, after any history", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), moves, (shardCount, history) => {
      const kinesis = kinesisWithStream(shardCount, { limits: "off" });
      const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`);
      const putAll = (round: number) => {
        for (const key of keys) kinesis.put(key, { Data: btoa(`${round}`) });
      };
      putAll(0);
      history.forEach((move, index) => {
        makeMove(kinesis, move);
        putAll(index + 1);
      });
      const rounds = Array.from({ length: history.length + 1 }, (_, round) => `${round}`);
      const expected = new Map(keys.map((key) => [key, rounds]));
      assertEquals(readLineage(kinesis), expected);
    }),
    { numRuns: 100 },
  );
});

/** Reads from the oldest shards to the open ones, a shard only after all its parents; payloads by key. */
function readLineage(kinesis: TestKinesis): Map<string, string[]> {
  const payloads = new Map<string, string[]>();
  const oldest = kinesis.shards({ ShardFilter: { Type: "AT_TRIM_HORIZON" } });
  const ready = oldest.map(({ ShardId }) => ShardId);
  const ended = new Set<string>();
  for (const shardId of ready) {
    let iterator: string | null = kinesis.iterator("TRIM_HORIZON", { ShardId: shardId });
    while (iterator !== null) {
      const output = kinesis.get(iterator, { Limit: 7 });
      for (const { PartitionKey, Data } of output.Records) {
        payloads.set(PartitionKey, [...payloads.get(PartitionKey) ?? [], atob(Data)]);
      }
      if (output.NextShardIterator !== null && output.MillisBehindLatest === 0) break;
      iterator = output.NextShardIterator;
      if (iterator === null) ended.add(shardId);
      for (const { ShardId, ParentShards } of output.ChildShards ?? []) {
        if (ParentShards.every((parent) => ended.has(parent))) ready.push(ShardId);
      }
    }
  }
  return new Map([...payloads].sort(([a], [b]) => Number(a.slice(4)) - Number(b.slice(4))));
}
