/**
 * Owns: reading failure records, from a file or a stream, up to where it ended when the reading began.
 * Must not: choose among them, or put them anywhere.
 * Called by: `redrive.ts`.
 *
 * @module
 */

import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { parseFailure, type StoredFailure } from "../adapters/failure_format.ts";
import { KinesisPollingSource } from "../adapters/kinesis_polling.ts";
import { systemClock } from "../adapters/system.ts";
import type { Checkpoint } from "../core/checkpoint.ts";
import type { FailurePlace } from "../core/failure_place.ts";
import { messageOf } from "../errors.ts";
import type { ShardInfo, StreamSource } from "../ports.ts";
import { linesOf } from "./terminal.ts";

/** What was found: a failure record, or why it is none. */
export interface Found {
  /** Such as `line 12`. */
  readonly where: string;
  readonly failure: StoredFailure | string;
  /** How many bytes of the file were read; undefined of a stream. */
  readonly bytesRead: number | undefined;
}

/** Failure records to be read. */
export interface FailureSource {
  /** The size of the file; undefined of a stream. */
  readonly bytes: number | undefined;
  read(signal: AbortSignal): AsyncIterable<Found>;
}

/** How a stream of failure records is reached, and from when on it is read. */
export interface StreamOptions {
  readonly kinesis: KinesisClient;
  /** Milliseconds since the epoch; undefined is the beginning. */
  readonly since: number | undefined;
}

/** By so much the clocks of a worker, of Kinesis and of this machine may differ. */
const CLOCK_DIFFERENCE_MAX_MS = 300_000;
const READ_SETTINGS = { maxBatchSize: 1_000, emptyReceiveDelay: 200, maxKinesisRetries: 10 };

/**
 * Opens a place. What comes later, such as records that fail again, is not read.
 *
 * @throws {Error} If the file cannot be read.
 */
export async function openFailures(
  place: FailurePlace,
  options: StreamOptions,
): Promise<FailureSource> {
  if (place.kind === "stream") {
    const { streamName } = place;
    return { bytes: undefined, read: (signal) => readStream(streamName, options, signal) };
  }
  const { path } = place;
  try {
    const { size } = await Deno.stat(path);
    return { bytes: size, read: () => readFile(path, size) };
  } catch (error) {
    throw new Error(`Cannot read failure records from file "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function* readFile(path: string, size: number): AsyncGenerator<Found> {
  using file = await Deno.open(path);
  let number = 0;
  let bytesRead = 0;
  for await (const lines of linesOf(upTo(file, size))) {
    for (const line of lines) {
      number += 1;
      bytesRead = Math.min(size, bytesRead + line.length + 1);
      if (line.length === 0) continue;
      const failure = parseFailure(new TextDecoder().decode(line));
      yield { where: `line ${number}`, failure, bytesRead };
    }
  }
}

/** The first bytes of a file: a line that is written while it is read, or the next failure of a record, is not for this call. */
function upTo(file: Deno.FsFile, size: number): ReadableStream<Uint8Array> {
  let left = size;
  return new ReadableStream({
    async pull(controller) {
      const chunk = new Uint8Array(Math.min(left, 65_536));
      const read = left === 0 ? null : await file.read(chunk);
      if (read === null) return controller.close();
      left -= read;
      controller.enqueue(chunk.subarray(0, read));
    },
  });
}

async function* readStream(
  streamName: string,
  { kinesis, since }: StreamOptions,
  signal: AbortSignal,
): AsyncGenerator<Found> {
  const startedAt = systemClock.now();
  const config = READ_SETTINGS;
  const emit = (): void => {};
  const source = new KinesisPollingSource({
    ...{ client: kinesis, streamName, config, clock: systemClock, emit },
  });
  const from: Checkpoint = since === undefined
    ? { kind: "trimHorizon" }
    : { kind: "timestamp", timestamp: Math.min(since - CLOCK_DIFFERENCE_MAX_MS, startedAt) };
  for (const shardId of parentsFirst(await source.listShards(signal))) {
    yield* readShard(source, { shardId, from, until: startedAt + CLOCK_DIFFERENCE_MAX_MS, signal });
  }
}

async function* readShard(
  source: StreamSource,
  options: {
    readonly shardId: string;
    readonly from: Checkpoint;
    readonly until: number;
    readonly signal: AbortSignal;
  },
): AsyncGenerator<Found> {
  const { shardId, from, until, signal } = options;
  for await (const { records, millisBehindLatest, end } of source.open(shardId, from, signal)) {
    for (const { sequenceNumber, data } of records) {
      const failure = parseFailure(new TextDecoder().decode(data));
      yield { where: `record ${sequenceNumber} of ${shardId}`, failure, bytesRead: undefined };
    }
    // Where failures come faster than they are put back, the tip is never reached.
    const isLate = (records.at(-1)?.approximateArrivalTimestamp ?? 0) > until;
    if (end !== undefined || millisBehindLatest === 0 || isLate) return;
  }
}

/** In this order the failures of each partition key come as they were written. */
function parentsFirst(shards: readonly ShardInfo[]): ReadonlySet<string> {
  const byId = new Map(shards.map((shard) => [shard.id, shard]));
  const order = new Set<string>();
  const add = (id: string): void => {
    const shard = byId.get(id);
    if (shard === undefined || order.has(id)) return;
    shard.parents.forEach(add);
    order.add(id);
  };
  shards.forEach(({ id }) => add(id));
  return order;
}
