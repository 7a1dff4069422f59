// deno-lint-ignore-file no-console -- this is a program for people
/**
 * Owns: how a large cluster behaves at the default settings when nothing goes wrong but what is asked for: a cold start, rest,
 * the death of half of the workers, the stop of a tenth; and what that costs at the state table.
 * Must not: look for broken promises; that is `simulation.ts`.
 * Called by: people, as `deno run -A tests/sim/scale.ts --workers 100 --shards 2000`; `scale_test.ts`.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { ScaleFleet, type Usage } from "./scale_fleet.ts";
import { withTripwires } from "./tripwires.ts";
import { World } from "./world.ts";

const now = performance.now.bind(performance);

/** How large the cluster is. */
export interface ScaleOptions {
  readonly workers: number;
  readonly shards: number;
  readonly seed?: number;
  /** Is told how far it is. */
  readonly onPhase?: (text: string) => void;
}

/** What became of one thing that happened. Times in virtual milliseconds since then; null if it did not come to that. */
export interface Convergence {
  /** Until every shard was taken by a worker that is there. */
  readonly heldMs: number | null;
  /** Until nobody had two more than another. */
  readonly balancedMs: number | null;
  readonly mostOnOne: number;
  readonly leastOnOne: number;
  readonly usage: Usage;
}

/** The figures of one cluster. */
export interface ScaleResult {
  readonly workers: number;
  readonly shards: number;
  readonly start: Convergence;
  /** Per minute at rest. */
  readonly rest: Usage;
  readonly crash: Convergence;
  readonly stop: Convergence;
  readonly troubles: readonly string[];
}

const MINUTE = 60_000;
const START_MS = MINUTE;
const CONVERGENCE_MAX_MS = 60 * MINUTE;
/** What is under way may end before the rest begins. */
const LULL_MS = 5 * MINUTE;
const REST_MINUTES = 10;
const STEP_MS = 1_000;
const TELL_EVERY_MS = 30_000;
const EVENTS_MAX = 500_000_000;

/** Runs a cluster through all of it. */
export async function measureScale(options: ScaleOptions): Promise<ScaleResult> {
  const world = new World(options.seed ?? 1, { eventsMax: EVENTS_MAX });
  const run = (): Promise<ScaleResult> => runAll(world, options);
  return await withTripwires(run, (what) => world.fail("no stray failure", what));
}

async function runAll(world: World, options: ScaleOptions): Promise<ScaleResult> {
  const { workers, shards, onPhase = () => {} } = options;
  const random = world.random.fork();
  const fleet = new ScaleFleet(world, random.fork(), shards);
  const settle = async (what: string): Promise<Convergence> => {
    const tell = (so: Convergence): void =>
      onPhase(describe(`${what}, at ${Math.round(world.now / 1_000)} s:`, so));
    const convergence = await converge(world, fleet, tell);
    tell(convergence);
    return convergence;
  };
  for (let i = 0; i < workers; i++) {
    world.after(random.between(0, START_MS), () => fleet.start(`worker-${i}`));
  }
  // Nobody is late for the count: whoever has not started yet is on the way.
  fleet.expect(workers);
  const start = await settle("cold start");
  await world.runUntil(world.now + LULL_MS);
  const before = fleet.table.usage;
  await world.runUntil(world.now + REST_MINUTES * MINUTE);
  const rest = perMinute(before, fleet.table.usage);
  onPhase(`rest: ${JSON.stringify(rest)}`);
  fleet.crash(fleet.live.filter((_, i) => i % 2 === 0));
  const crash = await settle("half are dead");
  await world.runUntil(world.now + LULL_MS);
  fleet.stop(fleet.live.slice(0, Math.max(1, Math.round(fleet.live.length / 10))));
  const stop = await settle("a tenth stops");
  const { troubles } = fleet;
  const failures = world.failure === undefined ? troubles : [world.failure.message, ...troubles];
  return { workers, shards, start, rest, crash, stop, troubles: failures };
}

/** Runs until all is balanced, or for as long as anybody would wait. */
async function converge(
  world: World,
  fleet: ScaleFleet,
  onProgress: (sofar: Convergence) => void,
): Promise<Convergence> {
  const since = world.now;
  const before = fleet.table.usage;
  const measure = (): Convergence => {
    const loads = fleet.loads();
    return {
      heldMs: fleet.waiting === 0 ? fleet.heldAt - since : null,
      balancedMs: fleet.isBalanced() ? world.now - since : null,
      mostOnOne: Math.max(...loads),
      leastOnOne: Math.min(...loads),
      usage: minus(fleet.table.usage, before),
    };
  };
  while (!fleet.isBalanced() && world.now - since < CONVERGENCE_MAX_MS) {
    if (world.failure !== undefined) break;
    await world.runUntil(world.now + STEP_MS);
    if ((world.now - since) % TELL_EVERY_MS < STEP_MS) onProgress(measure());
  }
  return measure();
}

function minus(after: Usage, before: Usage): Usage {
  return mapUsage(after, (name) => after[name] - before[name]);
}

function perMinute(before: Usage, after: Usage): Usage {
  return mapUsage(after, (name) => Math.round((after[name] - before[name]) / REST_MINUTES));
}

function mapUsage(usage: Usage, count: (name: keyof Usage) => number): Usage {
  const names = Object.keys(usage) as (keyof Usage)[];
  return Object.fromEntries(names.map((name) => [name, count(name)])) as unknown as Usage;
}

function describe(what: string, { usage, ...rest }: Convergence): string {
  return `${what} ${JSON.stringify(rest)} ${JSON.stringify(usage)}`;
}

const HEADINGS = [
  "Workers x shards",
  "Cold start: all held, balanced",
  "Half die: all held again, balanced",
  "A tenth stops: all held again",
  "Most shards on one worker",
  "Read units per minute at rest",
  "Writes per minute at rest",
  "Real time",
];

/** The figures as a row of a markdown table. */
function formatRow(result: ScaleResult, realMs: number): string {
  const { workers, shards, start, rest, crash, stop } = result;
  const cells = [
    `${count(workers)} x ${count(shards)}`,
    `${seconds(start.heldMs)}, ${seconds(start.balancedMs)}`,
    `${seconds(crash.heldMs)}, ${seconds(crash.balancedMs)}`,
    seconds(stop.heldMs),
    `${start.mostOnOne}, then ${crash.mostOnOne}`,
    count(rest.readUnits),
    count(rest.writes),
    `${Math.round(realMs / 1_000)} s`,
  ];
  return `| ${cells.join(" | ")} |`;
}

function count(number: number): string {
  return number.toLocaleString("en-GB");
}

function seconds(ms: number | null): string {
  return ms === null ? "never" : `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

async function main(args: readonly string[]): Promise<number> {
  const flags = parseArgs([...args], { string: ["workers", "shards", "seed"], boolean: ["quiet"] });
  const startedAt = now();
  const result = await measureScale({
    workers: Number(flags.workers ?? 10),
    shards: Number(flags.shards ?? 200),
    seed: Number(flags.seed ?? 1),
    onPhase: (text) => {
      if (!flags.quiet) console.error(`${Math.round((now() - startedAt) / 1_000)} s: ${text}`);
    },
  });
  for (const trouble of result.troubles) console.error(trouble);
  console.log(`| ${HEADINGS.join(" | ")} |\n|${" --- |".repeat(HEADINGS.length)}`);
  console.log(formatRow(result, now() - startedAt));
  return result.troubles.length === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
