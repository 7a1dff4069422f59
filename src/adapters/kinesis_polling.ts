/**
 * Owns: reading a stream by GetRecords: its shards, their iterators and their renewal, the pace, the end of a shard.
 * Must not: know who owns a shard, or what is done with the records.
 * Called by: `app.ts`, as the `StreamSource` of the runtime.
 *
 * @module
 */

import { type KinesisClient, ListShardsCommand } from "@aws-sdk/client-kinesis";
import type { Checkpoint } from "../core/checkpoint.ts";
import type { ResolvedConfig } from "../core/config.ts";
import { SourceError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type { Batch, Clock, Random, ReadBudget, ShardInfo, StreamSource } from "../ports.ts";
import { describeFailure, retryCall, withoutRetries } from "./aws_calls.ts";
import { toShardInfo } from "./kinesis_shapes.ts";
import { RecordSizes } from "./read_limit.ts";
import { retentionOf } from "./stream_retention.ts";
import { ShardReader } from "./shard_reader.ts";
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

/** A page holds 1,000 shards; no stream has more than this many pages. */
const PAGES_MAX = 1_000;

/** A stream that is read by polling. */
export class KinesisPollingSource implements StreamSource {
  readonly #options: Required<KinesisPollingOptions>;
  /** What one shard has learned about the records is a first guess for the others. */
  readonly #sizes = new RecordSizes();

  constructor(options: KinesisPollingOptions) {
    this.#options = { random: systemRandom, ...options };
  }

  async listShards(signal: AbortSignal): Promise<readonly ShardInfo[]> {
    const { streamName } = this.#options;
    const shards: ShardInfo[] = [];
    let NextToken: string | undefined;
    for (let page = 0; page < PAGES_MAX; page++) {
      // The token stands for the stream; Kinesis refuses the two together.
      const input = NextToken === undefined ? { StreamName: streamName } : { NextToken };
      const reply = await this.#listPage(input, signal);
      shards.push(...(reply.Shards ?? []).map(toShardInfo));
      NextToken = reply.NextToken;
      if (NextToken === undefined) return shards;
    }
    throw new SourceError(
      `Cannot list the shards of stream "${streamName}": there are more than ${PAGES_MAX} pages`,
      { kind: "invalid" },
    );
  }

  retentionMs(signal: AbortSignal): Promise<number> {
    return retentionOf(this.#options, signal);
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

  async #listPage(
    input: { readonly StreamName: string } | { readonly NextToken: string },
    signal: AbortSignal,
  ) {
    const { client, streamName, config, emit } = this.#options;
    const operation = "ListShards";
    try {
      return await retryCall(
        () => client.send(withoutRetries(new ListShardsCommand(input)), { abortSignal: signal }),
        {
          retries: config.maxKinesisRetries,
          signal,
          onThrottled: (retryInMs) =>
            emit({ type: "throttled", shardId: null, operation, retryInMs }),
        },
      );
    } catch (error) {
      signal.throwIfAborted();
      const failure = await describeFailure(error, {
        client,
        service: "Kinesis",
        task: `read stream "${streamName}"`,
        action: `kinesis:${operation}`,
      });
      throw new SourceError(failure.message, { kind: failure.kind, cause: error });
    }
  }
}
