/**
 * Owns: the flags of the simulator, and what they ask for.
 * Must not: run anything, or print.
 * Called by: `run.ts`.
 *
 * @module
 */

import { type Flag, matching, parseArguments, wholeNumber } from "../../src/cli/flags.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { messageOf } from "../../src/errors.ts";
import { joinOverrides, parseOverride, type ScenarioOverride } from "./override.ts";
import { makeScenario } from "./scenario.ts";

/** What a person wants. */
export interface Wish {
  readonly isHelp: boolean;
  readonly first: number;
  /** How many seeds at most. */
  readonly seeds: number;
  /** For how long seeds are begun, in milliseconds. */
  readonly forMs: number;
  readonly jobs: number;
  readonly isAll: boolean;
  readonly isVerbose: boolean;
  readonly isToShrink: boolean;
  readonly override: ScenarioOverride;
  readonly lines: number;
  readonly untilMs: number | undefined;
  readonly find: string | undefined;
}

/** The seeds are the numbers of 32 bits. */
const SEED_MAX = 2 ** 32 - 1;
const SEEDS = 100;
const LINES = 40;

const FLAGS: readonly Flag[] = [
  {
    name: "seed",
    placeholder: "S",
    doc: "the first seed",
    accepts: wholeNumber(0, SEED_MAX),
    defaultValue: "1",
  },
  {
    name: "seeds",
    placeholder: "N",
    doc: `seeds S to S+N-1; when not given, 1 with --seed, else ${SEEDS}`,
    accepts: wholeNumber(1, SEED_MAX),
  },
  {
    name: "minutes",
    placeholder: "M",
    doc: "as many seeds as fit",
    accepts: matching(/^(?=.*[1-9])\d{1,6}(\.\d{1,6})?$/, "a number above 0, such as 30 or 0.5"),
  },
  {
    name: "jobs",
    placeholder: "J",
    doc: "how many seeds at a time; when not given, one for each core",
    accepts: wholeNumber(1, 256),
  },
  {
    name: "workers",
    placeholder: "W",
    doc: "how many workers a scenario begins with, instead of what the seed says",
    accepts: wholeNumber(1, 100),
  },
  {
    name: "shards",
    placeholder: "H",
    doc: "how many shards, instead of what the seed says",
    accepts: wholeNumber(1, 1_000),
  },
  {
    name: "override",
    placeholder: "JSON",
    doc: 'what else is otherwise than the seed says, such as {"happenings":{"crash":0}}',
  },
  { name: "all", doc: "go on after a seed that fails, and tell of each in one line" },
  { name: "no-shrink", doc: "do not make the scenario of a seed that fails smaller" },
  {
    name: "lines",
    placeholder: "L",
    doc: "how many lines are shown of the story of a seed that fails",
    accepts: wholeNumber(1, 1_000_000),
    defaultValue: String(LINES),
  },
  {
    name: "until",
    placeholder: "MS",
    doc: "end a seed at this virtual time, and tell its story",
    accepts: wholeNumber(0, 10 ** 12),
  },
  {
    name: "find",
    placeholder: "TEXT",
    doc: "fail a seed at the first line of its story that contains this",
  },
  { name: "verbose", doc: "tell what each seed stands for, and what came of it" },
  { name: "help", letter: "h", doc: "print this help" },
];

/** What the flags ask for, in lines. */
export function help(): string {
  const rows = FLAGS.map((flag) => {
    const usage = `--${flag.name}${flag.placeholder === undefined ? "" : ` ${flag.placeholder}`}`;
    return `  ${usage.padEnd(18)} ${flag.doc}${flag.defaultValue ? ` (${flag.defaultValue})` : ""}`;
  });
  return ["Usage: deno task sim [flags]", "", ...rows].join("\n");
}

/**
 * Reads the arguments.
 *
 * @throws {UsageError} If one is unknown or wrong.
 */
export async function readWish(args: readonly string[]): Promise<Wish> {
  const { values, switches } = await parseArguments({ flags: FLAGS }, args);
  const number = (name: string): number | undefined => {
    const text = values.get(name);
    return text === undefined ? undefined : Number(text);
  };
  const first = number("seed") ?? 1;
  const minutes = number("minutes");
  const seedsLeft = SEED_MAX - first + 1;
  const unasked = minutes !== undefined ? seedsLeft : values.has("seed") ? 1 : SEEDS;
  return {
    isHelp: switches.has("help"),
    first,
    seeds: Math.min(seedsLeft, number("seeds") ?? unasked),
    forMs: minutes === undefined ? Infinity : minutes * 60_000,
    jobs: number("jobs") ?? navigator.hardwareConcurrency,
    isAll: switches.has("all"),
    isVerbose: switches.has("verbose"),
    isToShrink: !switches.has("no-shrink"),
    override: readOverride(values, first),
    lines: number("lines") ?? LINES,
    untilMs: number("until"),
    find: values.get("find"),
  };
}

function readOverride(values: ReadonlyMap<string, string>, seed: number): ScenarioOverride {
  const text = values.get("override");
  let override: ScenarioOverride = {};
  if (text !== undefined) {
    try {
      override = parseOverride(text, makeScenario(seed));
    } catch (error) {
      throw new UsageError(`Cannot use --override '${text}': ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  for (const name of ["workers", "shards"] as const) {
    const value = values.get(name);
    if (value !== undefined) override = joinOverrides(override, { [name]: Number(value) });
  }
  return override;
}

/** The command that tells the story of a seed again. */
export function replayCommand(seed: number, override: ScenarioOverride, find?: string): string {
  const parts = [`deno task sim --seed ${seed}`];
  if (Object.keys(override).length > 0) parts.push(`--override ${quote(JSON.stringify(override))}`);
  if (find !== undefined) parts.push(`--find ${quote(find)}`);
  return parts.join(" ");
}

/** A text as a shell takes it for one argument. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
