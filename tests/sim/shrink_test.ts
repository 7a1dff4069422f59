// Shrinking, on a checker that fails for known reasons, without running anything.
import { assert, assertEquals } from "@std/assert";
import { unanswered } from "./jobs.ts";
import { applyOverride, type ScenarioOverride } from "./override.ts";
import { makeScenario, type Scenario } from "./scenario.ts";
import { describeScenario, shrink } from "./shrink.ts";
import type { SimulationResult } from "./simulation.ts";

const CHECKER = "planted";

/** A simulation that fails when a scenario is as described. */
function failsWhen(seed: number, isBad: (scenario: Scenario) => boolean, checker = CHECKER) {
  return (override: ScenarioOverride): Promise<SimulationResult> => {
    const scenario = applyOverride(makeScenario(seed), override);
    const isBroken = isBad(scenario);
    return Promise.resolve({
      ...unanswered(seed, 0),
      checker: isBroken ? checker : "another",
      virtualMs: 50_000,
    });
  };
}

const failed = { checker: CHECKER, virtualMs: 90_000, override: {} };

/** A seed with much that can go wrong. */
function richSeed(): number {
  for (let seed = 1; seed < 1_000; seed++) {
    const { happenings: { crash, split }, store, workers, shards } = makeScenario(seed);
    if (crash * split * store.replyLost > 0 && workers >= 5 && shards >= 8) return seed;
  }
  throw new Error("There must be such a seed");
}

Deno.test("shrink: only what the failure needs is left", async () => {
  const seed = richSeed();
  const isBad = ({ workers, shards, happenings, store }: Scenario) =>
    workers >= 3 && shards >= 2 && happenings.split > 0 && store.replyLost > 0;
  const shrunk = async (atOnce: number) =>
    await shrink({ ...failed, seed }, {
      simulate: failsWhen(seed, isBad),
      atOnce,
      triesMax: 1_000,
    });
  const { override, result, tries } = await shrunk(1);
  const scenario = applyOverride(makeScenario(seed), override);
  assertEquals(
    describeScenario(scenario).replace(/[\d.]+ s;/, "S s;"),
    "3 workers, 2 shards, 1 key, S s; what goes wrong: split, store.replyLost",
  );
  assert(scenario.safetyMs <= 50_000);
  assertEquals(result?.checker, CHECKER);
  assertEquals(await shrunk(4), { override, result, tries }, "however many run at a time");
});

Deno.test("shrink: another checker does not count, nor do more tries than allowed", async () => {
  const seed = richSeed();
  const isBad = () => true;
  const other = await shrink({ ...failed, seed }, {
    simulate: failsWhen(seed, isBad, "another one"),
    atOnce: 2,
    triesMax: 1_000,
  });
  assertEquals([other.override, other.result], [{}, null]);
  let runs = 0;
  const simulate = failsWhen(seed, () => false);
  const few = await shrink({ ...failed, seed }, {
    simulate: (override) => {
      runs += 1;
      return simulate(override);
    },
    atOnce: 3,
    triesMax: 7,
  });
  assertEquals([few.tries, runs], [7, 7]);
  const stop = new AbortController();
  const stopped = await shrink({ ...failed, seed }, {
    simulate: failsWhen(seed, isBad),
    atOnce: 1,
    triesMax: 1_000,
    signal: stop.signal,
    onTry: (tries) => tries === 3 && stop.abort(),
  });
  assertEquals([stopped.tries, stopped.result?.checker], [3, CHECKER]);
});

Deno.test("shrink: what needs other chance is found with other chance, and what was given stays", async () => {
  const seed = richSeed();
  const { override } = await shrink({ ...failed, seed, override: { keys: 7 } }, {
    simulate: failsWhen(
      seed,
      ({ seed, keys, happenings }) => keys === 7 && (seed === 4 || happenings.crash > 0),
    ),
    atOnce: 2,
    triesMax: 1_000,
  });
  const scenario = applyOverride(makeScenario(seed), override);
  assertEquals([scenario.seed, scenario.keys, scenario.happenings.crash], [4, 7, 0]);
  assertEquals(scenario.workers, 1);
});
