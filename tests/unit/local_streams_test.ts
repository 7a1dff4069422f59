// Proves how streams come, are listed and go, and which shards ListShards shows, page by page.
import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  HASH_KEY_HALF,
  HOUR_MS,
  kinesisWithStream,
  shardId,
  TestKinesis,
} from "./local_testing.ts";

interface Description {
  readonly StreamDescriptionSummary: {
    readonly StreamStatus: string;
    readonly OpenShardCount: number;
    readonly StreamModeDetails: { readonly StreamMode: string };
  };
}

/** Two shards; after 10 s shard 0 is split in 2 and 3; after 10 s more 3 and 1 are merged to 4. */
function resharded(): { readonly kinesis: TestKinesis; readonly startMs: number } {
  const kinesis = kinesisWithStream(2);
  const startMs = kinesis.nowMs;
  kinesis.nowMs += 10_000;
  const NewStartingHashKey = (BigInt(HASH_KEY_HALF) / 2n).toString();
  kinesis.call("SplitShard", { ShardToSplit: shardId(0), NewStartingHashKey });
  kinesis.nowMs += 10_000;
  kinesis.call("MergeShards", { ShardToMerge: shardId(3), AdjacentShardToMerge: shardId(1) });
  kinesis.nowMs += 10_000;
  return { kinesis, startMs };
}

Deno.test("each shard filter shows the shards it names", () => {
  const { kinesis, startMs } = resharded();
  const at = (seconds: number) => startMs / 1000 + seconds;
  const cases: [Record<string, unknown>, number[]][] = [
    [{ Type: "FROM_TRIM_HORIZON" }, [0, 1, 2, 3, 4]],
    [{ Type: "AT_TRIM_HORIZON" }, [0, 1]],
    [{ Type: "AT_LATEST" }, [2, 4]],
    [{ Type: "AFTER_SHARD_ID", ShardId: shardId(2) }, [3, 4]],
    [{ Type: "AT_TIMESTAMP", Timestamp: at(5) }, [0, 1]],
    [{ Type: "AT_TIMESTAMP", Timestamp: at(10) }, [0, 1, 2, 3]],
    [{ Type: "AT_TIMESTAMP", Timestamp: at(15) }, [1, 2, 3]],
    [{ Type: "AT_TIMESTAMP", Timestamp: at(25) }, [2, 4]],
    [{ Type: "AT_TIMESTAMP", Timestamp: at(-60) }, [0, 1]],
    [{ Type: "FROM_TIMESTAMP", Timestamp: at(-60) }, [0, 1, 2, 3, 4]],
    [{ Type: "FROM_TIMESTAMP", Timestamp: at(15) }, [1, 2, 3, 4]],
    [{ Type: "FROM_TIMESTAMP", Timestamp: at(25) }, [2, 4]],
  ];
  for (const [ShardFilter, shards] of cases) {
    assertEquals(kinesis.shardIds({ ShardFilter }), shards, JSON.stringify(ShardFilter));
  }
});

Deno.test("AT_TRIM_HORIZON moves on to the children when the parents have expired", () => {
  const { kinesis } = resharded();
  kinesis.nowMs += 24 * HOUR_MS - 15_000;
  assertEquals(kinesis.shardIds({ ShardFilter: { Type: "AT_TRIM_HORIZON" } }), [1, 2, 3]);
});

Deno.test("a filter with the wrong parameter is refused", () => {
  const kinesis = kinesisWithStream(1);
  const wrong: [Record<string, unknown>, string][] = [
    [{ Type: "AT_TIMESTAMP" }, "InvalidArgumentException"],
    [{ Type: "AT_LATEST", Timestamp: 1 }, "InvalidArgumentException"],
    [{ Type: "AFTER_SHARD_ID" }, "InvalidArgumentException"],
    [{ Type: "AT_TIMESTAMP", Timestamp: kinesis.nowMs }, "InvalidArgumentException"],
    [{ Type: "BANANA" }, "ValidationException"],
    [{}, "ValidationException"],
  ];
  for (const [ShardFilter, error] of wrong) {
    assertEquals(kinesis.errorOf("ListShards", { ShardFilter }), error);
  }
});

Deno.test("ListShards goes page by page, by name or by ARN, and keeps its filter", () => {
  const { kinesis } = resharded();
  const StreamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
  assertEquals(kinesis.shardIds({ StreamName: undefined, StreamARN }), [0, 1, 2, 3, 4]);
  assertEquals(kinesis.shardIds({ ExclusiveStartShardId: shardId(1) }), [2, 3, 4]);
  const pages: number[][] = [];
  let input: Record<string, unknown> = {
    MaxResults: 2,
    ShardFilter: { Type: "AFTER_SHARD_ID", ShardId: shardId(0) },
  };
  while (true) {
    const output = kinesis.call<{ Shards: { ShardId: string }[]; NextToken?: string }>(
      "ListShards",
      input,
    );
    pages.push(output.Shards.map(({ ShardId }) => Number(ShardId.slice(-12))));
    if (output.NextToken === undefined) break;
    input = { StreamName: undefined, MaxResults: 2, NextToken: output.NextToken };
  }
  assertEquals(pages, [[1, 2], [3, 4]]);
});

