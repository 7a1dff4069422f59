// deno-lint-ignore-file no-console -- this is a program for people
/**
 * Owns: the proof that the checkers see: each mutant of `mutants.ts` must be caught by a seed, or else by a directed case.
 * Must not: touch the files that it mutates; it works on copies.
 * Called by: people, as `deno run -A tests/sim/sabotage.ts [--seeds N] [--jobs J] [part of a name]`; `sabotage_test.ts`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import Table from "cli-table3";
import { type Mutant, MUTANTS } from "./mutants.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** What a simulation is made of. */
const PARTS = ["src", "tests/sim", "tests/kpl.ts", "std", "deno.json", "deno.lock"];

/** What became of a mutant. */
export interface Verdict {
  /** The first seed, or else the first directed case, that caught it; null if none did. */
  readonly by: string | null;
  readonly failure: string;
}

const UNNOTICED: Verdict = { by: null, failure: "" };

/**
 * Makes the project wrong in one line, and runs seeds on it from 1 on until a checker notices. What needs more coincidence than
 * chance brings about in so many seeds gets a second chance: the directed cases.
 */
export async function hunt(mutant: Mutant, seeds: number): Promise<Verdict> {
  const copy = await mutate(mutant);
  try {
    const verdict = await runSeeds(copy, seeds);
    return verdict.by === null ? await runCases(copy) : verdict;
  } catch (error) {
    throw new Error(`Cannot run mutant "${mutant.name}"`, { cause: error });
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

async function runSeeds(copy: string, seeds: number): Promise<Verdict> {
  const args = ["run", "-A", "--no-check", "tests/sim/sabotage.ts", "--run", String(seeds)];
  const { code, stdout, stderr } = await deno(copy, args);
  if (code !== 0) throw new Error(`its seeds end with ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

async function runCases(copy: string): Promise<Verdict> {
  const files = (await Array.fromAsync(Deno.readDir(`${copy}/tests/sim`)))
    .map(({ name }) => name).filter((name) => /^cases_.*_test\.ts$/.test(name)).sort();
  const options = ["-A", "--no-check", "--fail-fast", "--reporter=tap"];
  const paths = files.map((name) => `tests/sim/${name}`);
  const { code, stdout, stderr } = await deno(copy, ["test", ...options, ...paths]);
  if (code === 0) return UNNOTICED;
  // TAP: https://testanything.org/tap-version-14-specification.html, where Deno's diagnostics are JSON.
  const failed = stdout.match(/^not ok \d+ - (?<name>.*)\n +---\n +(?<diagnostics>\{.*\})$/m)
    ?.groups;
  if (failed === undefined) throw new Error(`its cases end with ${code}: ${stdout}${stderr}`);
  const { message } = JSON.parse(failed.diagnostics ?? "{}");
  const reason = /^Seed \d+ of the case: (.*)$/m.exec(message)?.[1];
  return { by: failed.name ?? "", failure: reason ?? message };
}

async function deno(
  cwd: string,
  args: readonly string[],
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const options = { args: [...args], cwd, env: { NO_COLOR: "1" } };
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), options).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** The text of the file that a mutant changes, before and after. */
export async function mutated(mutant: Mutant): Promise<string> {
  const text = await Deno.readTextFile(`${ROOT}src/${mutant.file}`);
  if (text.split(mutant.from).length !== 2) {
    throw new Error(`Cannot make mutant "${mutant.name}": its line is not once in ${mutant.file}`);
  }
  return text.replace(mutant.from, () => mutant.to);
}

/** A copy of the project, with one line made wrong. */
async function mutate(mutant: Mutant): Promise<string> {
  const text = await mutated(mutant);
  const copy = await Deno.makeTempDir({ prefix: "mutant-" });
  for (const part of PARTS) await copyAll(`${ROOT}${part}`, `${copy}/${part}`);
  await Deno.writeTextFile(`${copy}/src/${mutant.file}`, text);
  return copy;
}

async function copyAll(from: string, to: string): Promise<void> {
  if (!(await Deno.stat(from)).isDirectory) return await Deno.copyFile(from, to);
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) {
    await copyAll(`${from}/${name}`, `${to}/${name}`);
  }
}

/** The copy's own part: the first seed that fails. */
async function run(seeds: number): Promise<Verdict> {
  const { simulate } = await import("./simulation.ts");
  for (let seed = 1; seed <= seeds; seed++) {
    const { failure } = await simulate(seed);
    if (failure !== null) return { by: `seed ${seed}`, failure };
  }
  return UNNOTICED;
}

async function main(args: readonly string[]): Promise<number> {
  const flags = parseArgs([...args], { string: ["seeds", "jobs", "run"] });
  if (flags.run !== undefined) {
    console.log(JSON.stringify(await run(Number(flags.run))));
    return 0;
  }
  const [only = ""] = flags._.map(String);
  const chosen = MUTANTS.filter(({ name }) => name.includes(only));
  const verdicts = new Map<Mutant, Verdict>();
  const queue = chosen.values();
  const worker = async (): Promise<void> => {
    for (const mutant of queue) {
      const verdict = await hunt(mutant, Number(flags.seeds ?? 200));
      verdicts.set(mutant, verdict);
      console.error(`${verdict.by === null ? "SURVIVES" : "dies"}  ${mutant.name}`);
    }
  };
  await Promise.all(Array.from({ length: Number(flags.jobs ?? 2) }, worker));
  const table = new Table({
    head: ["mutant", "died by", "what noticed it"],
    colWidths: [44, 44, 64],
    wordWrap: true,
    style: { head: [] },
  });
  for (const mutant of chosen) {
    const { by, failure } = verdicts.get(mutant) ?? UNNOTICED;
    table.push([mutant.name, by ?? "SURVIVES", failure]);
  }
  console.log(table.toString());
  const survivors = chosen.filter((mutant) => verdicts.get(mutant)?.by === null).length;
  console.log(`${chosen.length - survivors} of ${chosen.length} mutants died`);
  return survivors === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
