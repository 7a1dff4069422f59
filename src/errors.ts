/**
 * Owns: the errors that a caller may catch, and `invariant()` for those that nobody should.
 * Must not: decide what happens after an error.
 * Called by: everything.
 *
 * @module
 */

import type { AttributeMap, TransactionItem } from "./transaction_item.ts";

/**
 * Why a call to the state table or the stream failed:
 * - `throttled`: AWS asked to slow down; the same call succeeds later.
 * - `unavailable`: no answer, or an answer that says nothing about the request (a network failure, a time-out, a 5xx).
 * - `denied`: the credentials are missing or wrong, or lack the permission.
 * - `missing`: the table, the stream or the shard does not exist.
 * - `invalid`: AWS does not accept the request, or the answer is not one that this software can work with.
 */
export type FailureKind = "throttled" | "unavailable" | "denied" | "missing" | "invalid";

/** What {@linkcode StoreError} and {@linkcode SourceError} carry. */
export interface FailureOptions extends ErrorOptions {
  /** Why the call failed. */
  readonly kind: FailureKind;
  /**
   * Whether a write may have happened although it failed.
   *
   * @default {false}
   */
  readonly maybeApplied?: boolean;
}

/** Thrown when the state table cannot be read or written. */
export class StoreError extends Error {
  /** The name of the class. */
  override readonly name = "StoreError";
  /** Why the call failed. */
  readonly kind: FailureKind;
  /** Whether the write may have happened although it failed, because its reply was lost. */
  readonly maybeApplied: boolean;
  /**
   * Makes the error.
   *
   * @param message What could not be done, why, and what to do about it.
   * @param options The kind of failure and its cause.
   */
  constructor(message: string, options: FailureOptions) {
    super(message, options);
    this.kind = options.kind;
    this.maybeApplied = options.maybeApplied ?? false;
  }
}

/** Thrown when the stream cannot be read. */
export class SourceError extends Error {
  /** The name of the class. */
  override readonly name = "SourceError";
  /** Why the call failed. */
  readonly kind: FailureKind;
  /**
   * Makes the error.
   *
   * @param message What could not be done, why, and what to do about it.
   * @param options The kind of failure and its cause.
   */
  constructor(message: string, options: FailureOptions) {
    super(message, options);
    this.kind = options.kind;
  }
}

/** Thrown, or the reason of `context.signal`, when this worker no longer has the shard that it was working on. */
export class LeaseLostError extends Error {
  /** The name of the class. */
  override readonly name = "LeaseLostError";
  /** The shard that was lost. */
  readonly shardId: string;
  /**
   * Makes the error.
   *
   * @param shardId The shard that was lost.
   * @param reason Why, in words that follow a colon.
   */
  constructor(shardId: string, reason: string) {
    super(`Cannot go on with shard "${shardId}": ${reason}`);
    this.shardId = shardId;
  }
}

/** Why DynamoDB refused one write of a transaction. */
export interface RefusedItem {
  /** Which of the writes: its index. */
  readonly index: number;
  /** As DynamoDB says it: `ConditionalCheckFailed`, `ValidationError`, `ItemCollectionSizeLimitExceeded`. */
  readonly code: string;
  /** What DynamoDB says about it. */
  readonly message: string;
  /** The item as it stands, if the write asked for it with `ReturnValuesOnConditionCheckFailure`. */
  readonly item?: AttributeMap;
}

/** Thrown by a processor of this package when something failed that is no fault of the record in hand: the record is never given up for it. */
export class NoFaultOfRecordError extends Error {
  /** The name of the class. */
  override readonly name = "NoFaultOfRecordError";
  readonly #isOne = true;

  /** Whether it is one. Of what users throw not even the class may be asked for: a proxy may throw. */
  static is(error: unknown): boolean {
    return typeof error === "object" && error !== null && #isOne in error;
  }
}

/** Thrown when items were not written together with a checkpoint because DynamoDB refused some of them; nothing was written. */
export class TransactionRefusedError extends Error {
  /** The name of the class. */
  override readonly name = "TransactionRefusedError";
  /** Which items were refused, and why; one at least. */
  readonly refused: readonly RefusedItem[];
  /**
   * Makes the error.
   *
   * @param refused Which items were refused, and why.
   * @param items All items of the transaction.
   */
  constructor(refused: readonly RefusedItem[], items: readonly TransactionItem[]) {
    const told = refused.slice(0, 3).map(({ index, code, message }) =>
      `item ${index} (${describeWrite(items[index])}): ${code}${message && `, "${message}"`}`
    );
    const more = refused.length > told.length ? `; and ${refused.length - told.length} more` : "";
    super(`Cannot write items with the checkpoint: DynamoDB refused ${told.join("; ")}${more}`);
    this.refused = refused;
  }
}

