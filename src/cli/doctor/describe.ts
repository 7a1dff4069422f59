/**
 * Owns: what a stream and a table say of themselves.
 * Must not: judge it.
 * Called by: `observe.ts`, `../cost.ts`.
 *
 * @module
 */

import { DescribeTableCommand } from "@aws-sdk/client-dynamodb";
import { DescribeStreamSummaryCommand } from "@aws-sdk/client-kinesis";
import { withoutRetries } from "../../adapters/aws_calls.ts";
import type { Asking, Clients } from "./asking.ts";
import type { Answer, StreamFacts, TableFacts } from "./observation.ts";

/** How it is asked. */
export interface DescribeOptions {
  readonly asking: Asking;
  readonly clients: Clients;
  readonly signal: AbortSignal;
}

const HOUR_MS = 3_600_000;

/** The state of a stream. */
export async function describeStream(
  streamName: string,
  options: DescribeOptions,
): Promise<Answer<StreamFacts>> {
  const { asking, clients, signal } = options;
  return await asking.ask({
    service: "Kinesis",
    action: "kinesis:DescribeStreamSummary",
    task: `look at stream "${streamName}"`,
  }, async () => {
    const command = withoutRetries(new DescribeStreamSummaryCommand({ StreamName: streamName }));
    const reply = await clients.kinesis.send(command, { abortSignal: signal });
    const { StreamARN, StreamStatus, StreamModeDetails, RetentionPeriodHours = 24 } =
      reply.StreamDescriptionSummary ?? {};
    return {
      arn: StreamARN ?? "",
      status: StreamStatus ?? "ACTIVE",
      mode: StreamModeDetails?.StreamMode ?? "PROVISIONED",
      retentionMs: RetentionPeriodHours * HOUR_MS,
    };
  });
}

/** The state of a table; null if there is none. */
export async function describeTable(
  tableName: string,
  { asking, clients, signal }: DescribeOptions,
): Promise<Answer<TableFacts | null>> {
  const answer = await asking.ask<TableFacts>({
    service: "DynamoDB",
    action: "dynamodb:DescribeTable",
    task: `look at state table "${tableName}"`,
  }, async () => {
    const command = withoutRetries(new DescribeTableCommand({ TableName: tableName }));
    const { Table: table = {} } = await clients.dynamoDB.send(command, { abortSignal: signal });
    const types = new Map(
      table.AttributeDefinitions?.map((a) => [a.AttributeName, a.AttributeType]),
    );
    return {
      status: table.TableStatus ?? "ACTIVE",
      keys: (table.KeySchema ?? []).map((key) =>
        `${key.AttributeName} (${key.KeyType}, ${types.get(key.AttributeName)})`
      ),
      isPaidPerRequest: table.BillingModeSummary?.BillingMode === "PAY_PER_REQUEST",
      readUnits: table.ProvisionedThroughput?.ReadCapacityUnits ?? 0,
      writeUnits: table.ProvisionedThroughput?.WriteCapacityUnits ?? 0,
    };
  });
  return answer.kind === "failed" && answer.failure === "missing"
    ? { kind: "answered", value: null }
    : answer;
}
