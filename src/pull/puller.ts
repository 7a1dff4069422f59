/**
 * Owns: who of several loops gets what of several shards.
 * Must not: start or stop anything.
 * Called by: `reader.ts`.
 *
 * @module
 */

import type { Clock } from "../ports.ts";
import type { RecordProcessor, RecordProcessorFactory } from "../processor.ts";
import { Breather } from "../runtime/tasks.ts";
import { Channel } from "./channel.ts";
import type { Offer } from "./delivery.ts";
import { Loop } from "./loop.ts";
import type { PullDeps, ReaderHooks } from "./pull_processor.ts";

/** How it is made. */
export interface PullerOptions<T> {
  readonly clock: Clock;
  /** In milliseconds; 0 is no limit. */
  readonly processTimeout: number;
  readonly hooks: ReaderHooks;
  /** Whether to ask for the next one finishes the one before. */
  readonly ack: "auto" | "manual";
  readonly makeProcessor: (deps: PullDeps<T>) => RecordProcessor;
}

/** One turn on one shard, as loops see it. */
export interface Turn<T> {
  readonly shardId: string;
  readonly channel: Channel<Offer<T>>;
}

/** Hands out what the processors of the shards offer: all of it in one row, or shard by shard. */
export class Puller<T> {
  readonly #options: PullerOptions<T>;
  readonly #breather: Breather;
  /** The offers of all shards. Whoever has finished one has its next one at the end of the row. */
  readonly #merged = new Channel<Offer<T>>();
  readonly #turns = new Set<Turn<T>>();
  readonly #newTurns = new Channel<Turn<T>>();
  #isRead: "merged" | "by shard" | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: PullerOptions<T>) {
    this.#options = options;
    this.#breather = new Breather(options.clock);
  }

  /** Makes the processor of a turn. */
  readonly processorOf: RecordProcessorFactory = (shardId) => {
    const turn: Turn<T> = { shardId, channel: new Channel() };
    this.#turns.add(turn);
    this.#newTurns.put(turn);
    const { clock, processTimeout, hooks, makeProcessor } = this.#options;
    return makeProcessor({
      ...{ clock, processTimeout, hooks },
      offer: (offer) => (this.#isRead === "merged" ? this.#merged : turn.channel).put(offer),
      withdraw: (offer) => void (this.#merged.withdraw(offer) || turn.channel.withdraw(offer)),
      onDispose: () => {
        this.#turns.delete(turn);
        this.#newTurns.withdraw(turn);
        turn.channel.close();
      },
    });
  };

  /** Whether a turn goes on. */
  has(turn: Turn<T>): boolean {
    return this.#turns.has(turn);
  }

  /**
   * A loop over everything.
   *
   * @throws {TypeError} If it is read by shard.
   */
  loop(onLeave: () => Promise<void>): Loop<Offer<T>, T> {
    this.#read("merged");
    for (const { channel } of this.#turns) {
      for (const offer of channel.empty()) this.#merged.put(offer);
    }
    return this.#loop(this.#merged, onLeave);
  }

  /** A loop over one turn. */
  loopOf(turn: Turn<T>, onLeave: () => Promise<void>): Loop<Offer<T>, T> {
    return this.#loop(turn.channel, onLeave);
  }

  /**
   * A loop over the turns.
   *
   * @throws {TypeError} If everything is read in one row.
   */
  turns<V>(valueOf: (turn: Turn<T>) => V, onLeave: () => Promise<void>): Loop<Turn<T>, V> {
    this.#read("by shard");
    return new Loop(this.#newTurns, {
      accept: () => true,
      valueOf,
      onNext: () => undefined,
      onLeave,
      throwIfFailed: () => this.#throwIfFailed(),
    });
  }

  /** Nothing comes any more; whoever asks for the next one learns of the failure. */
  end(failure?: { readonly error: unknown }): void {
    this.#failure = failure;
    this.#merged.close();
    this.#newTurns.close();
    for (const { channel } of this.#turns) channel.close();
  }

  #loop(channel: Channel<Offer<T>>, onLeave: () => Promise<void>): Loop<Offer<T>, T> {
    const { ack, clock } = this.#options;
    const inHand = new Set<Offer<T>>();
    return new Loop(channel, {
      accept: (offer) => offer.take(inHand),
      valueOf: ({ delivery }) => delivery,
      onNext: () => {
        if (ack === "auto") { for (const offer of inHand) offer.ack(); }
        // A loop that never waits must not keep heartbeats waiting.
        return this.#breather.breath(clock.monotonic());
      },
      onLeave: () => {
        for (const offer of inHand) offer.leave();
        return onLeave();
      },
      throwIfFailed: () => this.#throwIfFailed(),
    });
  }

  #read(how: "merged" | "by shard"): void {
    this.#isRead ??= how;
    if (this.#isRead === how) return;
    throw new TypeError(
      "Cannot read both by shard and as a whole: use either shards() or the reader itself",
    );
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
