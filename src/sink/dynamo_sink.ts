/**
 * Owns: a processor whose records become items of DynamoDB, each exactly once: written together with the checkpoint.
 * Must not: write by itself; `context.transact` does.
 * Called by: users, through `mod.ts`; the runtime, as a processor.
 *
 * @module
 */

import type { TransactionItem } from "../transaction_item.ts";
import { LeaseLostError, TransactionRefusedError } from "../errors.ts";
import type {
  KinesisRecord,
  ProcessContext,
  RecordProcessor,
  RunOptions,
  RunProcessor,
  RunResult,
  TransactingProcessor,
} from "../processor.ts";
import { checkItems } from "../runtime/user_code.ts";
import { type Entry, Pack } from "./pack.ts";

/** What {@linkcode dynamoSink} takes: beside `items`, what every processor may have. */
export interface DynamoSinkOptions extends
  Pick<
    RecordProcessor,
    "getErrorHandlingMode" | "onMaxRetryExceeded" | "shardEnded" | typeof Symbol.asyncDispose
  > {
  /**
   * What a record is to write: 0 to 99 items, each another one. It may be asked again for the same record, so whatever else it does
   * may happen twice. A throw is a failed attempt.
   */
  readonly items: (
    record: KinesisRecord,
    context: ProcessContext,
  ) => readonly TransactionItem[] | Promise<readonly TransactionItem[]>;
}

/**
 * A processor that writes the items of each record to DynamoDB exactly once, whatever crashes: they and the checkpoint are written in
 * one transaction, under the condition that the shard is still this worker's.
 *
 * As many records share a transaction as have 99 items and 4 MB together; two that write the same item do not. A record whose
 * items DynamoDB refuses, for their conditions as a rule, has failed with {@linkcode TransactionRefusedError}; those before it are
 * written, and `getErrorHandlingMode` decides. Throttling, contention and a lack of answers or permissions are waited out.
 *
 * The tables are in the account and the region of the state table. `concurrency` must be 1. The worker needs the permissions for the
 * items: `dynamodb:PutItem`, `UpdateItem`, `DeleteItem` or `ConditionCheckItem` on their tables.
 *
 * @throws {TypeError} If `items` is no function.
 *
 * @example
 * ```ts
 * import { dynamoSink } from "@reacto/kinesix";
 *
 * const processor = dynamoSink({
 *   items: (record) => [{
 *     Update: {
 *       TableName: "totals",
 *       Key: { customer: { S: record.partitionKey } },
 *       UpdateExpression: "ADD cents :cents",
 *       ExpressionAttributeValues: { ":cents": { N: String(record.json<{ cents: number }>().cents) } },
 *     },
 *   }],
 * });
 * ```
 */
export function dynamoSink(options: DynamoSinkOptions): RecordProcessor {
  const { items, getErrorHandlingMode, onMaxRetryExceeded, shardEnded } = options;
  if (typeof items !== "function") {
    throw new TypeError(
      `Cannot make a DynamoDB sink: "items" must be a function from a record to the items that it writes; it is ${typeof items}`,
    );
  }
  const dispose = options[Symbol.asyncDispose]?.bind(options);
  const sink: RunProcessor & TransactingProcessor = {
    isTransacting: true,
    ...getErrorHandlingMode && { getErrorHandlingMode: getErrorHandlingMode.bind(options) },
    async onMaxRetryExceeded(record, mode, error, context) {
      try {
        await onMaxRetryExceeded?.call(options, record, mode, error, context);
      } finally {
        // In the manual mode nobody else passes a record that is skipped: after the last one the shard would never end.
        if (mode.kind === "retryAndSkip") pass(record, context);
      }
    },
    ...shardEnded && { shardEnded: shardEnded.bind(options) },
    ...dispose && { [Symbol.asyncDispose]: dispose },
    async process(record, context) {
      await context.transact(await items.call(options, record, context), record);
    },
    processRun: (records, context, run) =>
      new SinkRun(items.bind(options), context, run).through(records),
  };
  return sink;
}

