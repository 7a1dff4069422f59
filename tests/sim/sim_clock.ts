/**
 * Owns: the clock of one simulated process, and its chance.
 * Must not: decide how wrong a clock is; that is `scenario.ts`.
 * Called by: `sim_process.ts`, `sim_ports.ts`.
 *
 * @module
 */

import type { Clock, Random } from "../../src/ports.ts";
import type { NetworkHost } from "./sim_network.ts";
import type { Prng, Scheduled, World } from "./world.ts";

/** The wall time at which every simulation begins. */
export const EPOCH_MS: number = Date.UTC(2026, 0, 1);

/** A process as its ports see it. */
export interface PortHost extends NetworkHost {
  /** Sleeps that its code waits for. */
  pendingSleeps: number;
}

/** How wrong a clock is. */
export interface ClockError {
  /** How much faster than real time it runs; 1 is right. */
  readonly rate: number;
  /** How far its wall time is off at first, in milliseconds. */
  readonly offsetMs: number;
}

/** A clock that runs too fast or too slow, from a time of its own. */
export class SimClock implements Clock {
  readonly #world: World;
  readonly #host: PortHost;
  readonly #rate: number;
  #offsetMs: number;
  /** When the machine was suspended, and until when. */
  #suspended = { from: 0, until: 0 };
  /** For how long it was before. */
  #lostMs = 0;

  constructor(world: World, host: PortHost, error: ClockError) {
    this.#world = world;
    this.#host = host;
    this.#rate = error.rate;
    this.#offsetMs = error.offsetMs;
  }

  /** Sets the wall clock forward, or back. */
  jump(ms: number): void {
    this.#offsetMs += ms;
  }

  /** The monotonic clock stands still for a while from now on. */
  suspend(ms: number): void {
    const { now } = this.#world;
    const { from, until } = this.#suspended;
    this.#lostMs += Math.min(now, until) - from;
    this.#suspended = { from: now, until: Math.max(now + ms, until) };
  }

  now(): number {
    return EPOCH_MS + this.#offsetMs + Math.floor(this.#world.now);
  }

  monotonic(): number {
    const { now } = this.#world;
    const { from, until } = this.#suspended;
    return (now - this.#lostMs - (Math.min(now, until) - from)) * this.#rate;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal.aborted) {
      reject(signal.reason);
      return promise;
    }
    this.#host.pendingSleeps += 1;
    const onAbort = (): void => {
      this.#host.pendingSleeps -= 1;
      timer.isCancelled = true;
      reject(signal.reason);
    };
    const end = this.monotonic() + Math.max(0, ms);
    const onTime = (): void => {
      // While the machine was suspended the clock stood still, and the timer with it.
      if (this.monotonic() < end) {
        timer = this.#after(end - this.monotonic(), onTime);
        return;
      }
      this.#host.pendingSleeps -= 1;
      signal.removeEventListener("abort", onAbort);
      resolve();
    };
    let timer = this.#after(ms, onTime);
    signal.addEventListener("abort", onAbort, { once: true });
    return promise;
  }

  #after(ms: number, run: () => void): Scheduled {
    // A thousandth more, so that a rounding of the rate never makes it less than what was asked for.
    return this.#world.after(Math.max(0, ms) / this.#rate + 0.001, run, this.#host);
  }
}

/** Chance from the seed. The names that it draws begin with that of the process. */
export class SimRandom implements Random {
  readonly #random: Prng;
  readonly #name: string;
  #drawn = 0;

  constructor(random: Prng, name: string) {
    this.#random = random;
    this.#name = name;
  }

  next(): number {
    return this.#random.next();
  }

  uuid(): string {
    return `${this.#name}/${this.#drawn++}`;
  }
}

/** The name of the process that drew a uuid. */
export function processOf(uuid: string): string {
  return uuid.slice(0, uuid.lastIndexOf("/"));
}
