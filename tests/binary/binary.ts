/**
 * Owns: where the executable is that the tests of this folder are about, and workers of it.
 * Called by: the tests of this folder.
 */

import type { Program } from "../cli/cli_testing.ts";
import { type Endpoints, QUICK, runWorker, type WorkerProcess } from "../cli/worker_testing.ts";

/** The executable, from `KINESIX_BINARY`. */
export const BINARY: string | undefined = Deno.env.get("KINESIX_BINARY") || undefined;

/**
 * A test on the executable.
 *
 * @param isPossible Whether this machine has what the test needs.
 */
export function binaryTest(
  name: string,
  test: (binary: string) => Promise<void>,
  isPossible: boolean = true,
): void {
  Deno.test({ name, ignore: BINARY === undefined || !isPossible, fn: () => test(BINARY ?? "") });
}

/** How a worker is started. */
export interface WorkerOptions {
  readonly stack: Endpoints;
  readonly processor: string;
  readonly flags?: readonly string[];
  /** All that is in its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The executable, or another program that starts it. */
  readonly program: Program;
}

/** Starts a worker that finds nothing in its environment. */
export function startWorker(options: WorkerOptions): WorkerProcess {
  const { stack, processor, flags = [], env = {}, program } = options;
  return runWorker(stack, processor, [...QUICK, ...flags], { program, env, clearEnv: true });
}
