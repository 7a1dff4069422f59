/**
 * Owns: what a processor module and everything that it imports look like when they are fetched, verified and ready to run.
 * Must not: fetch or run anything.
 * Called by: everything of the loader; the values can be posted to a Worker.
 *
 * @module
 */

/** A processor module with everything that it imports: verified, as JavaScript, not evaluated yet. */
export interface ModuleGraph {
  /** What was asked for, such as `./processor.ts` or `jsr:@orders/billing@^1`. */
  readonly place: string;
  /** The URL of the entry, after redirects. */
  readonly url: string;
  /** Tells one content of the graph from another: 12 hexadecimal digits of a SHA-256 over all URLs and contents. */
  readonly version: string;
  /** The entry first, then in the order in which they were met. */
  readonly modules: readonly GraphModule[];
  /** Where a URL that was asked for led to: redirects and `jsr:` names. */
  readonly redirects: Readonly<Record<string, string>>;
  /** Why modules cannot be had that are needed only by an `import()`, by URL; told when that runs. */
  readonly failures: Readonly<Record<string, string>>;
  /** Why the cache stood in for the source; null if it did not. */
  readonly standInFor: string | null;
  /** Whether an `import()` that runs may reach no package that the lock file cannot know. */
  readonly isFrozen: boolean;
  /** Names the graph in the code of its modules, so that an `import()` in it finds its way back. */
  readonly id: string;
}

/** One module of a graph. */
export interface GraphModule {
  /** Where it came from, after redirects. */
  readonly url: string;
  /** The SHA-256 of what was fetched, in hexadecimal digits. */
  readonly sha256: string;
  /** The length of what was fetched, in bytes. */
  readonly bytes: number;
  /** What the server calls this content; null if it does not say. */
  readonly etag: string | null;
  /** Whether it was taken from the cache. */
  readonly isFromCache: boolean;
  /** The name of its file in the private folder, such as `0-processor.mjs`; imports name each other by it. */
  readonly fileName: string;
  /** What runs: JavaScript whose imports name the files beside it, or the text of a JSON module. */
  readonly code: string;
}
