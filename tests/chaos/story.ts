/**
 * Owns: what happened, as a table for whoever looks into a failure.
 * Must not: judge.
 * Called by: `arena.ts`.
 *
 * @module
 */

import type { AppEvent } from "../../src/events.ts";

/** What happened at a time. */
interface Happening {
  readonly at: number;
  readonly who: string;
  readonly what: string;
}

/** What is told all the time, and says little. */
const QUIET: ReadonlySet<string> = new Set(["batch_processed"]);
const EVENTS_MAX = 400;

/** The story of a run. */
export class Story {
  readonly #startedAt = performance.now();
  readonly #steps: Happening[] = [];
  #events: Happening[] = [];
  /** The last event of each process about each shard. */
  readonly #last = new Map<string, { readonly type: string; readonly happening: Happening }>();

  /** Milliseconds since the run began. */
  get now(): number {
    return performance.now() - this.#startedAt;
  }

  /** Notes what the test did or saw. */
  step(what: string): void {
    this.#steps.push({ at: this.now, who: "-", what });
  }

  /** Notes what a worker told. */
  event(pid: number, event: AppEvent): void {
    if (QUIET.has(event.type)) return;
    const { type, workerId, time: _, ...rest } = event;
    const facts = Object.entries(rest).map(([name, value]) => `${name}=${show(value)}`);
    const what = [type, ...facts].join(" ");
    const happening = { at: this.now, who: `${workerId} ${pid}`, what };
    this.#events.push(happening);
    const about = `${pid} ${"shardId" in event ? event.shardId : ""}`;
    const last = this.#last.get(about);
    // Of checkpoints in a row only the last one is of interest.
    if (type === "checkpoint_written" && last?.type === type) {
      this.#events.splice(this.#events.indexOf(last.happening), 1);
    }
    this.#last.set(about, { type, happening });
    if (this.#events.length > 2 * EVENTS_MAX) this.#events = this.#events.slice(-EVENTS_MAX);
  }

  /** Everything that was done so far, and the last events in between. */
  table(events: number): string {
    const last = this.#events.slice(-events);
    const since = last[0]?.at ?? Infinity;
    const before = this.#steps.filter(({ at }) => at < since);
    const during = [...this.#steps.filter(({ at }) => at >= since), ...last]
      .sort((a, b) => a.at - b.at);
    return [...before, ...during].map(({ at, who, what }) =>
      `${(at / 1_000).toFixed(3).padStart(9)}  ${who.padEnd(10)}  ${what}`
    ).join("\n");
  }
}

function show(value: unknown): string {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  // Shard ids and sequence numbers differ at their end.
  return text.replace(/shardId-0*(?=\d)/g, "shard ").replace(/\d{40,}/g, (n) => `…${n.slice(-14)}`)
    .slice(0, 200);
}
