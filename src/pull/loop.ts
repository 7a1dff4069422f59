/**
 * Owns: one loop over what comes out of a channel: what it has in hand, and what follows when it asks for the next or is left.
 * Must not: know where things come from.
 * Called by: `pull/puller.ts`.
 *
 * @module
 */

import type { Channel, Taker } from "./channel.ts";

/** What a loop does with what comes. */
export interface LoopOptions<Item, Value> {
  /** Takes something in hand; gives whether that may be. */
  readonly accept: (item: Item) => boolean;
  readonly valueOf: (item: Item) => Value;
  /** The next one is asked for. Gives a wait, if everything else must have its turn first. */
  readonly onNext: () => Promise<void> | undefined;
  /** The loop is left before its end. */
  readonly onLeave: () => Promise<void>;
  /** Throws if the end came because of a failure. */
  readonly throwIfFailed: () => void;
}

/** An iterator. The next one may be asked for before the last one came: they come in that order. */
export class Loop<Item, Value> implements AsyncIterableIterator<Value, undefined> {
  readonly #channel: Channel<Item>;
  readonly #options: LoopOptions<Item, Value>;
  readonly #waiting = new Set<Taker<Item>>();
  #left: Promise<void> | undefined;

  constructor(channel: Channel<Item>, options: LoopOptions<Item, Value>) {
    this.#channel = channel;
    this.#options = options;
  }

  async next(): Promise<IteratorResult<Value, undefined>> {
    if (this.#left !== undefined) return { done: true, value: undefined };
    const pause = this.#options.onNext();
    if (pause !== undefined) await pause;
    const item = await this.#take();
    if (item !== undefined) return { done: false, value: this.#options.valueOf(item) };
    if (this.#left === undefined) this.#options.throwIfFailed();
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Value, undefined>> {
    this.#left ??= this.#options.onLeave();
    for (const taker of this.#waiting) {
      this.#channel.forget(taker);
      taker(undefined);
    }
    await this.#left;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(): Promise<Item | undefined> {
    return new Promise((resolve) => {
      if (this.#left !== undefined) return resolve(undefined);
      const taker: Taker<Item> = (item) => {
        if (item !== undefined && !this.#options.accept(item)) return false;
        this.#waiting.delete(taker);
        resolve(item);
        return true;
      };
      this.#waiting.add(taker);
      this.#channel.take(taker);
    });
  }
}
