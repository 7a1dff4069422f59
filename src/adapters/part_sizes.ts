/**
 * Owns: how much of what was read is made into records at a time: as much as is processed in a while.
 * Must not: read, or know what is processed.
 * Called by: `shard_reader.ts`.
 *
 * @module
 */

/** For so long a part should be enough, in milliseconds: what waits for longer is carried over by the engine once and again. */
const PART_MS = 100;
/** Each part costs as much as some ten records of a kilobyte; less would be of no use. */
const BYTES_MIN = 8 * 1024;
/** As long as nobody knows. Who is fast soon gets more, and who is slow would hold for long what it got at first. */
const BYTES_AT_FIRST = 16 * 1024;
/** An answer of fewer parts is soon over, and costs less as a whole. */
const WORTH_PARTS = 2;
/** So many times as much as before is dared at once: one part may have been finished in no time by chance. */
const GROWTH_MAX = 4;

/** So long it takes at most until the next one is asked for, if nothing is in hand. */
const AT_ONCE_MS = 5;

/** How large parts are. */
export class PartSizes {
  #bytes = BYTES_AT_FIRST;
  #askedAt: number | undefined;
  /** What was given last is processed from when the next one is asked for until the one after that is. */
  #inHand = 0;
  #given = 0;
  #givenAt = 0;

  /** The next part, in bytes of an answer. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Somebody asks for the next part, or the next answer, at a monotonic time. */
  asked(now: number): void {
    if (this.#askedAt !== undefined && this.#inHand > 0) {
      const bytes = this.#inHand * PART_MS / Math.max(1, now - this.#askedAt);
      const size = Math.max(BYTES_MIN, Math.min(bytes, this.#bytes * GROWTH_MAX));
      // Who asks at once had waited for what it was given: it is as fast as that, and maybe much faster.
      const hasWaited = now - this.#givenAt < AT_ONCE_MS;
      if (!hasWaited || size > this.#bytes) this.#bytes = size;
    }
    this.#askedAt = now;
    this.#inHand = this.#given;
    this.#given = 0;
  }

  /** It is given so many bytes of an answer, at a monotonic time. */
  given(bytes: number, now: number): void {
    this.#given = bytes;
    this.#givenAt = now;
  }

  /** Whether an answer is worth more than one part. */
  isWorthParts(bytes: number): boolean {
    return bytes >= WORTH_PARTS * this.#bytes;
  }
}
