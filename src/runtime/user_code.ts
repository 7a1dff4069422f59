/**
 * Owns: calling the user's code: what it is given, how long it may take, and what follows when it throws.
 * Must not: know which records come next.
 * Called by: `runtime/record_run.ts`, `runtime/record_runner.ts`.
 *
 * @module
 */

import type { TransactionItem } from "../transaction_item.ts";
import { type Checkpoint, compareCheckpoints } from "../core/checkpoint.ts";
import { decide, DEFAULT_MODE, type ErrorHandlingMode } from "../core/policy.ts";
import { LeaseLostError, RecordTooOldError, toUserError } from "../errors.ts";
import type { AppFact, EventSink } from "../events.ts";
import type { Clock, FailureDestination, Random } from "../ports.ts";
import type { KinesisRecord, ProcessContext, RecordProcessor } from "../processor.ts";
import { BesideWrites, withinProcessTimeout } from "./attempt_time.ts";
import { CallContext, InHand } from "./call_context.ts";
import { placeOf, positionAfter } from "./delivered_record.ts";
import type { Lease } from "./lease_keeper.ts";
import { putAside } from "./put_aside.ts";
import type { Breather } from "./tasks.ts";

/** What calling the user's code needs of the worker. */
export interface UserCodeDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: EventSink;
  readonly workerId: string;
  readonly streamName: string;
  readonly appName: string;
  /** Where records go that are given up; undefined if nowhere. */
  readonly failureDestination?: FailureDestination | undefined;
  readonly checkpointMode: "auto" | "manual";
  /** The most runs of one shard at the same time. */
  readonly concurrency: number;
  /** In milliseconds; 0 is no limit. */
  readonly processTimeout: number;
  /** In milliseconds; 0 is no limit. */
  readonly maxRecordAge: number;
  readonly breather: Breather;
}

/** The last attempt of a record. */
export interface LastAttempt {
  readonly mode: ErrorHandlingMode;
  readonly error: unknown;
  readonly attempt: number;
  readonly millisBehindLatest: number;
  readonly reason: "failed" | "tooOld";
}

/** The user's code, as one turn on a shard calls it. */
export class UserCode {
  readonly #deps: UserCodeDeps;
  readonly #lease: Lease;
  readonly #until: AbortSignal;
  /** The position up to which items were withdrawn that are for the next owner to write. */
  #leftOff: Checkpoint | undefined;
  #writing: Promise<unknown> | undefined;

  /** @param until Aborts when no further attempt is to be started. */
  constructor(deps: UserCodeDeps, lease: Lease, until: AbortSignal) {
    this.#deps = deps;
    this.#lease = lease;
    this.#until = until;
  }

