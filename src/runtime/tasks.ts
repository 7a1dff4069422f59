/**
 * Owns: the only ways to start, repeat, order and wait for async work. Every promise that is started has an owner here.
 * Must not: know what the work is.
 * Called by: the rest of `runtime/`, and the rooms on top of it.
 *
 * @module
 */

import type { Clock } from "../ports.ts";

/** Ends a timer that nobody waits for any more. Made once: an abort without a reason makes an error with its stack. */
const NOT_NEEDED = new Error("Nobody waits any more");

/** An abort signal that follows others; `using` lets go of them. */
export class Scope implements Disposable {
  readonly #controller = new AbortController();
  readonly #parents: readonly AbortSignal[];
  readonly #follow = (event: Event): void => this.abort((event.target as AbortSignal).reason);

  /** @param parents The signals to follow. */
  constructor(...parents: readonly AbortSignal[]) {
    this.#parents = parents;
    for (const parent of parents) {
      if (parent.aborted) this.abort(parent.reason);
      else parent.addEventListener("abort", this.#follow, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    for (const parent of this.#parents) parent.removeEventListener("abort", this.#follow);
  }
}

/** Owns async work; a failure is told, never lost. */
export class TaskGroup {
  /** No Set: each time that one is emptied the engine makes it a new table, to which the old one leads. */
  readonly #running: Promise<void>[] = [];
  readonly #onError: (task: string, error: unknown) => void;

  /** @param onError Is told what a task threw. */
  constructor(onError: (task: string, error: unknown) => void) {
    this.#onError = onError;
  }

  /** Starts a task. */
  start(task: string, work: () => Promise<unknown>): void {
    const running = work().then(() => {}, (error) => this.#onError(task, error))
      .finally(() => this.#running.splice(this.#running.indexOf(running), 1));
    this.#running.push(running);
  }

  /** Resolves when every task is done, those included that are started meanwhile. */
  async settled(): Promise<void> {
    while (this.#running.length > 0) await Promise.all(this.#running);
  }
}

/** Runs one piece of work after the other, in the order in which it came. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` when everything before it is done, whether that failed or not. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    // The caller owns the failure; here it only must not stop the next in line.
    this.#last = result.catch(() => {});
    return result;
  }
}

/** Wakes a loop that waits. A ring that nobody waits for is remembered. */
export class Bell {
  #isRung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  /**
   * Waits until the bell rings, at most `ms`. One waiter at a time.
   *
   * @returns Whether it rang.
   * @throws The signal's reason.
   */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    if (!this.#isRung) {
      using timer = new Scope(signal);
      const rang = new Promise<void>((resolve) => this.#wake = resolve);
      // The sleep rejects when the bell ends it; only an abort from outside counts, and is thrown below.
      const slept = clock.sleep(ms, timer.signal).catch(() => {});
      await Promise.race([rang, slept]);
      this.#wake = undefined;
      timer.abort(NOT_NEEDED);
      signal.throwIfAborted();
    }
    const isRung = this.#isRung;
    this.#isRung = false;
    return isRung;
  }
}

/** Code that never waits must not keep everything else, such as heartbeats, waiting for longer than this. */
const STRETCH_MAX_MS = 100;

/**
 * Lets everything else have its turn now and then. One for all work of a worker: of many stretches with a wait each, all would
 * run before anything else does.
 */
export class Breather {
  readonly #clock: Clock;
  readonly #never = new AbortController().signal;
  readonly #waiting: (() => void)[] = [];
  #isWaiting = false;
  #lastAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastAt = clock.monotonic();
  }

  /** A wait that is over at once, if one is due; for a caller that has just read the monotonic clock. */
  breath(monotonic: number): Promise<void> | undefined {
    if (monotonic - this.#lastAt < STRETCH_MAX_MS) return undefined;
    if (this.#isWaiting) return new Promise((resolve) => this.#waiting.push(resolve));
    return this.#wait();
  }

  async #wait(): Promise<void> {
    this.#isWaiting = true;
    await this.#clock.sleep(0, this.#never);
    this.#isWaiting = false;
    this.#lastAt = this.#clock.monotonic();
    // Whoever goes on first has the next stretch. The caller had the last one, and goes on after these.
    for (const goOn of this.#waiting.splice(0)) goOn();
  }
}

/**
 * Runs `work` with a signal that is aborted after `ms`, or with the given one; throws `onTimeout()` if the time comes first.
 * An abort of the given signal ends nothing by itself: work that does not heed it is waited for.
 */
export async function withTimeout<T>(
  clock: Pick<Clock, "sleep">,
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
  onTimeout: () => Error,
): Promise<T> {
  using timer = new Scope();
  using scope = new Scope(signal);
  const timedOut = clock.sleep(ms, timer.signal).then(() => {
    const error = onTimeout();
    scope.abort(error);
    throw error;
  });
  // When the work wins, the timer ends in a rejection that says nothing.
  timedOut.catch(() => {});
  try {
    const result = work(scope.signal);
    // When the timer wins, what the work throws later says nothing new.
    result.catch(() => {});
    return await Promise.race([result, timedOut]);
  } finally {
    timer.abort(NOT_NEEDED);
  }
}

/** Does `work` for each item, at most `limit` at a time. The first failure is thrown when everything that was started is done. */
export async function forEachLimited<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const queue = items.values();
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    for (const item of queue) {
      if (failures.length > 0) return;
      await work(item).catch((error) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  if (failures.length > 0) throw failures[0];
}
