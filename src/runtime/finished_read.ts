/**
 * Owns: telling a processor that keeps state of each read whose records are finished, and what follows if that fails.
 * Must not: read, or process a record.
 * Called by: `runtime/shard_runner.ts`, between two reads.
 *
 * @module
 */

import { abortable } from "@std/async/abortable";
import type { ErrorHandlingMode } from "../core/policy.ts";
import type { Batch } from "../ports.ts";
import type { FinishedRead } from "../processor.ts";
import type { Lease } from "./lease_keeper.ts";
import type { Slot } from "./processors.ts";
import { type Ready, ReadyProcessor, type Unready } from "./ready_processor.ts";
import type { BatchOutcome } from "./record_attempts.ts";
import { isStateful } from "./shard_state.ts";
import { UserCode, type UserCodeDeps } from "./user_code.ts";

/** A read as it was made. */
export class TimedBatch {
  readonly batch: Batch;
  /** When it was asked for, on the monotonic clock. */
  readonly askedAt: number;
  /** When it was there, on the monotonic clock. */
  readonly arrivedAt: number;
  /** The latest arrival of its records, which are let go of before it is told; undefined if there are none. */
  readonly latestArrival: number | undefined;

  constructor(batch: Batch, times: Pick<TimedBatch, "askedAt" | "arrivedAt">) {
    this.batch = batch;
    this.askedAt = times.askedAt;
    this.arrivedAt = times.arrivedAt;
    this.latestArrival = latestArrivalOf(batch.records);
  }
}

/** A window is never skipped: after so many attempts another worker tries. */
const FINISHED_READ_MODE: ErrorHandlingMode = { kind: "retryAndStop", retries: 9 };

/** Tells of the reads of one turn. */
export class FinishedReads {
  readonly #lease: Lease;
  readonly #slot: Slot;
  readonly #user: UserCode;
  readonly #processor: ReadyProcessor;
  readonly #until: AbortSignal;

  /** @param until Aborts when no further record is to be started. */
  constructor(deps: UserCodeDeps, lease: Lease, slot: Slot, until: AbortSignal) {
    this.#lease = lease;
    this.#slot = slot;
    this.#until = until;
    this.#user = new UserCode(deps, lease, until);
    this.#processor = new ReadyProcessor(slot, this.#user, lease, until);
  }

  /** Whether the processor of the shard keeps state. */
  get areWanted(): boolean {
    return this.#slot.keepsState;
  }

  /**
   * Has the processor begin before anything is read: a record that the filter leaves out would be passed without what the parents of
   * the shard left.
   */
  async begin(): Promise<BatchOutcome> {
    if (!this.areWanted) return "done";
    const ready = await this.#ready();
    if (typeof ready === "string") return ready;
    await ready.use.done();
    return "done";
  }

  /** Tells of a read; the processor is made for it, if need be: windows are over also where nothing comes any more. */
  async tell(read: TimedBatch): Promise<BatchOutcome> {
    const facts = factsOf(read);
    const { millisBehindLatest } = read.batch;
    for (let attempt = 1;; attempt++) {
      const ready = await this.#ready();
      if (typeof ready === "string") return ready;
      const { use, processor } = ready;
      try {
        const hasChanged = isStateful(processor) &&
          await this.#user.call(
            processor,
            { last: undefined, attempt, millisBehindLatest },
            (context) => processor.finishedRead(facts, context),
          );
        if (!this.#lease.isHeld) return "lost";
        // The end of the shard is written with it.
        if (hasChanged && read.batch.end === undefined) await this.#written();
        return this.#lease.isHeld ? "done" : "lost";
      } catch (error) {
        this.#user.tellFailed("windows", error);
      } finally {
        await use.done();
      }
      const next = await this.#user.afterFailure(attempt, FINISHED_READ_MODE);
      if (next !== "again") return next === "skip" || next === "stop" ? "processorFailed" : next;
    }
  }

  /**
   * Before anything else is read: when a read ends is chance, and with it what is in a window that is closed because of it. Whoever
   * came after a crash would else find other windows than those that were closed.
   */
  async #written(): Promise<void> {
    // An abort is seen by whoever goes on.
    await abortable(this.#lease.stateWritten(), this.#until).catch(() => {});
  }

  async #ready(): Promise<Ready | Unready> {
    let ready = this.#processor.use();
    while (ready instanceof Promise) ready = await ready ?? this.#processor.use();
    return ready;
  }
}

/** The latest arrival of records, in milliseconds since the epoch; undefined if there are none. */
function latestArrivalOf(records: Batch["records"]): number | undefined {
  let latest: number | undefined;
  for (const { approximateArrivalTimestamp } of records) {
    latest = Math.max(latest ?? -Infinity, approximateArrivalTimestamp);
  }
  return latest;
}

function factsOf({ batch, askedAt, arrivedAt, latestArrival }: TimedBatch): FinishedRead {
  const { millisBehindLatest, end } = batch;
  return {
    latestArrival,
    askedAt,
    arrivedAt,
    isAtTip: latestArrival === undefined && millisBehindLatest === 0 && end === undefined,
    isLast: end !== undefined && end.children.length === 0,
  };
}
