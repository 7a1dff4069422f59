// Owns: time that stands still until a test moves it on, and chance that a seed decides.
// Must not: use a timer.
// Called by: the tests of the runtime and of the whole app.
import { setImmediate } from "node:timers";
import type { Clock, Random } from "../src/ports.ts";

interface Sleeper {
  readonly due: number;
  readonly wake: () => void;
}

/** Where wall time begins: any moment will do. */
const EPOCH = Date.UTC(2026, 0, 1);

/** A clock whose sleeps end when a test says so, in the order in which they are due. */
export class VirtualClock implements Clock {
  #time = 0;
  #sleepers: Sleeper[] = [];

  now(): number {
    return EPOCH + this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  /** How many sleeps are under way. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const end = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
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
      this.#sleepers.push(sleeper);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Lets time pass while nothing else can happen, as a computation does. */
  pass(ms: number): void {
    this.#time += ms;
  }

  /** Lets time pass; whatever becomes due happens at its own moment. */
  async advance(ms: number): Promise<void> {
    const end = this.#time + ms;
    await settled();
    while (await this.#wakeNext(end)) { /* the next one may have been made by the last */ }
    this.#time = end;
  }

  /** Lets time pass until a promise is settled, at most `ms`; gives what the promise gives. */
  async until<T>(promise: Promise<T>, ms = 3_600_000): Promise<T> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    promise.then(settle, settle);
    const end = this.#time + ms;
    await settled();
    while (!isSettled) {
      if (await this.#wakeNext(end)) continue;
      this.#time = end;
      throw new Error(`nothing came within ${ms} ms`);
    }
    return await promise;
  }

  async #wakeNext(end: number): Promise<boolean> {
    const next = this.#sleepers.reduce<Sleeper | undefined>(
      (first, other) => first === undefined || other.due < first.due ? other : first,
      undefined,
    );
    if (next === undefined || next.due > end) return false;
    this.#time = Math.max(this.#time, next.due);
    next.wake();
    await settled();
    return true;
  }
}

/** Resolves when everything that can happen without time passing has happened. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Chance that is the same at every run. */
export class SeededRandom implements Random {
  #state: number;
  #uuids = 0;

  constructor(seed = 1) {
    this.#state = seed;
  }

  next(): number {
    this.#state = this.#state * 48_271 % 2_147_483_647;
    return this.#state / 2_147_483_647;
  }

  uuid(): string {
    this.#uuids += 1;
    return `uuid-${this.#state}-${this.#uuids}`;
  }
}
