// Proves where each iterator starts, when it dies, and what a read tells about the tip and the end of a shard.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { HASH_KEY_HALF, HOUR_MS, kinesisWithStream, shardId } from "./local_testing.ts";

Deno.test("each of the five iterator types starts where it says", () => {
  const kinesis = kinesisWithStream(1, { limits: "off" });
  const startMs = kinesis.nowMs;
  const numbers = ["a", "b", "c"].map((key) => {
    kinesis.nowMs += 1000;
    return kinesis.put(key).SequenceNumber;
  });
  const second = { StartingSequenceNumber: numbers[1] };
  assertEquals(kinesis.keysFrom("TRIM_HORIZON"), ["a", "b", "c"]);
  assertEquals(kinesis.keysFrom("AT_SEQUENCE_NUMBER", second), ["b", "c"]);
  assertEquals(kinesis.keysFrom("AFTER_SEQUENCE_NUMBER", second), ["c"]);
  assertEquals(kinesis.keysFrom("AT_TIMESTAMP", { Timestamp: startMs / 1000 }), ["a", "b", "c"]);
  assertEquals(kinesis.keysFrom("AT_TIMESTAMP", { Timestamp: startMs / 1000 + 2 }), ["b", "c"]);
  assertEquals(kinesis.keysFrom("AT_TIMESTAMP", { Timestamp: startMs / 1000 + 2.001 }), ["c"]);
  const latest = kinesis.iterator("LATEST");
  assertEquals(kinesis.get(latest).Records, []);
  kinesis.put("d");
  assertEquals(kinesis.get(latest).Records.map(({ PartitionKey }) => PartitionKey), ["d"]);
});

Deno.test("a shard's own starting and ending sequence numbers are positions too", () => {
  const kinesis = kinesisWithStream(1, { limits: "off" });
  kinesis.put("a");
  kinesis.call("SplitShard", { ShardToSplit: shardId(0), NewStartingHashKey: HASH_KEY_HALF });
  const range = kinesis.shards()[0]?.SequenceNumberRange;
  const fromStart = { StartingSequenceNumber: range?.StartingSequenceNumber };
  assertEquals(kinesis.keysFrom("AT_SEQUENCE_NUMBER", fromStart), ["a"]);
  assertEquals(kinesis.keysFrom("AFTER_SEQUENCE_NUMBER", fromStart), ["a"]);
  const fromEnd = { StartingSequenceNumber: range?.EndingSequenceNumber };
  assertEquals(kinesis.keysFrom("AFTER_SEQUENCE_NUMBER", fromEnd), []);
});

Deno.test("GetShardIterator refuses positions that are not in the shard", () => {
  const kinesis = kinesisWithStream(2);
  const other = kinesis.put("k", { ExplicitHashKey: HASH_KEY_HALF }).SequenceNumber;
  const otherStream = kinesisWithStream(1);
  otherStream.nowMs += 5000;
  otherStream.call("CreateStream", { StreamName: "younger", ShardCount: 1 });
  const foreign = otherStream.put("k", { StreamName: "younger" }).SequenceNumber;
  const wrong: [Record<string, unknown>, string][] = [
    [{ StartingSequenceNumber: "banana" }, "is invalid."],
    [{ StartingSequenceNumber: other }, "It encodes shardId-000000000001"],
    [{ StartingSequenceNumber: foreign }, "did not come from this stream"],
    [{}, "and no StartingSequenceNumber"],
  ];
  for (const [fields, words] of wrong) {
    const error = kinesis.failure("GetShardIterator", {
      ShardId: shardId(0),
      ShardIteratorType: "AT_SEQUENCE_NUMBER",
      ...fields,
    });
    assertEquals(error.name, "InvalidArgumentException");
    assertStringIncludes(error.message, words);
  }
});

Deno.test("GetShardIterator refuses a timestamp that is ahead of the clock", () => {
  const kinesis = kinesisWithStream(1);
  const input = {
    ShardId: shardId(0),
    ShardIteratorType: "AT_TIMESTAMP",
    Timestamp: kinesis.nowMs / 1000 + 1,
  };
  assertEquals(kinesis.errorOf("GetShardIterator", input), "InvalidArgumentException");
});

