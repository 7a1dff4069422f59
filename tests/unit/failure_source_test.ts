// Owns: where the reading of failure records begins and ends, and in which order a stream of them is read.
import {
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  ListShardsCommand,
} from "@aws-sdk/client-kinesis";
import { assertEquals } from "@std/assert";
import { mockClient } from "aws-sdk-client-mock";
import { type FailureSource, openFailures } from "../../src/cli/failure_source.ts";

const { signal } = new AbortController();
const STREAM = { kind: "stream", streamName: "failed" } as const;

function clientOf(): KinesisClient {
  const credentials = { accessKeyId: "x", secretAccessKey: "x" };
  return new KinesisClient({ region: "us-east-1", credentials });
}

async function wheres(source: FailureSource): Promise<readonly string[]> {
  return await Array.fromAsync(source.read(signal), ({ where }) => where);
}

Deno.test("failure source: what is appended after the start is for the next call: a record may fail again at once", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, "one\n\ntwo\n");
    const kinesis = clientOf();
    const source = await openFailures({ kind: "file", path }, { kinesis, since: undefined });
    await Deno.writeTextFile(path, "three\n", { append: true });
    assertEquals([source.bytes, await wheres(source)], [9, ["line 1", "line 3"]]);
  } finally {
    await Deno.remove(path);
  }
});

/** A stream whose list has a child before its parents; each shard has two records, read one by one. */
function stream(options: { readonly arrival: number; readonly behind: number }): {
  readonly kinesis: KinesisClient;
  readonly starts: unknown[];
} {
  const kinesis = clientOf();
  const mock = mockClient(kinesis);
  const shard = (ShardId: string, ParentShardId?: string) => ({
    ...{ ShardId, ParentShardId, HashKeyRange: undefined, SequenceNumberRange: undefined },
  });
  mock.on(ListShardsCommand).resolves({ Shards: [shard("c", "b"), shard("b", "a"), shard("a")] });
  const starts: unknown[] = [];
  mock.on(GetShardIteratorCommand).callsFake(({ ShardId, ShardIteratorType, Timestamp }) => {
    starts.push([ShardIteratorType, Timestamp?.toISOString()]);
    return { ShardIterator: `${ShardId} 0` };
  });
  mock.on(GetRecordsCommand).callsFake(({ ShardIterator }) => {
    const [shardId, number] = ShardIterator.split(" ");
    const record = {
      SequenceNumber: `${Number(number) + 1}`,
      PartitionKey: "k",
      Data: new Uint8Array([0]),
      ApproximateArrivalTimestamp: new Date(options.arrival),
    };
    const isLast = Number(number) >= 1;
    return {
      Records: [record],
      NextShardIterator: `${shardId} ${Number(number) + 1}`,
      MillisBehindLatest: isLast ? options.behind : 5_000,
    };
  });
  return { kinesis, starts };
}

const BOTH = (shardId: string): readonly string[] => [
  `record 1 of ${shardId}`,
  `record 2 of ${shardId}`,
];

Deno.test("failure source: of a stream, parents come before their children, each up to its tip", async () => {
  const { kinesis, starts } = stream({ arrival: 0, behind: 0 });
  const source = await openFailures(STREAM, { kinesis, since: undefined });
  assertEquals(await wheres(source), [..."abc"].flatMap(BOTH));
  assertEquals(starts, [..."abc"].map(() => ["TRIM_HORIZON", undefined]));
});

Deno.test("failure source: a stream whose tip runs away is read up to the start of the call", async () => {
  const { kinesis, starts } = stream({ arrival: Date.now() + 3_600_000, behind: 5_000 });
  const since = Date.parse("2026-01-31T12:00:00Z");
  const source = await openFailures(STREAM, { kinesis, since });
  assertEquals(await wheres(source), [..."abc"].map((shardId) => `record 1 of ${shardId}`));
  // The clocks of the worker that wrote the time and of the stream may differ.
  assertEquals(starts[0], ["AT_TIMESTAMP", "2026-01-31T11:55:00.000Z"]);
});
