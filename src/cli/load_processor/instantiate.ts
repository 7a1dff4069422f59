/**
 * Owns: running a graph: its files, the import of its entry, the imports that run later, and its end.
 * Must not: fetch anything.
 * Called by: `load_processor.ts`, also in a Worker.
 *
 * @module
 */

import { messageOf } from "../../errors.ts";
import { ErrorPlaces } from "./error_places.ts";
import type { LateRequest } from "./graph.ts";
import { LoadError, naming, namingProcessor } from "./load_error.ts";
import type { GraphModule, ModuleGraph } from "./module_graph.ts";
import { folderPlace, type ModulePlace, openPlace } from "./module_place.ts";
import { lendOwnPackage, loadOwnPackage, OWN_PACKAGE } from "./own_package.ts";
import { LATE_IMPORT } from "./rewrite.ts";
import { bundleHint, checkLocked, importTarget } from "./specifier.ts";

/** What a graph became. */
export interface Instance {
  /** What the entry exports. */
  readonly module: Readonly<Record<string, unknown>>;
  /** Removes the files. What still runs of the module keeps running, but cannot import anything any more. */
  dispose(): Promise<void>;
}

/** Fetches what an `import()` needs and a graph does not have; see `fetchLate()` of `graph.ts`. */
export type FetchMore = (graph: ModuleGraph, request: LateRequest) => Promise<ModuleGraph>;

/** How a graph is run. */
export interface InstantiateOptions {
  /** Without it an `import()` reaches only what the graph has. */
  readonly fetchMore?: FetchMore;
  /** The folder that has the files already, from {@linkcode writeGraph}: a thread may not be allowed to make one. */
  readonly folder?: string;
  /**
   * The most time for what the modules do before they export anything, in milliseconds.
   *
   * @default {Infinity}
   */
  readonly timeoutMs?: number;
  /** Gives up waiting. */
  readonly signal?: AbortSignal;
}

/** The files of a graph, for threads that only read them. */
export interface WrittenGraph {
  /** The path of their folder; undefined for a single module that needs none. */
  readonly folder: string | undefined;
  /**
   * Writes those again that the system removed.
   *
   * @throws {Error} If they cannot be written, or the folder is not this user's any more.
   */
  restore(): Promise<void>;
  /** Removes them. */
  dispose(): Promise<void>;
}

/**
 * Writes the files of a graph for other threads.
 *
 * @throws {LoadError} If they cannot be written.
 */
export async function writeGraph(graph: ModuleGraph): Promise<WrittenGraph> {
  const place = await openPlace(graph);
  return {
    folder: place.path,
    restore: () => place.write(graph.modules),
    dispose: () => place.remove(),
  };
}

/**
 * Runs a graph.
 *
 * @throws {LoadError} If it does not run, or its files cannot be written.
 */
export async function instantiate(
  graph: ModuleGraph,
  options: InstantiateOptions = {},
): Promise<Instance> {
  const place = options.folder === undefined ? await openPlace(graph) : folderPlace(options.folder);
  const running = new RunningGraph(graph, place, options.fetchMore);
  try {
    if (graph.modules.some(({ url }) => url === OWN_PACKAGE)) await lendOwnPackage();
    const module = await inTime(running.start(), graph.place, options);
    return { module, dispose: () => running.end() };
  } catch (error) {
    await running.end();
    throw error;
  }
}

