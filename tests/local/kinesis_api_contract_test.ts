// Proves that the local Kinesis, by either face, answers the AWS SDK as kinesis-local does where that is right.
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DescribeStreamCommand,
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  type GetRecordsCommandOutput,
  GetShardIteratorCommand,
  type KinesisClient,
  ListShardsCommand,
  type ListShardsCommandInput,
  ListStreamsCommand,
  MergeShardsCommand,
  PutRecordCommand,
  PutRecordsCommand,
  ResourceInUseException,
  ResourceNotFoundException,
  type Shard,
  type ShardIteratorType,
  SplitShardCommand,
  UpdateShardCountCommand,
} from "@aws-sdk/client-kinesis";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Claim, proveContract } from "./kinesis_backends.ts";

const HALF = (2n ** 127n).toString();
const LAST = (2n ** 128n - 1n).toString();

/** A claim that is tried on a stream of so many shards. */
function claimOf(
  claim: string,
  shards: number,
  holds: (stream: StreamUnderTest) => Promise<void>,
): Claim {
  return {
    claim,
    holds: async (client, name) => holds(await StreamUnderTest.create(client, name, shards)),
  };
}

/** What kinesis-local gets right too. */
const CLAIMS: readonly Claim[] = [
  claimOf("a stream is created once, described and listed", 2, isDescribed),
  claimOf("what is not there is not found", 1, missingIsNotFound),
  claimOf("records come back in order, whole", 1, recordsComeBack),
  claimOf("each iterator type starts where it says", 1, iteratorsStart),
  claimOf("a hash key decides the shard", 2, hashKeyDecides),
  claimOf("shards are listed by name, by ARN and by page", 3, shardsArePaged),
  claimOf("a split shard ends and names its children", 1, splitEnds),
  claimOf("merged shards have one child", 2, mergeJoins),
  claimOf("UpdateShardCount doubles the open shards", 2, scalingDoubles),
  claimOf("a deleted stream is gone", 1, deletedIsGone),
];

/** What kinesis-local gets wrong, and AWS and we do not. */
const EXACT_CLAIMS: readonly Claim[] = [
  claimOf("the key space is cut evenly", 2, cutIsEven),
  claimOf("MillisBehindLatest tells of records left", 1, lagIsTold),
  claimOf("AT_TRIM_HORIZON lists the oldest shards", 2, oldestAreListed),
  claimOf("a record of 1 MiB fits", 1, largeRecordFits),
  claimOf("the sixth read in a second is refused", 1, sixthReadIsRefused),
];

proveContract("the Kinesis API", CLAIMS, EXACT_CLAIMS);

class StreamUnderTest {
  readonly client: KinesisClient;
  readonly StreamName: string;

  constructor(client: KinesisClient, streamName: string) {
    this.client = client;
    this.StreamName = streamName;
  }

  static async create(
    client: KinesisClient,
    StreamName: string,
    ShardCount: number,
  ): Promise<StreamUnderTest> {
    await client.send(new CreateStreamCommand({ StreamName, ShardCount }));
    const stream = new StreamUnderTest(client, StreamName);
    await stream.untilActive();
    return stream;
  }

