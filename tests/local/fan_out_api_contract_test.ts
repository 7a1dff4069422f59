// Proves that the local Kinesis, by either face, has consumers and subscriptions as AWS has, and as kinesis-local has where that is right.
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DeregisterStreamConsumerCommand,
  DescribeStreamConsumerCommand,
  DescribeStreamSummaryCommand,
  type KinesisClient,
  LimitExceededException,
  ListStreamConsumersCommand,
  PutRecordCommand,
  RegisterStreamConsumerCommand,
  ResourceInUseException,
  ResourceNotFoundException,
  SplitShardCommand,
  type StartingPosition,
  SubscribeToShardCommand,
  type SubscribeToShardEvent,
} from "@aws-sdk/client-kinesis";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Claim, proveContract } from "./kinesis_backends.ts";

const SHARD = "shardId-000000000000";

function claimOf(claim: string, holds: (stream: StreamUnderTest) => Promise<void>): Claim {
  return {
    claim,
    async holds(client, streamName) {
      await using stream = await StreamUnderTest.create(client, streamName);
      await holds(stream);
    },
  };
}

/** What kinesis-local gets right too. */
const CLAIMS: readonly Claim[] = [
  claimOf("a consumer is registered once, and found by name and by ARN", isRegistered),
  claimOf("a subscription sends what is there and what comes", sends),
];

/** What kinesis-local gets wrong, and AWS and we do not. */
const EXACT_CLAIMS: readonly Claim[] = [
  claimOf("consumers are listed in pages", consumersArePaged),
  claimOf("a deregistered consumer is gone", deregisteredIsGone),
  claimOf("what is not there is not found", missingIsNotFound),
  claimOf("each starting position starts where it says", positionsStart),
  claimOf("a continuation goes on without a gap", continues),
  claimOf("a split shard ends with its children", endsWithChildren),
  claimOf("a shard is not subscribed to twice within 5 seconds", isInUse),
  claimOf("no stream has more than 20 consumers", consumersAreLimited),
  claimOf("a stream with consumers is deleted only when that is meant", deletionIsMeant),
];

proveContract("consumers and subscriptions", CLAIMS, EXACT_CLAIMS);

class StreamUnderTest implements AsyncDisposable {
  readonly client: KinesisClient;
  readonly StreamName: string;
  readonly StreamARN: string;
  readonly #connections = new AbortController();

  constructor(client: KinesisClient, StreamName: string, StreamARN: string) {
    this.client = client;
    this.StreamName = StreamName;
    this.StreamARN = StreamARN;
  }

