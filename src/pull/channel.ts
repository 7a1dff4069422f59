/**
 * Owns: bringing together what waits to be taken and who waits for it, each in order.
 * Must not: keep anything in hand.
 * Called by: `pull/puller.ts`, `pull/loop.ts`.
 *
 * @module
 */

/** Is given something, or undefined when there will be nothing more. Gives whether it took it. */
export type Taker<T> = (item: T | undefined) => boolean;

/** Things on one side, takers on the other; never both at a time. */
export class Channel<T> {
  readonly #items = new Set<T>();
  readonly #takers = new Set<Taker<T>>();
  #isClosed = false;

  /** Gives a thing to who has waited longest, or keeps it until somebody comes. */
  put(item: T): void {
    const [taker] = this.#takers;
    if (taker === undefined) {
      this.#items.add(item);
      return;
    }
    // First: whoever takes something may ask for more at once.
    this.#takers.delete(taker);
    if (!taker(item)) this.take(taker);
  }

  /** Takes a thing back that nobody took; gives whether it was here. */
  withdraw(item: T): boolean {
    return this.#items.delete(item);
  }

  /** Everything that waits, and is not here any more. */
  empty(): readonly T[] {
    const items = [...this.#items];
    this.#items.clear();
    return items;
  }

  /** Gives the taker what has waited longest, or something later. */
  take(taker: Taker<T>): void {
    for (const item of this.#items) {
      this.#items.delete(item);
      if (taker(item)) return;
    }
    if (this.#isClosed) taker(undefined);
    else this.#takers.add(taker);
  }

  /** The taker gets nothing any more. */
  forget(taker: Taker<T>): void {
    this.#takers.delete(taker);
  }

  /** Nothing comes any more. */
  close(): void {
    this.#isClosed = true;
    const takers = [...this.#takers];
    this.#takers.clear();
    for (const taker of takers) taker(undefined);
  }
}
