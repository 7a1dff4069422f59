/**
 * Owns: making the state table ready: creating it, waiting for it, refusing one that is not ours, its throughput.
 * Must not: know the rows.
 * Called by: `dynamo_lease_store.ts`.
 *
 * @module
 */

import {
  CreateTableCommand,
  type CreateTableCommandInput,
  DescribeTableCommand,
  type DynamoDBClient,
  type TableDescription,
  UpdateTableCommand,
} from "@aws-sdk/client-dynamodb";
import type { ResolvedConfig } from "../core/config.ts";
import { StoreError, toEventError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type { Clock } from "../ports.ts";
import { describeFailure, retryCall, withoutRetries } from "./aws_calls.ts";
import { classify, isNamed } from "./aws_errors.ts";
import { HASH_KEY, RANGE_KEY } from "./row_codec.ts";

/** The settings that the table depends on. */
export type TableConfig = Pick<
  ResolvedConfig,
  | "dynamoDBReadThroughput"
  | "dynamoDBWriteThroughput"
  | "maxDynamoDBRetries"
  | "billingMode"
  | "createTable"
>;

/** What making a table ready takes. */
export interface TableOptions {
  readonly client: DynamoDBClient;
  readonly tableName: string;
  readonly config: TableConfig;
  readonly clock: Clock;
  readonly emit: EventSink;
}

const READY_TIMEOUT_MS = 600_000;
const LOOK_INTERVAL_MS = 200;
const LOOK_INTERVAL_MAX_MS = 2_000;

const KEY_SCHEMA = [
  { AttributeName: HASH_KEY, KeyType: "HASH" },
  { AttributeName: RANGE_KEY, KeyType: "RANGE" },
] as const;
const ATTRIBUTES = [
  { AttributeName: HASH_KEY, AttributeType: "S" },
  { AttributeName: RANGE_KEY, AttributeType: "S" },
] as const;

/**
 * Creates the table if it must, waits until it can be used, and brings its throughput to the configured one.
 *
 * @throws {StoreError} If it cannot be used.
 */
export async function prepareTable(options: TableOptions, signal: AbortSignal): Promise<void> {
  const table = await waitForTable(options, signal);
  checkKeySchema(options.tableName, table);
  await bringThroughput(options, table, signal);
}

async function waitForTable(options: TableOptions, signal: AbortSignal): Promise<TableDescription> {
  const { tableName, config, clock } = options;
  const deadline = clock.monotonic() + READY_TIMEOUT_MS;
  for (let waitMs = LOOK_INTERVAL_MS;; waitMs = Math.min(2 * waitMs, LOOK_INTERVAL_MAX_MS)) {
    const table = await describeTable(options, signal);
    if (table === null) {
      if (!config.createTable) throw notCreated(tableName);
      await createTable(options, signal);
    } else if (isUsable(tableName, table)) {
      return table;
    }
    if (clock.monotonic() >= deadline) {
      throw new StoreError(
        `Cannot use state table "${tableName}": it is not active after ` +
          `${READY_TIMEOUT_MS / 60_000} minutes; look at it in the DynamoDB console`,
        { kind: "unavailable" },
      );
    }
    await clock.sleep(waitMs, signal);
  }
}

function isUsable(tableName: string, { TableStatus: status }: TableDescription): boolean {
  // A table that is being updated serves reads and writes.
  if (status === "ACTIVE" || status === "UPDATING") return true;
  if (status === "CREATING") return false;
  const remedy = status === "DELETING"
    ? "wait until it is gone, or choose another dynamoDBTableSuffix"
    : "look at it in the DynamoDB console";
  throw new StoreError(
    `Cannot use state table "${tableName}": its status is ${status}; ${remedy}`,
    {
      kind: "invalid",
    },
  );
}

function checkKeySchema(tableName: string, table: TableDescription): void {
  const types = new Map(table.AttributeDefinitions?.map((a) => [a.AttributeName, a.AttributeType]));
  const found = (table.KeySchema ?? [])
    .map((key) => `${key.AttributeName} (${key.KeyType}, ${types.get(key.AttributeName)})`);
  const wanted = KEY_SCHEMA.map((key) => `${key.AttributeName} (${key.KeyType}, S)`);
  if (found.join() === wanted.join()) return;
  throw new StoreError(
    `Cannot use state table "${tableName}": its key is ${found.join(" and ")}, not ` +
      `${wanted.join(" and ")}; it belongs to other software, choose another appName or ` +
      "dynamoDBTableSuffix",
    { kind: "invalid" },
  );
}

async function describeTable(
  options: TableOptions,
  signal: AbortSignal,
): Promise<TableDescription | null> {
  try {
    const { Table } = await retryCall(
      () =>
        options.client.send(
          withoutRetries(new DescribeTableCommand({ TableName: options.tableName })),
          { abortSignal: signal },
        ),
      { retries: options.config.maxDynamoDBRetries, signal },
    );
    return Table ?? null;
  } catch (error) {
    signal.throwIfAborted();
    if (classify(error).kind === "missing") return null;
    throw await tableError(error, "dynamodb:DescribeTable", options);
  }
}

async function createTable(options: TableOptions, signal: AbortSignal): Promise<void> {
  const { client, tableName, config } = options;
  const input: CreateTableCommandInput = {
    TableName: tableName,
    KeySchema: [...KEY_SCHEMA],
    AttributeDefinitions: [...ATTRIBUTES],
    ...(config.billingMode === "PAY_PER_REQUEST"
      ? { BillingMode: "PAY_PER_REQUEST" }
      : { BillingMode: "PROVISIONED", ProvisionedThroughput: wantedThroughput(config) }),
  };
  try {
    await retryCall(
      () => client.send(withoutRetries(new CreateTableCommand(input)), { abortSignal: signal }),
      {
        retries: config.maxDynamoDBRetries,
        signal,
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    // Another worker was faster, or the first attempt was carried out: the table is on its way.
    if (isNamed(error, "ResourceInUseException")) return;
    // Too many tables are being created in this account: the caller looks again, and creates again.
    if (classify(error).kind === "throttled") return;
    throw await tableError(error, "dynamodb:CreateTable", options);
  }
}

async function bringThroughput(
  options: TableOptions,
  table: TableDescription,
  signal: AbortSignal,
): Promise<void> {
  const { client, tableName, config, emit } = options;
  if (hasWantedThroughput(config, table)) return;
  const wanted = wantedThroughput(config);
  try {
    await client.send(
      withoutRetries(
        new UpdateTableCommand({ TableName: tableName, ProvisionedThroughput: wanted }),
      ),
      { abortSignal: signal },
    );
  } catch (error) {
    signal.throwIfAborted();
    const now = await describeTable(options, signal);
    // Another worker was faster.
    if (now !== null && hasWantedThroughput(config, now)) return;
    // The table works with what it has; DynamoDB refuses more than some decreases a day, and not every role may do this.
    emit({
      type: "task_failed",
      task: `bring throughput of state table "${tableName}" to ${wanted.ReadCapacityUnits} read ` +
        `and ${wanted.WriteCapacityUnits} write units`,
      error: toEventError(await tableError(error, "dynamodb:UpdateTable", options)),
    });
  }
}

function hasWantedThroughput(config: TableConfig, table: TableDescription): boolean {
  // How a table is paid for is its operator's choice; the units mean something only if both say so.
  if (config.billingMode === "PAY_PER_REQUEST") return true;
  if (table.BillingModeSummary?.BillingMode === "PAY_PER_REQUEST") return true;
  // Another worker's update is on its way, and DynamoDB takes one at a time.
  if (table.TableStatus === "UPDATING") return true;
  const { ReadCapacityUnits: read, WriteCapacityUnits: write } = table.ProvisionedThroughput ?? {};
  return read === config.dynamoDBReadThroughput && write === config.dynamoDBWriteThroughput;
}

function wantedThroughput(config: TableConfig) {
  return {
    ReadCapacityUnits: config.dynamoDBReadThroughput,
    WriteCapacityUnits: config.dynamoDBWriteThroughput,
  };
}

function notCreated(tableName: string): StoreError {
  return new StoreError(
    `Cannot use state table "${tableName}": it does not exist; create it, or set createTable to true`,
    { kind: "missing" },
  );
}

async function tableError(
  error: unknown,
  action: string,
  { client, tableName }: TableOptions,
): Promise<StoreError> {
  const task = `use state table "${tableName}"`;
  const failure = await describeFailure(error, { client, service: "DynamoDB", task, action });
  return new StoreError(failure.message, { ...failure, cause: error });
}
