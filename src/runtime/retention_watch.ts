/**
 * Owns: telling in time that the stream may drop records before they are read, and that it may have.
 * Must not: act on it.
 * Called by: `runtime/worker.ts`.
 *
 * @module
 */

import { type RetentionMark, retentionMark } from "../core/retention.ts";
import { toEventError } from "../errors.ts";
import type { AppFact, EventSink } from "../events.ts";
import type { Clock, StreamSource } from "../ports.ts";
import type { OwnShard } from "./shard_roster.ts";

/** What the watch needs of the worker. */
export interface RetentionWatchDeps {
  readonly clock: Clock;
  readonly source: StreamSource;
  readonly emit: EventSink;
}

/** What is known of a shard of this worker. */
interface Watched {
  millisBehind: number;
  /** When that was told, on the monotonic clock. */
  at: number;
  mark: RetentionMark;
  /** From where this turn goes on, until it is clear whether records are missing. */
  start: { readonly checkpoint: string; readonly readUntil: number } | undefined;
  /** Whether anything was there to read. */
  isEmpty: boolean | undefined;
}

const ASK_EVERY_MS = 3_600_000;
/** A shard whose records are stuck tells nothing: its lag is looked at from time to time. */
const LOOK_EVERY_MS = 60_000;

/** Watches the lag of this worker's shards. */
export class RetentionWatch {
  readonly #deps: RetentionWatchDeps;
  readonly #shards = new Map<string, Watched>();
  #retentionMs: number | undefined;
  #isFailureTold = false;

  /** @param deps What it needs of the worker. */
  constructor(deps: RetentionWatchDeps) {
    this.#deps = deps;
  }

  /** Whether the source can say how long the stream keeps its records. */
  get isPossible(): boolean {
    return this.#deps.source.retentionMs !== undefined;
  }

  /** Passes facts on, and learns from them. */
  listening(emit: EventSink): EventSink {
    if (!this.isPossible) return emit;
    return (fact) => {
      emit(fact);
      this.#note(fact);
    };
  }

  /** Asks and looks until the signal is aborted. */
  async run(shards: () => readonly OwnShard[], signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    for (let askedAt = -Infinity;;) {
      if (clock.monotonic() - askedAt >= ASK_EVERY_MS) {
        askedAt = clock.monotonic();
        await this.#ask(signal);
      }
      for (const { shardId, inHandMs } of shards()) this.#check(shardId, inHandMs);
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  }

  async #ask(signal: AbortSignal): Promise<void> {
    try {
      this.#retentionMs = await this.#deps.source.retentionMs?.(signal);
      this.#isFailureTold = false;
    } catch (error) {
      if (signal.aborted) throw error;
      if (this.#isFailureTold) return;
      this.#isFailureTold = true;
      const task = "ask how long the stream keeps its records";
      this.#deps.emit({ type: "task_failed", task, error: toEventError(error) });
    }
  }

  #note(fact: AppFact): void {
    switch (fact.type) {
      case "shard_claimed": {
        const { shardId, checkpoint, readUntil } = fact;
        const start = readUntil === undefined
          ? undefined
          : { checkpoint, readUntil: Date.parse(readUntil) };
        const at = this.#deps.clock.monotonic();
        this.#shards.set(shardId, { millisBehind: 0, at, mark: 0, start, isEmpty: undefined });
        break;
      }
      case "batch_processed": {
        const watched = this.#shards.get(fact.shardId);
        if (watched === undefined) break;
        watched.millisBehind = fact.millisBehindLatest;
        watched.at = this.#deps.clock.monotonic();
        watched.isEmpty ??= fact.records + fact.filtered === 0 && fact.millisBehindLatest === 0;
        this.#check(fact.shardId, 0);
        break;
      }
      case "shard_handed_over":
      case "shard_released":
      case "shard_ended":
      case "lease_lost":
        this.#shards.delete(fact.shardId);
        break;
    }
  }

  #check(shardId: string, inHandMs: number): void {
    const { clock, emit } = this.#deps;
    const retentionMs = this.#retentionMs;
    const watched = this.#shards.get(shardId);
    if (retentionMs === undefined || watched === undefined) return;
    const { millisBehind, at, start } = watched;
    // Whoever was behind, and told nothing since, is further behind. At the tip nothing is told as long as nothing comes.
    const sinceMs = millisBehind > 0 ? clock.monotonic() - at : inHandMs;
    const millisBehindLatest = Math.round(millisBehind + sinceMs);
    const mark = retentionMark(millisBehindLatest, retentionMs, watched.mark);
    if (mark !== 0 && mark > watched.mark) {
      emit({ type: "lag_near_retention", shardId, millisBehindLatest, retentionMs, percent: mark });
    }
    watched.mark = mark;
    if (start === undefined || watched.isEmpty === undefined) return;
    watched.start = undefined;
    const ageMs = Math.round(clock.now() - start.readUntil);
    if (watched.isEmpty || ageMs <= retentionMs) return;
    emit({
      type: "checkpoint_expired",
      shardId,
      checkpoint: start.checkpoint,
      ageMs,
      retentionMs,
    });
  }
}
