// Owns: one registered consumer: its state, what time does to it, and its subscriptions.
// Must not: read requests or a clock.
// Called by: stream.ts, consumer_operations.ts, subscription_operations.ts.
import { KinesisError } from "./kinesis_error.ts";
import type { Subscription } from "./subscription.ts";

export type ConsumerStatus = "CREATING" | "ACTIVE" | "DELETING";

/** What a consumer did with one shard. */
interface ShardUse {
  calledMs: number;
  subscribedMs: number;
  subscription: Subscription | undefined;
}

export class Consumer {
  readonly consumerName: string;
  readonly arn: string;
  readonly createdMs: number;
  readonly #activeMs: number;
  #deletedMs = Infinity;
  #nowMs: number;
  readonly #shards = new Map<string, ShardUse>();

  constructor(origin: {
    readonly consumerName: string;
    readonly streamArn: string;
    readonly createdMs: number;
    /** How long it stays CREATING. */
    readonly transitionMs: number;
  }) {
    this.consumerName = origin.consumerName;
    this.createdMs = origin.createdMs;
    this.arn = `${origin.streamArn}/consumer/${origin.consumerName}:${
      Math.floor(origin.createdMs / 1000)
    }`;
    this.#nowMs = origin.createdMs;
    this.#activeMs = origin.createdMs + origin.transitionMs;
  }

  get status(): ConsumerStatus {
    if (this.#deletedMs < Infinity) return "DELETING";
    return this.#nowMs < this.#activeMs ? "CREATING" : "ACTIVE";
  }

  /** Whether the time in which it was DELETING is over. */
  get isGone(): boolean {
    return this.#nowMs >= this.#deletedMs;
  }

  advance(nowMs: number): void {
    this.#nowMs = Math.max(nowMs, this.#nowMs);
  }

  /** Ends its subscriptions; it is gone when the time has come. */
  delete(goneMs: number, gone: KinesisError): void {
    this.#deletedMs = goneMs;
    for (const { subscription } of this.#shards.values()) subscription?.fail(gone);
  }

  /** What it did with a shard before; the call that asks is noted. */
  useOf(shardId: string, nowMs: number): Readonly<ShardUse> {
    const use = this.#shards.get(shardId) ??
      { calledMs: -Infinity, subscribedMs: -Infinity, subscription: undefined };
    this.#shards.set(shardId, { ...use, calledMs: nowMs });
    return use;
  }

  /** Makes a subscription the only one that it has to a shard. */
  setSubscription(shardId: string, subscription: Subscription, nowMs: number): void {
    this.#shards.get(shardId)?.subscription?.fail(
      new KinesisError(
        "ResourceInUseException",
        `Another subscription of consumer ${this.arn} to ${shardId} took this one over.`,
      ),
    );
    this.#shards.set(shardId, { calledMs: nowMs, subscribedMs: nowMs, subscription });
  }
}
