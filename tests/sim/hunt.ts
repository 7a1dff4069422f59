/**
 * Owns: many seeds, several at a time, told one after the other, so that the same seeds always make the same report.
 * Must not: print.
 * Called by: `run.ts`, `sim_test.ts`.
 *
 * @module
 */

import type { Jobs } from "./jobs.ts";
import type { SimulationOptions, SimulationResult } from "./simulation.ts";

/** What to hunt. */
export interface HuntOptions {
  readonly seeds: Iterable<number>;
  readonly simulation?: SimulationOptions;
  /** Whether it goes on after a seed that fails. */
  readonly isAll?: boolean;
  /** No seed is begun when it is aborted. */
  readonly signal?: AbortSignal;
  /** Is told what came of each seed, in the order of the seeds. */
  readonly onResult?: (result: SimulationResult, figures: Figures) => void;
}

/** Sums and largest values of the seeds that were told. */
export interface Figures {
  readonly seeds: number;
  readonly failed: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly records: number;
  readonly worstCrashMs: number;
  readonly worstPartingMs: number;
}

/** Runs seeds until there are no more, or one fails. Returns what came of those that failed, the first one first. */
export async function hunt(jobs: Pick<Jobs, "simulate" | "size">, options: HuntOptions): Promise<{
  readonly figures: Figures;
  readonly failures: readonly SimulationResult[];
}> {
  const { simulation, isAll = false, signal, onResult } = options;
  const seeds = Iterator.from(options.seeds);
  const failures: SimulationResult[] = [];
  const early = new Map<number, SimulationResult>();
  let figures = NOTHING;
  let begun = 0;
  let told = 0;
  /** The place of the first seed that is known to fail: those after it do not count. */
  let last = Infinity;
  const tell = (): void => {
    for (let result; told <= last && (result = early.get(told)) !== undefined; told++) {
      early.delete(told);
      figures = add(figures, result);
      if (result.failure !== null) failures.push(result);
      onResult?.(result, figures);
    }
  };
  const lane = async (): Promise<void> => {
    while (begun <= last && !signal?.aborted) {
      const { value: seed, done } = seeds.next();
      if (done) return;
      const place = begun++;
      const result = await jobs.simulate(seed, simulation);
      if (result.failure !== null && !isAll) last = Math.min(last, place);
      early.set(place, result);
      tell();
    }
  };
  await Promise.all(Array.from({ length: jobs.size }, lane));
  return { figures, failures };
}

/** No seed yet. */
export const NOTHING: Figures = {
  seeds: 0,
  failed: 0,
  events: 0,
  virtualMs: 0,
  records: 0,
  worstCrashMs: 0,
  worstPartingMs: 0,
};

function add(figures: Figures, result: SimulationResult): Figures {
  return {
    seeds: figures.seeds + 1,
    failed: figures.failed + (result.failure === null ? 0 : 1),
    events: figures.events + result.events,
    virtualMs: figures.virtualMs + result.virtualMs,
    records: figures.records + result.records,
    worstCrashMs: Math.max(figures.worstCrashMs, result.worstCrashMs),
    worstPartingMs: Math.max(figures.worstPartingMs, result.worstPartingMs),
  };
}
