/**
 * Owns: what the flags about failure records accept.
 * Must not: look at a place.
 * Called by: the tables of commands.
 *
 * @module
 */

import { FAILURE_PLACE_WORDS, parseFailurePlace } from "../core/failure_place.ts";
import { parseTime } from "../core/setting.ts";
import type { Accepts } from "./flags.ts";

/** Accepts a place for failure records. */
export const FAILURE_PLACE: Accepts = {
  words: FAILURE_PLACE_WORDS,
  test: (text) => parseFailurePlace(text) !== undefined,
};

/** Accepts a moment. */
export const ISO_TIME: Accepts = {
  words: "an ISO time such as 2026-01-31T12:00:00Z",
  test: (text) => !Number.isNaN(parseTime(text)),
};
