/**
 * Owns: a simulated failure destination: what is in it, and what goes wrong with it.
 * Must not: judge.
 * Called by: `fleet.ts` makes one for each process; they share what is in it.
 *
 * @module
 */

import type { FailedRecord, FailureDestination } from "../../src/ports.ts";
import type { Host, Prng, World } from "./world.ts";

/** What a destination is made of. */
export interface DestinationOptions {
  readonly world: World;
  /** The process that calls it. */
  readonly host: () => Host;
  readonly random: Prng;
  /** The positions of the records that are in it. */
  readonly content: Set<string>;
  readonly isFaulty: () => boolean;
  readonly onFault: (what: string) => void;
}

/** A failure destination. */
export class SimDestination implements FailureDestination {
  readonly name = "box";
  readonly #options: DestinationOptions;

  constructor(options: DestinationOptions) {
    this.#options = options;
  }

  async put({ sequenceNumber, subSequenceNumber }: FailedRecord): Promise<void> {
    const { random, content, isFaulty, onFault } = this.#options;
    const fate = isFaulty() ? random.next() : 1;
    if (fate < 0.15) {
      onFault("destination: down");
      throw new Error("the destination is down");
    }
    // Longer than it is waited for, now and then.
    if (fate < 0.25) onFault("destination: slow");
    await this.#wait(fate < 0.25 ? random.between(0, 90_000) : random.between(0, 50));
    content.add(`${sequenceNumber}:${subSequenceNumber}`);
    if (fate >= 0.4) return;
    onFault("destination: reply lost");
    throw new Error("the answer of the destination was lost");
  }

  #wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#options.world.after(ms, resolve, this.#options.host());
    return promise;
  }
}
