/**
 * Owns: putting records into a stream in as few requests as the order of each partition key allows.
 * Must not: know where the records come from.
 * Called by: `put.ts`, `redrive.ts` and `demo.ts`.
 *
 * @module
 */

import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { retry, RetryError } from "@std/async/retry";
import { describeFailure } from "../adapters/aws_calls.ts";
import { isRetriable } from "../adapters/aws_errors.ts";

/** A record to put. */
export interface OutgoingRecord {
  readonly partitionKey: string;
  readonly data: Uint8Array;
}

/** Where to put records, and whom to tell. */
export interface PutterOptions {
  readonly kinesis: KinesisClient;
  readonly streamName: string;
  /** Is told how many records are in the stream by now. */
  readonly onProgress?: (records: number) => void;
  /** Is told which records a request brought into the stream, also when it refused others. */
  readonly onPut?: (records: readonly OutgoingRecord[]) => void;
  /** Gives up what is not sent yet. */
  readonly signal?: AbortSignal;
}

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
const REQUEST_RECORDS_MAX = 500;
const REQUEST_BYTES_MAX = 5 * 1024 * 1024;
const RECORD_BYTES_MAX = 10 * 1024 * 1024;

/** A stream that refuses records is busy, and will take them soon. */
const ATTEMPTS_MAX = 12;
/** A stream that does not answer is more likely not there. */
const UNANSWERED_MAX = 4;
const RETRY_DELAY_MS = 100;
const RETRY_DELAY_MAX_MS = 5_000;

/** Some records of a request were refused; the others are in the stream. */
class PartlyRefusedError extends Error {
  override readonly name = "PartlyRefusedError";
}

/**
 * Puts records one request after the other. PutRecords does not keep the order of a request when it refuses some of its
 * records, so a request never holds two records of the same partition key, and the next one waits until all are in.
 */
export class RecordPutter {
  readonly #options: PutterOptions;
  #batch: OutgoingRecord[] = [];
  #batchKeys = new Set<string>();
  #batchBytes = 0;
  #records = 0;
  #accepted = 0;

  constructor(options: PutterOptions) {
    this.#options = options;
  }

  /** How many records are in the stream. */
  get records(): number {
    return this.#records;
  }

  /**
   * Takes a record; it is in the stream when a later `flush` has resolved.
   *
   * @throws {RangeError} If the record is larger than a stream can take.
   */
  async add(record: OutgoingRecord): Promise<void> {
    this.#accepted++;
    const bytes = record.data.length + new TextEncoder().encode(record.partitionKey).length;
    if (bytes > RECORD_BYTES_MAX) {
      throw new RangeError(
        `Cannot put record ${this.#accepted}: it has ${bytes} bytes with its partition key; a ` +
          `stream takes ${RECORD_BYTES_MAX}`,
      );
    }
    const isFull = this.#batch.length === REQUEST_RECORDS_MAX ||
      (this.#batch.length > 0 && this.#batchBytes + bytes > REQUEST_BYTES_MAX) ||
      this.#batchKeys.has(record.partitionKey);
    if (isFull) await this.flush();
    this.#batch.push(record);
    this.#batchKeys.add(record.partitionKey);
    this.#batchBytes += bytes;
  }

  /**
   * Sends what was taken and is not sent yet.
   *
   * @throws {Error} If the stream does not take it.
   */
  async flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchKeys = new Set();
    this.#batchBytes = 0;
    if (batch.length > 0) await this.#sendAll(batch);
  }

  async #sendAll(batch: readonly OutgoingRecord[]): Promise<void> {
    const { kinesis, streamName, signal } = this.#options;
    let waiting = batch;
    let unanswered = 0;
    const send = async (): Promise<void> => {
      const { put, refused, reason } = await this.#send(waiting);
      this.#records += put.length;
      this.#options.onPut?.(put);
      this.#options.onProgress?.(this.#records);
      waiting = refused;
      if (waiting.length > 0) throw new PartlyRefusedError(reason);
    };
    try {
      await retry(send, {
        ...signal && { signal },
        maxAttempts: ATTEMPTS_MAX,
        minTimeout: RETRY_DELAY_MS,
        maxTimeout: RETRY_DELAY_MAX_MS,
        isRetriable: (error) =>
          error instanceof PartlyRefusedError ||
          (isRetriable(error) && ++unanswered < UNANSWERED_MAX),
      });
    } catch (error) {
      signal?.throwIfAborted();
      const cause = error instanceof RetryError ? error.cause : error;
      const task = `put records into stream "${streamName}"`;
      if (cause instanceof PartlyRefusedError) {
        throw new Error(`Cannot ${task}: ${cause.message}, ${ATTEMPTS_MAX} times in a row`, {
          cause,
        });
      }
      const { message } = await describeFailure(cause, {
        client: kinesis,
        service: "Kinesis",
        action: "kinesis:PutRecords",
        task,
      });
      throw new Error(message, { cause });
    }
  }

  async #send(batch: readonly OutgoingRecord[]): Promise<{
    readonly put: readonly OutgoingRecord[];
    readonly refused: readonly OutgoingRecord[];
    readonly reason: string;
  }> {
    const { kinesis, streamName, signal } = this.#options;
    const { PutRecordsCommand } = await import("@aws-sdk/client-kinesis");
    const command = new PutRecordsCommand({
      StreamName: streamName,
      Records: batch.map(({ partitionKey, data }) => ({ PartitionKey: partitionKey, Data: data })),
    });
    const { Records: results = [] } = await kinesis.send(command, {
      ...signal && { abortSignal: signal },
    });
    const isRefused = (index: number): boolean => results[index]?.ErrorCode !== undefined;
    const refused = batch.filter((_record, index) => isRefused(index));
    const failure = results.find((result) => result.ErrorCode !== undefined);
    return {
      put: batch.filter((_record, index) => !isRefused(index)),
      refused,
      reason: `${refused.length} of ${batch.length} were refused with ${failure?.ErrorCode}: ` +
        `${failure?.ErrorMessage}`,
    };
  }
}
