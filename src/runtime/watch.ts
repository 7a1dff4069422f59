/**
 * Owns: when this worker looks at the rows of the others, and what follows when one of them is gone.
 * Must not: know shards.
 * Called by: `runtime/survey.ts`.
 *
 * A few workers look at each other once per heartbeat. Were many to do so, they would read rows by the square of their number;
 * so each looks more seldom, at a time of its own, and whoever finds another one dead removes its row, which makes it
 * certain for those who have not looked for long.
 *
 * @module
 */

import type { ResolvedConfig } from "../core/config.ts";
import { isOnDuty, ON_DUTY_MAX, WATCHERS_MAX, watchEvery } from "../core/duty.ts";
import type { Clock, Random } from "../ports.ts";
import type { Membership } from "./membership.ts";

/** What the watch needs of the worker. */
export interface WatchDeps {
  readonly self: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: ResolvedConfig;
  readonly membership: Membership;
}

/** By how much a cluster grows within a heartbeat while it starts; whoever asks for shards meanwhile asks for too many. */
const GROWTH_MIN = 1.1;

/** The watch over the other workers. */
export class Watch {
  readonly #deps: WatchDeps;
  #seenAt = -Infinity;
  #next = { at: -Infinity, every: 0 };
  /** How many workers there are, and how many there were a heartbeat or more before. */
  #members = { since: -Infinity, before: 0, now: 0 };
  /** Those that this worker found dead or gone, and whose shards it has not seen to yet. */
  readonly #toSettle = new Set<string>();

  /** @param deps What it needs of the worker. */
  constructor(deps: WatchDeps) {
    this.#deps = deps;
  }

  /** Whether this worker is one of so many that each watches more seldom than once per heartbeat. */
  get isOneOfMany(): boolean {
    return this.#members.now > WATCHERS_MAX;
  }

  /** When to look next, on the monotonic clock. Among many each has a time of its own, at random. */
  at(options: { readonly isSoon: boolean }): number {
    const { clock, config, random } = this.#deps;
    const every = watchEvery(this.#members.now, config);
    if (every !== this.#next.every) {
      const share = this.isOneOfMany ? random.next() : 1;
      this.#next = { at: clock.monotonic() + every * share, every };
    }
    return options.isSoon || !this.isOneOfMany
      ? Math.min(this.#next.at, this.#seenAt + config.heartbeat)
      : this.#next.at;
  }

  /** Says that the look that was due is made now. Looks for other reasons leave the times of the watch as they are. */
  begin(): void {
    const now = this.#deps.clock.monotonic();
    if (now >= this.#next.at) this.#next.at = now + this.#next.every;
  }

  /** Reads the rows of the workers. Returns those that left or died since the last look. */
  async look(signal: AbortSignal): Promise<readonly string[]> {
    const { clock, config, membership } = this.#deps;
    const left = await membership.look(signal);
    const seenAt = clock.monotonic();
    this.#seenAt = seenAt;
    const { since, before, now } = this.#members;
    this.#members = {
      ...(seenAt - since < config.heartbeat ? { since, before } : { since: seenAt, before: now }),
      now: membership.takers().size,
    };
    return left;
  }

  /** Whether many workers have just come, as when a large cluster starts. A few are never worth waiting for. */
  isGrowing(): boolean {
    const { before, now } = this.#members;
    return now > ON_DUTY_MAX && now > before * GROWTH_MIN;
  }

  /** Whether the shards of workers that left are for this one to look after. */
  async isConcernedBy(left: readonly string[], signal: AbortSignal): Promise<boolean> {
    const { self, membership } = this.#deps;
    if (!this.isOneOfMany) {
      return left.some((workerId) => isOnDuty(self, membership.takers(), `left ${workerId}`));
    }
    for (const workerId of await membership.certify(signal)) this.#toSettle.add(workerId);
    return this.#toSettle.size > 0;
  }

  /**
   * Of which owners' shards this worker tells others, now that they are free: of those that it found dead itself, since every
   * other one was found by somebody. Whoever is on duty tells of all, should one of them not come to it.
   */
  tellsOf(): (owner: string | null) => boolean {
    const { self, membership } = this.#deps;
    const isForAll = !this.isOneOfMany || isOnDuty(self, membership.takers(), "look");
    return (owner) => isForAll || owner === null || this.#toSettle.has(owner);
  }

  /** Says that a worker turned out to be gone, whose shards nobody else may know to be free. */
  seeTo(workerId: string): void {
    this.#toSettle.add(workerId);
  }

  /** Says that the shards of those who were found dead are seen to. */
  settled(): void {
    this.#toSettle.clear();
  }
}
