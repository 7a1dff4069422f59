/**
 * Owns: one sentence for many shards that move at once in the same way: at a start, at a stop, when a worker joins.
 * Must not: hold anything back for longer than until the next tick of the log.
 * Called by: `event_log.ts`.
 *
 * @module
 */

import type { AppEvent, AppEventOf } from "../events.ts";
import { count, type EventText, eventText } from "./event_text.ts";

type Move = AppEventOf<
  "shard_claimed" | "shard_handed_over" | "shard_released" | "handover_requested" | "lease_lost"
>;

/** So many are told one by one. */
const SINGLES_MAX = 3;
const NAMES_MAX = 3;

/** A sentence, and when the last thing happened that it tells of. */
export interface MoveText extends EventText {
  readonly time: string;
}

/** Collects moves of shards. */
export class ShardMoves {
  #groups = new Map<string, Move[]>();

  /** Keeps an event for later, if it is a move. */
  add(event: AppEvent): boolean {
    if (!isMove(event)) return false;
    const key = `${event.type} ${wayOf(event)}`;
    const group = this.#groups.get(key) ?? [];
    this.#groups.set(key, group);
    group.push(event);
    return true;
  }

  /** What to say of the moves so far, in the order in which they began. */
  drain(): readonly MoveText[] {
    const groups = this.#groups;
    this.#groups = new Map();
    return [...groups.values()].flatMap((moves) => {
      const [first] = moves;
      if (first === undefined || moves.length <= SINGLES_MAX) return moves.flatMap(single);
      const names = moves.slice(0, NAMES_MAX).map(({ shardId }) => shardId).join(", ");
      const text = `${manyText(first, count(moves.length, "shard"))}: ${names} and ${
        moves.length - NAMES_MAX
      } more`;
      const { tone = "plain" } = eventText(first) ?? {};
      return { tone, text, time: moves.at(-1)?.time ?? first.time };
    });
  }
}

function isMove(event: AppEvent): event is Move {
  switch (event.type) {
    case "shard_claimed":
    case "shard_handed_over":
    case "shard_released":
    case "handover_requested":
    case "lease_lost":
      return true;
    default:
      return false;
  }
}

/** What the moves of one sentence have in common. */
function wayOf(event: Move): string {
  switch (event.type) {
    case "shard_claimed":
      return event.from ?? "";
    case "shard_handed_over":
      return event.to;
    case "shard_released":
      return "";
    case "handover_requested":
      return `${event.from} ${event.to}`;
    case "lease_lost":
      return event.reason;
    default:
      return event satisfies never;
  }
}

function single(event: Move): readonly MoveText[] {
  const said = eventText(event);
  return said === undefined ? [] : [{ ...said, time: event.time }];
}

function manyText(event: Move, shards: string): string {
  switch (event.type) {
    case "shard_claimed":
      return event.from === null
        ? `took ${shards} that were free`
        : `took ${shards} that were ${event.from}'s`;
    case "shard_handed_over":
      return `gave ${shards} to ${event.to}`;
    case "shard_released":
      return `freed ${shards}`;
    case "handover_requested":
      return event.to === event.workerId
        ? `asked ${event.from} for ${shards}, to share the load`
        : `${event.to} asked for ${shards}, to share the load`;
    case "lease_lost":
      return `lost ${shards}, since ${event.reason}`;
    default:
      return event satisfies never;
  }
}
