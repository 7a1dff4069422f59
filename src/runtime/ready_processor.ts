/**
 * Owns: the processor that the next records of a shard get: made by its factory once for all lanes, or why there is none.
 * Must not: call it.
 * Called by: `runtime/record_runner.ts`.
 *
 * @module
 */

import { abortable } from "@std/async/abortable";
import type { RecordProcessor } from "../processor.ts";
import type { Lease } from "./lease_keeper.ts";
import type { Slot, Use } from "./processors.ts";
import type { BatchOutcome } from "./record_attempts.ts";
import { Scope } from "./tasks.ts";
import type { UserCode } from "./user_code.ts";

/** A processor to call, until `use.done()`. */
export interface Ready {
  readonly use: Use;
  readonly processor: RecordProcessor;
}

/** Why there is no processor to call. */
export type Unready = Exclude<BatchOutcome, "done" | "recordFailed">;

const FACTORY_ATTEMPTS_MAX = 3;

/** The processor of one turn on a shard. */
export class ReadyProcessor {
  readonly #slot: Slot;
  readonly #user: UserCode;
  readonly #lease: Lease;
  readonly #until: AbortSignal;
  /** The factory at work. */
  #making: Promise<Unready | undefined> | undefined;

  /** @param until Aborts when no further record is to be started. */
  constructor(slot: Slot, user: UserCode, lease: Lease, until: AbortSignal) {
    this.#slot = slot;
    this.#user = user;
    this.#lease = lease;
    this.#until = until;
  }

  /** The processor for what comes next, or why nothing does; a promise if it is being made: then ask again. */
  use(): Ready | Unready | Promise<Unready | undefined> {
    if (!this.#lease.isHeld) return "lost";
    if (this.#until.aborted) return "drained";
    if (this.#making !== undefined) return this.#making;
    const use = this.#slot.use();
    const { made } = use;
    if (made !== undefined && this.#lease.state.isReady(made)) return { use, processor: made };
    this.#making = this.#make(use).finally(() => this.#making = undefined);
    return this.#making;
  }

  /** Has a factory make the processor, once for all lanes; gives why there is none. */
  async #make(first: Use): Promise<Unready | undefined> {
    let use = first;
    for (let attempt = 1;; attempt++) {
      using isOver = new Scope(this.#until, use.retired);
      try {
        const made = Promise.resolve(use.processor);
        const limited = use.keepsTime ? made : this.#user.limited(() => made);
        const processor = await abortable(limited, isOver.signal);
        const isNews = await this.#lease.state.begin(processor, isOver.signal);
        if (isNews) this.#lease.stateChanged();
        return undefined;
      } catch (error) {
        // What it makes for nobody is disposed when it comes.
        if (isOver.signal.aborted) return undefined;
        this.#user.tellFailed("factory", error);
      } finally {
        await use.done();
      }
      const mode = { kind: "retryAndStop", retries: FACTORY_ATTEMPTS_MAX - 1 } as const;
      const next = await this.#user.afterFailure(attempt, mode);
      if (next !== "again") return next === "skip" || next === "stop" ? "processorFailed" : next;
      use = this.#slot.use();
    }
  }
}
