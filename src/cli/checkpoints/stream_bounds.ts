/**
 * Owns: what a stream still holds: its shards, and whether a position lies within its retention.
 * Must not: know the state table.
 * Called by: the commands about checkpoints, and `replay.ts`.
 *
 * @module
 */

import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { KinesisPollingSource } from "../../adapters/kinesis_polling.ts";
import { systemClock } from "../../adapters/system.ts";
import { compareSequenceNumbers, formatCheckpoint } from "../../core/checkpoint.ts";
import { formatDuration } from "../../core/duration.ts";
import { resolveConfig } from "../../core/config.ts";
import { messageOf, SourceError } from "../../errors.ts";
import type { ShardInfo } from "../../ports.ts";
import type { Position } from "./position.ts";

/** Clocks differ a little. */
const AHEAD_MAX_MS = 300_000;
/** A read may be empty although there are records further on. */
const READS_MAX = 50;

/** A stream, as far as positions in it go. */
export class StreamBounds {
  readonly #signal: AbortSignal;
  readonly #source: KinesisPollingSource;
  #retention: Promise<number> | undefined;

  constructor(client: KinesisClient, streamName: string, signal: AbortSignal) {
    this.#signal = signal;
    this.#source = new KinesisPollingSource({
      client,
      streamName,
      config: { ...resolveConfig(), maxBatchSize: 1 },
      clock: systemClock,
      emit: () => {},
    });
  }

  /** The shards that the stream lists. */
  shards(): Promise<readonly ShardInfo[]> {
    return this.#source.listShards(this.#signal);
  }

  /**
   * Makes sure that the stream can be read from a position on.
   *
   * @throws {RangeError} If it is outside of what the stream holds.
   */
  async check(shardId: string, position: Position): Promise<void> {
    const refused = (why: string): RangeError =>
      new RangeError(
        `Cannot set the checkpoint of shard "${shardId}" to ${formatCheckpoint(position)}: ${why}`,
      );
    if (position.kind === "trimHorizon") return;
    if (position.kind === "timestamp") {
      const now = systemClock.now();
      const retentionMs = await this.retentionMs();
      if (position.timestamp > now + AHEAD_MAX_MS) throw refused("that is in the future");
      if (position.timestamp >= now - retentionMs) return;
      throw refused(
        `the stream holds its records for ${
          formatDuration(retentionMs)
        }; use trim-horizon for the oldest record`,
      );
    }
    const oldest = await this.#oldest(shardId);
    if (oldest !== undefined && compareSequenceNumbers(position.sequenceNumber, oldest) < 0) {
      throw refused(
        `the oldest record that the shard holds has the sequence number ${oldest}; use trim-horizon to begin there`,
      );
    }
    try {
      await this.#first(shardId, position);
    } catch (error) {
      if (!(error instanceof SourceError) || error.kind !== "invalid") throw error;
      throw refused(`a worker could not go on there: ${messageOf(error)}`);
    }
  }

  /** How long the stream holds its records, in milliseconds. */
  retentionMs(): Promise<number> {
    this.#retention ??= this.#source.retentionMs(this.#signal);
    return this.#retention;
  }

  /** The sequence number of the oldest record; undefined if there is none. */
  #oldest(shardId: string): Promise<string | undefined> {
    return this.#first(shardId, { kind: "trimHorizon" });
  }

  /** The sequence number of the first record after a position; undefined if there is none. */
  async #first(shardId: string, after: Position): Promise<string | undefined> {
    const reading = new AbortController();
    const signal = AbortSignal.any([reading.signal, this.#signal]);
    let reads = 0;
    try {
      for await (const batch of this.#source.open(shardId, after, signal)) {
        const [first] = batch.records;
        if (first !== undefined) return first.sequenceNumber;
        if (batch.millisBehindLatest === 0 || (reads += 1) === READS_MAX) return undefined;
      }
      return undefined;
    } finally {
      reading.abort();
    }
  }
}