  async untilActive(): Promise<void> {
    const { StreamName } = this;
    while (true) {
      const summary = await this.client.send(new DescribeStreamSummaryCommand({ StreamName }));
      if (summary.StreamDescriptionSummary?.StreamStatus === "ACTIVE") return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async put(PartitionKey: string, ExplicitHashKey?: string): Promise<string> {
    const Data = new TextEncoder().encode(`<${PartitionKey}>`);
    const input = {
      StreamName: this.StreamName,
      PartitionKey,
      Data,
      ...(ExplicitHashKey ? { ExplicitHashKey } : {}),
    };
    const { SequenceNumber } = await this.client.send(new PutRecordCommand(input));
    return SequenceNumber ?? "";
  }

  async iterator(ShardIteratorType: ShardIteratorType, fields: object = {}): Promise<string> {
    const input = {
      StreamName: this.StreamName,
      ShardId: shardId(0),
      ShardIteratorType,
      ...fields,
    };
    return (await this.client.send(new GetShardIteratorCommand(input))).ShardIterator ?? "";
  }

  get(ShardIterator: string | undefined, Limit: number = 100): Promise<GetRecordsCommandOutput> {
    return this.client.send(new GetRecordsCommand({ ShardIterator, Limit }));
  }

  async keysFrom(type: ShardIteratorType, fields: object = {}): Promise<string[]> {
    return keysOf(await this.get(await this.iterator(type, fields)));
  }

  async shards(fields: Partial<ListShardsCommandInput> = {}): Promise<Shard[]> {
    const input = { StreamName: this.StreamName, ...fields };
    return (await this.client.send(new ListShardsCommand(input))).Shards ?? [];
  }

  async split(): Promise<void> {
    const input = { ShardToSplit: shardId(0), NewStartingHashKey: HALF };
    const { StreamName } = this;
    await this.client.send(new SplitShardCommand({ StreamName, ...input }));
    await this.untilActive();
  }
}

async function isDescribed(stream: StreamUnderTest): Promise<void> {
  const { client, StreamName } = stream;
  const { StreamDescription } = await client.send(new DescribeStreamCommand({ StreamName }));
  assertEquals(StreamDescription?.StreamStatus, "ACTIVE");
  assertEquals(StreamDescription?.RetentionPeriodHours, 24);
  assertEquals(StreamDescription?.HasMoreShards, false);
  assertEquals(StreamDescription?.Shards?.map(({ ShardId }) => ShardId), [0, 1].map(shardId));
  const { StreamNames } = await client.send(new ListStreamsCommand({}));
  assert(StreamNames?.includes(StreamName));
  const again = new CreateStreamCommand({ StreamName, ShardCount: 1 });
  await assertRejects(() => client.send(again), ResourceInUseException);
}

async function missingIsNotFound({ client, StreamName }: StreamUnderTest): Promise<void> {
  const notFound = ResourceNotFoundException;
  const other = { StreamName: "nowhere" };
  await assertRejects(() => client.send(new DescribeStreamCommand(other)), notFound);
  await assertRejects(() => client.send(new ListShardsCommand(other)), notFound);
  const record = { PartitionKey: "k", Data: new Uint8Array() };
  await assertRejects(() => client.send(new PutRecordCommand({ ...other, ...record })), notFound);
  const ShardId = shardId(7);
  const position = { StreamName, ShardId, ShardIteratorType: "LATEST" } as const;
  await assertRejects(() => client.send(new GetShardIteratorCommand(position)), notFound);
}

async function recordsComeBack(stream: StreamUnderTest): Promise<void> {
  const { client, StreamName } = stream;
  const Records = Array.from({ length: 50 }, (_, index) => ({
    PartitionKey: `ключ-${index}`,
    Data: new Uint8Array([index, 0, 255]),
  }));
  const startMs = Date.now();
  const put = await client.send(new PutRecordsCommand({ StreamName, Records }));
  assertEquals(put.FailedRecordCount, 0);
  const first = await stream.get(await stream.iterator("TRIM_HORIZON"), 20);
  const second = await stream.get(first.NextShardIterator, 100);
  const records = [...first.Records ?? [], ...second.Records ?? []];
  assertEquals([first.Records?.length, second.Records?.length], [20, 30]);
  assertEquals(
    records.map(({ PartitionKey, Data }) => ({ PartitionKey, Data: new Uint8Array(Data ?? []) })),
    Records,
  );
  const numbers = records.map(({ SequenceNumber }) => SequenceNumber ?? "");
  assertEquals(numbers, put.Records?.map(({ SequenceNumber }) => SequenceNumber ?? ""));
  assertEquals(numbers, numbers.toSorted((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1)));
  const arrivedMs = records[0]?.ApproximateArrivalTimestamp?.getTime() ?? 0;
  assert(arrivedMs >= startMs - 1000 && arrivedMs <= Date.now());
  assertEquals(second.MillisBehindLatest, 0);
}

async function iteratorsStart(stream: StreamUnderTest): Promise<void> {
  await stream.put("a");
  await new Promise((resolve) => setTimeout(resolve, 5));
  const Timestamp = new Date();
  const StartingSequenceNumber = await stream.put("b");
  await stream.put("c");
  assertEquals(await stream.keysFrom("TRIM_HORIZON"), ["a", "b", "c"]);
  assertEquals(await stream.keysFrom("AT_TIMESTAMP", { Timestamp }), ["b", "c"]);
  const at = { StartingSequenceNumber };
  assertEquals(await stream.keysFrom("AT_SEQUENCE_NUMBER", at), ["b", "c"]);
  assertEquals(await stream.keysFrom("AFTER_SEQUENCE_NUMBER", at), ["c"]);
  const latest = await stream.get(await stream.iterator("LATEST"));
  assertEquals(keysOf(latest), []);
}

async function hashKeyDecides(stream: StreamUnderTest): Promise<void> {
  // MD5 of "a" starts with 0c, of "b" with 92.
  for (const [key, hashKey] of [["a"], ["b"], ["c", HALF], ["d", "0"], ["e", LAST]] as const) {
    await stream.put(key, hashKey);
  }
  assertEquals(await stream.keysFrom("TRIM_HORIZON"), ["a", "d"]);
  assertEquals(await stream.keysFrom("TRIM_HORIZON", { ShardId: shardId(1) }), ["b", "c", "e"]);
}

async function shardsArePaged(stream: StreamUnderTest): Promise<void> {
  const { client, StreamName } = stream;
  const summary = await client.send(new DescribeStreamSummaryCommand({ StreamName }));
  const StreamARN = summary.StreamDescriptionSummary?.StreamARN;
  const byArn = await client.send(new ListShardsCommand({ StreamARN }));
  assertEquals(byArn.Shards, await stream.shards());
  assertEquals(byArn.Shards?.map(({ ShardId }) => ShardId), [0, 1, 2].map(shardId));
  const first = await client.send(new ListShardsCommand({ StreamName, MaxResults: 2 }));
  assertEquals(first.Shards?.length, 2);
  const rest = new ListShardsCommand({ NextToken: first.NextToken, MaxResults: 2 });
  const second = await client.send(rest);
  assertEquals(second.Shards?.map(({ ShardId }) => ShardId), [shardId(2)]);
  assertEquals(second.NextToken, undefined);
}

async function splitEnds(stream: StreamUnderTest): Promise<void> {
  await stream.put("a");
  const iterator = await stream.iterator("TRIM_HORIZON");
  await stream.split();
  let output = await stream.get(iterator);
  const keys = keysOf(output);
  // A reply that ends a shard may carry its last records, or come after them.
  for (let call = 0; call < 3 && output.NextShardIterator; call++) {
    output = await stream.get(output.NextShardIterator);
    keys.push(...keysOf(output));
  }
  assertEquals(keys, ["a"]);
  assertEquals(output.NextShardIterator ?? null, null);
  const children = [{ at: 1, from: "0" }, { at: 2, from: HALF }];
  assertEquals(
    output.ChildShards?.map(({ ShardId, ParentShards, HashKeyRange }) => [
      ShardId,
      ParentShards,
      HashKeyRange?.StartingHashKey,
    ]),
    children.map(({ at, from }) => [shardId(at), [shardId(0)], from]),
  );
  const [parent, lower] = await stream.shards();
  assertEquals(lower?.ParentShardId, shardId(0));
  const end = parent?.SequenceNumberRange?.EndingSequenceNumber ?? "";
  const start = lower?.SequenceNumberRange?.StartingSequenceNumber ?? "";
  assert(BigInt(end) < BigInt(start));
  const open = await stream.shards({ ShardFilter: { Type: "AT_LATEST" } });
  assertEquals(open.map(({ ShardId }) => ShardId), [shardId(1), shardId(2)]);
}

async function mergeJoins(stream: StreamUnderTest): Promise<void> {
  const { client, StreamName } = stream;
  const pair = { ShardToMerge: shardId(0), AdjacentShardToMerge: shardId(1) };
  await client.send(new MergeShardsCommand({ StreamName, ...pair }));
  await stream.untilActive();
  const child = (await stream.shards())[2];
  assertEquals(
    [child?.ParentShardId, child?.AdjacentParentShardId, child && rangeOf(child)],
    [shardId(0), shardId(1), ["0", LAST]],
  );
  await stream.put("a");
  assertEquals(await stream.keysFrom("TRIM_HORIZON", { ShardId: shardId(2) }), ["a"]);
}

async function scalingDoubles(stream: StreamUnderTest): Promise<void> {
  const { client, StreamName } = stream;
  const input = { TargetShardCount: 4, ScalingType: "UNIFORM_SCALING" } as const;
  const output = await client.send(new UpdateShardCountCommand({ StreamName, ...input }));
  assertEquals([output.CurrentShardCount, output.TargetShardCount], [2, 4]);
  await stream.untilActive();
  const open = await stream.shards({ ShardFilter: { Type: "AT_LATEST" } });
  assertEquals(open.length, 4);
}

async function deletedIsGone({ client, StreamName }: StreamUnderTest): Promise<void> {
  await client.send(new DeleteStreamCommand({ StreamName }));
  const describe = () => client.send(new DescribeStreamCommand({ StreamName }));
  const attemptsMax = 50;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const isGone = await describe().then(() => false, () => true);
    if (isGone) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await assertRejects(describe, ResourceNotFoundException);
}

async function cutIsEven(stream: StreamUnderTest): Promise<void> {
  assertEquals((await stream.shards()).map(rangeOf), [
    ["0", (BigInt(HALF) - 1n).toString()],
    [HALF, LAST],
  ]);
}

async function lagIsTold(stream: StreamUnderTest): Promise<void> {
  await stream.put("a");
  await stream.put("b");
  const first = await stream.get(await stream.iterator("TRIM_HORIZON"), 1);
  assert((first.MillisBehindLatest ?? 0) > 0);
  assertEquals((await stream.get(first.NextShardIterator)).MillisBehindLatest, 0);
}

async function oldestAreListed(stream: StreamUnderTest): Promise<void> {
  const { client, StreamName } = stream;
  const NewStartingHashKey = (BigInt(HALF) / 2n).toString();
  const split = { StreamName, ShardToSplit: shardId(0), NewStartingHashKey };
  await client.send(new SplitShardCommand(split));
  const oldest = await stream.shards({ ShardFilter: { Type: "AT_TRIM_HORIZON" } });
  assertEquals(oldest.map(({ ShardId }) => ShardId), [shardId(0), shardId(1)]);
}

async function largeRecordFits(stream: StreamUnderTest): Promise<void> {
  const { client, StreamName } = stream;
  const Data = new Uint8Array(1024 * 1024).fill(1);
  await client.send(new PutRecordCommand({ StreamName, PartitionKey: "k", Data }));
  const { Records } = await stream.get(await stream.iterator("TRIM_HORIZON"));
  assertEquals(Records?.[0]?.Data?.length, Data.length);
}

async function sixthReadIsRefused(stream: StreamUnderTest): Promise<void> {
  const iterator = await stream.iterator("LATEST");
  const reads = await Promise.allSettled(Array.from({ length: 6 }, () => stream.get(iterator)));
  const refused = reads.filter((read) => read.status === "rejected");
  assertEquals(refused.map(({ reason }) => reason.name), [
    "ProvisionedThroughputExceededException",
  ]);
}

function keysOf({ Records }: GetRecordsCommandOutput): string[] {
  return (Records ?? []).map(({ PartitionKey }) => PartitionKey ?? "");
}

function rangeOf({ HashKeyRange }: Shard): [string | undefined, string | undefined] {
  return [HashKeyRange?.StartingHashKey, HashKeyRange?.EndingHashKey];
}

function shardId(index: number): string {
  return `shardId-${String(index).padStart(12, "0")}`;
}
