/**
 * Owns: what a flag is, and how a list of arguments becomes flags with checked values.
 * Must not: know what a flag does; read the environment or a file (`values.ts` does).
 * Called by: `values.ts`, and the table of commands.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { formatDuration, parseDuration } from "../core/duration.ts";
import { messageOf } from "../errors.ts";
import { describeDefault, describeRange, parseSetting, type Setting } from "../core/setting.ts";
import { suggestion, UsageError } from "./usage_error.ts";

/** A flag of a command. */
export interface Flag {
  /** The name without dashes. */
  readonly name: string;
  /** A letter that means the same. */
  readonly letter?: string;
  /** How the help names the value; absent for a switch. */
  readonly placeholder?: string;
  /** One line for the help. */
  readonly doc: string;
  /** Which values are good. */
  readonly accepts?: Accepts;
  /** The value when nothing is given. */
  readonly defaultValue?: string;
  /** Whether the command needs a value. */
  readonly isRequired?: boolean;
  /** Whether no message may show the value. */
  readonly isSecret?: boolean;
  /** Whether `KINESIX_<NAME>` gives the value when the flag is not there. */
  readonly isInEnvironment?: boolean;
}

/** Which values a flag takes. */
export interface Accepts {
  /** Completes "it must be ". */
  readonly words: string;
  /** All good values, if there are only a few. */
  readonly choices?: readonly string[];
  /** Whether a value is good. */
  test(text: string): boolean;
}

/** A value that stands by itself, without a flag. */
export interface Argument {
  /** How help and messages name it, such as `SHARD`. */
  readonly name: string;
  /** One line for the help. */
  readonly doc: string;
  /** Which values are good. */
  readonly accepts?: Accepts;
  /** Whether the command works without it. Only the last one may be. */
  readonly isOptional?: boolean;
}

/** What was given. */
export interface Given {
  /** The values without a flag, in order. */
  readonly args: readonly string[];
  /** The values by the name of their flag. */
  readonly values: ReadonlyMap<string, string>;
  /** The names of the switches that are on. */
  readonly switches: ReadonlySet<string>;
}

/** The flags that every command has. */
export const COMMON_FLAGS: readonly Flag[] = [
  { name: "help", letter: "h", doc: "print this help" },
];

/** The flag of a setting. */
export function settingFlag(setting: Setting): Flag {
  const { type } = setting;
  const choices = type.kind === "choice" ? type.choices : ["true", "false"];
  return {
    name: setting.flag,
    placeholder: setting.type.kind === "duration" ? "TIME" : setting.type.kind.toUpperCase(),
    doc: setting.doc,
    accepts: {
      words: describeRange(setting),
      ...(type.kind === "choice" || type.kind === "boolean") && { choices },
      test: (text) => settingProblem(setting, text) === undefined,
    },
    defaultValue: describeDefault(setting),
    isInEnvironment: true,
  };
}

/** Accepts the whole numbers from min to max. */
export function wholeNumber(min: number, max: number): Accepts {
  return {
    words: `a whole number from ${min} to ${max}`,
    test: (text) => /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max,
  };
}

/** Accepts a time between two bounds, in milliseconds. */
export function timeFrom(min: number, max: number): Accepts {
  return {
    words: `a time from ${formatDuration(min)} to ${formatDuration(max)}, such as 30s`,
    test: (text) => {
      const ms = parseDuration(text);
      return ms !== undefined && ms >= min && ms <= max;
    },
  };
}

/** Accepts some words. */
export function oneOf(...choices: readonly string[]): Accepts {
  return { words: choices.join(" or "), choices, test: (text) => choices.includes(text) };
}

/** Accepts what a pattern matches. */
export function matching(pattern: RegExp, words: string): Accepts {
  return { words, test: (text) => pattern.test(text) };
}

/** Accepts the URL of a server. */
export const HTTP_URL: Accepts = {
  words: "a URL that starts with http:// or https://",
  test: (text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ""),
};

/** What may be given. */
export interface Acceptable {
  readonly flags: readonly Flag[];
  readonly args?: readonly Argument[];
}

/**
 * Reads the arguments of a command.
 *
 * @throws {UsageError} If a flag is unknown, lacks its value or is given twice, if a value is wrong, or if there is one too many or
 * too few.
 */
export async function parseArguments(
  { flags, args: expected = [] }: Acceptable,
  args: readonly string[],
): Promise<Given> {
  const withValue = flags.filter((flag) => flag.placeholder !== undefined);
  const switches = flags.filter((flag) => flag.placeholder === undefined);
  const unknown: string[] = [];
  const stray: string[] = [];
  const parsed: Readonly<Record<string, unknown>> = parseArgs([...args], {
    string: withValue.map((flag) => flag.name),
    // Collected, so that a flag that is given twice is seen: the last one winning silently hides a mistake.
    collect: withValue.map((flag) => flag.name),
    boolean: switches.map((flag) => flag.name),
    alias: Object.fromEntries(
      flags.flatMap((flag) => flag.letter ? [[flag.letter, flag.name]] : []),
    ),
    "--": true,
    unknown: (argument, key) => {
      (key === undefined ? stray : unknown).push(argument);
      return false;
    },
  });
  const [first] = unknown;
  if (first !== undefined) throw await unknownFlag(first, flags);
  const given = checkArguments(expected, [...stray, ...parsed["--"] as string[]]);
  refuseValuesOfSwitches(switches, args);
  const values = new Map<string, string>();
  for (const flag of withValue) {
    const value = singleValue(flag, parsed[flag.name] as readonly string[]);
    if (value !== undefined) values.set(flag.name, value);
  }
  const on = switches.filter((flag) => parsed[flag.name] === true).map((flag) => flag.name);
  return { args: given, values, switches: new Set(on) };
}

