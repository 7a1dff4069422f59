/**
 * Owns: asking other workers for shards: when, for which ones, and which requests are open.
 * Must not: take what was given.
 * Called by: `runtime/survey.ts`.
 *
 * @module
 */

import { type ClusterView, shardsToAskFor } from "../core/balance.ts";
import type { ResolvedConfig } from "../core/config.ts";
import { isEnded, type LeaseChange, requestHandover, type ShardRow } from "../core/lease.ts";
import type { Membership } from "./membership.ts";
import { type WriteDeps, writeEachPatiently } from "./patient_write.ts";
import type { ShardRoster } from "./shard_roster.ts";
import { forEachLimited } from "./tasks.ts";
import type { Watch } from "./watch.ts";

/** What the requests need of the worker. */
export interface ShardRequestsDeps extends WriteDeps {
  readonly self: string;
  readonly config: Pick<ResolvedConfig, "loadBalanceFrequency" | "heartbeat">;
  readonly membership: Membership;
  readonly roster: Pick<ShardRoster, "size">;
  readonly watch: Pick<Watch, "isGrowing" | "isOneOfMany">;
}

const READS_AT_ONCE_MAX = 16;
/** About as many shard rows cost as much to read together as one alone: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html */
const ROWS_PER_READ = 10;

/** What this worker asks others for. */
export class ShardRequests {
  readonly #deps: ShardRequestsDeps;
  /** The shards that this worker asked others for, as far as it knows. */
  readonly #asked = new Set<string>();
  #balancedAt = -Infinity;
  /** Whether the last round of balancing asked for something, in a large cluster. */
  #isUneven = false;

  /** @param deps What they need of the worker. */
  constructor(deps: ShardRequestsDeps) {
    this.#deps = deps;
  }

  /** Whether an answer is waited for. */
  get isOpen(): boolean {
    return this.#asked.size > 0;
  }

  /** Whether the last round of balancing asked for something, in a large cluster: another one follows soon. */
  get isUneven(): boolean {
    return this.#isUneven;
  }

  /** Learns from the rows which requests are open. */
  saw(rows: readonly ShardRow[]): void {
    this.#asked.clear();
    for (const row of rows) {
      if (row.handover?.to === this.#deps.self && !isEnded(row)) this.#asked.add(row.id);
    }
  }

  /** Whether it is time to ask for shards, and another worker has enough of them, by its own account. */
  isTime(): boolean {
    const { clock, membership, roster, watch } = this.#deps;
    if (watch.isGrowing()) return false;
    const isTime = roster.size === 0 && !this.isOpen ||
      clock.monotonic() - this.#balancedAt >= this.#balanceEvery();
    if (!isTime) return false;
    const isUneven = membership.largestLoad() >= roster.size + 2;
    this.#isUneven &&= isUneven;
    return isUneven;
  }

  /** Asks others for shards: when the time has come, or when this worker has none. */
  async ask(view: ClusterView, signal: AbortSignal): Promise<void> {
    const { self, clock, random, emit, membership, watch } = this.#deps;
    const isIdle = !this.isOpen &&
      !view.shards.some((row) => !isEnded(row) && row.owner === self);
    const now = clock.monotonic();
    if (!isIdle && now - this.#balancedAt < this.#balanceEvery()) return;
    if (watch.isGrowing()) return;
    this.#balancedAt = now;
    const wanted = shardsToAskFor(view, () => random.next());
    this.#isUneven = watch.isOneOfMany && wanted.length > 0;
    const request = (row: ShardRow): LeaseChange =>
      requestHandover(row, { to: self, id: random.uuid(), at: clock.now() });
    await writeEachPatiently(this.#deps, wanted, request, {
      signal,
      onWritten: (row) => {
        const from = row.owner ?? "";
        emit({ type: "handover_requested", shardId: row.id, from, to: self });
        membership.nudge(from, signal);
        this.#asked.add(row.id);
      },
    });
  }

  /** The shards that were given after this worker asked for them; undefined if it is as cheap to read so many rows together. */
  async answers(rows: number, signal: AbortSignal): Promise<readonly ShardRow[] | undefined> {
    const { self, store } = this.#deps;
    if (rows <= this.#asked.size * ROWS_PER_READ) return undefined;
    const answered = new Map<string, ShardRow | null>();
    await forEachLimited([...this.#asked], READS_AT_ONCE_MAX, async (id) => {
      const row = await store.read("shard", id, signal);
      if (row?.handover?.to !== self) answered.set(id, row);
    });
    // Only now: when one of them cannot be read, those that were given are taken the next time.
    for (const id of answered.keys()) this.#asked.delete(id);
    return [...answered.values()].filter((row) => row !== null)
      .filter((row) => row.owner === self && row.holder === null && !isEnded(row));
  }

  /** Among many, several ask at once by what they saw; a round that asked is followed by another one soon. */
  #balanceEvery(): number {
    const { loadBalanceFrequency, heartbeat } = this.#deps.config;
    return this.#isUneven ? Math.min(loadBalanceFrequency, 2 * heartbeat) : loadBalanceFrequency;
  }
}
