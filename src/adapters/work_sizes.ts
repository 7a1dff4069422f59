/**
 * Owns: how much is read at a time, and how much of that is made into records at a time: as much as is processed in a while.
 * Must not: read, or know what is processed.
 * Called by: `shard_reader.ts`.
 *
 * @module
 */

/** For so long a part should be enough, in milliseconds: what waits for longer is carried over by the engine once and again. */
const PART_MS = 100;
/** Each part costs as much as some ten records of a kilobyte; less would be of no use. Also at first: who is fast soon gets more, and who is slow would hold for long what it got. */
const BYTES_MIN = 8 * 1024;
/** Fewer are soon over, and cost less as a whole; and the next read begins with the last part, so that it is there in time. */
const WORTH_PARTS = 2;
/** For so long a read should be enough, in milliseconds: what it brings beyond that only takes memory. */
const READ_MS = 1_000;
/**
 * And for so many times as long as a read takes: the worker may have nothing to do meanwhile, but for what the last part takes. So
 * whoever waits for reads gets larger ones, also if it is never seen how fast they are processed.
 */
const READ_TIMES = 10;
/** So many times as much as before is dared at once: one part may have been finished in no time by chance. */
const GROWTH_MAX = 4;

/** So long it takes at most until the next one is asked for, if nothing is in hand. */
const AT_ONCE_MS = 5;

/** How large reads and their parts are. */
export class WorkSizes {
  /** Of a part, in bytes of an answer. */
  #bytes = BYTES_MIN;
  #readMs = 0;
  #askedAt = 0;
  #givenAt = 0;
  #given = 0;
  /** What was given before that, and is not known to be processed. */
  #before = 0;

  /** The next read, in bytes of its answer. */
  get readBytes(): number {
    return this.#bytes * Math.max(READ_MS, this.#readMs * READ_TIMES) / PART_MS;
  }

  /** A read took so long, with all that went wrong; a longer one counts at once, a shorter one slowly. */
  took(ms: number): void {
    this.#readMs = Math.max(ms, (this.#readMs * 3 + ms) / 4);
  }

  /** Somebody asks for what comes next, at a monotonic time. What was given last is about to be processed, and what was given before is. */
  asked(now: number): void {
    if (this.#before > 0) {
      const bytes = this.#before * PART_MS / Math.max(1, now - this.#askedAt);
      const size = Math.max(BYTES_MIN, Math.min(bytes, this.#bytes * GROWTH_MAX));
      // Who asks at once had waited for what it was given, or is done with it: it is as fast as that, and maybe much faster.
      const isAtOnce = now - this.#givenAt < AT_ONCE_MS;
      if (!isAtOnce || size > this.#bytes) this.#bytes = size;
    }
    this.#askedAt = now;
    this.#before = this.#given;
    this.#given = 0;
  }

  /** It is given so many bytes of an answer, at a monotonic time; none of one that waits for its turn, when it is there. */
  given(bytes: number, now: number): void {
    this.#given = bytes;
    this.#givenAt = now;
  }

  /** Whether an answer is worth more than one part. */
  isWorthParts(bytes: number): boolean {
    return bytes >= WORTH_PARTS * this.#bytes;
  }

  /** The next part of what is left of an answer: all of it, if that is soon over. */
  partOf(bytesLeft: number): number {
    return this.isWorthParts(bytesLeft) ? this.#bytes : bytesLeft;
  }
}
