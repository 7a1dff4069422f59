/**
 * Owns: what the page knows: the cluster, what happened, the history; and what a search finds.
 * Must not: touch the page.
 * Called by: `main.ts` feeds it, everything that shows something reads it.
 *
 * @module
 */

import type {
  EventView,
  Look,
  Point,
  ShardView,
  Snapshot,
  Update,
  WorkerView,
} from "../protocol.ts";
import { shortId, STATES } from "./format.ts";

/** As much as the worker keeps; a page that is open for a week must not grow. */
const EVENTS_MAX = 500;
const POINTS_MAX = 900;

/** A point of the charts: what this worker did, and the worst lag of the whole cluster, if the page looked at that time. */
export type HistoryPoint = Point & { readonly clusterLag: number | null };

/** What changed with an update, so that the rest need not be drawn again. */
export interface Changes {
  /** The shards that are new, changed or gone; "all" after a new start. */
  readonly shards: ReadonlySet<string> | "all";
  readonly workers: boolean;
  readonly events: boolean;
  readonly points: boolean;
}

/** What is fixed as long as a worker runs. */
export type Facts = Pick<
  Snapshot,
  "appName" | "streamName" | "workerId" | "version" | "takesOrders" | "takesProcessors"
>;

/** The cluster, as far as the page knows. */
export class Model {
  readonly workers: Map<string, WorkerView> = new Map<string, WorkerView>();
  readonly shards: Map<string, ShardView> = new Map<string, ShardView>();
  /** Records a second of the shards of this worker. */
  readonly rates: Map<string, number> = new Map<string, number>();
  /** The latest last. */
  readonly events: EventView[] = [];
  readonly history: HistoryPoint[] = [];
  facts: Facts | null = null;
  look: Look = { at: null, movesAt: null, everyMs: 1_000, error: null };
  /** How much the clock of the worker is ahead of that of this machine. */
  #clockAheadMs = 0;

  /** The time by the worker's clock. */
  now(): number {
    return Date.now() + this.#clockAheadMs;
  }

  /** Begins anew: everything that the worker knows. */
  start(snapshot: Snapshot): Changes {
    const { appName, streamName, workerId, version, takesOrders, takesProcessors } = snapshot;
    const isSameWorker = this.facts?.workerId === workerId;
    this.facts = { appName, streamName, workerId, version, takesOrders, takesProcessors };
    const known = isSameWorker ? this.history.splice(0) : [];
    for (const kept of [this.workers, this.shards, this.rates]) kept.clear();
    // A worker that started anew counts its events anew.
    this.events.length = 0;
    this.history.length = 0;
    this.update(snapshot);
    const clusterLags = new Map(known.map((point) => [point.at, point.clusterLag]));
    for (const [i, point] of this.history.entries()) {
      this.history[i] = { ...point, clusterLag: clusterLags.get(point.at) ?? null };
    }
    return { shards: "all", workers: true, events: true, points: true };
  }

  /** Takes over what changed. */
  update(update: Update): Changes {
    this.#clockAheadMs = update.now - Date.now();
    this.look = update.look ?? this.look;
    const { workers = [], goneWorkers = [], shards = [], goneShards = [], rates = [] } = update;
    const touched = new Set<string>(goneShards);
    for (const worker of workers) this.workers.set(worker.id, worker);
    for (const id of goneWorkers) this.workers.delete(id);
    for (const shard of shards) {
      this.shards.set(shard.id, shard);
      touched.add(shard.id);
    }
    for (const id of goneShards) this.shards.delete(id);
    for (const [id, rate, lag] of rates) {
      this.rates.set(id, rate);
      const shard = this.shards.get(id);
      if (shard !== undefined) this.shards.set(id, { ...shard, lag });
      touched.add(id);
    }
    const events = this.#addEvents(update.events ?? []);
    const points = this.#addPoints(update.points ?? []);
    const isWorkers = workers.length + goneWorkers.length > 0;
    return { shards: touched, workers: isWorkers, events, points };
  }

  /** Records a second of a shard; null if another worker has it. */
  rate(shard: ShardView): number | null {
    if (shard.owner !== this.facts?.workerId) return null;
    return this.rates.get(shard.id) ?? 0;
  }

  /** The lag of the open shard that is furthest behind; null while none is known. */
  worst(): ShardView | null {
    let worst: ShardView | null = null;
    for (const shard of this.shards.values()) {
      if (shard.state === "closed" || shard.lag === null) continue;
      if (worst === null || shard.lag > (worst.lag ?? 0)) worst = shard;
    }
    return worst;
  }

  #addEvents(events: readonly EventView[]): boolean {
    const last = this.events.at(-1)?.id ?? 0;
    const fresh = events.filter(({ id }) => id > last);
    this.events.push(...fresh);
    this.events.splice(0, this.events.length - EVENTS_MAX);
    return fresh.length > 0;
  }

  #addPoints(points: readonly Point[]): boolean {
    const last = this.history.at(-1)?.at ?? 0;
    const clusterLag = this.look.at === null ? null : this.worst()?.lag ?? null;
    const fresh = points.filter(({ at }) => at > last).map((point) => ({ ...point, clusterLag }));
    this.history.push(...fresh);
    this.history.splice(0, this.history.length - POINTS_MAX);
    return fresh.length > 0;
  }
}

/** What is searched for: words, of which each must be found. */
export class Search {
  readonly #words: readonly string[];

  constructor(text: string) {
    this.#words = text.toLowerCase().split(/\s+/).filter((word) => word !== "");
  }

  get isEmpty(): boolean {
    return this.#words.length === 0;
  }

  /** Whether a shard is meant: by its id, its number, its worker or its state. */
  meansShard({ id, owner, to, state }: ShardView): boolean {
    if (this.isEmpty) return true;
    const text = `${id} #${shortId(id)} ${owner ?? ""} ${to ?? ""} ${state} ${STATES[state][0]}`;
    return this.#isIn(text);
  }

  /** Whether an event is meant. */
  meansEvent({ text, type, shard }: EventView): boolean {
    return this.isEmpty || this.#isIn(`${text} ${type} ${shard ?? ""}`);
  }

  #isIn(text: string): boolean {
    const lower = text.toLowerCase();
    return this.#words.every((word) => lower.includes(word));
  }
}
