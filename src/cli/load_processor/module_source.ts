/**
 * Owns: one module from the text of an import to bytes that are what they must be: names, lock file, checksums, limits.
 * Must not: look into the bytes.
 * Called by: `graph.ts`, once for each module; `new_version.ts`, to ask whether one changed.
 *
 * @module
 */

import { type FetchContext, type FetchedModule, fetchModule } from "./fetch_module.ts";
import { integrityOf, matches, parseIntegrity, sha256 } from "./integrity.ts";
import { JSR_URL, JsrRegistry } from "./jsr.ts";
import { LoadError, naming } from "./load_error.ts";
import { LockFile } from "./lock_file.ts";
import { ModuleCache } from "./module_cache.ts";
import { LOAD_LIMITS, type LoadOptions } from "./options.ts";
import { hostAndPort, isRemote } from "./policy.ts";
import { entryUrl } from "./specifier.ts";

/** A module that is what it must be. */
export interface VerifiedModule extends FetchedModule {
  /** Its SHA-256 in hexadecimal digits. */
  readonly sha256: string;
}

/** Where modules come from, for as long as one graph is loaded. */
export class ModuleSource implements Disposable {
  readonly context: FetchContext;
  readonly lock: LockFile | undefined;
  readonly #options: LoadOptions;
  readonly #jsr: JsrRegistry;
  readonly #stopClock: () => void;
  #bytesTotal = 0;

  private constructor(
    options: LoadOptions,
    context: FetchContext,
    { lock, jsrUrl, stopClock }: {
      readonly lock: LockFile | undefined;
      readonly jsrUrl: URL;
      readonly stopClock: () => void;
    },
  ) {
    this.#options = options;
    this.context = context;
    this.lock = lock;
    this.#stopClock = stopClock;
    this.#jsr = new JsrRegistry(jsrUrl, (url) => this.#fetchJson(url));
  }

  /**
   * Opens what the options name; the time for loading runs from here on.
   *
   * @throws {UsageError} If the place is of a kind that is not supported.
   * @throws {LoadError} If the lock file or the cache cannot be used.
   */
  static async open(place: string, options: LoadOptions): Promise<ModuleSource> {
    const entry = entryUrl(place);
    const jsrUrl = new URL(options.jsrUrl ?? JSR_URL);
    const origin = entry.protocol === "jsr:" ? jsrUrl : entry;
    const limits = { ...LOAD_LIMITS, ...options.limits };
    const cache = options.cacheDir === undefined
      ? undefined
      : await ModuleCache.open(options.cacheDir, place);
    const lock = options.lock === undefined ? undefined : await LockFile.open(options.lock);
    const clock = startClock(limits.timeoutMs, options.signal);
    const context: FetchContext = {
      trust: { hosts: [...[origin, jsrUrl].map(hostAndPort), ...options.allowedHosts ?? []] },
      limits,
      signal: clock.signal,
      cache,
      isOffline: options.isOffline ?? false,
      headers: { origin: origin.origin, values: options.headers ?? {} },
    };
    return new ModuleSource(options, context, { lock, jsrUrl, stopClock: clock.stop });
  }

  [Symbol.dispose](): void {
    this.#stopClock();
  }

  /**
   * Fetches a module and checks it.
   *
   * @param asked Its URL, or a `jsr:` name.
   * @param importer The URL of the module that imports it; null for the entry.
   * @throws {LoadError} If it cannot be had, or is not what it must be.
   */
  async load(asked: string, importer: string | null): Promise<VerifiedModule> {
    const url = await this.locate(asked);
    const from = importer === null ? null : new URL(importer);
    const fetched = await fetchModule(url, from, this.context);
    this.lock?.checkRedirect(url.href, fetched.url);
    const digest = await sha256(fetched.bytes);
    this.#countBytes(fetched);
    if (importer === null) await this.#checkIntegrity(fetched);
    this.lock?.check(fetched.url, digest);
    await this.#checkPublished(fetched, digest);
    return { ...fetched, sha256: digest };
  }

  /**
   * Where a name leads to now, as far as that is known without fetching the module.
   *
   * @throws {LoadError} If it leads nowhere.
   */
  async locate(asked: string): Promise<URL> {
    const pinned = this.lock?.redirectOf(asked);
    if (pinned !== undefined) return new URL(pinned);
    if (!asked.startsWith("jsr:")) return new URL(asked);
    this.lock?.refuseUnknown(asked);
    return await this.#jsr.resolve(asked);
  }

  /** Whether a module never changes: what was published in a registry. */
  isPublished(url: URL): boolean {
    return this.#jsr.partsOf(url) !== undefined;
  }

  #countBytes({ url, bytes }: FetchedModule): void {
    const { graphBytesMax } = this.context.limits;
    this.#bytesTotal += bytes.length;
    if (this.#bytesTotal <= graphBytesMax) return;
    throw new LoadError(
      `${naming(url)} makes it more than ${graphBytesMax} bytes, the most that a processor may ` +
        `have; bundle it, and keep data out of it`,
      { isDistrusted: true },
    );
  }

  async #checkIntegrity({ url, bytes }: FetchedModule): Promise<void> {
    const { integrity } = this.#options;
    if (integrity === undefined) return;
    const expected = parseIntegrity(integrity);
    if (!expected) throw new LoadError(`Cannot use --integrity "${integrity}": it is no hash`);
    if (await matches(bytes, expected)) return;
    throw new LoadError(
      `${naming(url)} is not what --integrity says: its hash is ${await integrityOf(
        bytes,
        expected.algorithm,
      )}, not ${integrity}; if that is as it should be, change the flag`,
      { isDistrusted: true },
    );
  }

  /** What the lock file knows needs no word of the registry. */
  async #checkPublished(fetched: FetchedModule, digest: string): Promise<void> {
    const url = new URL(fetched.url);
    if (!isRemote(url) || this.lock?.knows(fetched.url)) return;
    const published = await this.#jsr.checksumOf(url);
    if (published === undefined || published === digest) return;
    throw new LoadError(
      `${naming(url)} is not what was published: its SHA-256 is ${digest}, the registry says ` +
        `${published}; do not use it`,
      { isDistrusted: true },
    );
  }

  async #fetchJson(url: URL): Promise<unknown> {
    const { bytes } = await fetchModule(url, null, this.context);
    try {
      return JSON.parse(new TextDecoder().decode(bytes));
    } catch (error) {
      throw new LoadError(`${naming(url)} is not what a JSR registry answers: it is not JSON`, {
        cause: error,
      });
    }
  }
}

interface LoadClock {
  readonly signal: AbortSignal;
  stop(): void;
}

function startClock(timeoutMs: number, signal: AbortSignal | undefined): LoadClock {
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(new DOMException("The time for loading is over", "TimeoutError")),
    timeoutMs,
  );
  return {
    signal: signal ? AbortSignal.any([timeout.signal, signal]) : timeout.signal,
    stop: () => clearTimeout(timer),
  };
}