/** Has a record finished in the manual mode, without a wait for the checkpoint; in the mode `auto` it is when it is skipped. */
function pass(record: KinesisRecord, context: ProcessContext): void {
  context.transact([], record).catch(() => {
    // The shard is lost, and whoever has it next gives the record up again.
  });
}

/** One run of records: packs of them, each written together. */
class SinkRun {
  readonly #items: DynamoSinkOptions["items"];
  readonly #context: ProcessContext;
  readonly #run: RunOptions;
  #pack = new Pack();
  /** How many records are written. */
  #finished = 0;
  /** How many records go together, while DynamoDB does not accept more and does not say which. */
  #recordsMax = Infinity;

  constructor(items: DynamoSinkOptions["items"], context: ProcessContext, run: RunOptions) {
    this.#items = items;
    this.#context = context;
    this.#run = run;
  }

  async through(records: readonly KinesisRecord[]): Promise<RunResult> {
    for (const [index, record] of records.entries()) {
      if (this.#isOver(index, record)) break;
      const entry = await this.#entryOf(record);
      if ("error" in entry) return await this.#flush() ?? this.#result(entry);
      if (this.#pack.add(entry)) continue;
      const ended = await this.#flush();
      if (ended !== undefined) return ended;
      this.#pack.add(entry);
    }
    return await this.#flush() ?? this.#result();
  }

  /** Whoever starts a run has looked at the first record. */
  #isOver(index: number, record: KinesisRecord): boolean {
    const { until, isHeld, isTooOld } = this.#run;
    return index > 0 && (until.aborted || !isHeld() || isTooOld(record));
  }

  async #entryOf(record: KinesisRecord): Promise<Entry | { readonly error: unknown }> {
    try {
      const items = await this.#run.call(record, (context) => this.#items(record, context));
      checkItems(items);
      return { record, items };
    } catch (error) {
      return { error };
    }
  }

  /** Writes what is packed; gives how the run ended, if it did. */
  async #flush(): Promise<RunResult | undefined> {
    let rest = this.#pack.entries;
    this.#pack = new Pack();
    while (rest.length > 0) {
      const part = rest.slice(0, this.#recordsMax);
      const failed = await this.#write(part);
      if (failed === undefined) {
        rest = rest.slice(part.length);
        this.#finished += part.length;
        this.#recordsMax *= 2;
        this.#run.progressed(this.#finished);
      } else if (failed.error instanceof LeaseLostError) {
        // Nothing was wrong with the record: whoever has the shard next gets it.
        this.#run.isHeld();
        return this.#result();
      } else if (failed.at === 0) {
        return this.#result(failed);
      } else {
        // What is before it goes first, so that it has failed alone.
        this.#recordsMax = failed.at;
      }
    }
    return undefined;
  }

  /** Gives what it failed with, and before which of its records the next transaction has to end. */
  async #write(
    part: readonly Entry[],
  ): Promise<{ readonly error: unknown; readonly at: number } | undefined> {
    const items = part.flatMap(({ items }) => items);
    try {
      await this.#context.transact(items, part.at(-1)?.record);
      return undefined;
    } catch (error) {
      return { error, at: failedAt(part, error) };
    }
  }

  #result(failed?: { readonly error: unknown }): RunResult {
    return { finished: this.#finished, ...failed && { error: failed.error } };
  }
}

/** The record whose item was refused; nobody says whose it was if DynamoDB did not take the request at all. */
function failedAt(part: readonly Entry[], error: unknown): number {
  if (!(error instanceof TransactionRefusedError)) return Math.floor(part.length / 2);
  const first = Math.min(...error.refused.map(({ index }) => index));
  let items = 0;
  return Math.max(0, part.findIndex((entry) => (items += entry.items.length) > first));
}
