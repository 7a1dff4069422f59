/**
 * Owns: the real clock and real chance; the only user of the platform's.
 * Must not: be imported by `core/` or `runtime/`, which are given a `Clock` and a `Random`.
 * Called by: `app.ts`; the adapters, as a default.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import type { Clock, Random } from "../ports.ts";

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  // Timers cut fractions off and would fire early.
  sleep: (ms, signal) => delay(Math.ceil(ms), { signal }),
};

/** Chance as the platform has it. */
export const systemRandom: Random = {
  next: () => Math.random(),
  uuid: () => crypto.randomUUID(),
};
