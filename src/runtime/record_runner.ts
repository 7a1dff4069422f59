/**
 * Owns: one batch of one shard through the user's processor: attempts, time-out, skip or stop, and what is finished.
 * Must not: read the stream or write the state table.
 * Called by: `runtime/shard_runner.ts`.
 *
 * @module
 */

import { compareCheckpoints, formatCheckpoint } from "../core/checkpoint.ts";
import { decide, DEFAULT_MODE, type ErrorHandlingMode } from "../core/policy.ts";
import { ProcessTimeoutError, toEventError } from "../errors.ts";
import type { AppFact, EventSink } from "../events.ts";
import type { Batch, Clock, Random } from "../ports.ts";
import type { KinesisRecord, ProcessContext, RecordProcessor } from "../processor.ts";
import { DeliveredRecord, positionAfter } from "./delivered_record.ts";
import type { Lease } from "./lease_keeper.ts";
import type { Slot } from "./processors.ts";
import { Scope, withTimeout } from "./tasks.ts";

/** What the record runner needs of the worker. */
export interface RecordRunnerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: EventSink;
  readonly workerId: string;
  readonly streamName: string;
  readonly checkpointMode: "auto" | "manual";
  /** In milliseconds; 0 is no limit. */
  readonly processTimeout: number;
}

/**
 * How a batch went: every record is `done`; it was left off because the shard is to be given up (`drained`) or was
 * `lost`; or the shard must stop, before the record in hand, because the record or the processor `failed`.
 */
export type BatchOutcome = "done" | "drained" | "lost" | "recordFailed" | "processorFailed";

/** A processor that never waits must not keep heartbeats from being sent for longer than this. */
const SYNC_STRETCH_MAX_MS = 100;
const FACTORY_ATTEMPTS_MAX = 3;
const SHARD_ENDED_MODE: ErrorHandlingMode = { kind: "retryAndStop", retries: 2 };

/** Runs the records of one shard through its processor. */
export class RecordRunner {
  readonly #deps: RecordRunnerDeps;
  readonly #lease: Lease;
  readonly #slot: Slot;
  readonly #drain: AbortSignal;
  #millisBehindLatest = 0;
  #isTipTold = false;
  #yieldedAt: number;

  /** @param drain Aborts when no further record is to be started. */
  constructor(deps: RecordRunnerDeps, lease: Lease, slot: Slot, drain: AbortSignal) {
    this.#deps = deps;
    this.#lease = lease;
    this.#slot = slot;
    this.#drain = drain;
    this.#yieldedAt = deps.clock.monotonic();
  }

  /** Processes the records of a batch one after the other, or all at once if the processor wants them so. */
  async run(batch: Batch): Promise<BatchOutcome> {
    this.#millisBehindLatest = batch.millisBehindLatest;
    const records = batch.records.map((record) => new DeliveredRecord(this.#lease.shardId, record));
    let finished = 0;
    let outcome: BatchOutcome = "done";
    while (finished < records.length && outcome === "done") {
      const processor = await this.#useProcessor();
      if (typeof processor === "string") {
        outcome = processor;
      } else {
        const rest = processor.processBatch === undefined ? finished + 1 : records.length;
        const inHand = records.slice(finished, rest);
        outcome = await this.#finish(inHand, processor);
        if (outcome === "done") finished += inHand.length;
        await this.#slot.done();
      }
      await this.#letOthersRun();
    }
    if (finished > 0 || !this.#isTipTold) this.#tellBatch(records.slice(0, finished));
    return outcome;
  }

  /** Of the empty batches at the tip of the shard only the first one is worth telling. */
  #tellBatch(records: readonly DeliveredRecord[]): void {
    this.#isTipTold = records.length === 0;
    this.#deps.emit({
      type: "batch_processed",
      shardId: this.#lease.shardId,
      records: records.length,
      bytes: records.reduce((sum, record) => sum + record.data.byteLength, 0),
      millisBehindLatest: this.#millisBehindLatest,
    });
  }