/**
 * Checks a value.
 *
 * @param source What gave the value, such as `--shards` or `KINESIX_SHARDS`.
 * @throws {UsageError} If the flag does not take it.
 */
export function checkValue(flag: Flag, value: string, source: string): string {
  if (!flag.accepts || flag.accepts.test(value)) return value;
  const shown = flag.isSecret ? "" : ` "${shorten(value)}"`;
  // What people mean by 5 is seldom 5 ms.
  const hint = flag.placeholder === "TIME" && /^\d+(\.\d+)?$/.test(value)
    ? ", and a number without a unit is milliseconds"
    : "";
  throw new UsageError(
    `Cannot use ${source}${shown}: it must be ${
      explained({ ...flag.accepts, words: flag.accepts.words + hint }, flag.doc)
    }`,
  );
}

/** What is wanted, and what it is for, unless that only says the same once more. */
function explained(
  { words, choices }: Pick<Accepts, "words" | "choices">,
  doc: string,
): string {
  if (choices?.every((choice) => doc.includes(choice))) return words;
  const [some, others] = [wordsOf(words), wordsOf(doc)];
  const isTwice = doc.includes(words) || [...others].every((word) => some.has(word));
  return isTwice ? words : `${words} (${doc})`;
}

/** The words of a sentence, without those that only join others. */
function wordsOf(sentence: string): ReadonlySet<string> {
  const words = sentence.toLowerCase().match(/[\w:-]+/g) ?? [];
  return new Set(words.filter((word) => word !== "or" && word !== "and"));
}

/** Why a text is not a value of a setting; undefined when it is one. */
function settingProblem(setting: Setting, text: string): string | undefined {
  try {
    parseSetting(setting, text);
    return undefined;
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return messageOf(error);
    throw error;
  }
}

/** A value as a message shows it. */
export function shorten(value: string): string {
  return value.length > 100 ? value.slice(0, 100) + "..." : value;
}

function singleValue(flag: Flag, given: readonly string[]): string | undefined {
  const [value] = given;
  if (value === undefined) return undefined;
  if (given.length > 1) {
    const shown = given.map((text) => `"${shorten(text)}"`).join(" and ");
    throw new UsageError(
      `Cannot use --${flag.name} twice${flag.isSecret ? "" : `: given ${shown}`}`,
    );
  }
  if (value === "") {
    const words = flag.accepts ? `, ${flag.accepts.words}` : "";
    throw new UsageError(
      `Cannot use --${flag.name} without a value: it needs ${flag.placeholder}${words} (${flag.doc})`,
    );
  }
  return checkValue(flag, value, `--${flag.name}`);
}

function refuseValuesOfSwitches(switches: readonly Flag[], args: readonly string[]): void {
  for (const argument of args) {
    const match = /^--([^=]+)=(.*)$/s.exec(argument);
    if (!match || match[2] === "true" || match[2] === "false") continue;
    if (switches.some((flag) => flag.name === match[1])) {
      throw new UsageError(
        `Cannot use --${match[1]} "${shorten(match[2] ?? "")}": it is a switch and takes no value`,
      );
    }
  }
}

function checkArguments(
  expected: readonly Argument[],
  given: readonly string[],
): readonly string[] {
  const tooMany = given[expected.length];
  if (tooMany !== undefined) {
    const takes = expected.length === 0
      ? "takes flags only, and there is none before it"
      : `takes ${expected.map(({ name }) => name).join(" ")} and flags, and nothing more`;
    throw new UsageError(`Cannot use "${shorten(tooMany)}": the command ${takes}`);
  }
  for (const [i, { name, doc, accepts, isOptional }] of expected.entries()) {
    const value = given[i];
    if (value === undefined) {
      if (isOptional) continue;
      throw new UsageError(`Cannot run without ${name}: ${doc}`);
    }
    if (value !== "" && (accepts?.test(value) ?? true)) continue;
    throw new UsageError(
      `Cannot use "${shorten(value)}" as ${name}: it must be ${
        explained(accepts ?? { words: "something" }, doc)
      }`,
    );
  }
  return given;
}

async function unknownFlag(argument: string, flags: readonly Flag[]): Promise<UsageError> {
  const [name = argument] = argument.split("=");
  const near = await suggestion(name, flags.map((flag) => `--${flag.name}`));
  return new UsageError(`Cannot use ${shorten(name)}: there is no such flag${near}`);
}
