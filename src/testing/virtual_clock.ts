/**
 * Owns: time that stands still until a test moves it on, and chance that a seed decides.
 * Must not: use a timer.
 * Called by: users, as `@reacto/kinesix/testing`; `testing/test_kit.ts`; this package's own tests.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { Clock, Random } from "../ports.ts";

interface Sleeper {
  readonly due: number;
  readonly wake: () => void;
}

/** Where wall time begins: any moment will do. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

/**
 * A clock whose sleeps end when a test says so, in the order in which they are due. No real time passes.
 *
 * @example
 * ```ts
 * import { VirtualClock } from "@reacto/kinesix/testing";
 *
 * const clock = new VirtualClock();
 * let isOver = false;
 * const { signal } = new AbortController();
 * const slept = clock.sleep(60_000, signal).then(() => isOver = true);
 * await clock.advance(59_999);
 * if (isOver) throw new Error("too early");
 * await clock.until(slept);
 * if (clock.monotonic() !== 60_000) throw new Error("a minute has passed");
 * ```
 */
export class VirtualClock implements Clock {
  readonly #settle: () => Promise<void>;
  readonly #sleepers = new Set<Sleeper>();
  #time = 0;

  /**
   * Makes a clock that stands at the beginning of 2026.
   *
   * @param settle Lets everything happen that can happen without time passing; it is awaited before time moves on.
   */
  constructor(settle: () => Promise<void> = settled) {
    this.#settle = settle;
  }

  /** Wall time, in milliseconds since the epoch. */
  now(): number {
    return EPOCH_MS + this.#time;
  }

  /** Virtual milliseconds since this clock was made. */
  monotonic(): number {
    return this.#time;
  }

  /** How many sleeps are under way. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  /**
   * Waits until so many virtual milliseconds have passed.
   *
   * @throws The signal's reason, as soon as it is aborted.
   */
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const end = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#sleepers.delete(sleeper);
      };
      const onAbort = (): void => {
        end();
        reject(signal.reason);
      };
      const wake = (): void => {
        end();
        resolve();
      };
      const sleeper = { due: this.#time + Math.max(0, ms), wake };
      this.#sleepers.add(sleeper);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Lets time pass while nothing else can happen, as a computation does, in milliseconds. */
  pass(ms: number): void {
    this.#time += ms;
  }

  /** Lets time pass, in milliseconds; whatever becomes due happens at its own moment. */
  async advance(ms: number): Promise<void> {
    const end = this.#time + ms;
    await this.#settle();
    while (await this.next(end)) { /* the next one may have been made by the last */ }
    this.#time = Math.max(this.#time, end);
  }

  /**
   * Lets time pass until a promise is settled, at most `ms` milliseconds; gives what the promise gives.
   *
   * @throws {RangeError} If it is not settled by then, or never will be.
   */
  async until<T>(promise: Promise<T>, ms: number = 3_600_000): Promise<T> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    promise.then(settle, settle);
    const end = this.#time + ms;
    await this.#settle();
    while (!isSettled) {
      if (await this.next(end)) continue;
      this.#time = Math.max(this.#time, end);
      throw new RangeError(
        `Cannot wait longer for the promise: it did not settle within ${ms} ms of virtual time`,
      );
    }
    return await promise;
  }

  /**
   * Lets time pass until the next sleep is over, and everything happens that follows from that.
   *
   * @param end Up to when, as {@linkcode VirtualClock.monotonic} says it.
   * @returns Whether there was one.
   */
  async next(end: number = Infinity): Promise<boolean> {
    let next: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (next === undefined || sleeper.due < next.due) next = sleeper;
    }
    if (next === undefined || next.due > end) return false;
    this.#time = Math.max(this.#time, next.due);
    next.wake();
    await this.#settle();
    return true;
  }
}

/** Resolves when everything that can happen without time passing, and without the outside world, has happened. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Chance that is the same at every run. */
export class SeededRandom implements Random {
  readonly #seed: number;
  #state: number;
  #uuids = 0;

  /**
   * Makes the chance of a seed.
   *
   * @param seed Any whole number.
   */
  constructor(seed = 1) {
    this.#seed = seed;
    // Scrambled, so that neighbouring seeds have nothing in common.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  }

  /** A number of at least 0 and less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A name that this seed draws once, and no other seed does. */
  uuid(): string {
    this.#uuids += 1;
    return `uuid-${this.#seed}-${this.#uuids}`;
  }

  /** True with a probability from 0 to 1. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** A whole number from `min` to `max`, both included. */
  whole(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  /**
   * One of several.
   *
   * @throws {RangeError} If there is none.
   */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError("Cannot pick one of nothing: the list is empty");
    return items[this.whole(0, items.length - 1)] as T;
  }
}
