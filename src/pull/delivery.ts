/**
 * Owns: what a reader is given to work on, from the moment it is offered until it is finished, failed or left.
 * Must not: know who reads, or what comes next.
 * Called by: `pull/pull_processor.ts` offers; `pull/puller.ts` has it taken.
 *
 * @module
 */

import { ProcessTimeoutError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type { BatchResult, KinesisRecord, ProcessContext, RunOptions } from "../processor.ts";
import { BesideWrites } from "../runtime/attempt_time.ts";
import { Scope } from "../runtime/tasks.ts";

/** A record in the hands of a reader. */
export interface RecordDelivery {
  /** The record. */
  readonly record: KinesisRecord;
  /** What is known about it: the same that `process` is given. */
  readonly context: ProcessContext;
  /** The record is finished. Only the first of `ack` and `nack` counts, and none after the shard was lost. */
  readonly ack: () => void;
  /**
   * The attempt failed, as a throw of `process` does: it comes again, is given up, or stops its shard, as
   * `getErrorHandlingMode` says.
   */
  readonly nack: (error: unknown) => void;
}

/** Records of one shard in the hands of a reader. */
export interface BatchDelivery {
  /** The records, in the order of the shard; one at least. */
  readonly records: readonly KinesisRecord[];
  /** What is known about them: the same that `processBatch` is given. */
  readonly context: ProcessContext;
  /**
   * The batch is finished, but for the records that are named as failed: only these come again. Only the first of `ack` and
   * `nack` counts, and none after the shard was lost.
   */
  readonly ack: (result?: BatchResult) => void;
  /** The batch failed as a whole, as a throw of `processBatch` does. */
  readonly nack: (error: unknown) => void;
}

/** What became of an offer. `left`: who had it went away without a word, or nobody came; `stale`: it came too late to be taken. */
export type Outcome =
  | { readonly kind: "acked"; readonly result: BatchResult | undefined }
  | { readonly kind: "nacked"; readonly error: unknown }
  | { readonly kind: "left" | "stale" };

/** What an offer is made of. */
export interface OfferOptions<T> {
  readonly context: ProcessContext;
  /** The record that `context.checkpoint()` means if none is named; undefined if `context` knows. */
  readonly record?: KinesisRecord;
  readonly toDelivery: (offer: Offer<T>) => T;
  readonly clock: Clock;
  /** In milliseconds, from when it is taken; 0 is no limit. */
  readonly processTimeout: number;
  /** As {@linkcode RunOptions.writing}. */
  readonly writing: RunOptions["writing"];
  /** Whether it may still be taken; if not, it is `stale`. */
  readonly isCurrent: () => boolean;
  readonly onSettled: (outcome: Outcome) => void;
}

const LEFT = new DOMException("The reader was left before this was finished", "AbortError");
/** Ends a timer that nobody waits for any more. Made once: an abort without a reason makes an error with its stack. */
const NOT_NEEDED = new Error("Nobody waits any more");

/** Something that waits for a reader, or is in the hands of one. */
export class Offer<T> {
  readonly delivery: T;
  readonly context: DeliveryContext;
  readonly #options: OfferOptions<T>;
  #holder: Set<Offer<T>> | undefined;
  #timer: AbortController | undefined;
  #isSettled = false;

  constructor(options: OfferOptions<T>) {
    this.#options = options;
    this.context = new DeliveryContext(options.context, options.record);
    this.delivery = options.toDelivery(this);
  }

  /** Whether somebody has it. */
  get isTaken(): boolean {
    return this.#holder !== undefined;
  }

  /** Puts it among what somebody has in hand, until it is settled; gives whether that may be. */
  take(holder: Set<Offer<T>>): boolean {
    const { isCurrent, processTimeout, clock, writing = () => undefined } = this.#options;
    if (this.#isSettled) return false;
    if (!isCurrent()) {
      this.settle({ kind: "stale" });
      return false;
    }
    this.#holder = holder.add(this);
    if (processTimeout > 0) {
      const timer = this.#timer = new AbortController();
      // Ended before its time, it has nothing to say.
      new BesideWrites(clock, writing).sleep(processTimeout, timer.signal)
        .then(() => this.#expire(), () => {});
    }
    return true;
  }

  readonly ack = (result?: BatchResult): void => this.settle({ kind: "acked", result });

  readonly nack = (error: unknown): void => this.settle({ kind: "nacked", error });

  /** Who had it goes away, or nobody came for it. */
  leave(): void {
    this.context.abort(LEFT);
    this.settle({ kind: "left" });
  }

  settle(outcome: Outcome): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#holder?.delete(this);
    this.#timer?.abort(NOT_NEEDED);
    this.context[Symbol.dispose]();
    this.#options.onSettled(outcome);
  }

  #expire(): void {
    const error = new ProcessTimeoutError(this.#options.processTimeout);
    this.context.abort(error);
    this.nack(error);
  }
}

/** The context of one delivery. */
class DeliveryContext implements ProcessContext, Disposable {
  readonly shardId: string;
  readonly workerId: string;
  readonly streamName: string;
  readonly attempt: number;
  readonly millisBehindLatest: number;
  readonly term: number;
  readonly checkpoint: ProcessContext["checkpoint"];
  readonly transact: ProcessContext["transact"];
  readonly #shard: AbortSignal;
  #scope: Scope | undefined;
  #isOver = false;
  #ended: { readonly reason: unknown } | undefined;

  constructor(base: ProcessContext, own: KinesisRecord | undefined) {
    this.shardId = base.shardId;
    this.workerId = base.workerId;
    this.streamName = base.streamName;
    this.attempt = base.attempt;
    this.millisBehindLatest = base.millisBehindLatest;
    this.term = base.term;
    this.checkpoint = (record = own) => base.checkpoint(record);
    this.transact = (items, record = own) => base.transact(items, record);
    this.#shard = base.signal;
  }

  /** Made when it is asked for: few readers do, and a signal costs more than the rest of a delivery. */
  get signal(): AbortSignal {
    if (this.#scope === undefined) {
      // What is settled follows nobody: its listener would stay for as long as the shard.
      this.#scope = this.#isOver ? new Scope() : new Scope(this.#shard);
      if (this.#ended !== undefined) this.#scope.abort(this.#ended.reason);
    }
    return this.#scope.signal;
  }

  abort(reason: unknown): void {
    this.#ended ??= { reason };
    this.#scope?.abort(reason);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#scope?.[Symbol.dispose]();
  }
}
