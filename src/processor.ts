/**
 * Owns: what a user implements to process records, and what it is given.
 * Must not: contain code.
 * Called by: users, through `mod.ts`; `runtime/record_run.ts`.
 *
 * @module
 */

import type { TransactionItem } from "./transaction_item.ts";
import type { ErrorHandlingMode } from "./core/policy.ts";

/** A record of the stream. */
export interface KinesisRecord {
  /** The position of the record in its shard: a decimal number of up to 128 digits. */
  readonly sequenceNumber: string;
  /** The position within a KPL aggregate, from 0; undefined for a record that stands alone. */
  readonly subSequenceNumber: number | undefined;
  /** The key that decides the shard; 1 to 256 characters. */
  readonly partitionKey: string;
  /**
   * The payload; 0 bytes to 10 MiB. It owns its buffer; a small one is copied out of that of its neighbours when this is read for
   * the first time. `text()` and `json()` do without.
   */
  readonly data: Uint8Array<ArrayBuffer>;
  /** When the stream received the record, by the stream's clock, to the millisecond. */
  readonly approximateArrivalTimestamp: Date;
  /** The shard that the record was read from. */
  readonly shardId: string;
  /**
   * The payload as UTF-8 text.
   *
   * @throws {TypeError} If the payload is not valid UTF-8; it names the record.
   */
  text(): string;
  /**
   * The payload as JSON. The type argument is a claim of the caller; nothing is checked.
   *
   * @throws {TypeError} If the payload is not valid UTF-8.
   * @throws {SyntaxError} If the payload is not valid JSON; it names the record.
   */
  json<T = unknown>(): T;
}

/** What a processor knows about the work in hand. */
export interface ProcessContext {
  /** The shard. */
  readonly shardId: string;
  /** This worker. */
  readonly workerId: string;
  /** The stream. */
  readonly streamName: string;
  /** Which attempt this is, from 1; in `onMaxRetryExceeded`, the last one. */
  readonly attempt: number;
  /** How far the batch in hand is behind the tip of the shard, in milliseconds. */
  readonly millisBehindLatest: number;
  /**
   * The fencing token: goes up by one each time the shard changes hands. A sink that remembers the highest term it has
   * seen for a shard, and refuses a lower one, is safe from a worker that does not know yet that it lost the shard.
   */
  readonly term: number;
  /**
   * Aborts when the shard is lost or the attempt ran into `processTimeout`: stop, the result will not count. It is of this call:
   * whoever goes on in the background learns of a lost shard from `checkpoint`.
   */
  readonly signal: AbortSignal;
  /**
   * With `checkpointMode: "manual"`: says that everything up to the record in hand is finished (with `processBatch`: up to the
   * record that is given, or the whole batch; in `shardEnded`: the whole shard). Resolves when that is written, which is at most `checkpointFrequency`
   * later.
   *
   * @throws {LeaseLostError} If the shard was lost.
   * @throws {TypeError} In the mode `auto`, where checkpoints follow the processing by themselves.
   * @throws {RangeError} If the record is of another shard.
   */
  checkpoint(record?: KinesisRecord): Promise<void>;
  /**
   * Writes items to DynamoDB and the checkpoint after the record in hand (with `processBatch`: after the record that is given, or
   * the whole batch) in one transaction: all of it is done or nothing, and nothing once the shard is lost. So the items of a
   * record are written exactly once, whatever crashes. It says that everything up to the record is finished; called again for a
   * record whose items are written, it does nothing. Throttling, contention and a lack of answers are waited out, as long as this
   * worker has the shard; `processTimeout` does not run meanwhile.
   *
   * The items are written by the app's own client: their tables are in the account and the region of the state table. It needs
   * `concurrency` 1; see `dynamoSink` for a processor that does all of it.
   *
   * @param items 1 to 99 of them, each another item, 4 MB together. None is a checkpoint alone.
   * @throws {TransactionRefusedError} If DynamoDB refused some of them, for their conditions as a rule.
   * @throws {StoreError} `invalid` if DynamoDB does not accept the request.
   * @throws {LeaseLostError} If the shard was lost or given up before: what is in hand is for its next owner, and has not failed.
   * @throws {TypeError} With `concurrency` above 1: what is before the record need not be finished. In `shardEnded`: no record is in hand.
   * @throws {RangeError} If there are too many items, the record is of another shard, or the checkpoint passed it already.
   */
  transact(items: readonly TransactionItem[], record?: KinesisRecord): Promise<void>;
}

/**
 * A record of a batch that failed: the record itself; the record and what it failed with; or its sequence number, for a record of a
 * KPL aggregate with its sub-sequence number after a colon (without it, each record of that sequence number).
 */
