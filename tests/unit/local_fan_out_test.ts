// Proves consumers and subscriptions of the local Kinesis: their states, their times and their limits.
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { KinesisEngineOptions } from "../../src/local/kinesis_engine.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import { Subscription } from "../../src/local/subscription.ts";
import { HASH_KEY_HALF, kinesisWithStream, shardId, type TestKinesis } from "./local_testing.ts";

const StreamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
const MEBIBYTE = 1024 * 1024;

interface Event {
  readonly Records: readonly { readonly PartitionKey: string }[];
  readonly MillisBehindLatest: number;
  readonly ContinuationSequenceNumber: string | null;
  readonly ChildShards?: readonly { readonly ShardId: string }[];
}

function withConsumer(options: KinesisEngineOptions = {}): {
  readonly kinesis: TestKinesis;
  readonly arn: string;
} {
  const kinesis = kinesisWithStream(1, options);
  kinesis.nowMs += options.transitionMs ?? 0;
  return { kinesis, arn: register(kinesis, "billing") };
}

function register(kinesis: TestKinesis, ConsumerName: string): string {
  const input = { StreamARN, ConsumerName };
  const { Consumer } = kinesis.call<{ Consumer: { ConsumerARN: string } }>(
    "RegisterStreamConsumer",
    input,
  );
  return Consumer.ConsumerARN;
}

function inputOf(ConsumerARN: string, fields: object = {}) {
  return {
    ConsumerARN,
    ShardId: shardId(0),
    StartingPosition: { Type: "TRIM_HORIZON" },
    ...fields,
  };
}

function subscribe(kinesis: TestKinesis, arn: string, fields: object = {}): Subscription {
  const subscription = kinesis.call("SubscribeToShard", inputOf(arn, fields));
  assert(subscription instanceof Subscription);
  return subscription;
}

function eventOf(subscription: Subscription): Event {
  const step = subscription.next();
  assert(step.kind === "event", step.kind);
  return step.event as Event;
}

function keysOf(event: Event): string[] {
  return event.Records.map((record) => record.PartitionKey);
}

function statusOf(kinesis: TestKinesis, ConsumerARN: string): string {
  const reply = kinesis.call<{ ConsumerDescription: { ConsumerStatus: string } }>(
    "DescribeStreamConsumer",
    { ConsumerARN },
  );
  return reply.ConsumerDescription.ConsumerStatus;
}

Deno.test("a consumer is CREATING, ACTIVE and DELETING for as long as a transition takes", () => {
  const { kinesis, arn } = withConsumer({ transitionMs: 3_000 });
  assertEquals(statusOf(kinesis, arn), "CREATING");
  assertEquals(kinesis.errorOf("SubscribeToShard", inputOf(arn)), "ResourceInUseException");
  kinesis.nowMs += 3_000;
  assertEquals(statusOf(kinesis, arn), "ACTIVE");
  const subscription = subscribe(kinesis, arn);
  eventOf(subscription);
  kinesis.call("DeregisterStreamConsumer", { ConsumerARN: arn });
  assertThrows(() => subscription.next(), KinesisError, "not found");
  assertEquals(statusOf(kinesis, arn), "DELETING");
  kinesis.nowMs += 3_000;
  assertEquals(
    kinesis.errorOf("DescribeStreamConsumer", { ConsumerARN: arn }),
    "ResourceNotFoundException",
  );
});

Deno.test("a consumer that is registered again is another one", () => {
  const { kinesis, arn } = withConsumer();
  kinesis.call("DeregisterStreamConsumer", { ConsumerARN: arn });
  kinesis.nowMs += 1_000;
  const again = register(kinesis, "billing");
  assert(again !== arn);
  assertEquals(kinesis.errorOf("SubscribeToShard", inputOf(arn)), "ResourceNotFoundException");
  subscribe(kinesis, again);
});

Deno.test("no more than 5 consumers are created at once", () => {
  const { kinesis } = withConsumer({ transitionMs: 1_000 });
  for (let i = 0; i < 4; i++) register(kinesis, `c${i}`);
  const input = { StreamARN, ConsumerName: "one-more" };
  assertEquals(kinesis.errorOf("RegisterStreamConsumer", input), "LimitExceededException");
  kinesis.nowMs += 1_000;
  register(kinesis, "one-more");
});

