/**
 * Owns: changing to a new version of the processor while the worker runs, and staying with the old one when the new one is broken.
 * Must not: know how a version is found, fetched or started.
 * Called by: `run.ts`.
 *
 * @module
 */

import type { ReactoKinesixApp } from "../app.ts";
import { toEventError } from "../errors.ts";
import type { AppFact } from "../events.ts";
import type { LoadedProcessor } from "./load_processor/load_processor.ts";
import type { ModuleGraph } from "./load_processor/module_graph.ts";

/** What a watch needs. */
export interface WatchOptions {
  /** The app that processes with the first version. */
  readonly app: Pick<ReactoKinesixApp, "changeProcessor">;
  /** The version that it started with. */
  readonly first: LoadedProcessor;
  readonly intervalMs: number;
  /** Fetches another version whole; null if there is none. */
  readonly check: (current: LoadedProcessor, signal: AbortSignal) => Promise<ModuleGraph | null>;
  /** Runs a version. */
  readonly start: (graph: ModuleGraph, signal: AbortSignal) => Promise<LoadedProcessor>;
  readonly tell: (fact: AppFact) => void;
}

/** Looks for new versions until it is closed. */
export class ProcessorWatch implements AsyncDisposable {
  readonly #options: WatchOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  /** Every version that has files. */
  readonly #versions: Set<LoadedProcessor>;
  #current: LoadedProcessor;
  /** A version that did not start; it is not tried again until somebody asks for it. */
  #brokenVersion: string | null = null;
  /** What was told already: a source that is down for an hour is one line. */
  #toldProblem: string | null = null;
  #isAsked = false;
  #wake: () => void = () => {};

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#current = options.first;
    this.#versions = new Set([options.first]);
    this.#running = this.#run();
  }

  /** Looks now, also at a version that was found broken before. */
  lookNow(): void {
    this.#brokenVersion = null;
    this.#toldProblem = null;
    this.#isAsked = true;
    this.#wake();
  }

  /** Stops looking. Call it when the app has stopped: the files of the versions in use are removed too. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.#running;
    await Promise.all([...this.#versions].map((version) => this.#remove(version)));
  }

  /** Looks no more; what is processed stays as it is. */
  stop(): void {
    this.#closing.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      if (!this.#isAsked) await this.#pause(signal);
      this.#isAsked = false;
      if (!signal.aborted) await this.#look(signal);
    }
  }

  /** Until the next look is due, asked for, or pointless. */
  async #pause(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#options.intervalMs);
    const wake = (): void => resolve();
    this.#wake = wake;
    signal.addEventListener("abort", wake);
    await promise;
    clearTimeout(timer);
    // A worker that runs for a year must not keep one for each look.
    signal.removeEventListener("abort", wake);
  }

  async #look(signal: AbortSignal): Promise<void> {
    let version: string | null = null;
    try {
      const graph = await this.#options.check(this.#current, signal);
      if (graph === null) return this.#forgetProblem();
      version = graph.version;
      if (version === this.#brokenVersion) return;
      const next = await this.#options.start(graph, signal);
      this.#versions.add(next);
      if (signal.aborted) return;
      this.#forgetProblem();
      this.#change(next);
    } catch (error) {
      if (signal.aborted) return;
      this.#brokenVersion = version;
      this.#tellProblem(version, error);
    }
  }

  #change(next: LoadedProcessor): void {
    const { app, tell } = this.#options;
    const old = this.#current;
    this.#current = next;
    const changed = app.changeProcessor(next.source);
    tell(loadedFact(next));
    // Not waited for: a record that takes for ever in the old version must not keep out the version that mends it.
    changed.then(() => this.#remove(old)).catch((error) => this.#tellProblem(next.version, error));
  }

  async #remove(version: LoadedProcessor): Promise<void> {
    if (!this.#versions.delete(version)) return;
    await version.dispose();
  }

  #forgetProblem(): void {
    this.#brokenVersion = null;
    this.#toldProblem = null;
  }

  #tellProblem(version: string | null, cause: unknown): void {
    const error = toEventError(cause);
    if (error.message === this.#toldProblem) return;
    this.#toldProblem = error.message;
    const { url } = this.#current;
    this.#options.tell({
      type: "processor_kept",
      url,
      version: this.#current.version,
      refusedVersion: version,
      error,
    });
  }
}

/** The fact that a version is what processes from now on. */
export function loadedFact(loaded: LoadedProcessor): AppFact {
  const { url, version, modules, standInFor } = loaded;
  return { type: "processor_loaded", url, version, modules: modules.length, standInFor };
}
