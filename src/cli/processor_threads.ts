/**
 * Owns: how the threads of a processor get it, and where they are: in this process, or each in one of its own.
 * Must not: know what is said to a thread.
 * Called by: `run.ts`.
 *
 * @module
 */

import { systemClock } from "../adapters/system.ts";
import { resolveConfig } from "../core/config.ts";
import { startProcessorThreads } from "../sandbox/processor_threads.ts";
import type { ThreadDeps } from "../sandbox/live_thread.ts";
import { workerPort } from "../sandbox/thread_port.ts";
import { writeGraph } from "./load_processor/instantiate.ts";
import type { LoadedProcessor } from "./load_processor/load_processor.ts";
import type { ModuleGraph } from "./load_processor/module_graph.ts";
import { PrintQueue } from "./print_queue.ts";
import { openProcess } from "./processor_process.ts";
import type { ThreadPlan } from "./thread_flags.ts";
import { openWorker } from "./thread_worker.ts";

/** What threads need besides the processor. */
export interface ThreadSurroundings {
  /** Whether what the processor prints goes to stderr. */
  readonly isConsoleOnStderr: boolean;
  /** The most time for what the modules do at their start, in milliseconds. */
  readonly loadTimeoutMs: number;
  /** Gives up starting. */
  readonly signal: AbortSignal;
  /** Is told what failed in a thread without anybody waiting for it. */
  readonly onStray: (error: unknown) => void;
  /** Is told of a thread that was given up, and whose code may go on. */
  readonly onLeftBehind: () => void;
}

/**
 * Starts a processor in threads of its own.
 *
 * @throws {Error} If it does not run there, or its default export is no processor.
 */
export async function startInThreads(
  graph: ModuleGraph,
  { count, hasProcesses, sandbox, config }: ThreadPlan,
  { isConsoleOnStderr, loadTimeoutMs, signal, onStray, onLeftBehind }: ThreadSurroundings,
): Promise<LoadedProcessor> {
  const { folder, restore, dispose } = await writeGraph(graph);
  const { processTimeout, checkpointMode, concurrency } = resolveConfig(config);
  const prints = new PrintQueue(isConsoleOnStderr ? Deno.stderr : Deno.stdout);
  const open: ThreadDeps["open"] = (settings, listener) => {
    const setup = { settings, graph, folder, isConsoleOnStderr };
    return hasProcesses
      ? openProcess(setup, { sandbox, prints }, listener)
      : workerPort(openWorker(setup, undefined), listener);
  };
  try {
    const isSandboxed = sandbox !== undefined;
    const settings = { processTimeout, checkpointMode, isSandboxed };
    const threads = await startProcessorThreads({
      count,
      lanes: concurrency,
      clock: systemClock,
      settings,
      loadTimeoutMs,
      signal,
      prepare: restore,
      open,
      onStray,
      onLeftBehind,
    });
    const { place, url, version, redirects, standInFor } = graph;
    return {
      source: threads.source,
      modules: graph.modules.map(({ code: _, ...module }) => module),
      ...{ place, url, version, redirects, standInFor },
      async dispose() {
        await threads[Symbol.asyncDispose]();
        await prints.flushed();
        await dispose();
      },
    };
  } catch (error) {
    // It may tell why.
    await prints.flushed();
    await dispose();
    throw error;
  }
}