/** Waits for a graph that starts: a top-level `await` may never end. */
async function inTime(
  starting: Promise<Namespace>,
  place: string,
  { timeoutMs = Infinity, signal }: InstantiateOptions,
): Promise<Namespace> {
  const { promise: given, reject } = Promise.withResolvers<never>();
  const giveUp = (): void => reject(signal?.reason);
  signal?.addEventListener("abort", giveUp);
  const timer = timeoutMs === Infinity ? undefined : setTimeout(() => {
    reject(
      new LoadError(
        `Cannot load ${namingProcessor(place)}: its modules did not finish what they do at the ` +
          `start within ${timeoutMs} ms; see --load-timeout`,
      ),
    );
  }, timeoutMs);
  try {
    signal?.throwIfAborted();
    return await Promise.race([starting, given]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
    // What comes after it was given up is nobody's.
    starting.catch(() => {});
  }
}

type Namespace = Readonly<Record<string, unknown>>;

/** The graphs that run in this thread, by their names. */
const RUNNING = new Map<string, RunningGraph>();

Object.assign(globalThis, {
  // What an `import()` in a processor becomes; see `rewrite.ts`.
  [Symbol.for(LATE_IMPORT)]: async (
    id: string,
    base: string,
    specifier: unknown,
    options?: ImportCallOptions,
  ): Promise<Namespace> => {
    const graph = RUNNING.get(id);
    if (graph) return await graph.importLate(base, String(specifier), options);
    throw new LoadError(
      `${naming(base)} cannot import "${naming(String(specifier))}": ` +
        `this version of the processor is not in use any more`,
    );
  },
});

class RunningGraph {
  #graph: ModuleGraph;
  readonly #place: ModulePlace;
  readonly #fetchMore: FetchMore | undefined;
  readonly #files = new Map<string, string>();
  /** By an `import()`; from then on the runtime remembers it. */
  readonly #imported = new Set<string>();
  readonly #places: ErrorPlaces;
  /** One after the other, so that no module is fetched, and run, twice. */
  #lastFetch: Promise<unknown> = Promise.resolve();

  constructor(graph: ModuleGraph, place: ModulePlace, fetchMore: FetchMore | undefined) {
    this.#graph = graph;
    this.#place = place;
    this.#fetchMore = fetchMore;
    this.#places = new ErrorPlaces(place);
    this.#know(graph.modules);
    RUNNING.set(graph.id, this);
  }

  async start(): Promise<Namespace> {
    const { place, url } = this.#graph;
    try {
      return await this.#import(this.#files.get(url) ?? "");
    } catch (error) {
      throw new LoadError(
        `Cannot load ${namingProcessor(place)}: ${await this.#places.describe(error)}${
          packageHint(error, place)
        }`,
        { cause: error },
      );
    }
  }

  async importLate(
    base: string,
    specifier: string,
    options?: ImportCallOptions,
  ): Promise<Namespace> {
    const target = importTarget(specifier, base);
    if (target.kind === "own") return await loadOwnPackage();
    if (this.#graph.isFrozen) checkLocked(target, specifier, { base });
    if (target.kind === "package") return await import(target.specifier, options);
    const file = this.#fileOf(target.url) ?? await this.#addInTurn(target.url, base);
    if (!this.#imported.has(file)) await this.#place.write(this.#graph.modules);
    this.#imported.add(file);
    return await this.#import(file, options);
  }

  async end(): Promise<void> {
    RUNNING.delete(this.#graph.id);
    await this.#place.remove();
  }

  #know(modules: readonly GraphModule[]): void {
    for (const { url, fileName } of modules) this.#files.set(url, fileName);
    this.#places.add(modules);
  }

  #import(fileName: string, options?: ImportCallOptions): Promise<Namespace> {
    return import(this.#place.urlOf(fileName), options);
  }

  #fileOf(asked: string): string | undefined {
    const { redirects, failures } = this.#graph;
    const url = redirects[asked] ?? asked;
    const failure = failures[asked] ?? failures[url];
    if (failure !== undefined) throw new LoadError(failure);
    return this.#files.get(url);
  }

  #addInTurn(asked: string, importer: string): Promise<string> {
    const added = this.#lastFetch.then(() => this.#add(asked, importer));
    // Who asked is told of a failure; the next one begins anew.
    this.#lastFetch = added.catch(() => {});
    return added;
  }

  async #add(asked: string, importer: string): Promise<string> {
    if (!this.#fetchMore) {
      throw new LoadError(
        `${naming(importer)} cannot import "${naming(asked)}": it is not among the modules that ` +
          `were loaded, and here no others can be; name it in plain text, as in import("./x.ts")`,
      );
    }
    const more = await this.#fetchMore(this.#graph, { asked, importer });
    await this.#place.write(more.modules);
    this.#know(more.modules);
    this.#graph = {
      ...this.#graph,
      modules: [...this.#graph.modules, ...more.modules],
      redirects: { ...this.#graph.redirects, ...more.redirects },
    };
    return this.#files.get(more.url) ?? "";
  }
}

/** What runtimes say when a package is not part of the program. */
const NO_PACKAGE =
  /Could not find (constraint|npm package)|not a dependency|"(npm|jsr):|npm package '/;

/** What CommonJS takes for granted, and an ES module does not have. */
const NO_COMMON_JS = /^(require|module|exports|__dirname|__filename) is not defined$/;

function packageHint(error: unknown, place: string): string {
  const message = messageOf(error);
  if (NO_COMMON_JS.test(message)) {
    return `; it is CommonJS, and only ES modules can be loaded: ${bundleHint(place)}`;
  }
  return NO_PACKAGE.test(message) ? `; ${bundleHint(place)}` : "";
}
