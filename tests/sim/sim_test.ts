/**
 * Owns: the seeds that every test run goes through: the first ones, and every one that ever failed.
 * Must not: search; that is `run.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { tell } from "../local/cluster.ts";
import { replayCommand } from "./arguments.ts";
import { hunt } from "./hunt.ts";
import { Jobs } from "./jobs.ts";
import { simulate } from "./simulation.ts";

/** How many seeds, from 1. */
const SEEDS = 200;
/** Seeds that found something. A change of `scenario.ts` gives them another meaning; they stay, being as good as any. */
const REGRESSIONS: readonly number[] = [
  40,
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
  310,
  10437,
  11191,
  12732,
  13019,
  20588,
  21605,
  22755,
  30010,
  30142,
  30143,
  30195,
  40015,
  41326,
  41335,
  42753,
  42765,
  43001,
  51140,
  51571,
  52711,
  74,
  939,
];

async function check(seeds: ReadonlySet<number>): Promise<void> {
  using jobs = new Jobs();
  const startedAt = performance.now();
  const { figures, failures } = await hunt(jobs, { seeds });
  for (const { seed, failure, journal, virtualMs } of failures) {
    throw new Error(
      `${journal}\n\nSeed ${seed} fails at ${Math.round(virtualMs)} ms: ${failure}\n` +
        `Replay: ${replayCommand(seed, {})} --lines 400`,
    );
  }
  assertEquals(figures.seeds, seeds.size);
  const seconds = (performance.now() - startedAt) / 1_000;
  tell(
    `${figures.seeds} seeds, ${Math.round(figures.virtualMs / 3_600_000)} virtual hours in ` +
      `${seconds.toFixed(1)} s: ${Math.round(figures.events / seconds / 1_000)} k events/s`,
  );
}

Deno.test("every promise holds for the fixed seeds", async () => {
  await check(new Set(Array.from({ length: SEEDS }, (_, i) => i + 1)));
});

Deno.test("every promise holds for the seeds that once failed", async () => {
  await check(new Set(REGRESSIONS.filter((seed) => seed > SEEDS)));
});

Deno.test("a seed always tells the same story, in whichever thread", async () => {
  const seeds = [3, 7, 12];
  const here = [];
  // One after the other: the ambient clock throws meanwhile.
  for (const seed of seeds) here.push(await simulate(seed));
  using jobs = new Jobs(2);
  const elsewhere = await Promise.all([...seeds, ...seeds].map((seed) => jobs.simulate(seed)));
  for (const [i, result] of elsewhere.entries()) assertEquals(result, here[i % seeds.length]);
});
