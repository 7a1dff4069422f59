/**
 * Owns: the folder of `--cache-dir`: the modules of the last version of a place that was whole, each with its hash.
 * Must not: decide when to use it.
 * Called by: `fetch_module.ts` and `module_source.ts`.
 *
 * @module
 */

import { join } from "node:path";
import { messageOf } from "../../errors.ts";
import { shorten } from "../flags.ts";
import { sha256 } from "./integrity.ts";
import { LoadError } from "./load_error.ts";
import { replaceFile } from "./replace_file.ts";

/** What the cache knows of a URL. */
export interface CachedModule {
  /** Where the URL led to. */
  readonly finalUrl: string;
  readonly contentType: string | null;
  readonly etag: string | null;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What the list of a place has for a URL; the bytes are in the file named by the hash. */
interface Entry extends Omit<CachedModule, "bytes"> {
  readonly sha256: string;
}

/**
 * The modules of one place. What is fetched becomes the content only when all of it is there, so that a new module never
 * meets an old one.
 */
export class ModuleCache {
  readonly #folder: string;
  readonly #listPath: string;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #fresh = new Map<string, CachedModule>();

  private constructor(folder: string, listPath: string, entries: ReadonlyMap<string, Entry>) {
    this.#folder = folder;
    this.#listPath = listPath;
    this.#entries = entries;
  }

  /**
   * Opens the folder, or makes it.
   *
   * @param place What the modules belong to.
   * @throws {LoadError} If it cannot be used, or if others could change what is in it.
   */
  static async open(folder: string, place: string): Promise<ModuleCache> {
    try {
      await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
      const { mode, uid } = await Deno.stat(folder);
      // Its owner can write to it, whatever its mode.
      const isOwn = uid === null || uid === 0 || uid === Deno.uid();
      if (isOwn && (mode === null || (mode & 0o022) === 0)) {
        const listPath = join(folder, `${await sha256(place)}.json`);
        return new ModuleCache(folder, listPath, await readList(listPath));
      }
    } catch (error) {
      throw unusable(folder, error);
    }
    throw new LoadError(
      `Cannot use --cache-dir "${shorten(folder)}": other users could change what is in it; ` +
        `it must belong to the user of this process, who does: chmod 700 it`,
    );
  }

  /** What is kept of a URL; undefined if it is nothing, or damaged. */
  async read(url: URL): Promise<CachedModule | undefined> {
    const entry = this.#entries.get(url.href);
    if (!entry) return undefined;
    try {
      const bytes = await Deno.readFile(this.#contentPath(entry.sha256));
      return await sha256(bytes) === entry.sha256 ? { ...entry, bytes } : undefined;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw unusable(this.#folder, error);
    }
  }

  /** Keeps what was fetched, when {@linkcode ModuleCache.save} is called. */
  put(url: URL, module: CachedModule): void {
    this.#fresh.set(url.href, module);
  }

  /**
   * Makes what was put the content.
   *
   * @param isAddition Whether what was there stays.
   * @throws {LoadError} If it cannot be written.
   */
  async save(isAddition: boolean): Promise<void> {
    const fresh = new Map<string, Entry>();
    const changed: CachedModule[] = [];
    for (const [url, module] of this.#fresh) {
      const { bytes, finalUrl, contentType, etag } = module;
      const entry = { finalUrl, contentType, etag, sha256: await sha256(bytes) };
      fresh.set(url, entry);
      if (JSON.stringify(this.#entries.get(url)) !== JSON.stringify(entry)) changed.push(module);
    }
    // As it was; also what an `import()` added to it still fits.
    if (changed.length === 0) return;
    const entries = new Map([...isAddition ? this.#entries : [], ...fresh]);
    try {
      for (const { bytes } of changed) {
        await replaceFile(this.#contentPath(await sha256(bytes)), bytes, 0o600);
      }
      const list = JSON.stringify(Object.fromEntries(entries));
      await replaceFile(this.#listPath, new TextEncoder().encode(list), 0o600);
    } catch (error) {
      throw unusable(this.#folder, error);
    }
  }

  #contentPath(digest: string): string {
    return join(this.#folder, `${digest}.module`);
  }
}

function unusable(folder: string, cause: unknown): LoadError {
  return new LoadError(
    `Cannot use --cache-dir "${shorten(folder)}": ${messageOf(cause)}; name a folder that may be ` +
      `written, or leave the flag out`,
    { cause },
  );
}

async function readList(path: string): Promise<ReadonlyMap<string, Entry>> {
  let list: unknown;
  try {
    list = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    // Nothing was kept, or nothing that can be used: it is fetched, or missed by name.
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return new Map();
    throw error;
  }
  const entries = typeof list === "object" && list !== null ? Object.entries(list) : [];
  return new Map(entries.filter(([, entry]) => isEntry(entry)));
}

function isEntry(value: unknown): value is Entry {
  const entry = (typeof value === "object" ? value : null) as Partial<Entry> | null;
  return typeof entry?.finalUrl === "string" && URL.canParse(entry.finalUrl) &&
    /^[0-9a-f]{64}$/.test(String(entry.sha256)) &&
    [entry.contentType, entry.etag].every((text) => text === null || typeof text === "string");
}