  /** Tells the processor that every record of the closed shard was processed. */
  async shardEnded(): Promise<BatchOutcome> {
    const processor = await this.#useProcessor();
    if (typeof processor === "string") return processor;
    let outcome: BatchOutcome = "done";
    for (let attempt = 1; processor.shardEnded !== undefined; attempt++) {
      try {
        const call = processor.shardEnded.bind(processor);
        await this.#limited((signal) => call(this.#context([], attempt, signal)));
        break;
      } catch (error) {
        this.#tellProcessorFailed("shardEnded", error);
        const next = await this.#afterFailure(attempt, SHARD_ENDED_MODE);
        if (next === "again") continue;
        outcome = next === "skip" || next === "stop" ? "processorFailed" : next;
        break;
      }
    }
    await this.#slot.done();
    if (outcome === "done" && !this.#lease.isAllFinished) outcome = await this.#untilFinished();
    return this.#lease.isHeld ? outcome : "lost";
  }

  /** In the manual mode the end of a shard waits for the checkpoint of its last record, or what is after it would be lost. */
  async #untilFinished(): Promise<BatchOutcome> {
    const { shardId } = this.#lease;
    const checkpoint = formatCheckpoint(this.#lease.position);
    this.#deps.emit({ type: "shard_end_waiting", shardId, checkpoint });
    using scope = new Scope(this.#lease.signal, this.#drain);
    try {
      await this.#lease.allFinished(scope.signal);
      return "done";
    } catch (error) {
      if (!scope.signal.aborted) throw error;
      return this.#drain.aborted ? "drained" : "lost";
    }
  }

  /** The processor for what comes next, or why nothing does. */
  async #useProcessor(): Promise<RecordProcessor | "drained" | "lost" | "processorFailed"> {
    for (let attempt = 1;; attempt++) {
      if (!this.#lease.isHeld) return "lost";
      if (this.#drain.aborted) return "drained";
      try {
        const processor = await this.#limited(() => this.#slot.use());
        // A factory may take its time, in which the shard can be lost.
        if (this.#lease.isHeld) return processor;
        await this.#slot.done();
      } catch (error) {
        await this.#slot.done();
        this.#tellProcessorFailed("factory", error);
        const mode = { kind: "retryAndStop", retries: FACTORY_ATTEMPTS_MAX - 1 } as const;
        const next = await this.#afterFailure(attempt, mode);
        if (next === "again") continue;
        return next === "skip" || next === "stop" ? "processorFailed" : next;
      }
    }
  }

  /** Tries the records in hand, together, until they are processed or given up. */
  async #finish(
    records: readonly DeliveredRecord[],
    processor: RecordProcessor,
  ): Promise<BatchOutcome> {
    const [first] = records;
    const last = records.at(-1);
    if (first === undefined || last === undefined) return "done";
    let mode: ErrorHandlingMode | undefined;
    for (let attempt = 1;; attempt++) {
      try {
        const running = this.#attempt(records, processor, attempt);
        // Awaiting what is no promise costs more than many a processor.
        if (running !== undefined) await running;
        break;
      } catch (error) {
        if (!this.#lease.isHeld) return "lost";
        const { shardId } = this.#lease;
        const { sequenceNumber } = first;
        const told = toEventError(error);
        this.#deps.emit({ type: "record_failed", shardId, sequenceNumber, attempt, error: told });
        mode ??= await this.#askMode(processor, first, error, attempt);
        const next = await this.#afterFailure(attempt, mode);
        if (next === "again") continue;
        if (next === "lost" || next === "drained") return next;
        await this.#tellGivenUp(records, processor, { mode, error, attempt });
        if (next === "stop") return "recordFailed";
        break;
      }
    }
    if (!this.#lease.isHeld) return "lost";
    this.#lease.delivered(positionAfter(last));
    if (this.#deps.checkpointMode === "auto") this.#markFinished(last);
    return "done";
  }

  #attempt(
    records: readonly DeliveredRecord[],
    processor: RecordProcessor,
    attempt: number,
  ): void | Promise<void> {
    const call = (signal: AbortSignal): void | Promise<void> => {
      const context = this.#context(records, attempt, signal);
      if (processor.processBatch !== undefined) return processor.processBatch(records, context);
      const [record] = records;
      return record && processor.process?.(record, context);
    };
    return this.#limited(call);
  }

  /** Runs code of the user's, for at most `processTimeout`. */
  #limited<T>(call: (signal: AbortSignal) => T | Promise<T>): T | Promise<T> {
    const { clock, processTimeout } = this.#deps;
    if (processTimeout === 0) return call(this.#lease.signal);
    return withTimeout(
      clock,
      processTimeout,
      this.#lease.signal,
      async (signal) => await call(signal),
      () => new ProcessTimeoutError(processTimeout),
    );
  }

  async #askMode(
    processor: RecordProcessor,
    record: KinesisRecord,
    error: unknown,
    attempt: number,
  ): Promise<ErrorHandlingMode> {
    if (processor.getErrorHandlingMode === undefined) return DEFAULT_MODE;
    try {
      const ask = processor.getErrorHandlingMode.bind(processor);
      const mode = await this.#limited((signal) =>
        ask(record, error, this.#context([record], attempt, signal))
      );
      if (isMode(mode)) return mode;
      throw new TypeError("it must return retryAndSkip(n) or retryAndStop(n)");
    } catch (failure) {
      this.#tellProcessorFailed("getErrorHandlingMode", failure);
      return DEFAULT_MODE;
    }
  }

  /** Waits before the next attempt, unless there is none. */
  async #afterFailure(
    attempt: number,
    mode: ErrorHandlingMode,
  ): Promise<"again" | "skip" | "stop" | "lost" | "drained"> {
    const decision = decide(attempt, mode, this.#deps.random.next());
    if (decision.kind !== "retry") return decision.kind;
    using scope = new Scope(this.#lease.signal, this.#drain);
    // An abort ends the wait early; why is asked below.
    await this.#deps.clock.sleep(decision.afterMs, scope.signal).catch(() => {});
    if (!this.#lease.isHeld) return "lost";
    return this.#drain.aborted ? "drained" : "again";
  }

  async #tellGivenUp(
    records: readonly KinesisRecord[],
    processor: RecordProcessor,
    failure: {
      readonly mode: ErrorHandlingMode;
      readonly error: unknown;
      readonly attempt: number;
    },
  ): Promise<void> {
    const { mode, error, attempt } = failure;
    for (const record of records) {
      if (!this.#lease.isHeld) return;
      try {
        const tell = processor.onMaxRetryExceeded?.bind(processor);
        if (tell !== undefined) {
          await this.#limited((signal) =>
            tell(record, mode, error, this.#context([record], attempt, signal))
          );
        }
      } catch (failure) {
        this.#tellProcessorFailed("onMaxRetryExceeded", failure);
      }
      if (mode.kind === "retryAndStop") continue;
      this.#deps.emit({
        type: "record_skipped",
        shardId: this.#lease.shardId,
        sequenceNumber: record.sequenceNumber,
        attempts: attempt,
      });
    }
  }

  #context(
    records: readonly KinesisRecord[],
    attempt: number,
    signal: AbortSignal,
  ): ProcessContext {
    return {
      shardId: this.#lease.shardId,
      workerId: this.#deps.workerId,
      streamName: this.#deps.streamName,
      attempt,
      millisBehindLatest: this.#millisBehindLatest,
      term: this.#lease.term,
      signal,
      checkpoint: (record) => this.#checkpoint(record ?? records.at(-1)),
    };
  }

  /** Throws at once in the mode `auto`: whoever calls it without waiting must learn of the mistake too. */
  #checkpoint(record: KinesisRecord | undefined): Promise<void> {
    if (this.#deps.checkpointMode === "auto") {
      throw new TypeError(
        'Cannot checkpoint by hand: the setting "checkpointMode" is "auto"; set it to "manual"',
      );
    }
    // A processor that finishes its records in the background does so in any order; what is behind is finished already.
    // At the end of a shard there is no record in hand: all that was given is meant.
    const position = record === undefined ? this.#lease.readTo : positionAfter(record);
    const isNews = compareCheckpoints(position, this.#lease.position) > 0;
    if (isNews) this.#lease.finished(position, this.#millisBehindLatest);
    return this.#lease.checkpointed();
  }

  #markFinished(record: KinesisRecord): void {
    this.#lease.finished(positionAfter(record), this.#millisBehindLatest);
  }

  async #letOthersRun(): Promise<void> {
    const { clock } = this.#deps;
    if (clock.monotonic() - this.#yieldedAt < SYNC_STRETCH_MAX_MS) return;
    // An abort is seen before the next record.
    await clock.sleep(0, this.#lease.signal).catch(() => {});
    this.#yieldedAt = clock.monotonic();
  }

  #tellProcessorFailed(
    operation: Extract<AppFact, { type: "processor_failed" }>["operation"],
    error: unknown,
  ): void {
    const { shardId } = this.#lease;
    this.#deps.emit({ type: "processor_failed", shardId, operation, error: toEventError(error) });
  }
}

function isMode(mode: unknown): mode is ErrorHandlingMode {
  if (typeof mode !== "object" || mode === null) return false;
  const { kind, retries } = mode as Partial<ErrorHandlingMode>;
  return (kind === "retryAndSkip" || kind === "retryAndStop") && Number.isInteger(retries) &&
    Number(retries) >= 0;
}
