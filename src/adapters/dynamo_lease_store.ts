/**
 * Owns: the rows of the state table in DynamoDB: reading them, and one conditional write for each change.
 * Must not: retry a write, decide what a conflict means, or compare a time of one machine with another's.
 * Called by: `world.ts`, as the `LeaseStore` of the runtime.
 *
 * @module
 */

import {
  type AttributeValue,
  ConditionalCheckFailedException,
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  QueryCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import type { LeaseChange, Row, RowChange } from "../core/lease.ts";
import { invariant, StoreError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type {
  Clock,
  LeaseStore,
  RowKinds,
  RowListing,
  Transaction,
  TransactionResult,
  WriteResult,
} from "../ports.ts";
import { describeFailure, retryCall, withoutRetries } from "./aws_calls.ts";
import { prepareTable, type TableConfig } from "./dynamo_table.ts";
import { sendTransaction } from "./dynamo_transaction.ts";
import {
  type Attributes,
  HASH_KEY,
  type Item,
  MalformedRowError,
  RANGE_KEY,
  rangeKey,
  rangeKeyPrefix,
  readRow,
  rowId,
  writeFields,
} from "./row_codec.ts";

/** What a store is made of. */
export interface DynamoLeaseStoreOptions {
  /** Its own retries are not used. */
  readonly client: DynamoDBClient;
  readonly tableName: string;
  readonly streamName: string;
  readonly config: TableConfig;
  readonly clock: Clock;
  readonly emit?: EventSink;
}

/** A change of a row. */
interface RowRequest {
  readonly TableName: string;
  readonly Key: Item;
  readonly ConditionExpression: string;
  readonly ReturnValuesOnConditionCheckFailure: "ALL_OLD";
  readonly ExpressionAttributeNames: Record<string, string>;
  readonly UpdateExpression?: string;
  readonly ExpressionAttributeValues?: Item;
}

/** A page holds 1 MiB; more of them than this is not a state table. */
const PAGES_MAX = 1_000;

/** The state table in DynamoDB. */
export class DynamoLeaseStore implements LeaseStore {
  readonly #options: Required<DynamoLeaseStoreOptions>;

  constructor(options: DynamoLeaseStoreOptions) {
    this.#options = { emit: () => {}, ...options };
  }

  prepare(signal: AbortSignal): Promise<void> {
    return prepareTable(this.#options, signal);
  }

  async list<K extends Row["kind"]>(
    kind: K,
    signal: AbortSignal,
  ): Promise<RowListing<RowKinds[K]>> {
    const rows: RowKinds[K][] = [];
    const malformed: { id: string; reason: string }[] = [];
    for (const item of await this.#query(rangeKeyPrefix(kind), signal)) {
      const id = rowId(kind, this.#options.streamName, item[RANGE_KEY]?.S ?? "");
      try {
        rows.push(readRow(kind, id, item));
      } catch (error) {
        if (!(error instanceof MalformedRowError)) throw error;
        malformed.push({ id, reason: error.message });
      }
    }
    return { rows, malformed };
  }

  async read<K extends Row["kind"]>(
    kind: K,
    id: string,
    signal: AbortSignal,
  ): Promise<RowKinds[K] | null> {
    const { client, tableName } = this.#options;
    const input = { TableName: tableName, Key: this.#key(kind, id), ConsistentRead: true };
    const { Item } = await this.#retried(
      "GetItem",
      () => client.send(withoutRetries(new GetItemCommand(input)), { abortSignal: signal }),
      signal,
    );
    return Item === undefined ? null : this.#readRow(kind, id, Item);
  }

  async write<R extends Row>(change: RowChange<R>, signal: AbortSignal): Promise<WriteResult<R>> {
    const { kind, id } = change as { readonly kind: R["kind"]; readonly id: string };
    try {
      const item = await this.#send(change, signal);
      if (item === null) return { kind: "written", row: null };
      return { kind: "written", row: this.#readRow(kind, id, item, true) as unknown as R };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StoreError) throw error;
      if (!(error instanceof ConditionalCheckFailedException)) {
        throw await this.#error(error, change.set === "delete" ? "DeleteItem" : "UpdateItem");
      }
      // No item: there is no row, or this DynamoDB does not tell.
      const row = error.Item === undefined
        ? await this.read(kind, id, signal)
        : this.#readRow(kind, id, error.Item);
      return { kind: "conflict", row: row as unknown as R | null };
    }
  }

  async transact(
    change: LeaseChange,
    transaction: Transaction,
    signal: AbortSignal,
  ): Promise<TransactionResult> {
    const { client } = this.#options;
    const { id, set } = change;
    invariant(set !== "delete", "a row is not deleted together with anything");
    try {
      const row = this.#requestOf(change);
      const sent = await sendTransaction(client, { ...transaction, row }, signal);
      if (sent.kind !== "conflict") return sent;
      return {
        kind: "conflict",
        row: sent.item === undefined
          ? await this.read("shard", id, signal)
          : this.#readRow("shard", id, sent.item),
      };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StoreError) throw error;
      throw await this.#error(error, "TransactWriteItems");
    }
  }

  /** Sends the one request of a change; gives the item as it stands afterwards, null if it was deleted. */
  async #send<R extends Row>(change: RowChange<R>, signal: AbortSignal): Promise<Item | null> {
    const { client } = this.#options;
    const request = this.#requestOf(change);
    if (change.set === "delete") {
      const command = new DeleteItemCommand(request);
      await client.send(withoutRetries(command), { abortSignal: signal });
      return null;
    }
    const command = new UpdateItemCommand({ ...request, ReturnValues: "ALL_NEW" });
    const reply = await client.send(withoutRetries(command), { abortSignal: signal });
    return reply.Attributes ?? {};
  }

  /** A change as DynamoDB says it: of a row that is to be deleted without an update. */
  #requestOf<R extends Row>(change: RowChange<R>): RowRequest {
    const names: Record<string, string> = {};
    const values: Item = {};
    const condition = conditionOf(change, names, values);
    const update = change.set === "delete"
      ? ""
      : updateOf(writeFields<R>(change.kind, change.set), names, values);
    return {
      TableName: this.#options.tableName,
      Key: this.#key(change.kind, change.id),
      ConditionExpression: condition,
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
      ExpressionAttributeNames: names,
      ...(update !== "" && { UpdateExpression: update }),
      ...withValues(values),
    };
  }

  async #query(prefix: string, signal: AbortSignal): Promise<Item[]> {
    const { client, tableName, streamName } = this.#options;
    const items: Item[] = [];
    let start: Item | undefined;
    for (let page = 0; page < PAGES_MAX; page++) {
      const input = {
        TableName: tableName,
        ConsistentRead: true,
        KeyConditionExpression: "#stream = :stream AND begins_with(#row, :prefix)",
        ExpressionAttributeNames: { "#stream": HASH_KEY, "#row": RANGE_KEY },
        ExpressionAttributeValues: { ":stream": { S: streamName }, ":prefix": { S: prefix } },
        ...(start !== undefined && { ExclusiveStartKey: start }),
      };
      const reply = await this.#retried(
        "Query",
        () => client.send(withoutRetries(new QueryCommand(input)), { abortSignal: signal }),
        signal,
      );
      items.push(...reply.Items ?? []);
      start = reply.LastEvaluatedKey;
      if (start === undefined) return items;
    }
    throw new StoreError(
      `Cannot read state table "${tableName}": the rows "${prefix}" of stream "${streamName}" ` +
        `take more than ${PAGES_MAX} pages`,
      { kind: "invalid" },
    );
  }

  /** Makes a call that only reads, again if need be. */
  async #retried<T>(operation: string, call: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { emit, config } = this.#options;
    try {
      return await retryCall(call, {
        retries: config.maxDynamoDBRetries,
        signal,
        onThrottled: (retryInMs) =>
          emit({ type: "throttled", shardId: null, operation, retryInMs }),
      });
    } catch (error) {
      signal.throwIfAborted();
      throw await this.#error(error, operation);
    }
  }

  #key(kind: Row["kind"], id: string): Item {
    const { streamName } = this.#options;
    invariant(kind !== "stream" || id === streamName, `the store is for stream "${streamName}"`);
    return { [HASH_KEY]: { S: streamName }, [RANGE_KEY]: { S: rangeKey(kind, id) } };
  }

  #readRow<K extends Row["kind"]>(
    kind: K,
    id: string,
    item: Item,
    maybeApplied = false,
  ): RowKinds[K] {
    try {
      return readRow(kind, id, item);
    } catch (error) {
      if (!(error instanceof MalformedRowError)) throw error;
      const { tableName, streamName } = this.#options;
      throw new StoreError(
        `Cannot read row "${rangeKey(kind, id)}" of stream "${streamName}" in state table ` +
          `"${tableName}": ${error.message}; mend or delete the row`,
        { kind: "invalid", maybeApplied, cause: error },
      );
    }
  }

  async #error(error: unknown, operation: string): Promise<StoreError> {
    const { client, tableName } = this.#options;
    const isRead = operation === "GetItem" || operation === "Query";
    const isTransaction = operation === "TransactWriteItems";
    const failure = await describeFailure(error, {
      client,
      service: "DynamoDB",
      task: `${isRead ? "read" : "write"} state table "${tableName}"` +
        (isTransaction ? ", and what is written together with it" : ""),
      // There is no permission of the operation's own.
      action: isTransaction
        ? "dynamodb:UpdateItem there, or what the other writes need in their tables"
        : `dynamodb:${operation}`,
    });
    return new StoreError(failure.message, {
      kind: failure.kind,
      maybeApplied: !isRead && failure.maybeApplied,
      cause: error,
    });
  }
}