  /** Makes a call, for at most `processTimeout`. It gives a promise only if the user's code does, or there is a limit. */
  call<T>(
    processor: RecordProcessor,
    inHand: InHand,
    work: (context: ProcessContext) => T | Promise<T>,
  ): T | Promise<T> {
    const isUnlimited = this.#deps.processTimeout === 0 || "keepsTime" in processor;
    if (isUnlimited) return work(this.context(inHand, this.#lease.signal));
    return this.limited(async (signal) => await work(this.context(inHand, signal)));
  }

  /** Waits for code of the user's, for at most `processTimeout`. */
  limited<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, processTimeout } = this.#deps;
    const besideWrites = new BesideWrites(clock, () => this.#writing);
    return withinProcessTimeout({ clock: besideWrites, processTimeout }, this.#lease.signal, work);
  }

  /** Settles when the items are written that are on their way; undefined if there are none. */
  get writing(): Promise<unknown> | undefined {
    return this.#writing;
  }

  context(inHand: InHand, signal: AbortSignal): ProcessContext {
    const { last, millisBehindLatest } = inHand;
    const { workerId, streamName } = this.#deps;
    const { shardId, term } = this.#lease;
    return new CallContext({ shardId, workerId, streamName, term }, inHand, {
      signal,
      checkpoint: (record) => this.#checkpoint(record ?? last, millisBehindLatest),
      transact: (items, record) => withLossKnown(this.#transact(items, record, inHand, signal)),
    });
  }

  /**
   * Whether a transaction was withdrawn because the shard is given up. Whatever the user's code makes of that, what is in hand has
   * neither failed nor is it finished: it is for the next owner.
   */
  get isLeftOff(): boolean {
    return this.#leftOff !== undefined;
  }

  /** What to do with a record whose first attempt failed. */
  async askMode(
    processor: RecordProcessor,
    record: KinesisRecord,
    failure: Omit<LastAttempt, "mode" | "reason">,
  ): Promise<ErrorHandlingMode> {
    if (processor.getErrorHandlingMode === undefined) return DEFAULT_MODE;
    const ask = processor.getErrorHandlingMode.bind(processor);
    try {
      const mode = await this.call(
        processor,
        new InHand(record, failure),
        (context) => ask(record, failure.error, context),
      );
      if (isMode(mode)) return mode;
      throw new TypeError("it must return retryAndSkip(n) or retryAndStop(n)");
    } catch (error) {
      this.tellFailed("getErrorHandlingMode", error);
      return DEFAULT_MODE;
    }
  }

  /** Waits before the next attempt, unless there is none. */
  async afterFailure(
    attempt: number,
    mode: ErrorHandlingMode,
  ): Promise<"again" | "skip" | "stop" | "lost" | "drained"> {
    const decision = decide(attempt, mode, this.#deps.random.next());
    if (decision.kind === "retry") {
      // An abort ends the wait early; why is asked below.
      await this.#deps.clock.sleep(decision.afterMs, this.#until).catch(() => {});
    }
    if (!this.#lease.isHeld) return "lost";
    if (decision.kind !== "retry") return decision.kind;
    return this.#until.aborted ? "drained" : "again";
  }

  /** Whether there is an age at which a record is too old. */
  get hasAgeLimit(): boolean {
    return this.#deps.maxRecordAge > 0;
  }

  /** Whether a record is older than `maxRecordAge`: by this machine's clock, against the stream's. */
  isTooOld(record: KinesisRecord): boolean {
    return this.hasAgeLimit && this.#ageOf(record) > this.#deps.maxRecordAge;
  }

  /** Gives up a record that is too old; `error` is what it failed with, if it was tried. */
  giveUpTooOld(
    processor: RecordProcessor,
    record: KinesisRecord,
    { attempt, error, millisBehindLatest }: Omit<LastAttempt, "mode" | "reason">,
  ): Promise<"done" | "drained" | "lost"> {
    const options = attempt === 0 ? {} : { cause: error };
    return this.giveUp(processor, record, {
      // Whatever its mode is, it does not stop the shard.
      mode: { kind: "retryAndSkip", retries: Math.max(0, attempt - 1) },
      error: new RecordTooOldError(this.#ageOf(record), this.#deps.maxRecordAge, options),
      reason: "tooOld",
      attempt,
      millisBehindLatest,
    });
  }

  #ageOf(record: KinesisRecord): number {
    return this.#deps.clock.now() - record.approximateArrivalTimestamp.getTime();
  }

  /** Gives a record up: puts it aside if it is to be skipped, then tells the processor. Only then may it be passed. */
  async giveUp(
    processor: RecordProcessor,
    record: KinesisRecord,
    last: LastAttempt,
  ): Promise<"done" | "drained" | "lost"> {
    const { mode, error, attempt, reason } = last;
    await this.letOthersRun(this.now());
    if (!this.#lease.isHeld) return "lost";
    // Before anything else: if the shard goes elsewhere meanwhile, the record is not given up after all.
    const outcome = await this.#putAside(record, last);
    if (outcome !== "done") return outcome;
    const tell = processor.onMaxRetryExceeded?.bind(processor);
    try {
      const inHand = new InHand(record, last);
      if (tell !== undefined) {
        await this.call(processor, inHand, (context) => tell(record, mode, error, context));
      }
    } catch (failure) {
      this.tellFailed("onMaxRetryExceeded", failure);
    }
    if (this.isLeftOff) return this.#lease.isHeld ? "drained" : "lost";
    if (mode.kind === "retryAndSkip") {
      this.#deps.emit({ type: "record_skipped", ...placeOf(record), attempts: attempt, reason });
    }
    return this.#lease.isHeld ? "done" : "lost";
  }

  #putAside(
    record: KinesisRecord,
    { mode, error, attempt: attempts }: LastAttempt,
  ): "done" | ReturnType<typeof putAside> {
    const { failureDestination, appName, streamName, workerId, clock } = this.#deps;
    // A record that stops its shard is not passed: another worker tries it, or this one does later.
    if (failureDestination === undefined || mode.kind === "retryAndStop") return "done";
    const { sequenceNumber, subSequenceNumber, partitionKey, data, shardId } = record;
    const { approximateArrivalTimestamp } = record;
    const failure = {
      ...{ appName, streamName, shardId, sequenceNumber, subSequenceNumber, partitionKey, data },
      ...{ approximateArrivalTimestamp, error, attempts, mode, workerId },
      time: new Date(clock.now()),
    };
    const options = { deps: this.#deps, lease: this.#lease, until: this.#until };
    return putAside(failureDestination, failure, options);
  }

  tellFailed(
    operation: Extract<AppFact, { type: "processor_failed" }>["operation"],
    error: unknown,
  ): void {
    const { shardId } = this.#lease;
    this.#deps.emit({ type: "processor_failed", shardId, operation, error: toUserError(error) });
  }

  /** This moment, for {@linkcode Lease.isHeldAt} and {@linkcode letOthersRun}. */
  now(): number {
    return this.#deps.clock.monotonic();
  }

  /** A wait that lets heartbeats through, when one is due. */
  letOthersRun(monotonic: number): Promise<void> | undefined {
    return this.#deps.breather.breath(monotonic);
  }

  /** Throws at once at a mistake: whoever calls it without waiting must learn of it too. */
  #checkpoint(record: KinesisRecord | undefined, millisBehindLatest: number): Promise<void> {
    checkByHand(this.#deps.checkpointMode, this.#lease.shardId, record);
    // A processor that finishes its records in the background does so in any order; what is behind is finished already.
    // At the end of a shard there is no record in hand: all that was given is meant.
    const position = record === undefined ? this.#lease.readTo : positionAfter(record);
    const isNews = compareCheckpoints(position, this.#lease.position) > 0;
    if (isNews) this.#lease.finished(position, millisBehindLatest);
    return this.#lease.checkpointed();
  }

  async #transact(
    items: readonly TransactionItem[],
    given: KinesisRecord | undefined,
    { last, millisBehindLatest }: InHand,
    signal: AbortSignal,
  ): Promise<void> {
    const record = given ?? last;
    const { checkpointMode, concurrency } = this.#deps;
    if (concurrency > 1) throw new TypeError(cannotTransact(concurrency));
    if (this.#lease.state.isKept) throw new TypeError(CANNOT_TRANSACT_WINDOWS);
    checkItems(items);
    checkShard(this.#lease.shardId, record);
    const isManual = checkpointMode === "manual";
    if (items.length === 0) {
      // In the mode `auto` the checkpoint follows by itself.
      return isManual ? await this.#checkpoint(record, millisBehindLatest) : undefined;
    }
    if (record === undefined) throw new TypeError(CANNOT_TRANSACT_AT_END);
    const position = positionAfter(record);
    try {
      // After its time an attempt must not write what the next one may write otherwise. What is in hand when the shard is to be given
      // up is finished, if nothing is in the way.
      const at = { position, millisBehindLatest };
      await this.#written(this.#lease.transact(items, at, signal, this.#until));
    } catch (error) {
      if (error instanceof LeaseLostError && this.#until.aborted) this.#leftOff = position;
      throw error;
    }
    // The user's code may have asked for it once more.
    if (this.#leftOff && compareCheckpoints(position, this.#leftOff) >= 0) {
      this.#leftOff = undefined;
    }
    const isNews = compareCheckpoints(position, this.#lease.position) > 0;
    if (isManual && isNews) this.#lease.finished(position, millisBehindLatest);
  }

  /** What is asked for last is written last. */
  async #written(work: Promise<void>): Promise<void> {
    this.#writing = work;
    try {
      await work;
    } finally {
      if (this.#writing === work) this.#writing = undefined;
    }
  }
}

/** Whoever does not wait for it learns of a lost shard otherwise; any other failure is to be heard of. */
function withLossKnown(work: Promise<void>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  work.then(resolve, (error) => {
    if (error instanceof LeaseLostError) promise.catch(() => {});
    reject(error);
  });
  return promise;
}

/**
 * Checks that a checkpoint can be made by hand, in a shard and after a record.
 *
 * @throws {TypeError} In the mode `auto`.
 * @throws {RangeError} If the record is of another shard: what is before its position there is not finished here.
 */
export function checkByHand(
  mode: "auto" | "manual",
  shardId: string,
  record: KinesisRecord | undefined,
): void {
  if (mode === "auto") {
    throw new TypeError(
      'Cannot checkpoint by hand: the setting "checkpointMode" is "auto"; set it to "manual"',
    );
  }
  checkShard(shardId, record);
}

/** DynamoDB takes 100, and one is the checkpoint. */
export const TRANSACTION_ITEMS_MAX = 99;

/**
 * Checks that items fit into one transaction with a checkpoint.
 *
 * @throws {RangeError} If they are too many, or no array.
 */
export function checkItems(items: readonly TransactionItem[]): void {
  if (Array.isArray(items) && items.length <= TRANSACTION_ITEMS_MAX) return;
  const given = Array.isArray(items) ? `${items.length} items` : `a value of type ${typeof items}`;
  throw new RangeError(
    `Cannot write ${given} with the checkpoint: it must be an array of at most ${TRANSACTION_ITEMS_MAX} items; DynamoDB ` +
      "takes 100 in a transaction, and the checkpoint is one of them",
  );
}

/** Why nothing can be written together with checkpoints. */
export function cannotTransact(concurrency: number): string {
  return `Cannot write items with the checkpoint: the setting "concurrency" is ${concurrency}, so that records before the ` +
    "one in hand may not be finished; set it to 1";
}

/** Whoever does it again after a crash would not know whether it was done. */
const CANNOT_TRANSACT_AT_END = "Cannot write items with the checkpoint at the end of a shard: " +
  "no record is in hand whose checkpoint they could go with; write them by themselves, or with the last record";

/** A window is closed before the record in hand is in one. */
const CANNOT_TRANSACT_WINDOWS = "Cannot write items with the checkpoint while windows are kept: " +
  "the checkpoint of a window is not there yet when it is closed; write them by themselves, under the id of the window";

function checkShard(shardId: string, record: KinesisRecord | undefined): void {
  if (record === undefined || record.shardId === shardId) return;
  throw new RangeError(
    `Cannot checkpoint shard "${shardId}" after a record of shard "${record.shardId}": use the context that came with the record`,
  );
}

function isMode(mode: unknown): mode is ErrorHandlingMode {
  if (typeof mode !== "object" || mode === null) return false;
  const { kind, retries } = mode as Partial<ErrorHandlingMode>;
  return (kind === "retryAndSkip" || kind === "retryAndStop") && Number.isInteger(retries) &&
    Number(retries) >= 0;
}
