/**
 * Owns: the memory for records that are read and not finished, of all shards of a worker: waiting for room in it.
 * Must not: decide who gets how much (`core/buffer_shares.ts`), or know what a record is.
 * Called by: `runtime/record_runner.ts` opens a shard's part of it; the sources ask for room.
 *
 * @module
 */

import { abortable } from "@std/async/abortable";
import { type Ask, BufferShares, type Share } from "../core/buffer_shares.ts";
import type { ReadBudget } from "../ports.ts";

interface Waiting extends Ask {
  readonly grant: (bytes: number) => void;
}

/** The other turns that hold something. */
interface Holders {
  readonly tellScarce: () => void;
  readonly close: () => void;
}

/** The budget of a worker. */
export class BufferBudget {
  readonly #shares: BufferShares<Waiting>;
  /** Who is told when somebody has to wait. */
  readonly #holders = new Set<() => void>();

  /** @param maxBytes What all shards should hold together at most. */
  constructor(maxBytes: number) {
    this.#shares = new BufferShares(maxBytes);
  }

  /** What the records count for that are read and not finished, and the reads that are under way, in bytes. */
  get heldBytes(): number {
    return this.#shares.held;
  }

  /** Whether somebody waits for room: what is in hand is not to be kept for longer than it must. */
  get isScarce(): boolean {
    return this.#shares.isScarce;
  }

  /**
   * The part of one turn on a shard.
   *
   * @param onScarce Is called when somebody has to wait for room.
   */
  open(onScarce?: () => void): ShardBudget {
    if (onScarce !== undefined) this.#holders.add(onScarce);
    return new ShardBudget(this.#shares, {
      tellScarce: () => this.#holders.forEach((tell) => tell()),
      close: () => onScarce !== undefined && this.#holders.delete(onScarce),
    });
  }
}

/** What one turn on a shard holds: at most one read that is under way or fetched ahead, and the reads in hand. */
export class ShardBudget implements ReadBudget, Disposable {
  readonly #shares: BufferShares<Waiting>;
  readonly #share: Share;
  readonly #holders: Holders;
  /** What waits as it came. */
  #kept = 0;
  /** Whether somebody waits for the next batch. */
  #isAwaited = false;
  /** Of whoever waits for that. */
  #turn: PromiseWithResolvers<void> | undefined;
  /**
   * Whoever processes batches, or puts many records into one transaction, gets whole reads: what that takes does not depend on how
   * many records there are, so that smaller parts would make it slower, and the parts smaller.
   */
  mayComeInParts: boolean = false;

  constructor(shares: BufferShares<Waiting>, holders: Holders) {
    this.#shares = shares;
    this.#holders = holders;
    this.#share = shares.join();
  }

  async take(
    wanted: number,
    options: { readonly least: number; readonly enough?: number; readonly signal: AbortSignal },
  ): Promise<number> {
    const { least, enough = wanted, signal } = options;
    signal.throwIfAborted();
    this.giveBack();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const ask: Waiting = {
      share: this.#share,
      wanted: Math.max(wanted, least),
      least,
      enough,
      grant: resolve,
    };
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#shares.wait(ask);
    try {
      this.#serve();
      if (this.#shares.isWaiting(ask)) this.#holders.tellScarce();
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      // Whoever waited behind it may go on.
      if (this.#shares.withdraw(ask)) this.#serve();
    }
  }

  giveBack(): void {
    this.keep(0);
    this.arrived(0);
  }

  keep(bytes: number): void {
    this.#shares.change(this.#share, bytes - this.#kept);
    this.#kept = bytes;
    this.#shares.land(this.#share, 0);
  }

  async turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    // What is kept may take less than the room that there was for it.
    this.#serve();
    if (this.#isAwaited) return;
    this.#turn ??= Promise.withResolvers();
    await abortable(this.#turn.promise, signal);
  }

  /** Waits for the next batch; meanwhile it is its {@linkcode turn}. */
  async awaited<T>(next: Promise<T>): Promise<T> {
    this.#isAwaited = true;
    this.#turn?.resolve();
    this.#turn = undefined;
    try {
      return await next;
    } finally {
      this.#isAwaited = false;
    }
  }

  /** The read brought so many bytes, which count until they are finished. */
  arrived(bytes: number): void {
    this.#shares.land(this.#share, bytes);
    this.#serve();
  }

  /** What may come on top of what this turn holds, in bytes. */
  get room(): number {
    return this.#shares.fairRoom(this.#share);
  }

  /** What arrived takes so many bytes more than it did. */
  added(bytes: number): void {
    this.#shares.change(this.#share, bytes);
  }

  /** So many bytes of what arrived are not needed any more. */
  finished(bytes: number): void {
    if (bytes === 0) return;
    this.#shares.change(this.#share, -bytes);
    this.#serve();
  }

  /** Everything that the turn held is free for others. */
  [Symbol.dispose](): void {
    this.#holders.close();
    this.keep(0);
    this.#shares.leave(this.#share);
    this.#serve();
  }

  #serve(): void {
    for (const { ask, bytes } of this.#shares.serve()) ask.grant(bytes);
  }
}
