/**
 * Owns: how the threads of a processor get it, and what they may do.
 * Must not: know what is said to a thread.
 * Called by: `run.ts`.
 *
 * @module
 */

import { systemClock } from "../adapters/system.ts";
import { resolveConfig } from "../core/config.ts";
import { messageOf } from "../errors.ts";
import type { ThreadSettings } from "../sandbox/protocol.ts";
import { startProcessorThreads } from "../sandbox/processor_threads.ts";
import { writeGraph } from "./load_processor/instantiate.ts";
import type { LoadedProcessor } from "./load_processor/load_processor.ts";
import type { ModuleGraph } from "./load_processor/module_graph.ts";
import type { ThreadSetup } from "./processor_worker.ts";
import type { SandboxAccess, ThreadPlan } from "./thread_flags.ts";

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
}

/**
 * Starts a processor in threads of its own.
 *
 * @throws {Error} If it does not run there, or its default export is no processor.
 */
export async function startInThreads(
  graph: ModuleGraph,
  { count, sandbox, config }: ThreadPlan,
  { isConsoleOnStderr, loadTimeoutMs, signal, onStray }: ThreadSurroundings,
): Promise<LoadedProcessor> {
  const { folder, restore, dispose } = await writeGraph(graph);
  const { processTimeout, checkpointMode, concurrency } = resolveConfig(config);
  const startWorker = (settings: ThreadSettings): Worker => {
    const worker = openWorker(sandbox && permissionsOf(sandbox, folder));
    const setup: ThreadSetup = { settings, graph, folder, isConsoleOnStderr };
    worker.postMessage(setup);
    return worker;
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
      startWorker,
      onStray,
    });
    const { place, url, version, redirects, standInFor } = graph;
    return {
      source: threads.source,
      modules: graph.modules.map(({ code: _, ...module }) => module),
      ...{ place, url, version, redirects, standInFor },
      dispose() {
        threads[Symbol.dispose]();
        return dispose();
      },
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function openWorker(permissions: Deno.PermissionOptionsObject | undefined): Worker {
  try {
    return new Worker(
      new URL("./processor_worker.ts", import.meta.url),
      { type: "module", ...permissions && { deno: { permissions } } },
    );
  } catch (error) {
    throw new Error(
      `Cannot start a thread for the processor: ${messageOf(error)}; ` +
        `the process itself must be allowed what --sandbox-allow-... allows, and to read its own ` +
        `files and those in the temporary folder`,
      { cause: error },
    );
  }
}

/** Everything that is not listed is refused. The processor's own files must be readable: it is imported from there. */
function permissionsOf(
  { net, env, read }: SandboxAccess,
  folder: string | undefined,
): Deno.PermissionOptionsObject {
  // Of an empty list nobody should have to know what it means.
  const only = (list: readonly string[]): string[] | false => list.length > 0 && [...list];
  return {
    net: only(net),
    env: only(env),
    read: only(folder === undefined ? read : [...read, folder]),
    write: false,
    run: false,
    ffi: false,
    sys: false,
    import: false,
  };
}