  static async create(client: KinesisClient, StreamName: string): Promise<StreamUnderTest> {
    await client.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }));
    const describe = new DescribeStreamSummaryCommand({ StreamName });
    return await until(async () => {
      const { StreamDescriptionSummary: summary } = await client.send(describe);
      if (summary?.StreamStatus !== "ACTIVE") return undefined;
      return new StreamUnderTest(client, StreamName, summary.StreamARN ?? "");
    });
  }

  /** Registers a consumer and waits until it can subscribe; answers its ARN. */
  async register(ConsumerName: string): Promise<string> {
    const { StreamARN } = this;
    await this.client.send(new RegisterStreamConsumerCommand({ StreamARN, ConsumerName }));
    return await until(async () => {
      const describe = new DescribeStreamConsumerCommand({ StreamARN, ConsumerName });
      const { ConsumerDescription: consumer } = await this.client.send(describe);
      return consumer?.ConsumerStatus === "ACTIVE" ? consumer.ConsumerARN : undefined;
    });
  }

  async put(PartitionKey: string): Promise<string> {
    const { StreamName } = this;
    const Data = new TextEncoder().encode(PartitionKey);
    const reply = await this.client.send(new PutRecordCommand({ StreamName, PartitionKey, Data }));
    return reply.SequenceNumber ?? "";
  }

  async subscribe(
    ConsumerARN: string,
    position: StartingPosition,
    ShardId: string = SHARD,
  ): Promise<AsyncIterator<SubscribeToShardEvent>> {
    const command = new SubscribeToShardCommand({
      ConsumerARN,
      ShardId,
      StartingPosition: position,
    });
    const abortSignal = this.#connections.signal;
    const { EventStream } = await this.client.send(command, { abortSignal });
    assert(EventStream);
    return (async function* () {
      for await (const { SubscribeToShardEvent: event } of EventStream) if (event) yield event;
    })();
  }

  /** The keys of the first records that a consumer of its own gets. */
  async keysFrom(count: number, position: StartingPosition): Promise<string[]> {
    const events = await this.subscribe(await this.register(`c-${crypto.randomUUID()}`), position);
    return await keysOf(events, count);
  }

  async split(): Promise<void> {
    const { StreamName } = this;
    const NewStartingHashKey = (2n ** 127n).toString();
    const input = { StreamName, ShardToSplit: SHARD, NewStartingHashKey };
    await this.client.send(new SplitShardCommand(input));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#connections.abort();
    // The service sees it a moment later.
    return new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function isRegistered(stream: StreamUnderTest): Promise<void> {
  const { client, StreamARN } = stream;
  const ConsumerARN = await stream.register("billing");
  assert(ConsumerARN.startsWith(`${StreamARN}/consumer/billing:`), ConsumerARN);
  const byArn = await client.send(new DescribeStreamConsumerCommand({ ConsumerARN }));
  const { ConsumerCreationTimestamp: created, ...rest } = byArn.ConsumerDescription ?? {};
  assertEquals(rest, { ConsumerName: "billing", ConsumerARN, ConsumerStatus: "ACTIVE", StreamARN });
  assert(Math.abs((created?.getTime() ?? 0) - Date.now()) < 60_000);
  const again = new RegisterStreamConsumerCommand({ StreamARN, ConsumerName: "billing" });
  await assertRejects(() => client.send(again), ResourceInUseException);
}

async function consumersArePaged(stream: StreamUnderTest): Promise<void> {
  const { client, StreamARN } = stream;
  for (const name of ["c", "a", "b"]) await stream.register(name);
  const names: (string | undefined)[] = [];
  let NextToken: string | undefined;
  do {
    const page = await client.send(
      new ListStreamConsumersCommand({ StreamARN, MaxResults: 2, NextToken }),
    );
    names.push(...page.Consumers?.map(({ ConsumerName }) => ConsumerName) ?? []);
    NextToken = page.NextToken;
  } while (NextToken !== undefined && names.length < 10);
  assertEquals(names.sort(), ["a", "b", "c"]);
}

async function deregisteredIsGone(stream: StreamUnderTest): Promise<void> {
  const { client, StreamARN } = stream;
  await stream.register("billing");
  const which = { StreamARN, ConsumerName: "billing" };
  await client.send(new DeregisterStreamConsumerCommand(which));
  const error = await until(() =>
    client.send(new DescribeStreamConsumerCommand(which)).then(() => undefined, (error) => error)
  );
  assert(error instanceof ResourceNotFoundException, String(error));
}

async function missingIsNotFound(stream: StreamUnderTest): Promise<void> {
  const { client, StreamARN } = stream;
  const notFound = ResourceNotFoundException;
  const which = { StreamARN, ConsumerName: "nobody" };
  await assertRejects(() => client.send(new DescribeStreamConsumerCommand(which)), notFound);
  await assertRejects(() => client.send(new DeregisterStreamConsumerCommand(which)), notFound);
  const arn = await stream.register("billing");
  const position: StartingPosition = { Type: "LATEST" };
  const elsewhere = () => stream.subscribe(arn, position, "shardId-000000000007");
  await assertRejects(elsewhere, notFound);
}

async function sends(stream: StreamUnderTest): Promise<void> {
  await stream.put("a");
  const events = await stream.subscribe(await stream.register("c"), { Type: "TRIM_HORIZON" });
  assertEquals(await keysOf(events, 1), ["a"]);
  const later = keysOf(events, 2);
  await stream.put("b");
  await stream.put("c");
  assertEquals(await later, ["b", "c"]);
}

async function positionsStart(stream: StreamUnderTest): Promise<void> {
  await stream.put("a");
  await new Promise((resolve) => setTimeout(resolve, 5));
  const Timestamp = new Date();
  const SequenceNumber = await stream.put("b");
  await stream.put("c");
  assertEquals(await stream.keysFrom(3, { Type: "TRIM_HORIZON" }), ["a", "b", "c"]);
  assertEquals(await stream.keysFrom(2, { Type: "AT_TIMESTAMP", Timestamp }), ["b", "c"]);
  assertEquals(await stream.keysFrom(2, { Type: "AT_SEQUENCE_NUMBER", SequenceNumber }), [
    "b",
    "c",
  ]);
  assertEquals(await stream.keysFrom(1, { Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber }), ["c"]);
  const latest = await stream.subscribe(await stream.register("latest"), { Type: "LATEST" });
  const { value } = await latest.next();
  assertEquals([value?.Records, value?.MillisBehindLatest], [[], 0]);
}

async function continues(stream: StreamUnderTest): Promise<void> {
  const first = await stream.subscribe(await stream.register("one"), { Type: "TRIM_HORIZON" });
  const { value } = await first.next();
  const SequenceNumber = value?.ContinuationSequenceNumber;
  assert(SequenceNumber);
  await stream.put("a");
  const position: StartingPosition = { Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber };
  assertEquals(await stream.keysFrom(1, position), ["a"]);
}

async function endsWithChildren(stream: StreamUnderTest): Promise<void> {
  await stream.put("a");
  const events = await stream.subscribe(await stream.register("c"), { Type: "TRIM_HORIZON" });
  assertEquals(await keysOf(events, 1), ["a"]);
  const rest = Array.fromAsync({ [Symbol.asyncIterator]: () => events });
  await stream.split();
  const last = (await rest).at(-1);
  assertEquals(last?.ContinuationSequenceNumber ?? null, null);
  assertEquals(
    last?.ChildShards?.map(({ ShardId, ParentShards }) => [ShardId, ParentShards]),
    [["shardId-000000000001", [SHARD]], ["shardId-000000000002", [SHARD]]],
  );
}

async function isInUse(stream: StreamUnderTest): Promise<void> {
  const arn = await stream.register("c");
  await stream.subscribe(arn, { Type: "LATEST" });
  const again = () => stream.subscribe(arn, { Type: "LATEST" });
  await assertRejects(again, LimitExceededException);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await assertRejects(again, ResourceInUseException);
}

async function consumersAreLimited(stream: StreamUnderTest): Promise<void> {
  for (let i = 0; i < 20; i++) await stream.register(`consumer-${i}`);
  await assertRejects(() => stream.register("one-more"), LimitExceededException);
}

async function deletionIsMeant(stream: StreamUnderTest): Promise<void> {
  const { client, StreamName } = stream;
  const events = await stream.subscribe(await stream.register("c"), { Type: "LATEST" });
  await events.next();
  const summary = await client.send(new DescribeStreamSummaryCommand({ StreamName }));
  assertEquals(summary.StreamDescriptionSummary?.ConsumerCount, 1);
  await assertRejects(
    () => client.send(new DeleteStreamCommand({ StreamName })),
    ResourceInUseException,
  );
  const pending = assertRejects(() => events.next(), ResourceNotFoundException);
  await client.send(new DeleteStreamCommand({ StreamName, EnforceConsumerDeletion: true }));
  await pending;
}

async function keysOf(events: AsyncIterator<SubscribeToShardEvent>, count: number) {
  const keys: string[] = [];
  while (keys.length < count) {
    const { value, done } = await events.next();
    if (done) break;
    keys.push(...(value.Records ?? []).map(({ PartitionKey }) => PartitionKey ?? ""));
  }
  return keys;
}

async function until<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  const attemptsMax = 500;
  for (let count = 0; count < attemptsMax; count++) {
    const result = await attempt();
    if (result !== undefined) return result;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("it did not come to pass");
}