/** The app stopped because another process goes on under the same worker id: the one that was started later, as a rule. */
export class WorkerReplacedError extends Error {
  /** The name of the class. */
  override readonly name = "WorkerReplacedError";
  /** The worker id that two processes share. */
  readonly workerId: string;
  /**
   * Makes the error.
   *
   * @param workerId The worker id that two processes share.
   */
  constructor(workerId: string) {
    super(
      `Cannot go on as worker "${workerId}": another process with the same worker id goes on ` +
        `instead; give each process its own worker id`,
    );
    this.workerId = workerId;
  }
}

/** An attempt to process a record took longer than `processTimeout`. */
export class ProcessTimeoutError extends Error {
  /** The name of the class. */
  override readonly name = "ProcessTimeoutError";
  /**
   * Makes the error.
   *
   * @param timeoutMs The time that was allowed, in milliseconds.
   */
  constructor(timeoutMs: number) {
    super(`Cannot wait longer for the processor: it did not finish within ${timeoutMs} ms`);
  }
}

/** A record failed because `processBatch` returned it as failed, without an error of its own. */
export class RecordFailedError extends Error {
  /** The name of the class. */
  override readonly name = "RecordFailedError";
  /**
   * Makes the error.
   *
   * @param record The sequence number of the record.
   */
  constructor(record: string) {
    super(
      `Cannot process record "${record}": processBatch returned it as failed, without an error`,
    );
  }
}

/** A record is given up because it is older than `maxRecordAge`. Its `cause` is what its last attempt failed with, if there was one. */
export class RecordTooOldError extends Error {
  /** The name of the class. */
  override readonly name = "RecordTooOldError";
  /** How old the record was, in milliseconds: this machine's clock less the stream's. */
  readonly ageMs: number;
  /**
   * Makes the error.
   *
   * @param ageMs How old the record was, in milliseconds.
   * @param maxMs How old a record may be, in milliseconds.
   */
  constructor(ageMs: number, maxMs: number, options?: ErrorOptions) {
    super(
      `Cannot process the record any more: it arrived ${ageMs} ms ago, and "maxRecordAge" is ${maxMs} ms`,
      options,
    );
    this.ageMs = ageMs;
  }
}

/** An error as an event tells it. */
export interface EventError {
  /** The class of the error, such as `TypeError`. */
  readonly name: string;
  /** Its message. */
  readonly message: string;
  /** Where in the user's code it comes from: `file:///app/processor.ts:12:5`. Of errors of that code, and only if the error tells. */
  readonly at?: string;
}

/** An error as an event tells it; anything can be thrown. */
export function toEventError(error: unknown): EventError {
  return {
    name: textOf(() => error instanceof Error ? error.name : "Error"),
    message: messageOf(error),
  };
}

/** As {@linkcode toEventError}, with the place in the user's code. */
export function toUserError(error: unknown): EventError {
  const at = placeInUserCode(error);
  return { ...toEventError(error), ...at !== undefined && { at } };
}

const OWN_CODE = new URL("./", import.meta.url).href;
/** What is loaded from a registry is not what the user looks at first. */
const DEPENDENCY = /\/node_modules\/|\/npm\/registry\.npmjs\.org\/|^https:\/\/jsr\.io\//;
const FRAME = /^\s+at (?:.*\()?((?:file|https?):[^\n]+:\d+:\d+)\)?$/gm;
/** An error may be about another one. */
const CAUSES_MAX = 4;

/** The first place in a stack that is neither of this software nor of a package. */
function placeInUserCode(error: unknown, causes = CAUSES_MAX): string | undefined {
  try {
    if (!(error instanceof Error)) return undefined;
    for (const [, place = ""] of String(error.stack ?? "").matchAll(FRAME)) {
      if (!place.startsWith(OWN_CODE) && !DEPENDENCY.test(place)) return place;
    }
    return causes === 0 ? undefined : placeInUserCode(error.cause, causes - 1);
  } catch {
    // A getter or a proxy may throw at anything.
    return undefined;
  }
}

/** The message of anything that was thrown, whether it is an `Error` or not. */
export function messageOf(error: unknown): string {
  return textOf(() => error instanceof Error ? error.message : error);
}

/** Anything as text. A value can refuse that, and so can the look at it: a getter may throw, a proxy may throw at anything. */
function textOf(read: () => unknown): string {
  try {
    return String(read());
  } catch {
    return "a value that cannot be written as text";
  }
}

/** Fails when something that this code relies on does not hold: always a defect, never the world's fault. */
export function invariant(condition: unknown, claim: string): asserts condition {
  if (!condition) throw new Error(`Invariant broken, this is a defect of Reacto-KinesiX: ${claim}`);
}

/** No more of it than a table and the kind: keys may be confidential. */
function describeWrite(item: TransactionItem | undefined): string {
  const [kind = "nothing", request] = Object.entries(item ?? {}).find(([, write]) => write) ?? [];
  return `${kind} in table "${request?.TableName ?? ""}"`;
}
