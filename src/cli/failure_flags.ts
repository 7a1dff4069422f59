/**
 * Owns: the flag about failure records that several commands have, and what such flags accept.
 * Must not: look at a place.
 * Called by: the tables of commands.
 *
 * @module
 */

import { FAILURE_PLACE_WORDS, parseFailurePlace } from "../core/failure_place.ts";
import { parseTime } from "../core/setting.ts";
import type { Accepts, Flag } from "./flags.ts";

/** Accepts a place for failure records. */
export const FAILURE_PLACE: Accepts = {
  words: FAILURE_PLACE_WORDS,
  test: (text) => parseFailurePlace(text) !== undefined,
};

/** Where the records go that are given up. */
export const ON_FAILURE: Flag = {
  name: "on-failure",
  placeholder: "PLACE",
  doc:
    "put records that are given up here, whole, for kinesix redrive: file:PATH or kinesis:STREAM",
  accepts: FAILURE_PLACE,
  isInEnvironment: true,
};

/** Accepts a moment. */
export const ISO_TIME: Accepts = {
  words: "an ISO time such as 2026-01-31T12:00:00Z",
  test: (text) => !Number.isNaN(parseTime(text)),
};
