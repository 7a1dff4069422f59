// Owns: a clock whose sleeps take no time: each one moves it on by its length.
// Must not: be used where two sleeps overlap.
// Called by: tests.
import type { Clock } from "../src/ports.ts";

export class LeapingClock implements Clock {
  /** How long each sleep was. */
  readonly sleeps: number[] = [];
  #time: number;

  constructor(start = 1_700_000_000_000) {
    this.#time = start;
  }

  now(): number {
    return this.#time;
  }

  monotonic(): number {
    return this.#time;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.sleeps.push(ms);
    this.#time += ms;
    await Promise.resolve();
    signal.throwIfAborted();
  }

  /** Lets time pass. */
  leap(ms: number): void {
    this.#time += ms;
  }
}