Deno.test("an iterator lives for five minutes and not a millisecond more", () => {
  const kinesis = kinesisWithStream(1);
  const ShardIterator = kinesis.iterator("TRIM_HORIZON");
  kinesis.nowMs += 300_000;
  kinesis.get(ShardIterator);
  kinesis.nowMs += 1;
  const error = kinesis.failure("GetRecords", { ShardIterator });
  assertEquals(error.name, "ExpiredIteratorException");
  assertStringIncludes(error.message, "created at time Tue Nov 14 22:13:20 UTC 2023");
});

Deno.test("a string that is no iterator, and an iterator of a stream made anew, are refused", () => {
  const kinesis = kinesisWithStream(1);
  const iterator = kinesis.iterator("LATEST");
  for (const wrong of ["banana", btoa("[]"), btoa("{}"), ""]) {
    const error = kinesis.errorOf("GetRecords", { ShardIterator: wrong });
    assertEquals(error, "InvalidArgumentException");
  }
  kinesis.call("DeleteStream");
  assertEquals(
    kinesis.errorOf("GetRecords", { ShardIterator: iterator }),
    "ResourceNotFoundException",
  );
  kinesis.nowMs += 1;
  kinesis.call("CreateStream", { ShardCount: 1 });
  assertEquals(
    kinesis.errorOf("GetRecords", { ShardIterator: iterator }),
    "ResourceNotFoundException",
  );
});

Deno.test("MillisBehindLatest is the age of the oldest unread record, and zero only at the tip", () => {
  const kinesis = kinesisWithStream(1);
  for (const key of ["a", "b", "c"]) {
    kinesis.put(key);
    kinesis.nowMs += 10_000;
  }
  const first = kinesis.get(kinesis.iterator("TRIM_HORIZON"), { Limit: 1 });
  assertEquals(first.MillisBehindLatest, 20_000);
  const second = kinesis.get(first.NextShardIterator, { Limit: 1 });
  assertEquals(second.MillisBehindLatest, 10_000);
  const third = kinesis.get(second.NextShardIterator, { Limit: 1 });
  assertEquals(third.MillisBehindLatest, 0);
  kinesis.put("d");
  kinesis.put("e");
  assertEquals(kinesis.get(third.NextShardIterator, { Limit: 1 }).MillisBehindLatest, 1);
});

Deno.test("a closed shard is read to its end, which names the children and gives no iterator", () => {
  const kinesis = kinesisWithStream(1);
  kinesis.put("a");
  kinesis.put("b");
  kinesis.call("SplitShard", { ShardToSplit: shardId(0), NewStartingHashKey: HASH_KEY_HALF });
  const first = kinesis.get(kinesis.iterator("TRIM_HORIZON"), { Limit: 1 });
  assertEquals([first.ChildShards, first.Records.length], [undefined, 1]);
  const last = kinesis.get(first.NextShardIterator);
  assertEquals(last.NextShardIterator, null);
  assertEquals(last.MillisBehindLatest, 0);
  assertEquals(last.ChildShards as unknown, [
    {
      ShardId: shardId(1),
      ParentShards: [shardId(0)],
      HashKeyRange: {
        StartingHashKey: "0",
        EndingHashKey: (BigInt(HASH_KEY_HALF) - 1n).toString(),
      },
    },
    {
      ShardId: shardId(2),
      ParentShards: [shardId(0)],
      HashKeyRange: {
        StartingHashKey: HASH_KEY_HALF,
        EndingHashKey: (2n ** 128n - 1n).toString(),
      },
    },
  ]);
});

Deno.test("the child of a merge names both parents", () => {
  const kinesis = kinesisWithStream(2);
  kinesis.call("MergeShards", { ShardToMerge: shardId(0), AdjacentShardToMerge: shardId(1) });
  for (const index of [0, 1]) {
    const end = kinesis.get(kinesis.iterator("LATEST", { ShardId: shardId(index) }));
    assertEquals(end.ChildShards?.map(({ ParentShards }) => ParentShards), [
      [shardId(0), shardId(1)],
    ]);
  }
  assertEquals(kinesis.shards()[2]?.AdjacentParentShardId, shardId(1));
});

