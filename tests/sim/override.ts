/**
 * Owns: what of a scenario is otherwise than its seed says: how it is written on a command line, and what it makes of it.
 * Must not: choose anything; people do, and `shrink.ts`.
 * Called by: `simulation.ts`, `run.ts`, `shrink.ts`.
 *
 * @module
 */

import { resolveConfig } from "../../src/core/config.ts";
import type { Scenario } from "./scenario.ts";

type Part<T> = { readonly [K in keyof T]?: T[K] extends object ? Part<T[K]> : T[K] };

/** Some members of a scenario, and of the parts of it. Another `seed` is other chance in the same scenario. */
export type ScenarioOverride = Part<Scenario>;

type Members = Readonly<Record<string, unknown>>;

/** What there must be at least one of. */
const COUNTS: readonly string[] = ["workers", "shards", "shardsMax", "keys"];
const CHOICES: Readonly<Record<string, readonly unknown[]>> = {
  "processor.kind": ["record", "batch", "factory"],
  "processor.pulled": ["none", "auto", "manual"],
  "processor.mode.kind": ["retryAndSkip", "retryAndStop"],
};

/** A scenario in which some things are otherwise. */
export function applyOverride(scenario: Scenario, override: ScenarioOverride): Scenario {
  return merge(scenario as unknown as Members, override as Members) as unknown as Scenario;
}

/** Two overrides in one; what both say is as the second one says. */
export function joinOverrides(first: ScenarioOverride, second: ScenarioOverride): ScenarioOverride {
  return merge(first as Members, second as Members) as ScenarioOverride;
}

/**
 * Reads an override, such as `{"workers":2,"happenings":{"crash":0}}`.
 *
 * @param like A scenario that has the members which may be named.
 * @throws {SyntaxError} If it is not JSON.
 * @throws {TypeError} If it names what no scenario has, or gives it a value of another kind.
 * @throws {RangeError} If a setting is out of its range.
 */
export function parseOverride(text: string, like: Scenario): ScenarioOverride {
  const override: unknown = JSON.parse(text);
  checkMembers(override, like as unknown as Members, "");
  resolveConfig(applyOverride(like, override as ScenarioOverride).config);
  return override as ScenarioOverride;
}

function checkMembers(part: unknown, like: Members, path: string): void {
  if (!isObject(part)) throw new TypeError(`${path || "it"} must be an object`);
  for (const [name, value] of Object.entries(part)) {
    const where = path === "" ? name : `${path}.${name}`;
    // Which settings there are is known to `resolveConfig`.
    if (where === "config" && isObject(value)) continue;
    const model = like[name];
    if (!Object.hasOwn(like, name)) throw new TypeError(`a scenario has no ${where}`);
    if (isObject(model)) checkMembers(value, model, where);
    else checkValue(value, model, where);
  }
}

function checkValue(value: unknown, model: unknown, where: string): void {
  const choices = CHOICES[where] ?? (typeof model === "boolean" ? [true, false] : undefined);
  if (choices !== undefined) {
    if (!choices.includes(value)) throw new TypeError(`${where} must be ${choices.join(" or ")}`);
    return;
  }
  const isNumber = typeof value === "number" && Number.isFinite(value) && value >= 0;
  if (!isNumber) throw new TypeError(`${where} must be a number of at least 0`);
  if (COUNTS.includes(where) && (value < 1 || !Number.isInteger(value))) {
    throw new TypeError(`${where} must be a whole number of at least 1`);
  }
}

function merge(base: Members, over: Members): Members {
  const merged = Object.entries(over).map(([name, value]) => {
    const before = base[name];
    return [name, isObject(before) && isObject(value) ? merge(before, value) : value];
  });
  return { ...base, ...Object.fromEntries(merged) };
}

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
