/**
 * Owns: numbers, times and ids as a person reads them.
 * Must not: touch the page.
 * Called by: everything of the page that shows something.
 *
 * @module
 */

import type { ShardState } from "../../../core/status.ts";
import type { ShardView } from "../protocol.ts";

const UNITS: readonly (readonly [ms: number, unit: string])[] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
];

/** A span of time with two digits that matter: `0 s`, `1.4 s`, `12 min`, `3.2 d`. */
export function span(ms: number): string {
  if (ms < 1) return "0 s";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const [size, unit] = UNITS.find(([size]) => ms >= size) ?? [1_000, "s"];
  const amount = ms / size;
  return `${amount < 9.95 ? Number(amount.toFixed(1)) : Math.round(amount)} ${unit}`;
}

/** How long ago something was. */
export function ago(at: number, now: number): string {
  const ms = Math.max(0, now - at);
  return ms < 1_000 ? "just now" : `${span(ms < 10_000 ? Math.floor(ms / 1_000) * 1_000 : ms)} ago`;
}

/** A lag. */
export function behind(ms: number | null): string {
  if (ms === null) return "unknown";
  return ms < 1 ? "caught up" : `${span(ms)} behind`;
}

/** A number with the unit that makes it short: `0`, `950`, `12.4 k`, `3 M`. */
export function amount(value: number): string {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (value < size * 0.9995) continue;
    const scaled = value / size;
    return `${scaled < 99.5 ? Number(scaled.toFixed(1)) : Math.round(scaled)} ${unit}`;
  }
  return value < 10 ? String(Number(value.toFixed(1))) : String(Math.round(value));
}

/** An amount of bytes. */
export function size(bytes: number): string {
  const text = amount(bytes);
  return /[kMG]$/.test(text) ? `${text}B` : `${text} B`;
}

/** A shard by its number, if it has one: `shardId-000000000012` is `12`. */
export function shortId(id: string): string {
  return /^shardId-0*(\d+)$/.exec(id)?.[1] ?? id;
}

/** What each state is called, and what it means. */
export const STATES: Readonly<Record<ShardState, readonly [name: string, meaning: string]>> = {
  processing: ["Processing", "a live worker has it"],
  handingOver: ["Handing over", "it is on its way from one worker to another"],
  unowned: ["Free", "no live worker has it; the next look of any worker takes it"],
  stopped: ["Stopped", "an operator, or a record that failed, stopped it everywhere"],
  waitingForParents: ["Waiting", "the shards that it came from are not finished yet"],
  closed: ["Finished", "every record of it is finished"],
};

/** How far behind is how bad: 0 is at the tip, 4 is more than an hour. */
export const LAG_STEPS: readonly (readonly [ms: number, name: string])[] = [
  [5_000, "up to date"],
  [60_000, "under 1 min"],
  [600_000, "under 10 min"],
  [3_600_000, "under 1 h"],
  [Infinity, "over 1 h"],
];

/** The step of a lag. */
export function lagStep(lag: number | null): number {
  return lag === null ? 0 : LAG_STEPS.findIndex(([ms]) => lag < ms);
}

/** A shard in one sentence, for those who hear the page. */
export function spokenShard(shard: ShardView): string {
  const [state] = STATES[shard.state];
  const owner = shard.owner === null ? "without a worker" : `on ${shard.owner}`;
  const to = shard.to === null || shard.to === shard.owner ? "" : `, going to ${shard.to}`;
  const lag = shard.state === "closed" ? "" : `, ${behind(shard.lag)}`;
  return `Shard ${shortId(shard.id)}: ${state}, ${owner}${to}${lag}`;
}

const NAMES = new Intl.Collator("en", { numeric: true });

/** Names with numbers in the order of the numbers: worker-2 before worker-10. */
export function compareNames(a: string, b: string): number {
  return NAMES.compare(a, b) || (a < b ? -1 : 1);
}

/** A count, with commas. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** A time of the day. */
export function clock(at: number): string {
  return new Date(at).toTimeString().slice(0, 8);
}
