/**
 * Owns: the threads of one processor module, from the start of the first to the end of the last.
 * Must not: know what the module is, or how a Worker gets it.
 * Called by: the command line.
 *
 * @module
 */

import { abortable } from "@std/async/abortable";
import type { ProcessorSource } from "../processor.ts";
import { CheckpointRequests } from "./checkpoint_requests.ts";
import { ProcessorThread, type ThreadPlaceDeps } from "./processor_thread.ts";
import { type ProcessorMethod, SHARED } from "./protocol.ts";
import { disposeIn, remoteProcessor } from "./remote_processor.ts";

/** What the threads of a processor need. */
export interface ProcessorThreadsOptions extends Omit<ThreadPlaceDeps, "onCheckpoint"> {
  /** How many threads there are: 1 or more. */
  readonly count: number;
  /** How many lanes each shard has; see `concurrency`. */
  readonly lanes: number;
  /** Gives up starting. */
  readonly signal: AbortSignal;
}

/** Threads with one and the same processor module. */
export interface ProcessorThreads extends AsyncDisposable {
  /** The processor, or a factory if the module has one: each shard then has a processor in each thread. */
  readonly source: ProcessorSource;
}

/**
 * Starts the threads of a processor; `await using` ends them at once, and waits until nothing is left of them.
 *
 * @throws {Error} If the processor cannot be loaded; as the thread says it. The reason of the signal if that aborts.
 */
export async function startProcessorThreads(
  options: ProcessorThreadsOptions,
): Promise<ProcessorThreads> {
  const checkpoints = new CheckpointRequests(options.settings.checkpointMode);
  const deps: ThreadPlaceDeps = {
    ...options,
    onCheckpoint: (...request) => checkpoints.request(...request),
  };
  const threads = Array.from({ length: options.count }, () => new ProcessorThread(deps));
  const close = async (): Promise<void> => {
    await Promise.all(threads.map((thread) => thread.close()));
  };
  try {
    const started = Promise.all(threads.map((thread) => thread.start()));
    const [methods = null] = await abortable(started, options.signal);
    const { lanes } = options;
    let number = SHARED;
    const source: ProcessorSource = methods !== null
      ? remoteProcessor({ threads, number, lanes, checkpoints }, methods)
      : Object.assign(async (shardId: string) => {
        const own = number += 1;
        const methods = await makeIn(threads, own, shardId);
        return remoteProcessor({ threads, number: own, lanes, checkpoints }, methods);
      }, { keepsTime: true });
    return { source, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Makes the processor of a shard in every thread, or in none. */
async function makeIn(
  threads: readonly ProcessorThread[],
  number: number,
  shardId: string,
): Promise<readonly ProcessorMethod[]> {
  const made = await Promise.allSettled(threads.map((thread) => thread.make(number, shardId)));
  for (const result of made) {
    if (result.status === "fulfilled") continue;
    // What the factory threw counts; those that were made have nothing to dispose of yet that could matter more.
    await disposeIn(threads, number).catch(() => {});
    throw result.reason;
  }
  const [first] = made;
  return first?.status === "fulfilled" ? first.value : [];
}
