/**
 * Owns: the way from what was fetched to a processor that runs.
 * Must not: know how each step is done.
 * Called by: `run.ts`.
 *
 * @module
 */

import type { ProcessorSource } from "../../processor.ts";
import { processorOf } from "./check_processor.ts";
import { fetchLate } from "./graph.ts";
import { instantiate } from "./instantiate.ts";
import type { GraphModule, ModuleGraph } from "./module_graph.ts";
import { LOAD_LIMITS, type LoadOptions } from "./options.ts";

/** A processor that runs. */
export interface LoadedProcessor {
  /** What the app takes. */
  readonly source: ProcessorSource;
  /** Tells one content of its modules from another: 12 hexadecimal digits. */
  readonly version: string;
  /** What was asked for. */
  readonly place: string;
  /** The URL of its entry, after redirects. */
  readonly url: string;
  /** Where its modules came from; without their code. */
  readonly modules: readonly Omit<GraphModule, "code">[];
  /** Where names and redirects led to when it was loaded. */
  readonly redirects: Readonly<Record<string, string>>;
  /** Why it was taken from the cache instead of its source; null if it was not. */
  readonly standInFor: string | null;
  /** Removes its files, when nothing uses it any more. */
  dispose(): Promise<void>;
}

/**
 * Runs what was fetched.
 *
 * @throws {Error} If it does not run, or its default export is no processor.
 */
export async function startProcessor(
  graph: ModuleGraph,
  options: LoadOptions = {},
): Promise<LoadedProcessor> {
  const { place, url, version, redirects, standInFor } = graph;
  // A record in hand while the worker stops may import what it needs.
  const { signal: _, ...lasting } = options;
  const { module, dispose } = await instantiate(graph, {
    timeoutMs: options.limits?.timeoutMs ?? LOAD_LIMITS.timeoutMs,
    ...options.signal && { signal: options.signal },
    fetchMore: (graph, request) => fetchLate(graph, request, lasting),
  });
  try {
    const modules = graph.modules.map(({ code: _, ...module }) => module);
    const source = processorOf(module, place);
    return { source, version, place, url, modules, redirects, standInFor, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
