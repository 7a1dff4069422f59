/**
 * Owns: failure records as the records of another stream.
 * Must not: retry; who puts a record aside does.
 * Called by: `failure_destination.ts`, and `cli/redrive.ts` for the key of a record.
 *
 * @module
 */

import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { SourceError } from "../errors.ts";
import type { FailedRecord, FailureDestination } from "../ports.ts";
import { describeFailure, withoutRetries } from "./aws_calls.ts";
import { formatFailure } from "./failure_format.ts";

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html, whose limits include the partition key
const MEBIBYTE = 1024 * 1024;
const RECORD_BYTES_MAX = 10 * MEBIBYTE;
/** What a stream takes that was not told otherwise. */
const USUAL_BYTES_MAX = MEBIBYTE;
const PARTITION_KEY_LENGTH_MAX = 256;
const PARTITION_KEY_BYTES_MAX = 4 * PARTITION_KEY_LENGTH_MAX;

/** A stream that takes failure records, each under the partition key of its record. */
export class FailureStream implements FailureDestination {
  readonly name: string;
  readonly #client: KinesisClient;
  readonly #streamName: string;

  constructor(client: KinesisClient, streamName: string) {
    this.#client = client;
    this.#streamName = streamName;
    this.name = `kinesis:${streamName}`;
  }

  /**
   * Sees whether the stream is there. One that does not answer now may do so when it is needed, and not everyone who may write into
   * a stream may look at it; so nothing else counts.
   *
   * @throws {SourceError} `missing` if it is not there.
   */
  async check(signal: AbortSignal): Promise<void> {
    const { DescribeStreamSummaryCommand } = await import("@aws-sdk/client-kinesis");
    const command = withoutRetries(
      new DescribeStreamSummaryCommand({ StreamName: this.#streamName }),
    );
    try {
      await this.#client.send(command, { abortSignal: signal });
    } catch (error) {
      signal.throwIfAborted();
      const failure = await this.#describe(error, "kinesis:DescribeStreamSummary");
      if (failure.kind !== "missing") return;
      throw new SourceError(failure.message, { kind: failure.kind, cause: error });
    }
  }

  /** @throws {SourceError} If the stream does not take it. */
  async put(failure: FailedRecord, signal: AbortSignal): Promise<void> {
    const data = new TextEncoder().encode(formatFailure(failure));
    const bytes = data.length + PARTITION_KEY_BYTES_MAX;
    const size =
      `the failure record has ${data.length} bytes, as its ${failure.data.length} bytes ` +
      "are in base64";
    if (bytes > RECORD_BYTES_MAX) {
      throw new SourceError(
        `Cannot ${this.#task}: ${size}, and a stream takes ${RECORD_BYTES_MAX}; use file: or a ` +
          "function for records of this size",
        { kind: "invalid" },
      );
    }
    const { PutRecordCommand } = await import("@aws-sdk/client-kinesis");
    const input = { StreamName: this.#streamName, PartitionKey: keyFor(failure), Data: data };
    try {
      await this.#client.send(withoutRetries(new PutRecordCommand(input)), { abortSignal: signal });
    } catch (error) {
      signal.throwIfAborted();
      const { kind, message } = await this.#describe(error, "kinesis:PutRecord");
      const remedy = kind === "invalid" && bytes > USUAL_BYTES_MAX
        ? `; ${size}: allow the stream larger ones (aws kinesis update-max-record-size)`
        : "";
      throw new SourceError(message + remedy, { kind, cause: error });
    }
  }

  get #task(): string {
    return `put failed records into stream "${this.#streamName}"`;
  }

  #describe(error: unknown, action: string): ReturnType<typeof describeFailure> {
    const call = { client: this.#client, service: "Kinesis", task: this.#task, action } as const;
    return describeFailure(error, call);
  }
}

/** The key under which a stream takes the record. One in an aggregate may have a key that no stream takes, and would never go. */
export function keyFor(
  { partitionKey, sequenceNumber }: Pick<FailedRecord, "partitionKey" | "sequenceNumber">,
): string {
  const { length } = partitionKey;
  return length >= 1 && length <= PARTITION_KEY_LENGTH_MAX ? partitionKey : sequenceNumber;
}
