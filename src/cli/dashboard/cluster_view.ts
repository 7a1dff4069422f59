/**
 * Owns: the cluster as the page shows it: the last look at the state table, what this worker told since, and what of it is news.
 * Must not: look, send, or know who looks.
 * Called by: `dashboard.ts`.
 *
 * @module
 */

import type { WorkerRow } from "../../core/lease.ts";
import type { ClusterStatus, ShardStatus, WorkerStatus } from "../../core/status.ts";
import type { AppEvent } from "../../events.ts";
import type { ShardView, Update, WorkerView } from "./protocol.ts";

/** What changed since it was asked for last. */
export type ClusterChanges = Pick<Update, "workers" | "goneWorkers" | "shards" | "goneShards">;

/** Workers and shards, and which of them changed. */
export class ClusterView {
  readonly #workers: Kept<WorkerView> = new Kept<WorkerView>();
  readonly #shards: Kept<ShardView> = new Kept<ShardView>();

  get workers(): readonly WorkerView[] {
    return this.#workers.all();
  }

  get shards(): readonly ShardView[] {
    return this.#shards.all();
  }

  /** Takes over what the state table holds. */
  look({ workers, shards }: ClusterStatus): void {
    this.#workers.replace(workers.map(workerView));
    this.#shards.replace(shards.map((status) => this.#newer(status)));
  }

  /** Takes over what it holds of one shard. */
  lookAt(status: ShardStatus): void {
    this.#shards.set(this.#newer(status));
  }

  /** Takes over the heartbeats of the workers that are known. */
  beat(workers: readonly Pick<WorkerRow, "id" | "beatAt">[]): void {
    for (const { id, beatAt } of workers) {
      const known = this.#workers.get(id);
      if (known !== undefined) this.#workers.set({ ...known, beatAt });
    }
  }

  /** The ids of the shards that are on their way to a worker, or should be. */
  moving(): readonly string[] {
    return this.shards.filter(({ state }) => state === "handingOver" || state === "unowned")
      .map(({ id }) => id);
  }

  /** How many shards a worker has taken. */
  held(workerId: string): number {
    return this.shards.filter(({ owner, to, state }) =>
      owner === workerId && to !== workerId && state !== "closed"
    ).length;
  }

  /** Whether a worker seemed alive at the last look; one that came since does. */
  isAlive(workerId: string): boolean {
    return this.#workers.get(workerId)?.isAlive ?? true;
  }

  /** Shows who has which shard as this worker tells it, without waiting for the next look. */
  follow(event: AppEvent): void {
    switch (event.type) {
      case "shard_claimed":
        return this.#change(event.shardId, {
          state: "processing",
          owner: event.workerId,
          to: null,
          term: event.term,
        });
      case "shard_handed_over":
        return this.#change(event.shardId, {
          state: "handingOver",
          owner: event.to,
          to: event.to,
          term: event.term,
        });
      case "shard_released":
        return this.#change(event.shardId, {
          state: "unowned",
          owner: null,
          to: null,
          term: event.term,
        });
      case "handover_requested":
        return this.#change(event.shardId, { state: "handingOver", to: event.to });
      case "worker_lost": {
        const lost = this.#workers.get(event.lostWorkerId);
        if (lost !== undefined) this.#workers.set({ ...lost, isAlive: false });
      }
    }
  }

  /** What changed since the last call. */
  takeChanges(): ClusterChanges {
    const [workers, goneWorkers] = this.#workers.takeChanges();
    const [shards, goneShards] = this.#shards.takeChanges();
    return {
      ...workers.length > 0 && { workers },
      ...goneWorkers.length > 0 && { goneWorkers },
      ...shards.length > 0 && { shards },
      ...goneShards.length > 0 && { goneShards },
    };
  }

  /** Forgets everything: what nobody followed is not known any more. */
  clear(): void {
    this.#workers.replace([]);
    this.#shards.replace([]);
  }

  #newer(status: ShardStatus): ShardView {
    const known = this.#shards.get(status.shardId);
    // An event may be newer than a row that was read before it.
    return known !== undefined && known.term > status.term ? known : shardView(status);
  }

  #change(shardId: string, change: Partial<ShardView>): void {
    const known = this.#shards.get(shardId);
    if (known === undefined) return;
    // The news may be about an earlier turn than the row that is known.
    if (change.term !== undefined && change.term < known.term) return;
    this.#shards.set({ ...known, ...change });
  }
}

function workerView(status: WorkerStatus): WorkerView {
  return {
    id: status.workerId,
    isAlive: status.alive,
    beatAt: Date.parse(status.lastHeartbeatAt),
    version: status.version,
  };
}

function shardView(status: ShardStatus): ShardView {
  return {
    id: status.shardId,
    state: status.state,
    owner: status.owner,
    to: status.handoverTo,
    term: status.term,
    checkpoint: status.checkpoint,
    checkpointAt: status.checkpointAt === null ? null : Date.parse(status.checkpointAt),
    lag: status.millisBehindLatest,
    stoppedAt: status.stoppedAt === null ? null : Date.parse(status.stoppedAt),
    parents: status.parents,
  };
}

/** Things by their id, and which of them are news. */
class Kept<T extends { readonly id: string }> {
  readonly #things = new Map<string, T>();
  readonly #changed = new Set<string>();

  all(): readonly T[] {
    return [...this.#things.values()];
  }

  get(id: string): T | undefined {
    return this.#things.get(id);
  }

  set(thing: T): void {
    const known = this.#things.get(thing.id);
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(thing)) return;
    this.#things.set(thing.id, thing);
    this.#changed.add(thing.id);
  }

  replace(things: readonly T[]): void {
    const ids = new Set(things.map(({ id }) => id));
    for (const id of this.#things.keys()) {
      if (ids.has(id)) continue;
      this.#things.delete(id);
      this.#changed.add(id);
    }
    for (const thing of things) this.set(thing);
  }

  /** Those that are new or changed, and the ids of those that are gone. */
  takeChanges(): readonly [readonly T[], readonly string[]] {
    const ids = [...this.#changed];
    this.#changed.clear();
    return [
      ids.flatMap((id) => this.#things.get(id) ?? []),
      ids.filter((id) => !this.#things.has(id)),
    ];
  }
}
