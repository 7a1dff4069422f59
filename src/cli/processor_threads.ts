/**
 * Owns: the flags of a processor in threads of its own: how many, what they may do, and how they get their processor.
 * Must not: know what is said to a thread.
 * Called by: `run.ts`.
 *
 * @module
 */

import { systemClock } from "../adapters/system.ts";
import { type ReactoKinesixConfig, resolveConfig } from "../core/config.ts";
import type { ThreadSettings } from "../sandbox/protocol.ts";
import { startProcessorThreads } from "../sandbox/processor_threads.ts";
import { writeGraph } from "./load_processor/instantiate.ts";
import type { LoadedProcessor } from "./load_processor/load_processor.ts";
import type { ModuleGraph } from "./load_processor/module_graph.ts";
import type { ThreadSetup } from "./processor_worker.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

/** The threads that were asked for. */
export interface ThreadPlan {
  readonly count: number;
  /** What a sandboxed thread may do; undefined without a sandbox: whatever the process may. */
  readonly sandbox: SandboxAccess | undefined;
  /** The settings of the worker, with what threads need. */
  readonly config: ReactoKinesixConfig;
}

/** What a sandboxed thread may do: the lists of Deno's permissions. */
export interface SandboxAccess {
  /** Hosts, with a port if need be. */
  readonly net: readonly string[];
  /** Variables of the environment. */
  readonly env: readonly string[];
  /** Paths. */
  readonly read: readonly string[];
}

/** What threads need besides the processor. */
export interface ThreadSurroundings {
  /** Whether what the processor prints goes to stderr. */
  readonly isConsoleOnStderr: boolean;
  /** Is told what failed in a thread without anybody waiting for it. */
  readonly onStray: (error: unknown) => void;
}

/** Of a sandbox that nobody gave a limit: what it is for is that no processor can hold up the worker for ever. */
const SANDBOX_PROCESS_TIMEOUT_MS = 60_000;

/**
 * The threads that the flags ask for; undefined if the processor runs in the main thread.
 *
 * @throws {UsageError} If flags contradict each other.
 */
export function planThreads(values: Values): ThreadPlan | undefined {
  const isSandboxed = values.isOn("sandbox");
  const listOf = (name: keyof SandboxAccess): readonly string[] => {
    const list = values.text(`sandbox-allow-${name}`)?.split(",") ?? [];
    if (list.length === 0 || isSandboxed) return list;
    throw new UsageError(
      `Cannot use --sandbox-allow-${name} without --sandbox: there is nothing to allow`,
    );
  };
  const access = { net: listOf("net"), env: listOf("env"), read: listOf("read") };
  const asked = values.text("threads");
  const count = Number(asked ?? 1);
  if (asked === undefined && !isSandboxed) return undefined;
  const config = { ...values.config };
  const { checkpointMode, checkpointFrequency, concurrency } = resolveConfig(config);
  if (count > 1 && checkpointMode === "manual") {
    throw new UsageError(
      `Cannot use --threads ${count} with --checkpoint-mode manual: threads finish their records ` +
        `in any order; use one thread, or the mode auto`,
    );
  }
  if (isSandboxed && config.processTimeout === undefined) {
    // In the manual mode a record waits for its checkpoint.
    const wait = checkpointMode === "manual" ? 2 * checkpointFrequency : 0;
    Object.assign(config, { processTimeout: Math.max(SANDBOX_PROCESS_TIMEOUT_MS, wait) });
  }
  if (count > concurrency) Object.assign(config, { concurrency: count });
  return { count, sandbox: isSandboxed ? access : undefined, config };
}

/**
 * Starts a processor in threads of its own.
 *
 * @throws {Error} If it does not run there, or its default export is no processor.
 */
export async function startInThreads(
  graph: ModuleGraph,
  { count, sandbox, config }: ThreadPlan,
  { isConsoleOnStderr, onStray }: ThreadSurroundings,
): Promise<LoadedProcessor> {
  const { folder, dispose } = await writeGraph(graph);
  const { processTimeout, checkpointMode } = resolveConfig(config);
  const startWorker = (settings: ThreadSettings): Worker => {
    const worker = new Worker(
      new URL("./processor_worker.ts", import.meta.url),
      { type: "module", ...sandbox && { deno: { permissions: permissionsOf(sandbox, folder) } } },
    );
    const setup: ThreadSetup = { settings, graph, folder, isConsoleOnStderr };
    worker.postMessage(setup);
    return worker;
  };
  try {
    const isSandboxed = sandbox !== undefined;
    const settings = { processTimeout, checkpointMode, isSandboxed };
    const threads = await startProcessorThreads({
      count,
      clock: systemClock,
      settings,
      startWorker,
      onStray,
    });
    const { place, url, version, redirects } = graph;
    return {
      source: threads.source,
      modules: graph.modules.map(({ code: _, ...module }) => module),
      ...{ place, url, version, redirects },
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
