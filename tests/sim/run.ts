// deno-lint-ignore-file no-console -- this is a program for people
/**
 * Owns: the long hunt: many seeds, and the story of one that fails.
 * Must not: be needed by the tests.
 * Called by: people, as `deno run -A tests/sim/run.ts --seed S --seeds N`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { makeScenario } from "./scenario.ts";
import { simulate, type SimulationOptions } from "./simulation.ts";

const now = performance.now.bind(performance);

async function main(args: readonly string[]): Promise<number> {
  const flags = parseArgs([...args], {
    string: ["seed", "seeds", "lines", "workers", "shards"],
    boolean: ["all", "verbose"],
  });
  const options: SimulationOptions = {
    journalLines: Number(flags.lines ?? 40),
    ...(flags.workers === undefined ? {} : { workers: Number(flags.workers) }),
    ...(flags.shards === undefined ? {} : { shards: Number(flags.shards) }),
  };
  const first = Number(flags.seed ?? 1);
  const total = { events: 0, virtualMs: 0, records: 0, crashMs: 0, partingMs: 0 };
  const failed: number[] = [];
  const startedAt = now();
  for (let seed = first; seed < first + Number(flags.seeds ?? 1); seed++) {
    if (flags.verbose) console.log(JSON.stringify(makeScenario(seed, options), null, 1));
    const seedStartedAt = now();
    const result = await simulate(seed, options);
    if (flags.verbose) {
      console.log(result.traceHash, result.events, Math.round(now() - seedStartedAt));
    }
    total.events += result.events;
    total.virtualMs += result.virtualMs;
    total.records += result.records;
    total.crashMs = Math.max(total.crashMs, result.worstCrashMs);
    total.partingMs = Math.max(total.partingMs, result.worstPartingMs);
    if (result.failure === null) continue;
    failed.push(seed);
    if (flags.all) {
      console.log(`seed ${seed}: ${result.failure.slice(0, 300)}`);
      continue;
    }
    console.log(result.journal);
    console.log(`\nSeed ${seed} fails at ${Math.round(result.virtualMs)} ms: ${result.failure}`);
    const fixed = args.filter((arg) => /^--(workers|shards)/.test(arg)).join(" ");
    console.log(`Replay: deno run -A tests/sim/run.ts --seed ${seed} ${fixed} --lines 400`);
    break;
  }
  const seconds = (now() - startedAt) / 1_000;
  const seeds = Number(flags.seeds ?? 1);
  console.log(
    `${seeds} seeds, ${failed.length} failed; ${(seeds / seconds).toFixed(1)} seeds/s, ` +
      `${Math.round(total.events / seconds / 1_000)} k events/s, ` +
      `${(total.virtualMs / 3_600_000 / seconds).toFixed(2)} virtual hours/s, ` +
      `${total.records} records; longest wait of a shard: after a crash ` +
      `${Math.round(total.crashMs)} ms, after a parting ${Math.round(total.partingMs)} ms`,
  );
  return failed.length === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