Deno.test("records go when they are older than the retention period, and iterators skip what is gone", () => {
  const kinesis = kinesisWithStream(1, { limits: "off" });
  const old = kinesis.put("old").SequenceNumber;
  kinesis.nowMs += 23 * HOUR_MS;
  kinesis.put("new");
  assertEquals(kinesis.keysFrom("TRIM_HORIZON"), ["old", "new"]);
  kinesis.nowMs += HOUR_MS + 1;
  assertEquals(kinesis.keysFrom("TRIM_HORIZON"), ["new"]);
  assertEquals(kinesis.keysFrom("AT_SEQUENCE_NUMBER", { StartingSequenceNumber: old }), ["new"]);
  assertEquals(kinesis.keysFrom("AT_TIMESTAMP", { Timestamp: 0 }), ["new"]);
  kinesis.nowMs += 24 * HOUR_MS;
  assertEquals(kinesis.keysFrom("TRIM_HORIZON"), []);
  kinesis.put("newer");
  assertEquals(kinesis.keysFrom("TRIM_HORIZON"), ["newer"]);
});

Deno.test("an iterator whose records expired under it goes on with those that are left", () => {
  const kinesis = kinesisWithStream(1);
  for (const key of ["a", "b", "c", "d", "e"]) {
    kinesis.put(key);
    kinesis.nowMs += 60_000;
  }
  kinesis.nowMs += 24 * HOUR_MS - 300_000;
  const iterator = kinesis.iterator("TRIM_HORIZON");
  kinesis.nowMs += 60_001;
  const { Records } = kinesis.get(iterator, { Limit: 2 });
  assertEquals(Records.map(({ PartitionKey }) => PartitionKey), ["c", "d"]);
});

Deno.test("a longer retention period keeps records for longer", () => {
  const kinesis = kinesisWithStream(1);
  kinesis.put("a");
  kinesis.call("IncreaseStreamRetentionPeriod", { RetentionPeriodHours: 48 });
  kinesis.nowMs += 47 * HOUR_MS;
  assertEquals(kinesis.keysFrom("TRIM_HORIZON"), ["a"]);
  const shorter = { RetentionPeriodHours: 24 };
  assertEquals(
    kinesis.errorOf("IncreaseStreamRetentionPeriod", shorter),
    "InvalidArgumentException",
  );
  kinesis.call("DecreaseStreamRetentionPeriod", shorter);
  assertEquals(kinesis.keysFrom("TRIM_HORIZON"), []);
});

Deno.test("a closed shard leaves ListShards once all its records have expired", () => {
  const kinesis = kinesisWithStream(1);
  kinesis.nowMs += 1000;
  kinesis.call("SplitShard", { ShardToSplit: shardId(0), NewStartingHashKey: HASH_KEY_HALF });
  kinesis.nowMs += 24 * HOUR_MS;
  assertEquals(kinesis.shardIds(), [0, 1, 2]);
  kinesis.nowMs += 1;
  assertEquals(kinesis.shardIds(), [1, 2]);
  assertEquals(kinesis.shards()[0]?.ParentShardId, shardId(0));
  const input = { ShardId: shardId(0), ShardIteratorType: "TRIM_HORIZON" };
  assertEquals(kinesis.errorOf("GetShardIterator", input), "ResourceNotFoundException");
});

Deno.test("a read stops before 10 MiB, and the next goes on from there", () => {
  const kinesis = kinesisWithStream(1, { limits: "off" });
  const Data = new Uint8Array(1024 * 1024 - 10).toBase64();
  for (let count = 0; count < 12; count++) kinesis.put("k", { Data });
  const first = kinesis.get(kinesis.iterator("TRIM_HORIZON"));
  assertEquals(first.Records.length, 10);
  assertEquals(kinesis.get(first.NextShardIterator).Records.length, 2);
});

Deno.test("a record arrives no earlier than the one before it, even when the clock steps back", () => {
  const kinesis = kinesisWithStream(1);
  kinesis.put("a");
  kinesis.nowMs -= 5000;
  kinesis.put("b");
  const [first, second] = kinesis.get(kinesis.iterator("TRIM_HORIZON")).Records;
  assertEquals(first?.ApproximateArrivalTimestamp, second?.ApproximateArrivalTimestamp);
  assert((second?.SequenceNumber ?? "") > (first?.SequenceNumber ?? ""));
});
