/**
 * Owns: the command `deno task bench`: which areas, how often, and how they are told.
 * Called by: people, and CI with `--check`.
 */

import { parseArgs } from "@std/cli/parse-args";
import manifest from "../deno.json" with { type: "json" };
import { memory } from "./memory.ts";
import { type BenchOptions, missesOf, type Section, toData, toText } from "./report.ts";
import { latency } from "./latency.ts";
import { throughput } from "./throughput.ts";

/** An area is a file with one exported function, and a line here. */
const AREAS: Readonly<Record<string, (options: BenchOptions) => Promise<readonly Section[]>>> = {
  throughput,
  memory,
  latency,
};

const HELP = `deno task bench [--only AREA]... [--rounds N] [--quick] [--json] [--check]

  --only AREA   one of: ${Object.keys(AREAS).join(", ")}; several times for several
  --rounds N    the medians are of so many rounds; 5 if not said, 3 with --quick
  --quick       less work in each round
  --json        the figures as JSON, with every round
  --check       exit with 1 when a bound is missed
`;

interface Wanted {
  readonly areas: readonly string[];
  readonly rounds: number;
  readonly isQuick: boolean;
  readonly isJson: boolean;
  readonly isCheck: boolean;
}

async function main(): Promise<number> {
  const wanted = readFlags();
  if (typeof wanted === "string") {
    await write(Deno.stderr, wanted);
    return wanted === HELP ? 0 : 2;
  }
  const { areas, rounds, isQuick, isJson, isCheck } = wanted;
  const machine = describeMachine();
  if (!isJson) await write(Deno.stdout, `${Object.values(machine).join(", ")}\n`);
  const sections: Section[] = [];
  for (const area of areas) {
    const options: BenchOptions = {
      rounds,
      scale: isQuick ? "quick" : "full",
      say: (line) => void write(Deno.stderr, `${area}: ${line}\n`),
    };
    const measured = await AREAS[area]?.(options) ?? [];
    sections.push(...measured);
    if (!isJson) await write(Deno.stdout, toText(measured));
  }
  const misses = missesOf(sections);
  if (isJson) {
    const told = { machine, rounds, isQuick, sections: toData(sections), misses };
    await write(Deno.stdout, `${JSON.stringify(told, null, 2)}\n`);
  }
  for (const { where, is, bound } of misses) {
    await write(Deno.stderr, `MISSED: ${where}: ${is.toFixed(2)}, must be ${bound}\n`);
  }
  return isCheck && misses.length > 0 ? 1 : 0;
}

/** What is asked for; a text if that cannot be done, or is only the help. */
function readFlags(): Wanted | string {
  const unknown: string[] = [];
  const flags = parseArgs(Deno.args, {
    string: ["only", "rounds"],
    boolean: ["json", "check", "quick", "help"],
    collect: ["only"],
    unknown: (flag) => {
      unknown.push(flag);
      return false;
    },
  });
  if (flags.help) return HELP;
  const only = (flags.only as string[]).flatMap((names) => names.split(","));
  const rounds = Number(flags.rounds ?? (flags.quick ? 3 : 5));
  const wrong = [...unknown, ...only.filter((name) => !Object.hasOwn(AREAS, name))];
  if (wrong.length > 0) return `Cannot understand "${wrong.join(" ")}"\n\n${HELP}`;
  if (!Number.isInteger(rounds) || rounds < 1) {
    return `Cannot measure ${flags.rounds} rounds: it must be a whole number from 1\n`;
  }
  return {
    areas: only.length > 0 ? only : Object.keys(AREAS),
    rounds,
    isQuick: flags.quick === true,
    isJson: flags.json === true,
    isCheck: flags.check === true,
  };
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

async function write(to: typeof Deno.stdout, text: string): Promise<void> {
  await to.write(new TextEncoder().encode(text));
}

if (import.meta.main) Deno.exitCode = await main();
