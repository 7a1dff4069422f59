// Owns: SubscribeToShard: who may subscribe, when again, and from where.
// Must not: send events.
// Called by: kinesis_engine.ts.
import type { Account } from "./account.ts";
import { consumerOf } from "./consumer_operations.ts";
import { type Input, name, optionalObject, text, unsatisfied } from "./input.ts";
import { KinesisError } from "./kinesis_error.ts";
import { startingOrdinal } from "./shard_iterators.ts";
import { Subscription } from "./subscription.ts";

export function subscribeToShard(account: Account, input: Input): Subscription {
  const shardId = name(input, "ShardId");
  const starting = optionalObject(input, "StartingPosition");
  if (starting === undefined) throw unsatisfied("null", "StartingPosition", "not be null");
  const type = text(starting, "Type");
  text(input, "ConsumerARN");
  const { stream, consumer } = consumerOf(account, input);
  const shard = stream.shard(shardId);
  const nowMs = account.now();
  const { callIntervalMs, inUseMs } = account.subscriptionTimes;
  const use = consumer.useOf(shardId, nowMs);
  if (nowMs - use.calledMs < callIntervalMs) {
    throw new KinesisError(
      "LimitExceededException",
      `Rate exceeded for consumer ${consumer.arn} and shard ${shardId}.`,
    );
  }
  if (consumer.status !== "ACTIVE") {
    throw new KinesisError(
      "ResourceInUseException",
      `Consumer ${consumer.arn} is not ACTIVE, instead in state ${consumer.status}`,
    );
  }
  if (nowMs - use.subscribedMs < inUseMs) {
    throw new KinesisError(
      "ResourceInUseException",
      `Another active subscription exists for this consumer: ${consumer.arn} and shard: ${shardId}`,
    );
  }
  const ordinal = startingOrdinal(
    {
      ShardIteratorType: type,
      StartingSequenceNumber: starting["SequenceNumber"],
      Timestamp: starting["Timestamp"],
    },
    { stream, shard, nowMs },
  );
  const subscription = new Subscription(account, { stream, shard, ordinal });
  consumer.setSubscription(shardId, subscription, nowMs);
  return subscription;
}
