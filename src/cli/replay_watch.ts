/**
 * Owns: how far a replay is, by its events: which shards are done, what failed, and from where it could go on.
 * Must not: run anything.
 * Called by: `replay.ts`.
 *
 * @module
 */

import { Ansis } from "ansis";
import { formatCheckpoint, parseCheckpoint } from "../core/checkpoint.ts";
import type { AppEvent, AppFact, StopReason } from "../events.ts";
import type { LeaseStore, ShardInfo } from "../ports.ts";
import { PrettyLog } from "./event_log.ts";
import { count } from "./event_text.ts";
import type { Progress } from "./progress.ts";
import type { RangeSource, ShardProgress } from "./range_source.ts";
import { type Terminal, wantsColor } from "./terminal.ts";

/** A shard that is not done. */
export interface OpenShard {
  readonly shardId: string;
  /** What is finished, as the state table of an app would have it. */
  readonly checkpoint: string;
}

/** What became of a replay. */
export interface ReplayResult {
  readonly shards: number;
  readonly shardsDone: number;
  /** The records that are finished, those that failed among them. */
  readonly records: number;
  /** The records that were given up. */
  readonly failed: number;
  /** The shards that the processor, or the stream, stopped, in the order of their ids. Those that came from them did not begin. */
  readonly stopped: readonly (OpenShard & { readonly reason: StopReason })[];
  /** The shards that were at work when it was interrupted. */
  readonly unfinished: readonly OpenShard[];
  /** From when on to replay again so that nothing is left out, as an ISO time; null if it is from the beginning, or nothing is left. */
  readonly resumeFrom: string | null;
}

/** What a watch needs. */
export interface ReplayWatchOptions {
  readonly source: RangeSource;
  readonly store: LeaseStore;
  readonly shards: readonly ShardInfo[];
  readonly progress: Progress;
  /** Says a line to a person. */
  readonly say: (line: string) => void;
  readonly terminal: Terminal;
}

/** What a person who waits wants to read. The rest is about leases, of which there are none. */
const TOLD: ReadonlySet<AppFact["type"]> = new Set<AppFact["type"]>([
  ...["record_failed", "record_skipped", "put_aside_failed", "processor_failed"] as const,
  ...["shard_stopped", "read_failed", "throttled", "aggregate_malformed"] as const,
]);

const TICK_MS = 250;

/** Watches a replay. */
export class ReplayWatch implements Disposable {
  /** Resolves when no shard has anything left to do. */
  readonly done: Promise<void>;
  readonly #options: ReplayWatchOptions;
  readonly #settle: () => void;
  readonly #ended = new Set<string>();
  readonly #stopped = new Map<string, StopReason>();
  readonly #log: PrettyLog;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #reached = new Map<string, ShardProgress>();
  #positions: () => readonly OpenShard[] = () => [];
  #records = 0;
  #failed = 0;

  constructor(options: ReplayWatchOptions) {
    this.#options = options;
    const { terminal, say } = options;
    ({ promise: this.done, resolve: this.#settle } = Promise.withResolvers<void>());
    this.#log = new PrettyLog({
      push: say,
      paint: new Ansis(wantsColor(terminal, terminal.isStderrInteractive) ? 1 : 0),
      nowMs: () => performance.now(),
    });
    this.#timer = setInterval(() => {
      this.#log.tick();
      this.#update();
    }, TICK_MS);
    if (options.shards.length === 0) this.#settle();
  }

  /** Is given where to see how far the shards are that are at work. */
  follow(positions: () => readonly OpenShard[]): void {
    this.#positions = positions;
  }

  /** Takes an event into account. */
  observe(event: AppFact | AppEvent): void {
    switch (event.type) {
      case "batch_processed":
        this.#records += event.records;
        break;
      case "record_skipped":
        this.#failed += 1;
        break;
      case "shard_ended":
        this.#ended.add(event.shardId);
        this.#check();
        break;
      case "shard_stopped":
        this.#stopped.set(event.shardId, event.reason);
        this.#check();
        break;
    }
    if (TOLD.has(event.type)) {
      this.#log.onEvent({ time: new Date().toISOString(), workerId: "replay", ...event });
    }
  }

  #check(): void {
    const left = this.#options.shards.filter(({ id }) => !this.#ended.has(id));
    const blocked = this.#blocked();
    if (left.every(({ id }) => blocked.has(id))) this.#settle();
  }

  /** Tells no more. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#log.summarize();
    this.#update();
  }

  /** What became of it. The worker must have stopped. */
  async result(): Promise<ReplayResult> {
    const { store, shards, source } = this.#options;
    const { rows } = await store.list("shard", new AbortController().signal);
    const blocked = this.#blocked();
    const open = rows.filter(({ id }) => !this.#ended.has(id));
    const ids = new Set(open.map(({ id }) => id));
    // The records of a child come after those of its parents.
    const first = open.filter(({ parents }) => !parents.some((parent) => ids.has(parent)));
    const times = first.map(({ id, checkpoint }) => source.timeOf(id, checkpoint));
    const earliest = Math.min(...times.map((time) => time ?? -Infinity));
    const listed = first.map(({ id, checkpoint }) => ({
      shardId: id,
      checkpoint: formatCheckpoint(checkpoint),
    })).sort((a, b) => a.shardId < b.shardId ? -1 : 1);
    return {
      shards: shards.length,
      shardsDone: this.#ended.size,
      records: this.#records,
      failed: this.#failed,
      stopped: listed.flatMap((shard) => {
        const reason = this.#stopped.get(shard.shardId);
        return reason === undefined ? [] : [{ ...shard, reason }];
      }),
      unfinished: listed.filter(({ shardId }) => !blocked.has(shardId)),
      resumeFrom: Number.isFinite(earliest) ? new Date(earliest).toISOString() : null,
    };
  }

  /** The shards that were stopped, and those that come from them: they are not begun. */
  #blocked(): ReadonlySet<string> {
    const blocked = new Set<string>(this.#stopped.keys());
    for (let before = -1; before < blocked.size;) {
      before = blocked.size;
      for (const { id, parents } of this.#options.shards) {
        if (parents.some((parent) => blocked.has(parent))) blocked.add(id);
      }
    }
    return blocked;
  }

  #update(): void {
    const { shards, source, progress } = this.#options;
    for (const { shardId, checkpoint } of this.#positions()) {
      this.#reached.set(shardId, source.progress(shardId, parseCheckpoint(checkpoint)));
    }
    let [shares, records] = [0, 0];
    for (const { id } of shards) {
      const reached = this.#ended.has(id)
        ? { share: 1, records: source.recordsOf(id) }
        : this.#reached.get(id) ?? { share: 0, records: 0 };
      shares += reached.share;
      records += reached.records;
    }
    const failed = this.#failed === 0 ? "" : `, ${this.#failed} failed`;
    progress.update(shares / Math.max(1, shards.length), `${count(records, "record")}${failed}`);
  }
}
