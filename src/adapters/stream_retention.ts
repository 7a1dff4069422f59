/**
 * Owns: asking how long a stream keeps its records.
 * Must not: remember the answer.
 * Called by: the sources that read Kinesis.
 *
 * @module
 */

import { DescribeStreamSummaryCommand, type KinesisClient } from "@aws-sdk/client-kinesis";
import { SourceError } from "../errors.ts";
import { describeFailure, retryCall, withoutRetries } from "./aws_calls.ts";

const HOUR_MS = 3_600_000;
/** What a stream has that was never told otherwise. */
const RETENTION_HOURS = 24;

/**
 * The retention of a stream, in milliseconds.
 *
 * @throws {SourceError} `denied` without `kinesis:DescribeStreamSummary`.
 */
export async function retentionOf(
  options: {
    readonly client: KinesisClient;
    readonly streamName: string;
    readonly config: { readonly maxKinesisRetries: number };
  },
  signal: AbortSignal,
): Promise<number> {
  const { client, streamName, config } = options;
  const input = { StreamName: streamName };
  try {
    const { StreamDescriptionSummary } = await retryCall(
      () => {
        const command = withoutRetries(new DescribeStreamSummaryCommand(input));
        return client.send(command, { abortSignal: signal });
      },
      { retries: config.maxKinesisRetries, signal },
    );
    return (StreamDescriptionSummary?.RetentionPeriodHours ?? RETENTION_HOURS) * HOUR_MS;
  } catch (error) {
    signal.throwIfAborted();
    const failure = await describeFailure(error, {
      client,
      service: "Kinesis",
      task: `ask for the retention of stream "${streamName}"`,
      action: "kinesis:DescribeStreamSummary",
    });
    throw new SourceError(failure.message, { kind: failure.kind, cause: error });
  }
}
