// Owns: the streams there are, and the settings that hold for all of them.
// Must not: interpret a request beyond which stream it means.
// Called by: kinesis_engine.ts (makes it), the operations.
import { type Input, optionalText } from "./input.ts";
import { invalidArgument, streamNotFound } from "./kinesis_error.ts";
import { resolveShardLimits, type ShardLimits, type ShardLimitsSetting } from "./shard_limits.ts";
import type { Stream } from "./stream.ts";

/** How the local Kinesis behaves. */
export interface KinesisEngineOptions {
  /**
   * The time in milliseconds of the epoch; a test's virtual clock goes here.
   *
   * @default {Date.now}
   */
  readonly now?: () => number;
  /**
   * What a shard serves per second: as AWS, without limits, or as AWS with some limits replaced.
   *
   * @default {"aws"}
   */
  readonly limits?: ShardLimitsSetting;
  /**
   * How long a stream stays CREATING, UPDATING and DELETING, in milliseconds, from 0.
   *
   * @default {0}
   */
  readonly transitionMs?: number;
  /**
   * How long what belongs to a SubscribeToShard lasts; what is not given is as in AWS.
   *
   * @default {AWS_SUBSCRIPTION_TIMES}
   */
  readonly subscriptionTimes?: Partial<SubscriptionTimes>;
}

/** How long what belongs to a SubscribeToShard lasts, in milliseconds. */
export interface SubscriptionTimes {
  /** A subscription ends after this. */
  readonly lifetimeMs: number;
  /** An event without records is sent when there was none for this long. */
  readonly heartbeatMs: number;
  /** A consumer cannot subscribe to a shard again within this, however the last subscription ended. */
  readonly inUseMs: number;
  /** The least time between two calls of a consumer for one shard. */
  readonly callIntervalMs: number;
}

/** https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html */
export const AWS_SUBSCRIPTION_TIMES: SubscriptionTimes = {
  lifetimeMs: 300_000,
  heartbeatMs: 5_000,
  inUseMs: 5_000,
  callIntervalMs: 1_000,
};

export class Account {
  readonly now: () => number;
  readonly limits: ShardLimits;
  readonly transitionMs: number;
  readonly subscriptionTimes: SubscriptionTimes;
  readonly #streams = new Map<string, Stream>();

  constructor(options: KinesisEngineOptions) {
    this.now = options.now ?? Date.now;
    this.limits = resolveShardLimits(options.limits ?? "aws");
    this.transitionMs = options.transitionMs ?? 0;
    this.subscriptionTimes = { ...AWS_SUBSCRIPTION_TIMES, ...options.subscriptionTimes };
  }

  streamNames(): readonly string[] {
    for (const stream of this.#streams.values()) stream.advance(this.now());
    return [...this.#streams.keys()].sort();
  }

  /** The stream of that name as it is now. */
  find(streamName: string): Stream | undefined {
    this.#streams.get(streamName)?.advance(this.now());
    // Asked for again because a deletion may just have become due.
    return this.#streams.get(streamName);
  }

  get(streamName: string): Stream {
    const stream = this.find(streamName);
    if (stream === undefined) throw streamNotFound(streamName);
    return stream;
  }

  /** The stream that a request means by its StreamName or its StreamARN. */
  streamOf(input: Input): Stream {
    const streamName = streamNameOf(input);
    if (streamName === undefined) {
      throw invalidArgument("Either StreamName or StreamARN should be provided.");
    }
    return this.get(streamName);
  }

  add(stream: Stream): void {
    this.#streams.set(stream.streamName, stream);
  }

  remove(stream: Stream): void {
    this.#streams.delete(stream.streamName);
    stream.wakeReaders();
  }
}

/** The name in a request's StreamName or at the end of its StreamARN. */
export function streamNameOf(input: Input): string | undefined {
  const streamName = optionalText(input, "StreamName");
  if (streamName !== undefined) return streamName;
  return optionalText(input, "StreamARN")?.split(":stream/").at(1);
}
