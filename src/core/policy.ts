/**
 * Owns: what happens after a failure: try again after how long, skip, or stop.
 * Must not: wait, or call the user's code.
 * Called by: `runtime/user_code.ts`; every loop that backs off.
 *
 * @module
 */

/** What to do with a record that fails: how often to try it again, and what to do after that. */
export interface ErrorHandlingMode {
  /** What to do after the last attempt: go on with the next record, or stop the shard on this worker. */
  readonly kind: "retryAndSkip" | "retryAndStop";
  /** Attempts after the first one; 0 to 1,000,000. */
  readonly retries: number;
}

/**
 * Try a failing record again, then go on with the next one.
 *
 * @param retries Attempts after the first one; a whole number from 0 to 1,000,000.
 * @throws {RangeError} If `retries` is not one.
 *
 * @example
 * ```ts
 * import { retryAndSkip } from "@reacto/kinesix";
 *
 * const mode = retryAndSkip(2); // three attempts in all
 * ```
 */
export function retryAndSkip(retries: number): ErrorHandlingMode {
  return { kind: "retryAndSkip", retries: checkedRetries("retryAndSkip", retries) };
}

/**
 * Try a failing record again, then stop its shard on this worker. The checkpoint stays before the record; other workers take
 * the shard over at once. This worker takes it again after `startProcessing`.
 *
 * @param retries Attempts after the first one; a whole number from 0 to 1,000,000.
 * @throws {RangeError} If `retries` is not one.
 *
 * @example
 * ```ts
 * import { retryAndStop } from "@reacto/kinesix";
 *
 * const mode = retryAndStop(0); // one attempt
 * ```
 */
export function retryAndStop(retries: number): ErrorHandlingMode {
  return { kind: "retryAndStop", retries: checkedRetries("retryAndStop", retries) };
}

/** What to do after a failed attempt. */
export type Decision =
  | { readonly kind: "retry"; readonly afterMs: number }
  | { readonly kind: "skip" }
  | { readonly kind: "stop" };

/** The mode of a record whose processor does not say. */
export const DEFAULT_MODE: ErrorHandlingMode = { kind: "retryAndSkip", retries: 2 };

/** The bounds of a back-off, in milliseconds. */
export interface Backoff {
  readonly baseMs: number;
  readonly maxMs: number;
}

const PROCESSOR_BACKOFF: Backoff = { baseMs: 100, maxMs: 30_000 };

/**
 * What to do after attempt number `attempt`, from 1: n retries are n + 1 attempts.
 * `random` is a number of at least 0 and less than 1.
 */
export function decide(attempt: number, mode: ErrorHandlingMode, random: number): Decision {
  if (attempt <= mode.retries) {
    return { kind: "retry", afterMs: backoffMs(attempt, PROCESSOR_BACKOFF, random) };
  }
  return { kind: mode.kind === "retryAndStop" ? "stop" : "skip" };
}

/**
 * How long to wait after failure number `failures`, from 1: doubles each time up to a bound, and is shortened by
 * up to half at random, so that workers that failed together do not come back together.
 */
export function backoffMs(failures: number, backoff: Backoff, random: number): number {
  const full = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full * (1 - random / 2));
}

function checkedRetries(name: string, retries: number): number {
  if (Number.isInteger(retries) && retries >= 0 && retries <= 1_000_000) return retries;
  throw new RangeError(
    `Cannot use ${name}(${retries}): retries must be a whole number from 0 to 1000000`,
  );
}
