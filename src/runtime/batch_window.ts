/**
 * Owns: when the records that wait for a lane are given to `processBatch`: when there are enough, or the first one has waited
 * for long enough.
 * Must not: take them.
 * Called by: `runtime/record_runner.ts`.
 *
 * @module
 */

import type { Clock } from "../ports.ts";
import type { BufferBudget } from "./buffer_budget.ts";
import type { StretchQueue } from "./lanes.ts";
import { Scope } from "./tasks.ts";

/** What the window needs of the worker. */
export interface BatchWindowDeps {
  readonly clock: Clock;
  /** The most records of a batch. */
  readonly batchSize: number;
  /** In milliseconds; 0 collects nothing. */
  readonly batchWindow: number;
  /** The memory for what is collected. */
  readonly budget: Pick<BufferBudget, "isScarce">;
}

/** Wakes lanes that wait. Made once: an abort without a reason makes an error with its stack. */
const LOOK_AGAIN = new Error("There is something to look at");

/** The windows of all lanes of a shard. */
export class BatchWindow {
  readonly #deps: BatchWindowDeps;
  #waiting = new AbortController();
  /** What was read until then is not to wait any more. */
  #flushedAt = -Infinity;

  constructor(deps: BatchWindowDeps) {
    this.#deps = deps;
  }

  /** Whether anything is collected at all. */
  get isOpen(): boolean {
    return this.#deps.batchWindow > 0;
  }

  /** Whether what waits is to be processed now. */
  isOver(queue: StretchQueue): boolean {
    const { batchSize, budget } = this.#deps;
    if (!this.isOpen || queue.size >= batchSize) return true;
    // Whoever waits for the memory would else wait for the window.
    return budget.isScarce || this.#left(queue) <= 0;
  }

  /** Resolves when it is worth another look; at the latest when the window is over. */
  async look(queue: StretchQueue, until: AbortSignal): Promise<void> {
    if (this.isOver(queue)) return;
    using scope = new Scope(this.#waiting.signal, until);
    // An abort is a reason to look, too.
    await this.#deps.clock.sleep(Math.max(0, this.#left(queue)), scope.signal).catch(() => {});
  }

  /** More waits than before, or there is no memory for more. */
  added(): void {
    if (!this.isOpen) return;
    this.#waiting.abort(LOOK_AGAIN);
    this.#waiting = new AbortController();
  }

  /** Nothing that is here waits any longer. */
  flush(): void {
    this.#flushedAt = this.#deps.clock.monotonic();
    this.added();
  }

  #left(queue: StretchQueue): number {
    const { waitingSince } = queue;
    if (waitingSince <= this.#flushedAt) return 0;
    return waitingSince + this.#deps.batchWindow - this.#deps.clock.monotonic();
  }
}