Deno.test("a subscription sends at once, when there is something, and every 5 seconds when there is not", () => {
  const { kinesis, arn } = withConsumer();
  const subscription = subscribe(kinesis, arn);
  assertEquals(keysOf(eventOf(subscription)), []);
  assertEquals(subscription.next(), { kind: "wait", ms: 5_000 });
  let changes = 0;
  subscription.onChange = () => changes++;
  kinesis.put("a");
  assertEquals([changes, keysOf(eventOf(subscription))], [1, ["a"]]);
  kinesis.nowMs += 4_000;
  assertEquals(subscription.next(), { kind: "wait", ms: 1_000 });
  kinesis.nowMs += 1_000;
  const heartbeat = eventOf(subscription);
  assertEquals([keysOf(heartbeat), heartbeat.MillisBehindLatest], [[], 0]);
});

Deno.test("a subscription ends after 5 minutes, and its continuation goes on", () => {
  const { kinesis, arn } = withConsumer();
  const first = subscribe(kinesis, arn);
  kinesis.put("a");
  const { ContinuationSequenceNumber: SequenceNumber } = eventOf(first);
  kinesis.nowMs += 300_000;
  assertEquals([first.next().kind, first.next().kind], ["end", "end"]);
  kinesis.put("b");
  const StartingPosition = { Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber };
  assertEquals(keysOf(eventOf(subscribe(kinesis, arn, { StartingPosition }))), ["b"]);
});

Deno.test("a continuation is good after its record has expired", () => {
  const { kinesis, arn } = withConsumer();
  kinesis.put("a");
  const { ContinuationSequenceNumber: SequenceNumber } = eventOf(subscribe(kinesis, arn));
  kinesis.nowMs += 25 * 3_600_000;
  kinesis.put("b");
  const StartingPosition = { Type: "AFTER_SEQUENCE_NUMBER", SequenceNumber };
  assertEquals(keysOf(eventOf(subscribe(kinesis, arn, { StartingPosition }))), ["b"]);
});

Deno.test("a second subscription is refused for 5 seconds, then takes the first one over", () => {
  const { kinesis, arn } = withConsumer();
  const first = subscribe(kinesis, arn);
  eventOf(first);
  assertEquals(kinesis.errorOf("SubscribeToShard", inputOf(arn)), "LimitExceededException");
  kinesis.nowMs += 4_999;
  assertEquals(kinesis.errorOf("SubscribeToShard", inputOf(arn)), "ResourceInUseException");
  kinesis.nowMs += 1_000;
  let changes = 0;
  first.onChange = () => changes++;
  const second = subscribe(kinesis, arn);
  assertEquals(changes > 0, true);
  assertThrows(() => first.next(), KinesisError, "took this one over");
  assertEquals(first.next(), { kind: "end" });
  eventOf(second);
});

Deno.test("two consumers, and two shards, do not disturb each other", () => {
  const { kinesis, arn } = withConsumer();
  kinesis.call("SplitShard", { ShardToSplit: shardId(0), NewStartingHashKey: HASH_KEY_HALF });
  eventOf(subscribe(kinesis, arn));
  eventOf(subscribe(kinesis, arn, { ShardId: shardId(1) }));
  eventOf(subscribe(kinesis, register(kinesis, "other")));
});

Deno.test("a closed shard ends with its last records and its children", () => {
  const { kinesis, arn } = withConsumer();
  const subscription = subscribe(kinesis, arn);
  eventOf(subscription);
  kinesis.put("a");
  kinesis.call("SplitShard", { ShardToSplit: shardId(0), NewStartingHashKey: HASH_KEY_HALF });
  const last = eventOf(subscription);
  assertEquals([keysOf(last), last.ContinuationSequenceNumber], [["a"], null]);
  assertEquals(last.ChildShards?.map(({ ShardId }) => ShardId), [shardId(1), shardId(2)]);
  assertEquals(subscription.next(), { kind: "end" });
});

Deno.test("each consumer gets 2 MiB of a shard a second", () => {
  const { kinesis, arn } = withConsumer({ limits: { writeBytesPerSecond: Infinity } });
  const Data = new Uint8Array(MEBIBYTE - 1).toBase64();
  for (let count = 0; count < 5; count++) kinesis.put("k", { Data });
  const [one, other] = [subscribe(kinesis, arn), subscribe(kinesis, register(kinesis, "other"))];
  for (const subscription of [one, other]) {
    const event = eventOf(subscription);
    assertEquals(event.Records.length, 2);
    assert(event.MillisBehindLatest > 0);
    assertEquals(subscription.next().kind, "wait");
  }
  kinesis.nowMs += 1_000;
  assertEquals(eventOf(one).Records.length, 2);
});

Deno.test("a subscription that nobody listens to any more leaves nothing behind", () => {
  const { kinesis, arn } = withConsumer();
  const subscription = subscribe(kinesis, arn);
  eventOf(subscription);
  subscription.close();
  let changes = 0;
  subscription.onChange = () => changes++;
  kinesis.put("a");
  assertEquals([changes, subscription.next()], [0, { kind: "end" }]);
});
