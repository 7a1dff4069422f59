/**
 * Owns: what one setting accepts, in code and as text, and how that is said to a person.
 * Must not: know which settings there are.
 * Called by: `core/config.ts` and the command line.
 *
 * @module
 */

import { formatByteSize, parseByteSize } from "./byte_size.ts";
import { formatDuration, parseDuration } from "./duration.ts";

/** What a setting accepts. */
export type SettingType =
  | { readonly kind: "duration"; readonly min: number; readonly max: number }
  | { readonly kind: "size"; readonly min: number; readonly max: number }
  | { readonly kind: "count"; readonly min: number; readonly max: number }
  | { readonly kind: "choice"; readonly choices: readonly string[] }
  | { readonly kind: "boolean" }
  | { readonly kind: "text"; readonly pattern: RegExp; readonly words: string }
  | { readonly kind: "position" };

/** A row of the table of settings. */
export interface Setting<Name extends string = string> {
  readonly name: Name;
  /** The flag without its dashes, such as `heartbeat-timeout`. The environment has it as `KINESIX_HEARTBEAT_TIMEOUT`. */
  readonly flag: string;
  readonly type: SettingType;
  readonly defaultValue: string | number | boolean;
  /** One line for `--help` and `docs/settings.md`. */
  readonly doc: string;
}

/** A setting, but for what it is called. */
export type SettingRow = Omit<Setting, "name" | "flag">;

const ISO_TIME = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/**
 * Checks the value of a setting; without one, the default holds.
 *
 * @throws {TypeError | RangeError} If it is not a value of that setting.
 */
export function checkSetting(setting: Setting, given: unknown): unknown {
  const { name, type } = setting;
  if (given === undefined) return setting.defaultValue;
  switch (type.kind) {
    case "duration":
    case "size":
    case "count": {
      if (typeof given !== "number") throw wrong(TypeError, setting, given);
      const isWhole = type.kind === "duration" || Number.isInteger(given);
      if (isWhole && given >= type.min && given <= type.max) return given;
      throw wrong(RangeError, setting, given);
    }
    case "choice":
      if (typeof given !== "string") throw wrong(TypeError, setting, given);
      if (type.choices.includes(given)) return given;
      throw wrong(RangeError, setting, given);
    case "boolean":
      if (typeof given === "boolean") return given;
      throw wrong(TypeError, setting, given);
    case "text":
      if (typeof given !== "string") throw wrong(TypeError, setting, given);
      if (type.pattern.test(given)) return given;
      throw wrong(RangeError, setting, given);
    case "position": {
      if (given === "TRIM_HORIZON" || given === "LATEST") return given;
      const time = given instanceof Date
        ? given.getTime()
        : typeof given === "string"
        ? parseTime(given)
        : given;
      if (typeof time !== "number") throw wrong(TypeError, setting, given);
      // A date outside these bounds is a mistake of units, not a moment in the life of a stream.
      if (time >= 0 && time <= 253_402_300_799_999) return time;
      throw wrong(RangeError, setting, given);
    }
    default:
      throw new TypeError(`Cannot check setting "${name}": ${type satisfies never}`);
  }
}

/**
 * Reads the text of a setting, as the command line, the environment and a configuration file have it.
 *
 * @throws {TypeError | RangeError} If it is not a value of that setting.
 */
export function parseSetting(setting: Setting, text: string): unknown {
  switch (setting.type.kind) {
    case "duration":
      return checkSetting(setting, parseDuration(text) ?? text);
    case "size":
      return checkSetting(setting, parseByteSize(text) ?? text);
    case "count":
      return checkSetting(setting, /^\d{1,15}$/.test(text.trim()) ? Number(text) : text);
    case "boolean":
      return checkSetting(setting, text === "true" ? true : text === "false" ? false : text);
    case "position":
      return checkSetting(setting, /^\d{1,15}$/.test(text) ? Number(text) : text);
    case "choice":
    case "text":
      return checkSetting(setting, text);
    default:
      return setting.type satisfies never;
  }
}

/** What a setting accepts, in words: `100ms to 1h`. */
export function describeRange(setting: Setting): string {
  const { type } = setting;
  switch (type.kind) {
    case "duration":
      return `${formatDuration(type.min)} to ${formatDuration(type.max)}`;
    case "size":
      return `${formatByteSize(type.min)} to ${formatByteSize(type.max)}`;
    case "count":
      return `${type.min} to ${type.max}`;
    case "choice":
      return type.choices.join(" or ");
    case "boolean":
      return "true or false";
    case "text":
      return type.words;
    case "position":
      return "TRIM_HORIZON, LATEST or an ISO time";
    default:
      return type satisfies never;
  }
}

/** The default of a setting as `--help` and `docs/settings.md` show it. */
export function describeDefault(setting: Setting): string {
  switch (setting.type.kind) {
    case "duration":
      return formatDuration(Number(setting.defaultValue));
    case "size":
      return formatByteSize(Number(setting.defaultValue));
    default:
      return String(setting.defaultValue) || "none";
  }
}

/** The milliseconds since the epoch of an ISO time; `NaN` of what is none. The platform reads more: to it, `LATEST-1` is a day in 2001. */
export function parseTime(text: string): number {
  return ISO_TIME.test(text) ? Date.parse(text) : NaN;
}

function wrong(
  kind: new (message: string) => Error,
  setting: Setting,
  given: unknown,
): Error {
  return new kind(
    `Cannot use setting "${setting.name}": it must be ${describeRange(setting)}${
      unitInCode(setting)
    }; given ` +
      show(given),
  );
}

function unitInCode({ type }: Setting): string {
  if (type.kind === "duration") return ", in milliseconds in code";
  return type.kind === "size" ? ", in bytes in code" : "";
}

/** A value as a message shows it; not everything that can be given is JSON. */
function show(given: unknown): string {
  if (typeof given === "number" || typeof given === "bigint") return String(given);
  if (given instanceof Date) return "an invalid date or one out of range";
  try {
    return JSON.stringify(given)?.slice(0, 100) ?? typeof given;
  } catch {
    return typeof given; // A circle, or a bigint within.
  }
}

/** A time. */
export function duration(
  min: number,
  max: number,
  defaultValue: number,
  doc: string,
): SettingRow {
  return { type: { kind: "duration", min, max }, defaultValue, doc };
}

/** A whole number. */
export function count(
  min: number,
  max: number,
  defaultValue: number,
  doc: string,
): SettingRow {
  return { type: { kind: "count", min, max }, defaultValue, doc };
}

/** One of some words. */
export function choice(
  choices: readonly string[],
  defaultValue: string,
  doc: string,
): SettingRow {
  return { type: { kind: "choice", choices }, defaultValue, doc };
}
