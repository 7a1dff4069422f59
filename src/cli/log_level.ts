/**
 * Owns: how important an event is to whoever reads a log.
 * Must not: write anything.
 * Called by: `event_log.ts`, `run.ts`.
 *
 * @module
 */

import type { AppEvent } from "../events.ts";
import { eventText, type Tone } from "./event_text.ts";
import { type Flag, oneOf } from "./flags.ts";
import type { Values } from "./values.ts";

const LEVELS = ["debug", "info", "warn", "error"] as const;

/** How important an event is:
 * - `debug`: each batch, each checkpoint, each row that comes or goes.
 * - `info`: who took, gave and finished which shard, and why.
 * - `warn`: what heals by itself, or may.
 * - `error`: what somebody should look at.
 */
export type LogLevel = typeof LEVELS[number];

const LEVEL_OF_TONE: { readonly [T in Tone]: LogLevel } = {
  quiet: "debug",
  plain: "info",
  good: "info",
  warning: "warn",
  bad: "error",
};

/** From which level on a log tells events. */
export const LOG_LEVEL_FLAG: Flag = {
  name: "log-level",
  placeholder: "LEVEL",
  doc: "tell no event that is less important: debug, info, warn or error (default: info for " +
    "--log pretty, debug, which is everything, for --log json)",
  accepts: oneOf(...LEVELS),
  isInEnvironment: true,
};

/** How important an event is. */
export function levelOf(event: AppEvent): LogLevel {
  const said = eventText(event);
  return said === undefined ? "debug" : LEVEL_OF_TONE[said.tone];
}

/** Whether an event belongs into a log. */
export function isLogged(event: AppEvent, least: LogLevel): boolean {
  return LEVELS.indexOf(levelOf(event)) >= LEVELS.indexOf(least);
}

/** The level that was asked for. */
export function logLevel(values: Values): LogLevel {
  const given = values.text("log-level");
  const fallback = values.need("log") === "json" ? "debug" : "info";
  return LEVELS.find((level) => level === given) ?? fallback;
}
