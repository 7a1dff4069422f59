/**
 * Owns: who of many readers may take how much of the memory that they have together.
 * Must not: wait, or know what is read.
 * Called by: `runtime/buffer_budget.ts`.
 *
 * One half is dealt out evenly: what a reader may hold of it does not depend on the others, so that a few that are stuck with what
 * they hold never stop the rest. The other half is for those that ask, in order, each up to as much as it leaves to the others; so
 * a single reader that lags behind gets much of it, and many get equal parts. (The rule of Choudhury and Hahne, "Dynamic queue length
 * thresholds for shared-memory packet switches", 1998.)
 *
 * Many small reads cost more than a few large ones, and a shard may be read five times a second. So whoever could have only a crumb
 * waits while others read, who are about to give room back.
 *
 * @module
 */

/** What one reader holds. */
export interface Share {
  /** In bytes; only {@linkcode BufferShares} changes it. */
  held: number;
  /** Of this, what the read may bring that is under way. */
  reading: number;
}

/** So large a part of everything is no crumb, whatever is wanted. */
const CRUMB_SHARE = 1 / 16;
/** So many reads may be under way, however small they are: else one that hangs would hold up the rest. */
const READS_ALWAYS = 16;

/** What a reader wants. */
export interface Ask {
  readonly share: Share;
  readonly wanted: number;
  /** Less is of no use. */
  readonly least: number;
  /** Less is a crumb, and not worth a read while others read. */
  readonly enough: number;
}

/** The memory of all readers. */
export class BufferShares<A extends Ask = Ask> {
  readonly #maxBytes: number;
  readonly #common: number;
  readonly #dealt: number;
  readonly #shares = new Set<Share>();
  /** In the order in which they asked. */
  readonly #waiting = new Set<A>();
  /** With less room than that for each, and many reads under way, nobody who waits is served; maybe not with more, either. */
  #usefulRoom = Infinity;
  #held = 0;
  /** How many reads are under way. */
  #reads = 0;
  /** What is held of the common half. */
  #commonHeld = 0;

  /** @param maxBytes How much all readers should hold together. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#common = Math.ceil(maxBytes / 2);
    this.#dealt = maxBytes - this.#common;
  }

  /** What all readers hold together. */
  get held(): number {
    return this.#held;
  }

  /** Lets one more reader take part. */
  join(): Share {
    const share = { held: 0, reading: 0 };
    this.#shares.add(share);
    this.#count();
    return share;
  }

  /** A reader is gone, with all that it held. */
  leave(share: Share): void {
    this.land(share, 0);
    this.change(share, -share.held);
    this.#shares.delete(share);
    this.#count();
  }

  /** A reader holds more than before, or less; more than it was given, if it must be. */
  change(share: Share, bytes: number): void {
    const before = this.#heldOfCommon(share);
    share.held += bytes;
    this.#held += bytes;
    this.#commonHeld += this.#heldOfCommon(share) - before;
  }

  /** The read of a reader is over, if one was under way, and brought so many bytes. */
  land(share: Share, bytes: number): void {
    if (share.reading > 0) this.#reads -= 1;
    this.change(share, bytes - share.reading);
    share.reading = 0;
  }

  /** Whether somebody waits for room. */
  get isScarce(): boolean {
    return this.#waiting.size > 0;
  }

  /** Puts a reader's wish behind the others. */
  wait(ask: A): void {
    this.#waiting.add(ask);
    this.#usefulRoom = Math.min(this.#usefulRoom, this.#usefulRoomOf(ask));
  }

  /** Whether a reader still waits for its wish. */
  isWaiting(ask: A): boolean {
    return this.#waiting.has(ask);
  }

  /** Takes a wish back; gives whether it was waiting. */
  withdraw(ask: A): boolean {
    return this.#waiting.delete(ask);
  }

  /**
   * Gives to those that wait, in the order in which they asked, what they can have now: first to those that hold nothing. Of these
   * the first that has to wait keeps the common half free for itself, so that others with smaller wishes do not always overtake it.
   */
  *serve(): Generator<{ readonly ask: A; readonly bytes: number }> {
    // It is asked for after each read, and with hundreds of readers most of them wait.
    if (this.#waiting.size === 0 || this.#isHopeless) return;
    let isReserved = false;
    for (const holds of [false, true]) {
      for (const ask of this.#waiting) {
        if (ask.share.held > 0 !== holds) continue;
        const room = this.#roomFor(ask, isReserved);
        if (room < ask.least || room < this.#crumbOf(ask) && this.#reads >= READS_ALWAYS) {
          isReserved ||= !holds;
          continue;
        }
        const bytes = Math.min(ask.wanted, room);
        this.#waiting.delete(ask);
        this.change(ask.share, bytes);
        ask.share.reading = bytes;
        this.#reads += 1;
        yield { ask, bytes };
        if (this.#isHopeless) return;
      }
    }
    this.#usefulRoom = Infinity;
    for (const ask of this.#waiting) {
      this.#usefulRoom = Math.min(this.#usefulRoom, this.#usefulRoomOf(ask));
    }
  }

  get #isHopeless(): boolean {
    const free = Math.max(0, this.#common - this.#commonHeld);
    return this.#reads >= READS_ALWAYS && this.#own + free / 2 < this.#usefulRoom;
  }

  /** Whoever is given the least whatever others hold may be served at any time, if that is no crumb. */
  #usefulRoomOf(ask: A): number {
    const crumb = this.#crumbOf(ask);
    return ask.least >= crumb ? 0 : crumb;
  }

  /** Less than that is a crumb. */
  #crumbOf({ enough }: A): number {
    return Math.min(enough, this.#maxBytes * CRUMB_SHARE);
  }

  /** What a reader may hold on top of what it holds. */
  fairRoom(share: Share): number {
    const free = this.#common - this.#commonHeld;
    return this.#ownRoom(share) + Math.max(0, Math.floor((free - this.#heldOfCommon(share)) / 2));
  }

  get #own(): number {
    return Math.floor(this.#dealt / Math.max(1, this.#shares.size));
  }

  /** In debt, which comes of larger records than expected and of readers that joined, nobody has room. */
  #ownRoom({ held }: Share): number {
    return Math.max(0, Math.min(this.#own - held, this.#maxBytes - this.#held));
  }

  #heldOfCommon({ held }: Share): number {
    return Math.max(0, held - this.#own);
  }

  #roomFor({ share, least }: A, isReserved: boolean): number {
    const room = isReserved ? this.#ownRoom(share) : this.fairRoom(share);
    if (room >= least || share.held > 0) return room;
    // To begin with, whatever others hold.
    if (least <= this.#own) return least;
    // More than a fair part for whom that is of no use; one at a time if it is more than there is.
    const free = this.#common - this.#commonHeld;
    const isThere = this.#ownRoom(share) + free >= least || this.#commonHeld === 0;
    return isThere && !isReserved ? least : room;
  }

  #count(): void {
    this.#commonHeld = 0;
    for (const share of this.#shares) this.#commonHeld += this.#heldOfCommon(share);
  }
}
