/**
 * Owns: how long an attempt, or another call of the user's code, may take.
 * Must not: know what follows when it takes longer.
 * Called by: `runtime/user_code.ts`, `runtime/processors.ts`, `pull/`.
 *
 * @module
 */

import { ProcessTimeoutError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import { withTimeout } from "./tasks.ts";

/** What is measured by which clock. */
export interface Timing {
  readonly clock: Pick<Clock, "sleep">;
  /** In milliseconds; 0 is no limit. */
  readonly processTimeout: number;
}

/** Waits for code of the user's that is given a signal, for at most `processTimeout`. */
export async function withinProcessTimeout<T>(
  { clock, processTimeout }: Timing,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (processTimeout === 0) return await work(signal);
  const onTimeout = (): Error => new ProcessTimeoutError(processTimeout);
  return await withTimeout(clock, processTimeout, signal, work, onTimeout);
}

/**
 * A clock for attempts that may write items. That these are not written yet is no fault of the record: a sleep goes on as long as some
 * are on their way, and takes its time anew afterwards.
 */
export class BesideWrites implements Pick<Clock, "sleep"> {
  readonly #clock: Pick<Clock, "sleep">;
  readonly #writing: () => Promise<unknown> | undefined;

  /** @param writing Settles when the items are written that are on their way; undefined if there are none. */
  constructor(clock: Pick<Clock, "sleep">, writing: () => Promise<unknown> | undefined) {
    this.#clock = clock;
    this.#writing = writing;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, signal);
    for (let work = this.#writing(); work !== undefined; work = this.#writing()) {
      // Whoever asked for them is told what became of them.
      await work.catch(() => {});
      await this.#clock.sleep(ms, signal);
    }
  }
}
