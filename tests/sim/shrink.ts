/**
 * Owns: making the scenario of a seed that fails smaller, as long as the same checker fails.
 * Must not: run anything itself, or print.
 * Called by: `run.ts`.
 *
 * Whatever is left out of a scenario shifts all chance that follows, so that a failure may hide although what is left
 * would do. So each cut is tried with some other chances too.
 *
 * @module
 */

import { applyOverride, joinOverrides, type ScenarioOverride } from "./override.ts";
import { makeScenario, type Scenario } from "./scenario.ts";
import type { SimulationResult } from "./simulation.ts";

/** What a seed failed with. */
export interface Failed {
  readonly seed: number;
  readonly checker: string;
  /** The virtual time at which it failed, in milliseconds. */
  readonly virtualMs: number;
  /** What was otherwise than the seed says. */
  readonly override: ScenarioOverride;
}

/** How to try. */
export interface ShrinkOptions {
  /** Runs the seed with an override; nothing after `untilMs` of virtual time is of interest. */
  readonly simulate: (override: ScenarioOverride, untilMs: number) => Promise<SimulationResult>;
  /** How many runs are under way at a time. What comes out does not depend on it. */
  readonly atOnce: number;
  /** The most tries that count. */
  readonly triesMax: number;
  /** What was found until it is aborted is what comes out. */
  readonly signal?: AbortSignal;
  /** Is told how many tries there were. */
  readonly onTry?: (tries: number) => void;
}

/** The smallest scenario that was found. */
export interface Shrunk {
  readonly override: ScenarioOverride;
  /** What came of it; null if nothing could be left out. */
  readonly result: SimulationResult | null;
  readonly tries: number;
}

/** Leaves something out; null if it is out already. */
type Cut = (scenario: Scenario, failedAtMs: number) => ScenarioOverride | null;

/** Other chances that a cut is tried with. */
const CHANCES: readonly number[] = [1, 2, 3, 4, 5];
/** More rounds find next to nothing. */
const ROUNDS_MAX = 3;

/** Makes a failing scenario smaller. */
export async function shrink(failed: Failed, options: ShrinkOptions): Promise<Shrunk> {
  const { seed, checker } = failed;
  const { simulate, atOnce, triesMax, signal, onTry } = options;
  const scenario = makeScenario(seed);
  const best: { override: ScenarioOverride; result: SimulationResult | null; atMs: number } = {
    override: failed.override,
    result: null,
    atMs: failed.virtualMs,
  };
  let tries = 0;
  const isGoingOn = (): boolean => tries < triesMax && !signal?.aborted;
  /** Tries a cut; true if the scenario is smaller now. */
  const attempt = async (cut: Cut): Promise<boolean> => {
    const now = applyOverride(scenario, best.override);
    const less = cut(now, best.atMs);
    if (less === null) return false;
    // What fails amid the faults has no need of the long calm after them.
    const isAmidFaults = best.atMs <= now.safetyMs;
    const run = (override: ScenarioOverride): Promise<SimulationResult> =>
      simulate(override, isAmidFaults ? applyOverride(now, override).safetyMs : Infinity);
    const same = joinOverrides(best.override, less);
    const chances = CHANCES.filter((chance) => chance !== (best.override.seed ?? seed));
    const candidates = [same, ...chances.map((seed) => joinOverrides(same, { seed }))];
    for (let i = 0; i < candidates.length && isGoingOn(); i += atOnce) {
      const some = candidates.slice(i, i + Math.min(atOnce, triesMax - tries));
      const results = await Promise.all(some.map(run));
      const found = results.findIndex((result) => result.checker === checker);
      tries += found === -1 ? some.length : found + 1;
      onTry?.(tries);
      const [override, result] = [some[found], results[found]];
      if (override === undefined || result === undefined) continue;
      Object.assign(best, { override, result, atMs: result.virtualMs });
      return true;
    }
    return false;
  };
  let isSmaller = true;
  for (let round = 0; isSmaller && round < ROUNDS_MAX; round++) {
    isSmaller = false;
    for (const cut of CUTS) {
      // A cut by half can be made again.
      while (isGoingOn() && await attempt(cut)) isSmaller = true;
    }
  }
  return { override: best.override, result: best.result, tries };
}