export type BatchFailure =
  | Pick<KinesisRecord, "sequenceNumber" | "subSequenceNumber">
  | {
    readonly record: Pick<KinesisRecord, "sequenceNumber" | "subSequenceNumber">;
    readonly error: unknown;
  }
  | string;

/** What `processBatch` may return: which records failed. All others of the batch are finished, and do not come again. */
export interface BatchResult {
  /** In any order; empty if none failed. A record that was not in the batch fails the whole batch. */
  readonly failed: readonly BatchFailure[];
}

/**
 * What a user implements. One of `process` and `processBatch` is required; everything may be async.
 *
 * @example
 * ```ts
 * import { type RecordProcessor, retryAndStop } from "@reacto/kinesix";
 *
 * const processor: RecordProcessor = {
 *   process(record, context) {
 *     console.log(context.shardId, record.partitionKey, record.text());
 *   },
 *   getErrorHandlingMode: () => retryAndStop(3),
 *   onMaxRetryExceeded(record, _mode, error) {
 *     console.error("gave up", record.sequenceNumber, error);
 *   },
 * };
 * ```
 */
export interface RecordProcessor {
  /**
   * Processes one record. It is finished when this returns; a throw is a failed attempt. With the setting `concurrency` above 1 it
   * is called for other records of the shard meanwhile, never for two of one partition key (unless `orderBy` is `none`).
   */
  process?(record: KinesisRecord, context: ProcessContext): void | Promise<void>;
  /**
   * Processes the records of one read together, instead of `process`; with `concurrency` above 1, those that belong to one lane.
   * They are finished when this returns, but for those that it returns as failed: only these are tried again, together. A
   * throw fails the whole batch; with the setting `bisectBatchOnError`, its halves are tried then.
   *
   * @example
   * ```ts
   * import type { RecordProcessor } from "@reacto/kinesix";
   *
   * const save = (text: string) => text === "" ? Promise.reject(new Error("empty")) : Promise.resolve();
   * const processor: RecordProcessor = {
   *   async processBatch(records) {
   *     const results = await Promise.allSettled(records.map((record) => save(record.text())));
   *     return {
   *       failed: records.flatMap((record, i) => {
   *         const result = results[i];
   *         return result?.status === "rejected" ? [{ record, error: result.reason }] : [];
   *       }),
   *     };
   *   },
   * };
   * ```
   */
  processBatch?(
    records: readonly KinesisRecord[],
    context: ProcessContext,
  ): void | BatchResult | Promise<void | BatchResult>;
  /**
   * Says what to do with a record, when its first attempt failed. With a `processBatch` that throws, it is asked for the first
   * record of the batch and holds for the whole batch. A throw is reported, and the default holds.
   *
   * @default {retryAndSkip(2)}
   */
  getErrorHandlingMode?(
    record: KinesisRecord,
    error: unknown,
    context: ProcessContext,
  ): ErrorHandlingMode | Promise<ErrorHandlingMode>;
  /**
   * Is called once when the last attempt of a record failed: `mode` says whether it is skipped, or stops its shard here and comes
   * again on the next worker. Also for a record that is skipped without an attempt, because it is older than `maxRecordAge` (then
   * `context.attempt` is 0). A throw is reported and changes nothing.
   */
  onMaxRetryExceeded?(
    record: KinesisRecord,
    mode: ErrorHandlingMode,
    error: unknown,
    context: ProcessContext,
  ): void | Promise<void>;
  /**
   * Is called when every record of a closed shard was processed, before the shard is marked as finished, in the manual
   * checkpoint mode too: the moment to write out what was collected. In that mode call `context.checkpoint()` when it is written:
   * the end of the shard waits for it. A throw is tried again twice, then the shard stops on this worker.
   */
  shardEnded?(context: ProcessContext): void | Promise<void>;
  /** Is called when the processor is not used any more. */
  [Symbol.asyncDispose]?(): void | PromiseLike<void>;
}

/** Makes the processor of one shard; it is called before this worker processes its first record of the shard. */
export type RecordProcessorFactory = (
  shardId: string,
) => RecordProcessor | Promise<RecordProcessor>;

/** One processor for all shards, or a factory that makes one for each. */
export type ProcessorSource = RecordProcessor | RecordProcessorFactory;

/**
 * Says whether a record is to be processed, at once and without changing it. One for which it gives false counts as finished. If it
 * throws, or gives anything else, the record is processed, and `processor_failed` tells of it.
 */
export type RecordFilter = (record: KinesisRecord) => boolean;

/** How far a run of records came. */
export interface RunResult {
  /** How many records are finished, from the first one on. */
  readonly finished: number;
  /**
   * There is one, whatever its value: the record after those failed with it. There is none, and records are left: the run was
   * stopped before the next record, or that is too old.
   */
  readonly error?: unknown;
}

