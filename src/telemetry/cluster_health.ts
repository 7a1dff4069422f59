/**
 * Owns: what is wrong with a cluster: shards that nobody has, that stand still, or that are too far behind.
 * Must not: read the state table or a clock.
 * Called by: `cli/http/health.ts`, and users.
 *
 * @module
 */

import type { ClusterStatus, ShardStatus } from "../core/status.ts";
import { roundDuration } from "../core/duration.ts";

/** What is wrong:
 * - `noWorker`: no worker is alive.
 * - `unowned`: no live worker has the shard, for longer than others take to take it.
 * - `stopped`: every live worker has stopped it, or an operator has for all.
 * - `stalled`: it is behind, and its checkpoint has stood still for too long.
 * - `lagging`: it is further behind than it may be.
 */
export type HealthProblemKind = "noWorker" | "unowned" | "stopped" | "stalled" | "lagging";

/** One thing that is wrong. */
export interface HealthProblem {
  /** What. */
  readonly kind: HealthProblemKind;
  /** Which shard; null if it is about the cluster. */
  readonly shardId: string | null;
  /** What to tell people. */
  readonly reason: string;
}

/** What is too much. All in milliseconds. */
export interface HealthLimits {
  /** How far a shard may be behind; undefined: as far as it wants. */
  readonly maxLagMs?: number | undefined;
  /** For how long the checkpoint of a shard that is behind may stand still. */
  readonly maxStallMs: number;
  /** For how long nobody may have a shard: others need a while to see that it is free. */
  readonly maxUnownedMs: number;
}

/** A state that lasts, and since when it does. */
interface Lasting {
  readonly state: string;
  readonly since: number;
}

/**
 * Judges a cluster by what it looks like time and again. For how long something lasts is measured from the first look that showed it,
 * on the clock of whoever looks.
 */
export class ClusterHealth {
  readonly #limits: HealthLimits;
  #seen: ReadonlyMap<string, Lasting> = new Map();

  /** Makes one that has not looked yet. */
  constructor(limits: HealthLimits) {
    this.#limits = limits;
  }

  /**
   * What is wrong, at most one thing for each shard.
   *
   * @param now Milliseconds on a clock that only goes forward.
   */
  judge(status: ClusterStatus, now: number): readonly HealthProblem[] {
    const seen = new Map(status.shards.map((shard) => {
      const state = stateOf(shard);
      const known = this.#seen.get(shard.shardId);
      return [shard.shardId, known?.state === state ? known : { state, since: now }];
    }));
    this.#seen = seen;
    if (!status.workers.some(({ alive }) => alive)) {
      return [{ kind: "noWorker", shardId: null, reason: "no worker is alive" }];
    }
    return status.shards.flatMap((shard) => {
      const lastedMs = now - (seen.get(shard.shardId)?.since ?? now);
      return this.#problemOf(shard, lastedMs) ?? [];
    });
  }

  #problemOf(shard: ShardStatus, lastedMs: number): HealthProblem | undefined {
    const { shardId, state } = shard;
    const { maxLagMs, maxStallMs, maxUnownedMs } = this.#limits;
    if (state === "closed" || state === "waitingForParents") return undefined;
    if (state === "stopped") {
      const who = shard.stoppedAt === null ? "every live worker" : "an operator";
      return { kind: "stopped", shardId, reason: `${who} has stopped it; start it again` };
    }
    if (state === "unowned") {
      if (lastedMs < maxUnownedMs) return undefined;
      const reason = `no live worker has it, for ${roundDuration(lastedMs)} or longer`;
      return { kind: "unowned", shardId, reason };
    }
    const behindMs = shard.millisBehindLatest ?? 0;
    if (behindMs < LAG_KEPT_MS) return undefined;
    if (lastedMs >= maxStallMs) {
      const reason = `its checkpoint has stood still for ${roundDuration(lastedMs)} or longer, ` +
        `${roundDuration(behindMs)} behind; worker ${shard.owner} has it`;
      return { kind: "stalled", shardId, reason };
    }
    // While the checkpoint stands still, the tip moves on.
    const lagMs = behindMs + lastedMs;
    if (maxLagMs === undefined || lagMs <= maxLagMs) return undefined;
    const reason = `it is ${roundDuration(lagMs)} behind, more than ${roundDuration(maxLagMs)}; ` +
      `worker ${shard.owner} has it`;
    return { kind: "lagging", shardId, reason };
  }
}

/** A row may show less although the shard has caught up since. */
const LAG_KEPT_MS = 10_000;

function stateOf({ state, term, checkpoint, millisBehindLatest }: ShardStatus): string {
  // A shard that nobody has may get new terms from those who do not keep it.
  if (state === "unowned" || state === "stopped") return state;
  return `${term} ${checkpoint} ${millisBehindLatest}`;
}