/** The condition of a change. It always says whether there is a row: a write must never make half a row. */
function conditionOf<R extends Row>(
  change: RowChange<R>,
  names: Record<string, string>,
  values: Item,
): string {
  names["#row"] = RANGE_KEY;
  if (change.expect === "no row") return "attribute_not_exists(#row)";
  const terms = Object.entries(writeFields<R>(change.kind, change.expect))
    .flatMap(([name, value]) => {
      names[`#${name}`] = name;
      return value === null ? `attribute_not_exists(#${name})` : equals(name, value, values);
    });
  return ["attribute_exists(#row)", ...terms].join(" AND ");
}

/** The conditions that say that an attribute has a value. */
function equals(name: string, value: AttributeValue, values: Item): readonly string[] {
  // Element by element, since dynalite takes no two lists for equal.
  const parts: readonly (readonly [string, AttributeValue])[] = value.L === undefined
    ? [[`#${name}`, value]]
    : [
      [`size(#${name})`, { N: String(value.L.length) }],
      ...value.L.map((element, i) => [`#${name}[${i}]`, element] as const),
    ];
  return parts.map(([operand, part], i) => {
    values[`:is${name}${i}`] = part;
    return `${operand} = :is${name}${i}`;
  });
}

/** The update of a change: values to set, attributes to remove. */
function updateOf(set: Attributes, names: Record<string, string>, values: Item): string {
  const assignments: string[] = [];
  const removals: string[] = [];
  for (const [name, value] of Object.entries(set)) {
    names[`#${name}`] = name;
    if (value === null) {
      removals.push(`#${name}`);
    } else {
      values[`:new${name}`] = value;
      assignments.push(`#${name} = :new${name}`);
    }
  }
  return [
    ...(assignments.length > 0 ? [`SET ${assignments.join(", ")}`] : []),
    ...(removals.length > 0 ? [`REMOVE ${removals.join(", ")}`] : []),
  ].join(" ");
}

/** DynamoDB refuses an empty map of values. */
function withValues(values: Item): { ExpressionAttributeValues?: Item } {
  return Object.keys(values).length > 0 ? { ExpressionAttributeValues: values } : {};
}
