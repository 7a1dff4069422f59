/**
 * Owns: virtual time, chance and the order of events of a simulation.
 * Must not: know what the events are about.
 * Called by: everything in `tests/sim/`.
 *
 * Events are ordered by virtual time, then by a number drawn from the seed, then by when they were made. Each event runs in
 * an immediate of its own: between two of them every microtask runs, so that all that follows from an event happens at its
 * time. A turn of the event loop costs ten times as much as what is simulated in it, so one takes many immediates.
 *
 * @module
 */

import { setImmediate } from "node:timers";

/** Chance from a seed: small, fast, the same on every machine. */
export class Prng {
  #state: number;

  constructor(seed: number) {
    // A first scramble, so that neighbouring seeds have nothing in common.
    this.#state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
    for (let i = 0; i < 4; i++) this.next();
  }

  /** A number of at least 0 and less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A chance of its own, so that more draws here do not change the draws there. */
  fork(): Prng {
    return new Prng(Math.floor(this.next() * 4_294_967_296));
  }

  /** True with a probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** A number of at least `min` and less than `max`. */
  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** A whole number from `min` to `max`. */
  whole(min: number, max: number): number {
    return Math.floor(this.between(min, max + 1));
  }

  /** One of several. */
  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.next() * items.length)];
    if (item === undefined) throw new RangeError("Cannot pick from nothing");
    return item;
  }
}

/** Where an event happens: a machine that can stand still or be gone. */
export interface Host {
  readonly isCrashed: boolean;
  /** Virtual time until which nothing happens here. */
  readonly pausedUntil: number;
}

/** An event that will happen, unless it is cancelled. */
export interface Scheduled {
  isCancelled: boolean;
}

interface Entry extends Scheduled {
  at: number;
  readonly tie: number;
  readonly serial: number;
  readonly host: Host | null;
  readonly run: () => void;
}

/** A promise of this kind is broken. It carries all that a person needs first. */
export class SimulationFailure extends Error {
  override readonly name = "SimulationFailure";
  readonly checker: string;
  constructor(checker: string, message: string) {
    super(`${checker}: ${message}`);
    this.checker = checker;
  }
}

/** What stands for a checker when a simulation ends at the time at which it was told to. */
export const HALT = "halt";
/** Beyond this an event never happens: nothing runs for so long. */
const NEVER_MS = 1e12;
/** How many events one turn of the event loop takes. */
const EVENTS_PER_TURN = 64;

/** Virtual time and what happens in it. */
export class World {
  readonly random: Prng;
  /** The virtual time at which all of it halts. */
  haltAt: number = Infinity;
  readonly #heap: Entry[] = [];
  readonly #ties: Prng;
  readonly #eventsMax: number;
  #serial = 0;
  #events = 0;
  #hash = 0x811c9dc5;
  #now = 0;
  #failure: SimulationFailure | undefined;

  constructor(seed: number, options: { readonly eventsMax: number }) {
    this.random = new Prng(seed);
    this.#ties = this.random.fork();
    this.#eventsMax = options.eventsMax;
  }

  /** Virtual milliseconds since the beginning. */
  get now(): number {
    return this.#now;
  }

  /** How many events have happened. */
  get events(): number {
    return this.#events;
  }

  /** A number that is the same if and only if the same happened. */
  get traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }

  get failure(): SimulationFailure | undefined {
    return this.#failure;
  }

  /** Says that a promise is broken; the simulation ends after the event in hand. The first one counts. */
  fail(checker: string, message: string): void {
    this.#failure ??= new SimulationFailure(checker, message);
  }

  /** Makes an event happen after a while. */
  after(ms: number, run: () => void, host: Host | null = null): Scheduled {
    const entry: Entry = {
      at: this.#now + ms,
      tie: this.#ties.next(),
      serial: this.#serial++,
      host,
      run,
      isCancelled: false,
    };
    if (ms < NEVER_MS) this.#push(entry);
    return entry;
  }

  /** Makes things happen until a virtual time, or until a promise is broken. */
  runUntil(end: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let isOver = false;
    let left = 0;
    const run = (): void => {
      left -= 1;
      try {
        isOver ||= !this.#step(end);
      } catch (error) {
        isOver = true;
        reject(error);
      }
      if (left > 0) return;
      if (isOver) resolve();
      else turn();
    };
    const turn = (): void => {
      for (left = 0; left < EVENTS_PER_TURN; left++) setImmediate(run);
    };
    turn();
    return promise;
  }

  /** Makes the next thing happen; false if there is none until then, or a promise is broken. */
  #step(end: number): boolean {
    while (this.#failure === undefined) {
      const entry = this.#heap[0];
      if (entry === undefined || entry.at > Math.min(end, this.haltAt)) {
        this.#now = Math.max(this.#now, Math.min(end, this.haltAt));
        if (end > this.haltAt) this.fail(HALT, `at ${this.haltAt} ms, as it was told`);
        return false;
      }
      this.#pop();
      if (entry.isCancelled || entry.host?.isCrashed) continue;
      if (entry.host !== null && entry.host.pausedUntil > entry.at) {
        entry.at = entry.host.pausedUntil;
        this.#push(entry);
        continue;
      }
      this.#now = entry.at;
      this.#events += 1;
      this.mix(entry.serial);
      this.mix(Math.floor(entry.at));
      entry.run();
      if (this.#events >= this.#eventsMax) {
        this.fail("bounded", `more than ${this.#eventsMax} events by ${Math.floor(this.#now)} ms`);
      }
      return true;
    }
    return false;
  }

  /** Adds a number to the hash of all that happened. */
  mix(number: number): void {
    this.#hash = Math.imul(this.#hash ^ (number | 0), 0x01000193);
  }

  /** Adds a text to the hash of all that happened. */
  mixText(text: string): void {
    for (let i = 0; i < text.length; i++) this.mix(text.charCodeAt(i));
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(entry, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    while (true) {
      let child = 2 * index + 1;
      let least = heap[child];
      if (least === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, least)) {
        child += 1;
        least = right;
      }
      if (!isBefore(least, last)) break;
      heap[index] = least;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  if (a.at !== b.at) return a.at < b.at;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.serial < b.serial;
}
