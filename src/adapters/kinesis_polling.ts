/**
 * Owns: a stream that is read by GetRecords.
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
import { RecordSizes } from "./read_limit.ts";
import { ShardReader } from "./shard_reader.ts";
import { StreamCalls } from "./stream_calls.ts";
import { systemRandom } from "./system.ts";

/** What a polling source is made of. */
export interface KinesisPollingOptions {
  readonly client: KinesisClient;
  readonly streamName: string;
  readonly config: Pick<ResolvedConfig, "maxBatchSize" | "emptyReceiveDelay" | "maxKinesisRetries">;
  readonly clock: Clock;
  readonly emit: EventSink;
  /**
   * Spreads the waits after throttling.
   *
   * @default {systemRandom}
   */
  readonly random?: Random;
}

/** A stream that is read by polling. */
export class KinesisPollingSource implements StreamSource {
  readonly #options: Required<KinesisPollingOptions>;
  readonly #calls: StreamCalls;
  /** What one shard has learned about the records is a first guess for the others. */
  readonly #sizes = new RecordSizes();

  constructor(options: KinesisPollingOptions) {
    this.#options = { random: systemRandom, ...options };
    this.#calls = new StreamCalls(options);
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
    const reader = new ShardReader({
      ...this.#options,
      shardId,
      after,
      signal,
      budget,
      sizes: this.#sizes,
    });
    while (true) {
      const batch = await reader.read();
      yield batch;
      if (batch.end !== undefined) return;
    }
  }
}
