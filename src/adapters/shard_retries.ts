/**
 * Owns: what follows when a call about one shard fails: wait and try again, or an error for people.
 * Must not: make the call.
 * Called by: `shard_reader.ts`, `shard_subscriber.ts`.
 *
 * @module
 */

import type { KinesisClient } from "@aws-sdk/client-kinesis";
import type { ResolvedConfig } from "../core/config.ts";
import { SourceError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type { Clock, Random } from "../ports.ts";
import { describeFailure } from "./aws_calls.ts";
import { classify } from "./aws_errors.ts";
import { backoffMs } from "./pacing.ts";

/** What reads a shard. */
export interface ShardRetriesOptions {
  readonly client: KinesisClient;
  readonly streamName: string;
  readonly shardId: string;
  readonly config: Pick<ResolvedConfig, "maxKinesisRetries">;
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: EventSink;
  readonly signal: AbortSignal;
}

/** The failures in a row of one call, or of several that only make sense together. */
export class ShardRetries {
  readonly #options: ShardRetriesOptions;
  #failures = 0;
  #throttles = 0;

  constructor(options: ShardRetriesOptions) {
    this.#options = options;
  }

  /**
   * Waits until a call that was throttled or not answered may be made again. Throttling is not counted: the stream is
   * there and in use, so that giving up would only add the calls that open the shard anew.
   *
   * @throws The error itself when repeating does not help, or not any more; the signal's reason once it is aborted.
   */
  async wait(error: unknown, operation: string): Promise<void> {
    const { config, clock, random, emit, shardId, signal } = this.#options;
    signal.throwIfAborted();
    const { kind } = classify(error);
    if (kind === "throttled") this.#throttles++;
    else if (kind === "unavailable" && this.#failures < config.maxKinesisRetries) this.#failures++;
    else throw error;
    const retryInMs = backoffMs(this.#throttles + this.#failures, random.next());
    if (kind === "throttled") emit({ type: "throttled", shardId, operation, retryInMs });
    await clock.sleep(retryInMs, signal);
  }

  /** Forgets the failures, since a call went well. */
  reset(): void {
    this.#failures = 0;
    this.#throttles = 0;
  }
}

/** The error that the port promises, with a message for people. @throws The signal's reason once it is aborted. */
export async function toSourceError(
  error: unknown,
  operation: string,
  options: Pick<ShardRetriesOptions, "client" | "shardId" | "streamName" | "signal">,
): Promise<SourceError> {
  const { client, shardId, streamName, signal } = options;
  signal.throwIfAborted();
  if (error instanceof SourceError) return error;
  const failure = await describeFailure(error, {
    client,
    service: "Kinesis",
    task: `read shard "${shardId}" of stream "${streamName}"`,
    action: `kinesis:${operation}`,
  });
  return new SourceError(failure.message, { kind: failure.kind, cause: error });
}
