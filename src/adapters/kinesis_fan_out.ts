/**
 * Owns: a stream that is read by enhanced fan-out: SubscribeToShard, as a registered consumer.
 * Must not: know who owns a shard, or what is done with the records.
 * Called by: `world.ts`, as the `StreamSource` of the runtime.
 *
 * @module
 */

import type { KinesisClient } from "@aws-sdk/client-kinesis";
import type { Checkpoint } from "../core/checkpoint.ts";
import type { ResolvedConfig } from "../core/config.ts";
import type { EventSink } from "../events.ts";
import type { Batch, Clock, Random, ReadBudget, ShardInfo, StreamSource } from "../ports.ts";
import { RegisteredConsumer } from "./registered_consumer.ts";
import { ShardSubscriber } from "./shard_subscriber.ts";
import { StreamCalls } from "./stream_calls.ts";
import { systemRandom } from "./system.ts";

/** What a source by enhanced fan-out is made of. */
export interface KinesisFanOutOptions {
  readonly client: KinesisClient;
  /** For SubscribeToShard: a client whose connections carry event streams. */
  readonly eventStreams: KinesisClient;
  readonly streamName: string;
  /** The consumer of this name is used, and registered if there is none. */
  readonly consumerName: string;
  readonly config: Pick<ResolvedConfig, "maxBatchSize" | "maxKinesisRetries">;
  readonly clock: Clock;
  readonly emit: EventSink;
  /**
   * Spreads the waits after failures.
   *
   * @default {systemRandom}
   */
  readonly random?: Random;
}

/** A stream that sends its records by itself. */
export class KinesisFanOutSource implements StreamSource {
  readonly #options: Required<KinesisFanOutOptions>;
  readonly #calls: StreamCalls;
  readonly #consumer: RegisteredConsumer;

  constructor(options: KinesisFanOutOptions) {
    this.#options = { random: systemRandom, ...options };
    this.#calls = new StreamCalls(options);
    this.#consumer = new RegisteredConsumer({ ...options, calls: this.#calls });
  }

  listShards(signal: AbortSignal): Promise<readonly ShardInfo[]> {
    return this.#calls.listShards(signal);
  }

  retentionMs(signal: AbortSignal): Promise<number> {
    return this.#calls.retentionMs(signal);
  }

  async *open(
    shardId: string,
    after: Checkpoint,
    signal: AbortSignal,
    budget?: ReadBudget,
  ): AsyncGenerator<Batch> {
    signal.throwIfAborted();
    if (after.kind === "shardEnd") {
      yield { records: [], millisBehindLatest: 0, end: { children: [] } };
      return;
    }
    const consumer = this.#consumer;
    using subscriber = new ShardSubscriber({
      ...this.#options,
      consumer,
      shardId,
      after,
      signal,
      budget,
    });
    while (true) {
      const batch = await subscriber.read();
      yield batch;
      if (batch.end !== undefined) return;
    }
  }
}
