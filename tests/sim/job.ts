/**
 * Owns: one thread that runs the seeds it is sent, one after the other.
 * Must not: choose seeds.
 * Called by: `jobs.ts`, as a web worker.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { simulate, type SimulationOptions, type SimulationResult } from "./simulation.ts";

/** A seed to run. */
export interface Task {
  readonly seed: number;
  readonly options: SimulationOptions;
}

/** What came of it. */
export type Answer =
  | { readonly kind: "result"; readonly result: SimulationResult }
  /** The simulator itself threw. */
  | { readonly kind: "thrown"; readonly error: unknown };

declare const self: DedicatedWorkerGlobalScope;

self.addEventListener("message", async ({ data }: MessageEvent<Task>) => {
  self.postMessage(await answer(data));
});

async function answer({ seed, options }: Task): Promise<Answer> {
  try {
    return { kind: "result", result: await simulate(seed, options) };
  } catch (error) {
    return { kind: "thrown", error };
  }
}
