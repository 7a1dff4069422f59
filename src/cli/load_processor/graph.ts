/**
 * Owns: from a place to a verified graph, and from an `import()` that runs later to the modules that it adds.
 * Must not: evaluate anything.
 * Called by: `load_processor.ts`, `instantiate.ts` and `new_version.ts`.
 *
 * @module
 */

import { GraphBuilder } from "./graph_builder.ts";
import { LoadError, namingProcessor } from "./load_error.ts";
import type { ModuleGraph } from "./module_graph.ts";
import { ModuleSource } from "./module_source.ts";
import type { LoadOptions } from "./options.ts";
import { entryUrl } from "./specifier.ts";

/**
 * Fetches a processor module and everything that it imports, checks it, and makes JavaScript of it.
 *
 * @param place A path, or a URL of `file:`, `https:`, `http:` to this machine, `data:`, `jsr:` or `npm:`.
 * @throws {UsageError} If the place is of another kind.
 * @throws {LoadError} If a module cannot be had, is not trusted, or is not well written.
 */
export async function fetchGraph(place: string, options: LoadOptions = {}): Promise<ModuleGraph> {
  return await orFromCache(options, (options) => fetchWhole(place, options));
}

/** Does something with the source of modules; if that cannot be reached, with the cache alone. */
async function orFromCache(
  options: LoadOptions,
  load: (options: LoadOptions) => Promise<ModuleGraph>,
): Promise<ModuleGraph> {
  try {
    return await load(options);
  } catch (error) {
    const mayStandIn = options.cacheDir !== undefined && !options.isFresh && !options.isOffline;
    if (!mayStandIn || !(error instanceof LoadError) || !error.isUnreachable) throw error;
    try {
      return { ...await load({ ...options, isOffline: true }), standInFor: error.message };
    } catch (cacheError) {
      // It was never kept whole: what is wrong with the source is what matters, unless what was kept is not trusted.
      throw cacheError instanceof LoadError && cacheError.isDistrusted ? cacheError : error;
    }
  }
}

async function fetchWhole(place: string, options: LoadOptions): Promise<ModuleGraph> {
  try {
    using source = await ModuleSource.open(place, options);
    const entry = entryUrl(place);
    const builder = new GraphBuilder(source, { id: crypto.randomUUID() });
    const asked = entry.protocol === "npm:" ? await builder.addPackageEntry(entry) : entry.href;
    await builder.loadAll({ asked, importer: null });
    const graph = { place, ...await builder.finish(asked) };
    await source.lock?.save(graph);
    await source.context.cache?.save(false);
    return graph;
  } catch (error) {
    throw ofProcessor(place, error);
  }
}

/**
 * Fetches what an `import()` that runs needs and the graph does not have.
 *
 * @returns Only what is new; its imports name files of both.
 * @throws {LoadError} If it cannot be had.
 */
export async function fetchLate(
  graph: ModuleGraph,
  request: LateRequest,
  options: LoadOptions = {},
): Promise<ModuleGraph> {
  // What came from the cache goes on from there, so that old and new do not meet.
  const isOffline = options.isOffline === true || graph.standInFor !== null;
  return await orFromCache(
    { ...options, isOffline },
    (options) => fetchMore(graph, request, options),
  );
}

/** What an `import()` asks for. */
export interface LateRequest {
  /** A URL, or a `jsr:` name. */
  readonly asked: string;
  /** The URL of the module that imports it. */
  readonly importer: string;
}

async function fetchMore(
  graph: ModuleGraph,
  { asked, importer }: LateRequest,
  options: LoadOptions,
): Promise<ModuleGraph> {
  const { place } = graph;
  try {
    using source = await ModuleSource.open(place, options);
    const builder = new GraphBuilder(source, graph);
    await builder.loadAll({ asked, importer: { url: importer, place: null } });
    const added = { place, ...await builder.finish(asked) };
    await source.lock?.save({ ...added, modules: [...graph.modules, ...added.modules] });
    await source.context.cache?.save(true);
    return added;
  } catch (error) {
    throw ofProcessor(place, error);
  }
}

function ofProcessor(place: string, error: unknown): unknown {
  if (!(error instanceof LoadError)) return error;
  // What is wrong with a flag says so by itself.
  if (error.message.startsWith("Cannot ")) return error;
  return new LoadError(`Cannot load ${namingProcessor(place)}: ${error.message}`, {
    cause: error.cause,
    isUnreachable: error.isUnreachable,
    isDistrusted: error.isDistrusted,
  });
}
