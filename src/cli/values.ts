/**
 * Owns: where the value of a flag comes from: flag, then environment, then configuration file, then default.
 * Must not: know what a value is used for.
 * Called by: `main.ts` makes it, every command reads it.
 *
 * @module
 */

import { type ReactoKinesixConfig, resolveConfig, SETTINGS } from "../core/config.ts";
import { parseSetting, type Setting } from "../core/setting.ts";
import { invariant, messageOf } from "../errors.ts";
import {
  type Argument,
  checkValue,
  type Flag,
  type Given,
  parseArguments,
  settingFlag,
  shorten,
} from "./flags.ts";
import type { Terminal } from "./terminal.ts";
import { suggestion, UsageError } from "./usage_error.ts";

/** The checked values of the flags of one call. */
export interface Values {
  /** The value of a flag, if there is one. */
  text(flag: string): string | undefined;
  /** The value of a flag that is required or has a default. */
  need(flag: string): string;
  /** The same, of a flag that accepts whole numbers. */
  needNumber(flag: string): number;
  /** The value of an argument; undefined for an optional one that was not given. */
  argument(name: string): string | undefined;
  /** Whether a switch is on. */
  isOn(flag: string): boolean;
  /** The settings that were given, in whichever way. */
  readonly config: ReactoKinesixConfig;
}

/** What a command takes. */
export interface Accepted {
  /** Values without a flag, in their order. None by default. */
  readonly args?: readonly Argument[];
  readonly flags: readonly Flag[];
  /** The settings that are flags of the command too. */
  readonly settings: readonly Setting[];
}

/**
 * Reads the arguments of a command, the environment and the configuration file.
 *
 * @throws {UsageError} If a value is wrong or missing.
 */
export async function readValues(
  accepted: Accepted,
  args: readonly string[],
  terminal: Terminal,
): Promise<Values> {
  const settingFlags = accepted.settings.map(settingFlag);
  const flags = [...accepted.flags, ...settingFlags];
  const given = await parseArguments({ ...accepted, flags }, args);
  const texts = new Map<string, string>();
  for (const flag of flags) {
    const value = given.values.get(flag.name) ?? readEnvironment(flag, terminal);
    if (value !== undefined) texts.set(flag.name, value);
  }
  const config = await readConfig(accepted.settings, texts);
  for (const flag of accepted.flags) {
    if (!texts.has(flag.name)) fillIn(flag, texts);
  }
  const names = (accepted.args ?? []).map(({ name }) => name);
  const values = new Map(names.map((name, i) => [name, given.args[i]]));
  return {
    ...readers(given, texts),
    argument: (name) => values.get(name),
    config,
  };
}

/** The name of the variable that a flag can be given with. */
export function environmentName(flag: string): string {
  return `KINESIX_${flag.toUpperCase().replaceAll("-", "_")}`;
}

function readers(
  given: Given,
  texts: ReadonlyMap<string, string>,
): Pick<Values, "text" | "need" | "needNumber" | "isOn"> {
  function need(flag: string): string {
    const value = texts.get(flag);
    invariant(value !== undefined, `--${flag} must be required or have a default`);
    return value;
  }
  return {
    text: (flag) => texts.get(flag),
    need,
    needNumber: (flag) => Number(need(flag)),
    isOn: (flag) => given.switches.has(flag),
  };
}

function readEnvironment(flag: Flag, terminal: Terminal): string | undefined {
  if (!flag.isInEnvironment) return undefined;
  const name = environmentName(flag.name);
  const value = terminal.env(name);
  return value === undefined ? undefined : checkValue(flag, value, name);
}

function fillIn(flag: Flag, texts: Map<string, string>): void {
  if (flag.defaultValue !== undefined) {
    texts.set(flag.name, flag.defaultValue);
  } else if (flag.isRequired) {
    const variable = flag.isInEnvironment ? ` (or ${environmentName(flag.name)})` : "";
    throw new UsageError(
      `Cannot run without --${flag.name} ${flag.placeholder}${variable}: ${flag.doc}`,
    );
  }
}

async function readConfig(
  settings: readonly Setting[],
  texts: ReadonlyMap<string, string>,
): Promise<ReactoKinesixConfig> {
  const path = texts.get("config");
  const fromFile = path === undefined ? {} : await readConfigFile(path);
  const fromFlags = settings.flatMap((setting) => {
    const text = texts.get(setting.flag);
    return text === undefined ? [] : [[setting.name, parseSetting(setting, text)]];
  });
  const config: ReactoKinesixConfig = { ...fromFile, ...Object.fromEntries(fromFlags) };
  try {
    resolveConfig(config);
  } catch (error) {
    // Each value was checked by itself before, so this is two of them that contradict each other.
    throw new UsageError(withFlagNames(messageOf(error)), { cause: error });
  }
  return config;
}

/** A message about settings, in the words of the command line. */
function withFlagNames(message: string): string {
  return SETTINGS.reduce(
    (text, setting) => text.replaceAll(`"${setting.name}"`, `--${setting.flag}`),
    message.replace("Cannot use setting", "Cannot use"),
  );
}

async function readConfigFile(path: string): Promise<ReactoKinesixConfig> {
  const entries = Object.entries(await readObject(path));
  const config = new Map<string, unknown>();
  for (const [name, value] of entries) {
    const setting = SETTINGS.find((setting) => setting.name === name);
    if (!setting) {
      const near = await suggestion(name, SETTINGS.map((setting) => setting.name));
      throw new UsageError(
        `Cannot use "${shorten(name)}" in ${path}: there is no such setting${near}`,
      );
    }
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    checkValue(settingFlag(setting), text, `"${name}" in ${path}, given`);
    config.set(name, parseSetting(setting, text));
  }
  return Object.fromEntries(config);
}

async function readObject(path: string): Promise<object> {
  let content: unknown;
  try {
    content = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    throw new UsageError(`Cannot read --config "${shorten(path)}": ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (typeof content === "object" && content !== null && !Array.isArray(content)) return content;
  throw new UsageError(
    `Cannot read --config "${shorten(path)}": it must hold one JSON object of settings`,
  );
}
