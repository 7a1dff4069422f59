// deno-lint-ignore-file no-console -- this is a program for people
/**
 * Owns: showing which faults the seeds really reach, and in how many of them.
 * Must not: be needed by the tests.
 * Called by: people, as `deno run -A tests/sim/reach.ts [--seed S] [--seeds N]`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import Table from "cli-table3";
import { simulate } from "./simulation.ts";

async function main(args: readonly string[]): Promise<number> {
  const flags = parseArgs([...args], { string: ["seed", "seeds"] });
  const first = Number(flags.seed ?? 1);
  const seeds = Number(flags.seeds ?? 300);
  const reached = new Map<string, { seeds: number; times: number }>();
  const failed: string[] = [];
  for (let seed = first; seed < first + seeds; seed++) {
    const { coverage, failure } = await simulate(seed);
    if (failure !== null) failed.push(`seed ${seed}: ${failure.slice(0, 200)}`);
    for (const [what, times] of coverage) {
      const before = reached.get(what) ?? { seeds: 0, times: 0 };
      reached.set(what, { seeds: before.seeds + 1, times: before.times + times });
    }
  }
  const table = new Table({ head: ["what happened", `in seeds of ${seeds}`, "times"] });
  const rows = [...reached].sort(([a], [b]) => a < b ? -1 : 1);
  for (const [what, { seeds, times }] of rows) table.push([what, seeds, times]);
  console.log(table.toString());
  for (const failure of failed) console.log(failure);
  return failed.length === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
