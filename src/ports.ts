/**
 * Owns: the outside world as interfaces. What an adapter must guarantee, and what a caller must do when it fails.
 * Must not: contain code.
 * Called by: `runtime/` uses them, `adapters/` and the simulator implement them.
 *
 * @module
 */

import type { TransactionItem } from "./transaction_item.ts";
import type { Checkpoint } from "./core/checkpoint.ts";
import type { LeaseChange, Row, RowChange, ShardRow } from "./core/lease.ts";
import type { ErrorHandlingMode } from "./core/policy.ts";
import type { RefusedItem } from "./errors.ts";

/** Time. The only source of it, so that a test can be the clock. */
export interface Clock {
  /** Wall time in milliseconds since the epoch. For stamps that people read; never compared between machines. */
  now(): number;
  /** Milliseconds since some moment, never going back. For every duration. */
  monotonic(): number;
  /**
   * Waits for at least `ms` milliseconds.
   *
   * @throws The signal's reason, as soon as it is aborted; no timer is left behind.
   */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** Chance. The only source of it, so that a seed decides. */
export interface Random {
  /** A number of at least 0 and less than 1. */
  next(): number;
  /** A name that no other process ever draws. */
  uuid(): string;
}

/** What became of a change. `row` is the row as it stands now, read consistently; null if there is none. */
export type WriteResult<R extends Row> =
  | { readonly kind: "written"; readonly row: R | null }
  | { readonly kind: "conflict"; readonly row: R | null };

/** What is to be written together with a change of a row. */
export interface Transaction {
  /** 1 to 99 writes, each of another item. */
  readonly items: readonly TransactionItem[];
  /** Tells one transaction from the next: under the same one it is carried out once, however often it is sent. 1 to 36 characters. */
  readonly token: string;
}

/**
 * What became of a transaction. `conflict`: the row is not as it was expected to be, and `row` is as it stands. `refused`: the row is,
 * but writes of the caller's did not hold.
 */
export type TransactionResult =
  | { readonly kind: "written" }
  | { readonly kind: "conflict"; readonly row: ShardRow | null }
  | { readonly kind: "refused"; readonly refused: readonly RefusedItem[] };

/** The readable rows of one kind, and those that are not, which are left alone. */
export interface RowListing<R extends Row> {
  /** The readable ones. */
  readonly rows: readonly R[];
  /** The others. */
  readonly malformed: readonly { readonly id: string; readonly reason: string }[];
}

/** The row type of each kind. */
export interface RowKinds {
  /** Who has a shard, and how far it is processed. */
  readonly shard: Extract<Row, { kind: "shard" }>;
  /** A worker that says that it is alive. */
  readonly worker: Extract<Row, { kind: "worker" }>;
  /** The stream as a whole. */
  readonly stream: Extract<Row, { kind: "stream" }>;
}

/**
 * The state table, limited to the rows of one stream.
 *
 * Reads are retried inside, up to `maxDynamoDBRetries`. A write is sent **once**: a retry of a write that was applied would look
 * like a conflict. Every method throws {@linkcode StoreError}, or the signal's reason once it is aborted. Anything else that it throws
 * counts as `unavailable`, and of a write as one that may have been made.
 */
export interface LeaseStore {
  /**
   * Makes the table ready: creates it, waits until it can be used, brings its throughput to the configured one.
   *
   * @throws {StoreError} `invalid` if the table has a foreign key schema or is being deleted; `missing` if it does not
   * exist and must not be created.
   */
  prepare(signal: AbortSignal): Promise<void>;
  /** All rows of a kind, read consistently. A row that cannot be understood does not stop the others. */
  list<K extends Row["kind"]>(kind: K, signal: AbortSignal): Promise<RowListing<RowKinds[K]>>;
  /** One row, read consistently; null if there is none. */
  read<K extends Row["kind"]>(
    kind: K,
    id: string,
    signal: AbortSignal,
  ): Promise<RowKinds[K] | null>;
  /**
   * One compare-and-set, sent once.
   *
   * @throws {StoreError} With `maybeApplied` when the reply was lost: read the row before deciding anything.
   */
  write<R extends Row>(change: RowChange<R>, signal: AbortSignal): Promise<WriteResult<R>>;
  /**
   * One compare-and-set on the row of a shard, and writes of the user's, sent once: all of it is done or nothing. A store that
   * cannot do that has no such method, and processors that ask for it are refused.
   *
   * @throws {StoreError} With `maybeApplied` when the reply was lost: send the same again, under the same token. `invalid` if the
   * writes can never be carried out as they are.
   */
  transact?(
    change: LeaseChange,
    transaction: Transaction,
    signal: AbortSignal,
  ): Promise<TransactionResult>;
}

/** A shard as the stream describes it. */
export type ShardInfo =
  & Pick<ShardRow, "id" | "parents" | "hashKeyRange">
  /** Whether it was split or merged and takes no more records. */
  & { readonly isClosed: boolean };

/** A record as the stream delivers it. */
export interface SourceRecord {
  /** The position of the record in its shard. */
  readonly sequenceNumber: string;
  /** The position within a KPL aggregate, from 0. A source gives aggregates as they are, without one. */
  readonly subSequenceNumber?: number;
  /** Whether nothing of the aggregate comes after this one. */
  readonly isLastOfAggregate?: boolean;
  /** The key that decides the shard. */
  readonly partitionKey: string;
  /** The payload; it may be a part of a buffer. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** Milliseconds since the epoch, by the stream's clock. */
  readonly approximateArrivalTimestamp: number;
}

/** What one read of a shard gives, or a part of it that a smaller read would have given. It may be empty. */
export interface Batch {
  /** In the order of the shard. */
  readonly records: readonly SourceRecord[];
  /** How far the end of this batch is behind the tip of the shard, in milliseconds. */
  readonly millisBehindLatest: number;
  /** Set on the last batch of a closed shard: nothing comes after it. */
  readonly end?: { readonly children: readonly Omit<ShardInfo, "isClosed">[] };
  /** The records were taken out, and are not asked for again; a source that does not care has no such method. */
  release?(): void;
}

/** Room in memory for what one reader reads, out of what the whole process may hold. */
export interface ReadBudget {
  /**
   * Waits until there is room for what comes next; gives for how many bytes, counted as `heldBytes` counts. A reader has one
   * such room at a time: it ends with the batch that the reader gives next, whatever its size, and with the next call.
   *
   * @param wanted What is to be read if there is plenty of room.
   * @param options.least Less is of no use; all that has arrived, for a reader that is not asked.
   * @param options.enough Less is not worth a read, as long as others read who will give room back; `wanted` by default.
   * @returns Between `least` and `wanted`.
   * @throws The signal's reason, as soon as it is aborted.
   */
  take(
    wanted: number,
    options: { readonly least: number; readonly enough?: number; readonly signal: AbortSignal },
  ): Promise<number>;
  /** Gives the room back, for others to use: the read failed, or has to wait. */
  giveBack(): void;
  /** Whether a read may come as several batches: what waits for its {@linkcode turn} takes less memory as it came. */
  readonly mayComeInParts: boolean;
  /**
   * Says how many bytes of such a read are held as they came, when it is there, and before each of its batches: for those after it, so 0
   * before the last one. The room that was taken ends with it.
   */
  keep(bytes: number): void;
  /**
   * Waits until somebody waits for the next batch, with none in hand: for each batch of such a read, before it is made.
   *
   * @throws The signal's reason, as soon as it is aborted.
   */
  turn(signal: AbortSignal): Promise<void>;
}

/**
 * The stream. Every method throws {@linkcode SourceError}, or the signal's reason once it is aborted. Anything else that it throws
 * counts as `unavailable`.
 */
export interface StreamSource {
  /** Every shard that the stream still holds, open and closed. May be out of date by some seconds. */
  listShards(signal: AbortSignal): Promise<readonly ShardInfo[]>;
  /**
   * How long the stream keeps its records, in milliseconds; a source that does not know has no such method. Asked about once an
   * hour, for `lag_near_retention` and `checkpoint_expired`; `denied` is not asked again.
   */
  retentionMs?(signal: AbortSignal): Promise<number>;
  /**
   * The records of a shard after a position, in order, without gaps, from then on for ever or to the end of the shard.
   * Waits between reads as the limits of the stream ask; heals throttling, expired iterators and short failures by
   * itself. Reads only when it is asked for the next batch, and asks for room before it takes records into memory.
   *
   * @param budget Where it asks. What a source brings that does not ask is counted too, and keeps the others waiting. Without one
   * there is room for everything.
   * @throws {SourceError} From the iteration: `missing` if the stream or the shard is gone, `unavailable`
   * after `maxKinesisRetries`, `denied`, `invalid`. Open again after the last finished record to go on.
   */
  open(
    shardId: string,
    after: Checkpoint,
    signal: AbortSignal,
    budget?: ReadBudget,
  ): AsyncIterable<Batch>;
}

/** A record that was given up: the whole of it, and how it came to that. */
export interface FailedRecord {
  /** The app that gave it up. */
  readonly appName: string;
  /** The stream that it is from. */
  readonly streamName: string;
  /** The shard that it is from. */
  readonly shardId: string;
  /** The position of the record in its shard. */
  readonly sequenceNumber: string;
  /** The position within a KPL aggregate, from 0; undefined for a record that stands alone. */
  readonly subSequenceNumber: number | undefined;
  /** The key that decides the shard. */
  readonly partitionKey: string;
  /** The payload. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** When the stream received the record, by the stream's clock. */
  readonly approximateArrivalTimestamp: Date;
  /** What the last attempt threw; anything can be thrown. Of a processor in a thread it is a likeness. */
  readonly error: unknown;
  /** How often it was tried. */
  readonly attempts: number;
  /** The mode that let it be given up. */
  readonly mode: ErrorHandlingMode;
  /** The worker that gave it up. */
  readonly workerId: string;
  /** When it was given up, by the worker's clock. */
  readonly time: Date;
}

/** Where records are put that are given up. */
export interface FailureDestination {
  /** What events call it, such as `file:failures.jsonl`. */
  readonly name: string;
  /**
   * Puts a record there. When it resolves the record is safe, and the checkpoint may pass it; so the same one may come again,
   * after a crash in between.
   *
   * @throws If that is not certain; it is tried again.
   */
  put(failure: FailedRecord, signal: AbortSignal): void | Promise<void>;
}
