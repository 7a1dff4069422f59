/**
 * Owns: what this worker did lately: records and bytes a second, how far its shards are behind, and what it told.
 * Must not: cost anything worth naming: it counts while nobody looks, too, so that whoever comes finds a history.
 * Called by: `dashboard.ts`.
 *
 * @module
 */

import type { AppEvent } from "../../events.ts";
import { eventText } from "../event_text.ts";
import { Flood } from "../flood.ts";
import { printable } from "../terminal.ts";
import type { EventView, Point, ShardRate } from "./protocol.ts";

/** The time between two points of a chart. */
const POINT_MS = 2_000;
/** Half an hour. */
const POINTS_MAX = 900;
const EVENTS_MAX = 300;
/** Longer ones are a processor's own words, such as a whole response in an error. */
const TEXT_CHARACTERS_MAX = 600;

/** A shard of this worker. */
interface OwnShard {
  lag: number;
  /** Since the rates were taken last. */
  records: number;
  /** As it was taken last; null before that: a page may know one from an earlier turn. */
  rate: ShardRate | null;
}

/** Counts. */
export class Activity {
  readonly #points: Point[] = [];
  readonly #events: EventView[] = [];
  readonly #shards = new Map<string, OwnShard>();
  readonly #flood = new Flood();
  #nextEventId = 1;
  #pointEndsAt: number;
  #records = 0;
  #bytes = 0;
  #ratesSince: number;

  /** @param now The time, as in all that follows: milliseconds since 1970, on a clock that only goes forward. */
  constructor(now: number) {
    this.#pointEndsAt = now + POINT_MS;
    this.#ratesSince = now;
  }

  /** Takes notice of an event. */
  follow(event: AppEvent, now: number): void {
    this.#closePoints(now);
    if (event.type === "batch_processed") {
      const shard = this.#shards.get(event.shardId) ?? { lag: 0, records: 0, rate: null };
      this.#shards.set(event.shardId, shard);
      shard.lag = event.millisBehindLatest;
      shard.records += event.records;
      this.#records += event.records;
      this.#bytes += event.bytes;
      return;
    }
    if ("shardId" in event && event.shardId !== null && ENDS_A_TURN.has(event.type)) {
      this.#shards.delete(event.shardId);
    }
    const said = eventText(event);
    if (said === undefined || !this.#flood.lets(event.type, now)) return;
    const shard = "shardId" in event ? event.shardId : null;
    this.#say({
      at: Date.parse(event.time),
      type: event.type,
      shard,
      tone: said.tone,
      text: said.text,
    });
  }

  /** What happened after a certain event, oldest first; 0 is before the first. */
  eventsAfter(id: number, now: number): readonly EventView[] {
    for (const [type, amount] of this.#flood.drain(now)) {
      const text = `and ${amount} more events of ${type}`;
      this.#say({ at: now, type, shard: null, tone: "warning", text });
    }
    const first = this.#events.findIndex((event) => event.id > id);
    return first < 0 ? [] : this.#events.slice(first);
  }

  /** The points that ended after a time, oldest first. */
  pointsAfter(at: number, now: number): readonly Point[] {
    this.#closePoints(now);
    const first = this.#points.findIndex((point) => point.at > at);
    return first < 0 ? [] : this.#points.slice(first);
  }

  /** The shards of this worker, as they were at the last {@linkcode Activity.takeRates}. */
  rates(): readonly ShardRate[] {
    return [...this.#shards.values()].flatMap(({ rate }) => rate === null ? [] : [rate]);
  }

  /** The shards of this worker whose rate, or lag, is another one than at the last call. */
  takeRates(now: number): readonly ShardRate[] {
    const seconds = Math.max(0.1, (now - this.#ratesSince) / 1_000);
    this.#ratesSince = now;
    return [...this.#shards].flatMap(([id, shard]) => {
      const rate = Math.round(shard.records / seconds);
      const [, rateBefore, lagBefore] = shard.rate ?? [];
      shard.records = 0;
      if (rate === rateBefore && shard.lag === lagBefore) return [];
      shard.rate = [id, rate, shard.lag];
      return [shard.rate];
    });
  }

  #say(event: Omit<EventView, "id">): void {
    const text = printable(event.text).slice(0, TEXT_CHARACTERS_MAX);
    this.#events.push({ id: this.#nextEventId++, ...event, text });
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
  }

  /** Ends the intervals that are over. There is no timer: a worker that tells nothing costs nothing. */
  #closePoints(now: number): void {
    const missing = Math.floor((now - this.#pointEndsAt) / POINT_MS) + 1;
    if (missing <= 0) return;
    // The clock may have leapt; a point that nobody would see is not made.
    const first = Math.max(0, missing - POINTS_MAX);
    const lags = Array.from(this.#shards.values(), ({ lag }) => lag);
    const lag = lags.length === 0 ? null : lags.reduce((max, lag) => Math.max(max, lag));
    for (let i = first; i < missing; i++) {
      this.#points.push({
        at: this.#pointEndsAt + i * POINT_MS,
        recordsPerSecond: i === 0 ? this.#records * 1_000 / POINT_MS : 0,
        bytesPerSecond: i === 0 ? this.#bytes * 1_000 / POINT_MS : 0,
        lag,
      });
    }
    this.#points.splice(0, this.#points.length - POINTS_MAX);
    this.#pointEndsAt += missing * POINT_MS;
    this.#records = 0;
    this.#bytes = 0;
  }
}

const ENDS_A_TURN: ReadonlySet<AppEvent["type"]> = new Set([
  "shard_handed_over",
  "shard_released",
  "shard_ended",
  "shard_stopped",
  "lease_lost",
]);