/** How a run is made. */
export interface RunOptions {
  /** Which lane of the shard the records belong to, from 0: a lane has one run at a time. */
  readonly lane: number;
  /** Aborts when no further record is to be started: finish the one in hand, then return. */
  readonly until: AbortSignal;
  /** Tells how many records are finished so far, now and then, so that the checkpoint moves on during a long run. */
  readonly progressed: (finished: number) => void;
  /** Whether a record has become too old to be started: return before it. The first one is not. */
  readonly isTooOld: (record: KinesisRecord) => boolean;
  /** Whether the shard is still this worker's, for whom lets time pass before a record: return before it if not. */
  readonly isHeld: () => boolean;
  /** Settles when the items are written that are on their way, which takes none of an attempt's time; undefined if there are none. */
  readonly writing?: () => Promise<unknown> | undefined;
  /** Calls code of the user's for a record of the run, for at most `processTimeout`. */
  readonly call: <T>(
    record: KinesisRecord,
    code: (context: ProcessContext) => T | Promise<T>,
  ) => T | Promise<T>;
}

/**
 * A processor that keeps to `processTimeout` by itself, in every method: what it needs to begin is not to count. A factory may
 * have the same member.
 */
export interface TimedProcessor extends RecordProcessor {
  readonly keepsTime: true;
}

/** A processor whose checkpoints are written by its transactions: what is before a record has to be finished then. */
export interface TransactingProcessor extends RecordProcessor {
  readonly isTransacting: true;
}

/** A processor that takes many records at once, and works them off one after the other. */
export interface RunProcessor extends RecordProcessor {
  /**
   * Processes the records one after the other, up to the first that fails. It does not throw for a record. `context` is the
   * one of every record of the run; its `checkpoint` is to be called with the record.
   */
  processRun(
    records: readonly KinesisRecord[],
    context: ProcessContext,
    options: RunOptions,
  ): Promise<RunResult>;
}

/** What a {@linkcode BrokeredProcessor} returns for a batch that nobody worked on to its end, and that has not failed. */
export interface LeftOff extends BatchResult {
  readonly isLeftOff: true;
}

/** When a batch is to be left off. */
export type BrokerOptions = Pick<RunOptions, "until" | "isHeld" | "writing">;

/** A processor that hands batches on to somebody who takes them in his own time. */
export interface BrokeredProcessor extends TimedProcessor {
  readonly isBrokered: true;
  /** Returns {@linkcode LeftOff} only if `until` aborted, or the shard was not held any more. */
  processBatch(
    records: readonly KinesisRecord[],
    context: ProcessContext,
    options?: BrokerOptions,
  ): Promise<void | BatchResult>;
}

/** What a processor that keeps state begins a turn on a shard with. */
export interface ShardBeginning {
  readonly shardId: string;
  readonly hashKeyRange: HashKeyRange | null;
  /** What was written beside the checkpoint that the turn begins at; null if nothing was. */
  readonly state: string | null;
  /** The finished shards that this one was split or merged from and which left a state, if it has none of its own yet. */
  readonly parents: readonly {
    readonly shardId: string;
    readonly hashKeyRange: HashKeyRange | null;
    readonly state: string;
  }[];
  /** Whether it was merged from two. */
  readonly isMerged: boolean;
}

/** The first and the last hash key of a shard, both inclusive, as decimal numbers. */
export interface HashKeyRange {
  readonly start: string;
  readonly end: string;
}

/** A read of a shard whose records are all finished. */
export interface FinishedRead {
  /** The latest arrival of a record in it, whatever became of the record, in milliseconds since the epoch; undefined if it was empty. */
  readonly latestArrival: number | undefined;
  /** When it was asked for, on the monotonic clock. */
  readonly askedAt: number;
  /** When it was there, on the monotonic clock. */
  readonly arrivedAt: number;
  /** Whether it was empty because there is nothing more. */
  readonly isAtTip: boolean;
  /** Whether nothing follows, neither records nor other shards. */
  readonly isLast: boolean;
}

/**
 * A processor of one shard that keeps state, which is written with every checkpoint. Its factory has the same mark.
 *
 * The state may be ahead of the checkpoint, never behind: a record is in the state before it counts as finished, and may come again; the
 * processor knows which ones it has.
 */
export interface StatefulProcessor extends RecordProcessor {
  readonly keepsState: true;
  /**
   * Is called before anything else.
   *
   * @throws If the state is none of its own.
   */
  begin(beginning: ShardBeginning): void;
  /**
   * What to write, at any moment at which nothing of the processor runs.
   *
   * @throws If that cannot be written down.
   */
  snapshot(): string;
  /** Is called after each read; gives whether the state has changed. A throw is tried again. */
  finishedRead(read: FinishedRead, context: ProcessContext): boolean | Promise<boolean>;
}