Deno.test("a page token is used alone, and within five minutes", () => {
  const kinesis = kinesisWithStream(3);
  const { NextToken } = kinesis.call<{ NextToken: string }>("ListShards", { MaxResults: 1 });
  const together = kinesis.failure("ListShards", { NextToken });
  assertEquals(together.name, "InvalidArgumentException");
  assertStringIncludes(together.message, "NextToken and StreamName cannot be provided together");
  kinesis.nowMs += 300_001;
  const late = kinesis.errorOf("ListShards", { StreamName: undefined, NextToken });
  assertEquals(late, "ExpiredNextTokenException");
});

Deno.test("a stream is CREATING and DELETING for the set time", () => {
  const kinesis = kinesisWithStream(3, { transitionMs: 1000 });
  const status = () =>
    kinesis.call<Description>("DescribeStreamSummary").StreamDescriptionSummary.StreamStatus;
  assertEquals(status(), "CREATING");
  assertEquals(
    kinesis.errorOf("PutRecord", { PartitionKey: "k", Data: "" }),
    "ResourceInUseException",
  );
  kinesis.nowMs += 1000;
  assertEquals(status(), "ACTIVE");
  kinesis.call("DeleteStream");
  assertEquals(status(), "DELETING");
  assertEquals(kinesis.errorOf("CreateStream", { ShardCount: 1 }), "ResourceInUseException");
  kinesis.nowMs += 1000;
  assertEquals(kinesis.errorOf("DescribeStream"), "ResourceNotFoundException");
  assertEquals(kinesis.call<{ StreamNames: string[] }>("ListStreams").StreamNames, []);
});

Deno.test("an on-demand stream starts with four shards and is not scaled by hand", () => {
  const kinesis = new TestKinesis();
  kinesis.call("CreateStream", { StreamModeDetails: { StreamMode: "ON_DEMAND" } });
  const summary = kinesis.call<Description>("DescribeStreamSummary").StreamDescriptionSummary;
  assertEquals([summary.OpenShardCount, summary.StreamModeDetails.StreamMode], [4, "ON_DEMAND"]);
  const input = { TargetShardCount: 8, ScalingType: "UNIFORM_SCALING" };
  assertEquals(kinesis.errorOf("UpdateShardCount", input), "ValidationException");
});

Deno.test("streams are listed by name, page by page", () => {
  const kinesis = new TestKinesis();
  for (const StreamName of ["c", "a", "b"]) {
    kinesis.call("CreateStream", { StreamName, ShardCount: 1 });
  }
  const first = kinesis.call<{ StreamNames: string[]; NextToken: string }>("ListStreams", {
    Limit: 2,
  });
  assertEquals(first.StreamNames, ["a", "b"]);
  const { NextToken } = first;
  const second = kinesis.call<{ StreamNames: string[]; HasMoreStreams: boolean }>("ListStreams", {
    NextToken,
  });
  assertEquals([second.StreamNames, second.HasMoreStreams], [["c"], false]);
});

Deno.test("tags are kept, listed and removed", () => {
  const kinesis = kinesisWithStream(1);
  kinesis.call("AddTagsToStream", { Tags: { team: "red", stage: "test" } });
  kinesis.call("RemoveTagsFromStream", { TagKeys: ["team"] });
  assertEquals(kinesis.call("ListTagsForStream"), {
    Tags: [{ Key: "stage", Value: "test" }],
    HasMoreTags: false,
  });
});

Deno.test("an operation that is not there is refused", () => {
  const kinesis = kinesisWithStream(1);
  assertEquals(kinesis.errorOf("EnableEnhancedMonitoring"), "UnknownOperationException");
  assertEquals(kinesis.errorOf("toString"), "UnknownOperationException");
});

Deno.test("a record goes to the shard that its key's MD5 hash falls into", () => {
  const kinesis = kinesisWithStream(4);
  // MD5 of "a" starts with 0c, of "b" with 92, of "c" with 4a, of "d" with 82.
  const shards = ["a", "b", "c", "d"].map((key) => kinesis.put(key).ShardId);
  assertEquals(shards, [shardId(0), shardId(2), shardId(1), shardId(2)]);
  const last = { ExplicitHashKey: (2n ** 128n - 1n).toString() };
  assertEquals(kinesis.put("a", last).ShardId, shardId(3));
});
