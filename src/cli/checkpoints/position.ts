/**
 * Owns: positions in a stream as people write them on the command line.
 * Must not: know what is there.
 * Called by: the commands about checkpoints.
 *
 * @module
 */

import { type Checkpoint, parseCheckpoint } from "../../core/checkpoint.ts";
import { parseDuration } from "../../core/duration.ts";
import type { Accepts, Argument } from "../flags.ts";

/** A position that a shard may be read from. */
export type Position = Exclude<Checkpoint, { kind: "shardEnd" }>;

const WORDS =
  "trim-horizon, latest, a time ago such as 2h, an ISO time, or a sequence number (with :N in an aggregate)";
const ISO_TIME = /^\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:\d{2})?)?$/;

/** Accepts a position. */
export const ANY_POSITION: Accepts = {
  words: WORDS,
  test: (text) => parsePosition(text, 0) !== undefined,
};

/** The argument that names a position. */
export const POSITION: Argument = {
  name: "POSITION",
  doc: "after which to go on: " + WORDS,
  accepts: ANY_POSITION,
};

/**
 * The position that a text names; undefined if it names none.
 *
 * @param now Milliseconds since the epoch.
 */
export function parsePosition(text: string, now: number): Position | undefined {
  const word = text.toLowerCase().replaceAll("_", "-");
  if (word === "trim-horizon") return { kind: "trimHorizon" };
  if (word === "latest") return { kind: "timestamp", timestamp: now };
  if (ISO_TIME.test(text)) {
    const timestamp = Date.parse(text);
    return Number.isFinite(timestamp) ? { kind: "timestamp", timestamp } : undefined;
  }
  const ago = /[a-z]$/.test(word) ? parseDuration(word) : undefined;
  if (ago !== undefined) return { kind: "timestamp", timestamp: now - ago };
  if (!/^\d/.test(text)) return undefined;
  try {
    const position = parseCheckpoint(text);
    return position.kind === "sequence" ? position : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