/** What there is in a scenario, in words: how much, and what goes wrong. */
export function describeScenario(scenario: Scenario): string {
  const { workers, shards, keys, safetyMs, happenings, store, source, processor } = scenario;
  const faults = [
    ...named("", happenings),
    ...named("store.", pickFaults(store)),
    ...named("source.", pickFaults(source)),
    ...named("processor.", { slow: processor.slow, throws: processor.throws }),
    ...named("", { staleListMs: scenario.staleListMs, driftMax: scenario.driftMax }),
    ...(scenario.hasTornLists ? ["hasTornLists"] : []),
  ];
  return `${count(workers, "worker")}, ${count(shards, "shard")}, ${count(keys, "key")}, ` +
    `${Math.round(safetyMs / 1_000)} s; ` +
    (faults.length === 0 ? "nothing goes wrong" : `what goes wrong: ${faults.join(", ")}`);
}

function named(prefix: string, values: object): readonly string[] {
  return Object.entries(values).filter(([, value]) => value > 0).map(([name]) => prefix + name);
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** The faults of calls without their latency, which there always is. */
function pickFaults({ latencyMin: _min, latencyMax: _max, ...faults }: Scenario["store"]): object {
  return faults;
}

const MINUTE = 60_000;
const DAY_MS = 24 * 60 * MINUTE;

/** What needs time to go wrong gets it: the time is cut when there is less that can. */
const CUTS: readonly Cut[] = [
  ...switches("happenings"),
  ...switches("store"),
  ...switches("source"),
  ({ processor }) => lower(processor.slow, 0, (slow) => ({ processor: { slow } })),
  ({ processor }) => lower(processor.throws, 0, (throws) => ({ processor: { throws } })),
  ({ processor }) => lower(processor.workMsMax, 0, (workMsMax) => ({ processor: { workMsMax } })),
  ({ processor }) => processor.kind === "record" ? null : { processor: { kind: "record" } },
  ({ staleListMs }) => lower(staleListMs, 0, (staleListMs) => ({ staleListMs })),
  ({ hasTornLists }) => hasTornLists ? { hasTornLists: false } : null,
  ({ driftMax }) => lower(driftMax, 0, (driftMax) => ({ driftMax })),
  ({ retentionMs }) => retentionMs < DAY_MS ? { retentionMs: DAY_MS } : null,
  // Nothing that happens after the failure can matter.
  ({ safetyMs }, failedAtMs) =>
    lower(safetyMs, Math.ceil(failedAtMs), (safetyMs) => ({ safetyMs })),
  ({ safetyMs }) => lower(safetyMs, Math.ceil(safetyMs / 2), (safetyMs) => ({ safetyMs })),
  ({ shardsMax, shards }) => lower(shardsMax, shards, (shardsMax) => ({ shardsMax })),
  ({ shards }) => lower(shards, Math.ceil(shards / 2), (shards) => ({ shards })),
  ({ shards }) => lower(shards, Math.max(1, shards - 1), (shards) => ({ shards })),
  ({ workers }) => lower(workers, Math.ceil(workers / 2), (workers) => ({ workers })),
  ({ workers }) => lower(workers, Math.max(1, workers - 1), (workers) => ({ workers })),
  ({ keys }) => lower(keys, 1, (keys) => ({ keys })),
  ({ recordsPerSecond }) =>
    lower(recordsPerSecond, 0.2, (recordsPerSecond) => ({ recordsPerSecond })),
  ({ aggregated }) => lower(aggregated, 0, (aggregated) => ({ aggregated })),
];

/** One cut for all members of a part that are frequencies, and one for each. */
function switches(part: "happenings" | "store" | "source"): readonly Cut[] {
  const { happenings, store } = makeScenario(0);
  const names = Object.keys(part === "happenings" ? happenings : pickFaults(store));
  const off = (some: readonly string[]): Cut => (scenario) => {
    const values = scenario[part] as unknown as Readonly<Record<string, number>>;
    const on = some.filter((name) => values[name] !== 0);
    return on.length === 0 ? null : { [part]: Object.fromEntries(on.map((name) => [name, 0])) };
  };
  return [off(names), ...names.map((name) => off([name]))];
}

function lower(
  value: number,
  to: number,
  set: (value: number) => ScenarioOverride,
): ScenarioOverride | null {
  return to < value ? set(to) : null;
}
