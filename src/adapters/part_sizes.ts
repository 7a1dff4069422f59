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
/** As long as nobody knows; with hundreds of shards an answer is not much longer. */
const BYTES_AT_FIRST = 256 * 1024;
/** An answer of fewer parts is soon over: at full speed all of them are, and cost less as a whole. */
const WORTH_PARTS = 8;
/** So many times as much as before is dared at once: one part may have been finished in no time by chance. */
const GROWTH_MAX = 4;

/** How large parts are. */
export class PartSizes {
  #bytes = BYTES_AT_FIRST;
  #askedAt: number | undefined;
  /** What was given last is processed from when the next one is asked for until the one after that is. */
  #inHand = 0;
  #given = 0;

  /** The next part, in bytes of an answer. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Somebody asks for the next part, or the next answer, at a monotonic time. */
  asked(now: number): void {
    if (this.#askedAt !== undefined && this.#inHand > 0) {
      // If it had to wait for an answer, it is faster than that; the parts of the answer tell by how much.
      const bytes = this.#inHand * PART_MS / Math.max(1, now - this.#askedAt);
      this.#bytes = Math.max(BYTES_MIN, Math.min(bytes, this.#bytes * GROWTH_MAX));
    }
    this.#askedAt = now;
    this.#inHand = this.#given;
    this.#given = 0;
  }

  /** Is given so many bytes of an answer. */
  given(bytes: number): void {
    this.#given = bytes;
  }

  /** Whether an answer is worth more than one part. */
  isWorthParts(bytes: number): boolean {
    return bytes >= WORTH_PARTS * this.#bytes;
  }
}
