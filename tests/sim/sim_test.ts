/**
 * Owns: the seeds that every test run goes through: the first ones, and every one that ever failed.
 * Must not: search; that is `run.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { simulate } from "./simulation.ts";

/** How many seeds, from 1. */
const SEEDS = 20;
/** Seeds that found something. A change of `scenario.ts` gives them another meaning; they stay, being as good as any. */
const REGRESSIONS: readonly number[] = [
  79,
  95,
  96,
  113,
  146,
  175,
  197,
  214,
  1007,
  1010,
  1020,
  1046,
  1093,
  1106,
  1227,
  1285,
  5157,
  5280,
  7111,
  7190,
  8202,
  9010,
];

async function check(seed: number): Promise<void> {
  const { failure, journal } = await simulate(seed);
  assert(
    failure === null,
    `${journal}\n\nSeed ${seed} fails: ${failure}\n` +
      `Replay: deno run -A tests/sim/run.ts --seed ${seed} --lines 400`,
  );
}

Deno.test("every promise holds for the fixed seeds", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) await check(seed);
});

Deno.test("every promise holds for the seeds that once failed", async () => {
  for (const seed of REGRESSIONS) await check(seed);
});

Deno.test("a seed always tells the same story", async () => {
  for (const seed of [3, 7, 12]) {
    const first = await simulate(seed);
    const second = await simulate(seed);
    assertEquals(second.traceHash, first.traceHash);
    assertEquals(second.events, first.events);
  }
});
