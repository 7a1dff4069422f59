/**
 * Owns: reading the lease table of a KCL application, versions 1 to 3.
 * Must not: write to it, or know our rows.
 * Called by: `checkpoint import --from-kcl`.
 *
 * The layout: https://docs.aws.amazon.com/streams/latest/dev/shared-throughput-kcl-consumers.html#shared-throughput-kcl-consumers-leasetable
 *
 * @module
 */

import { type AttributeValue, type DynamoDBClient, ScanCommand } from "@aws-sdk/client-dynamodb";
import { describeFailure, retryCall, withoutRetries } from "../../adapters/aws_calls.ts";
import { StoreError } from "../../errors.ts";

/** A lease of the KCL. */
export interface KclLease {
  readonly shardId: string;
  /** A sequence number, or `TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP` or `SHARD_END`. */
  readonly checkpoint: string;
  /** The user record within a KPL aggregate; 0 for a record that stands alone too. */
  readonly subSequenceNumber: number;
  readonly owner: string | null;
  /** Goes up with each heartbeat of its owner. */
  readonly counter: number;
}

const PAGES_MAX = 10_000;
const RETRIES = 5;
const SENTINELS = ["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "SHARD_END"];
const SEQUENCE_NUMBER = /^(0|[1-9]\d{0,127})$/;

/**
 * The leases of a stream, sorted by shard.
 *
 * @throws {StoreError} If the table cannot be read.
 * @throws {SyntaxError} If an item is no lease as the KCL writes it; it is named.
 */
export async function readKclLeases(
  client: DynamoDBClient,
  options: {
    readonly tableName: string;
    readonly streamName: string;
    readonly signal: AbortSignal;
  },
): Promise<readonly KclLease[]> {
  const leases: KclLease[] = [];
  let start: Record<string, AttributeValue> | undefined;
  for (let page = 0; page < PAGES_MAX; page++) {
    const { Items = [], LastEvaluatedKey } = await scan(client, start, options);
    leases.push(...Items.flatMap((item) => toLease(item, options.streamName) ?? []));
    start = LastEvaluatedKey;
    if (start === undefined) return leases.sort((a, b) => a.shardId < b.shardId ? -1 : 1);
  }
  throw new StoreError(
    `Cannot read KCL table "${options.tableName}": it has more than ${PAGES_MAX} pages`,
    { kind: "invalid" },
  );
}

async function scan(
  client: DynamoDBClient,
  start: Record<string, AttributeValue> | undefined,
  { tableName, signal }: { readonly tableName: string; readonly signal: AbortSignal },
) {
  const input = {
    TableName: tableName,
    ConsistentRead: true,
    ...start !== undefined && { ExclusiveStartKey: start },
  };
  try {
    return await retryCall(
      () => client.send(withoutRetries(new ScanCommand(input)), { abortSignal: signal }),
      { retries: RETRIES, signal },
    );
  } catch (error) {
    signal.throwIfAborted();
    const failure = await describeFailure(error, {
      client,
      service: "DynamoDB",
      task: `read KCL table "${tableName}"`,
      action: "dynamodb:Scan",
    });
    throw new StoreError(failure.message, { kind: failure.kind, cause: error });
  }
}

/** Undefined for what is no lease, or one of another stream. */
function toLease(
  item: Record<string, AttributeValue>,
  streamName: string,
): KclLease | undefined {
  // One table holds workers, leader and migrations too, from version 3.5 on.
  const entity = item.entityType?.S ?? "LEASE";
  if (entity !== "LEASE") return undefined;
  const key = item.leaseKey?.S;
  if (key === undefined) {
    throw new SyntaxError("Cannot read an item of the KCL table: it has no leaseKey");
  }
  // Of several streams: account, stream, when it was created, shard.
  const [, stream = item.streamName?.S, , shardId = item.shardId?.S ?? key] = key.split(":");
  if (stream !== undefined && stream !== streamName) return undefined;
  const checkpoint = item.checkpoint?.S ?? "";
  if (!SENTINELS.includes(checkpoint) && !SEQUENCE_NUMBER.test(checkpoint)) {
    throw new SyntaxError(
      `Cannot read lease "${key}" of the KCL table: its checkpoint is "${
        checkpoint.slice(0, 140)
      }"`,
    );
  }
  return {
    shardId,
    checkpoint,
    subSequenceNumber: numberOf(item.checkpointSubSequenceNumber),
    owner: item.leaseOwner?.S ?? null,
    counter: numberOf(item.leaseCounter),
  };
}

function numberOf(value: AttributeValue | undefined): number {
  const number = Number(value?.N ?? 0);
  return Number.isSafeInteger(number) && number >= 0 ? number : 0;
}
