// Proves that a shard serves per second what AWS lets it serve, and that a request may be so large.
import { assertEquals } from "@std/assert";
import { kinesisWithStream, shardId, type TestKinesis } from "./local_testing.ts";

interface PutRecordsOutput {
  readonly FailedRecordCount: number;
  readonly Records: readonly { readonly ErrorCode?: string; readonly SequenceNumber?: string }[];
}

const THROTTLED = "ProvisionedThroughputExceededException";
const MEBIBYTE = 1024 * 1024;

Deno.test("the sixth read of a shard within a second is refused", () => {
  const kinesis = kinesisWithStream(2);
  const iterator = kinesis.iterator("LATEST");
  for (let count = 0; count < 5; count++) {
    kinesis.get(iterator);
    kinesis.nowMs += 100;
  }
  assertEquals(kinesis.errorOf("GetRecords", { ShardIterator: iterator }), THROTTLED);
  kinesis.get(kinesis.iterator("LATEST", { ShardId: shardId(1) }));
  kinesis.nowMs += 500;
  kinesis.get(iterator);
});

Deno.test("a clock that steps back does not close a shard", () => {
  const kinesis = kinesisWithStream(1);
  const iterator = kinesis.iterator("LATEST");
  for (let count = 0; count < 5; count++) kinesis.get(iterator);
  kinesis.nowMs -= 60_000;
  kinesis.get(iterator);
});

Deno.test("a shard that gave 10 MiB at once gives nothing for five seconds", () => {
  const kinesis = kinesisWithStream(1, { limits: { writeBytesPerSecond: Infinity } });
  const Data = new Uint8Array(MEBIBYTE - 1).toBase64();
  for (let count = 0; count < 11; count++) kinesis.put("k", { Data });
  const ShardIterator = kinesis.get(kinesis.iterator("TRIM_HORIZON")).NextShardIterator;
  kinesis.nowMs += 4999;
  assertEquals(kinesis.errorOf("GetRecords", { ShardIterator }), THROTTLED);
  kinesis.nowMs += 1;
  assertEquals(kinesis.get(ShardIterator).Records.length, 1);
});

Deno.test("a shard takes 1,000 records a second", () => {
  const kinesis = kinesisWithStream(1);
  assertEquals(putMany(kinesis, 500).FailedRecordCount, 0);
  assertEquals(putMany(kinesis, 499).FailedRecordCount, 0);
  const last = putMany(kinesis, 3);
  assertEquals(last.FailedRecordCount, 2);
  assertEquals(last.Records.map(({ ErrorCode }) => ErrorCode), [undefined, THROTTLED, THROTTLED]);
  const input = { PartitionKey: "k", Data: "" };
  assertEquals(kinesis.errorOf("PutRecord", input), THROTTLED);
  kinesis.nowMs += 1000;
  kinesis.put("k");
});

Deno.test("a shard takes 1 MiB a second, partition keys included", () => {
  const kinesis = kinesisWithStream(1);
  const Data = new Uint8Array(MEBIBYTE / 2 - 1).toBase64();
  kinesis.put("k", { Data });
  kinesis.put("k", { Data });
  assertEquals(kinesis.errorOf("PutRecord", { PartitionKey: "k", Data: "" }), THROTTLED);
  kinesis.nowMs += 1000;
  kinesis.put("k", { Data: new Uint8Array(MEBIBYTE).toBase64() });
});

Deno.test("with the limits off nothing is throttled", () => {
  const kinesis = kinesisWithStream(1, { limits: "off" });
  for (let count = 0; count < 5; count++) putMany(kinesis, 500);
  const iterator = kinesis.iterator("TRIM_HORIZON");
  for (let count = 0; count < 50; count++) assertEquals(kinesis.get(iterator).Records.length, 2500);
});

Deno.test("requests beyond the limits of AWS are refused whole", () => {
  const kinesis = kinesisWithStream(4);
  const record = (bytes: number) => ({
    PartitionKey: "k",
    Data: new Uint8Array(bytes).toBase64(),
  });
  const refused: [string, Record<string, unknown>, string][] = [
    ["PutRecord", record(MEBIBYTE + 1), "ValidationException"],
    ["PutRecord", { ...record(1), PartitionKey: "" }, "ValidationException"],
    ["PutRecord", { ...record(1), PartitionKey: "k".repeat(257) }, "ValidationException"],
    ["PutRecord", { ...record(1), Data: "%%%" }, "SerializationException"],
    ["PutRecord", { ...record(1), ExplicitHashKey: "0x1" }, "ValidationException"],
    [
      "PutRecord",
      { ...record(1), ExplicitHashKey: (2n ** 128n).toString() },
      "InvalidArgumentException",
    ],
    ["PutRecords", { Records: [] }, "ValidationException"],
    ["PutRecords", { Records: Array(501).fill(record(1)) }, "ValidationException"],
    ["PutRecords", { Records: Array(6).fill(record(MEBIBYTE)) }, "InvalidArgumentException"],
    ["GetRecords", { ShardIterator: "x", Limit: 10_001 }, "ValidationException"],
    ["GetRecords", { ShardIterator: "x", Limit: 0 }, "ValidationException"],
    ["GetRecords", {}, "ValidationException"],
  ];
  for (const [operation, input, error] of refused) {
    assertEquals(kinesis.errorOf(operation, input), error, JSON.stringify(input).slice(0, 80));
  }
});

function putMany(kinesis: TestKinesis, count: number): PutRecordsOutput {
  const Records = Array.from({ length: count }, () => ({ PartitionKey: "k", Data: "" }));
  return kinesis.call<PutRecordsOutput>("PutRecords", { Records });
}
