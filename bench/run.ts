/**
 * Owns: the command `deno task bench`: which areas, how often, and how they are told.
 * Called by: people, and CI with `--check`.
 */

import { parseArgs } from "@std/cli/parse-args";
import manifest from "../deno.json" with { type: "json" };
import { concurrency } from "./concurrency.ts";
import { cost } from "./cost.ts";
import { engine } from "./engine.ts";
import { failover } from "./failover.ts";
import { latency } from "./latency.ts";
import { memory } from "./memory.ts";
import { peers } from "./peers/peers.ts";
import { type BenchOptions, missesOf, type Section, toData, toText } from "./report.ts";
import { startup } from "./startup.ts";
import { threads } from "./threads.ts";
import { throughput } from "./throughput.ts";

/** What measures one thing, and tells its figures as tables. */
export type Area = (options: BenchOptions) => Promise<readonly Section[]>;

/** An area is a file with one exported function, and a line here. */
export const AREAS: Readonly<Record<string, Area>> = {
  throughput,
  memory,
  latency,
  concurrency,
  threads,
  engine,
  failover,
  cost,
  startup,
};

/** What is measured only when it is asked for by name. */
export const ON_DEMAND: Readonly<Record<string, Area>> = { peers };

interface Wanted {
  readonly only: readonly string[];
  readonly rounds: number;
  readonly isQuick: boolean;
  readonly isJson: boolean;
  readonly isCheck: boolean;
}

/** Measures what the arguments ask for, and tells it; the exit code is 1 when bounds are checked and one was missed. */
export async function bench(
  args: readonly string[],
  areas: Readonly<Record<string, Area>>,
  tell: { readonly out: (text: string) => void; readonly progress: (line: string) => void },
  onDemand: Readonly<Record<string, Area>> = {},
): Promise<number> {
  const all = { ...areas, ...onDemand };
  const wanted = readArguments(args, all, Object.keys(areas));
  if (typeof wanted === "string") {
    tell.progress(wanted);
    return wanted.startsWith("Cannot") ? 2 : 0;
  }
  const { only, rounds, isQuick, isJson, isCheck } = wanted;
  const machine = describeMachine();
  if (!isJson) tell.out(`${Object.values(machine).join(", ")}\n`);
  const sections: Section[] = [];
  for (const name of only) {
    const measured = await all[name]?.({
      rounds,
      scale: isQuick ? "quick" : "full",
      say: (line) => tell.progress(`${name}: ${line}`),
    }) ?? [];
    sections.push(...measured);
    if (!isJson) tell.out(toText(measured));
  }
  const misses = missesOf(sections);
  if (isJson) {
    const told = { machine, rounds, isQuick, sections: toData(sections), misses };
    tell.out(`${JSON.stringify(told, null, 2)}\n`);
  }
  for (const { where, is, bound } of misses) {
    tell.progress(`MISSED: ${where}: ${is.toFixed(2)}, must be ${bound}`);
  }
  return isCheck && misses.length > 0 ? 1 : 0;
}

/** What is asked for; a text if that cannot be done, or is only the help. */
function readArguments(
  args: readonly string[],
  areas: Readonly<Record<string, Area>>,
  usual: readonly string[],
): Wanted | string {
  const unknown: string[] = [];
  const flags = parseArgs([...args], {
    string: ["only", "rounds"],
    boolean: ["json", "check", "quick", "help"],
    collect: ["only"],
    unknown: (flag) => {
      unknown.push(flag);
      return false;
    },
  });
  const help = helpOn(Object.keys(areas), usual);
  if (flags.help) return help;
  const only = (flags.only as string[]).flatMap((names) => names.split(","));
  const rounds = Number(flags.rounds ?? (flags.quick ? 3 : 5));
  const wrong = [...unknown, ...only.filter((name) => !Object.hasOwn(areas, name))];
  if (wrong.length > 0) return `Cannot understand "${wrong.join(" ")}"\n\n${help}`;
  if (!Number.isInteger(rounds) || rounds < 1) {
    return `Cannot measure ${flags.rounds} rounds: it must be a whole number from 1`;
  }
  return {
    only: only.length > 0 ? only : usual,
    rounds,
    isQuick: flags.quick === true,
    isJson: flags.json === true,
    isCheck: flags.check === true,
  };
}

function helpOn(areas: readonly string[], usual: readonly string[]): string {
  return `deno task bench [--only AREA]... [--rounds N] [--quick] [--json] [--check]

  --only AREA   one of: ${areas.join(", ")}; several times for several;
                if not said, ${usual.join(", ")}
  --rounds N    the medians are of so many rounds; 5 if not said, 3 with --quick
  --quick       less work in each round
  --json        the figures as JSON, with every round
  --check       exit with 1 when a bound is missed
`;
}

function describeMachine(): Record<string, string> {
  return {
    date: new Date().toISOString(),
    system: `${Deno.build.os} ${Deno.osRelease()} ${Deno.build.arch}`,
    cores: `${navigator.hardwareConcurrency} cores`,
    memory: `${Math.round(Deno.systemMemoryInfo().total / 2 ** 30)} GB`,
    load: `load ${Deno.loadavg()[0]?.toFixed(2)}`,
    deno: `Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`,
    kinesix: `kinesix ${manifest.version}`,
  };
}

function write(to: typeof Deno.stdout, text: string): void {
  to.writeSync(new TextEncoder().encode(text));
}

if (import.meta.main) {
  Deno.exit(
    await bench(Deno.args, AREAS, {
      out: (text) => write(Deno.stdout, text),
      progress: (line) => write(Deno.stderr, `${line}\n`),
    }, ON_DEMAND),
  );
}
