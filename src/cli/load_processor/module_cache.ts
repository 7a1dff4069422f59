/**
 * Owns: the folder of `--cache-dir`: what was fetched once, with the hash that tells whether it is still the same.
 * Must not: decide when to use it.
 * Called by: `fetch_module.ts`.
 *
 * @module
 */

import { join } from "node:path";
import { messageOf } from "../../errors.ts";
import { sha256 } from "./integrity.ts";
import { LoadError, naming } from "./load_error.ts";

/** What the cache knows of a URL. */
export interface CachedModule {
  /** Where the URL led to. */
  readonly finalUrl: string;
  readonly contentType: string | null;
  readonly etag: string | null;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Keeps what was fetched. */
export class ModuleCache {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Opens the folder, or makes it.
   *
   * @throws {LoadError} If it cannot be used, or if others could change what is in it.
   */
  static async open(folder: string): Promise<ModuleCache> {
    try {
      await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
      const { mode } = await Deno.stat(folder);
      if (mode === null || (mode & 0o022) === 0) return new ModuleCache(folder);
    } catch (error) {
      throw new LoadError(`Cannot use --cache-dir "${folder}": ${messageOf(error)}`, {
        cause: error,
      });
    }
    throw new LoadError(
      `Cannot use --cache-dir "${folder}": other users could change what is in it; chmod 700 it`,
    );
  }

  /** What is kept of a URL; undefined if it is nothing, or damaged. */
  async read(url: URL): Promise<CachedModule | undefined> {
    let note: Note;
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      note = toNote(JSON.parse(await Deno.readTextFile(await this.#path(url, "json"))));
      bytes = await Deno.readFile(await this.#path(url, "bin"));
    } catch (error) {
      // Never fetched, or cut off while it was written: then it is fetched again, or missed by name.
      if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
      throw new LoadError(
        `Cannot read ${naming(url)} from --cache-dir "${this.#folder}": ${messageOf(error)}`,
        { cause: error },
      );
    }
    return note.url === url.href && await sha256(bytes) === note.sha256
      ? { ...note, bytes }
      : undefined;
  }

  /** Keeps what was fetched. */
  async write(url: URL, module: CachedModule): Promise<void> {
    const { bytes, finalUrl, contentType, etag } = module;
    const note: Note = { url: url.href, finalUrl, contentType, etag, sha256: await sha256(bytes) };
    try {
      await this.#replace(await this.#path(url, "bin"), bytes);
      await this.#replace(
        await this.#path(url, "json"),
        new TextEncoder().encode(JSON.stringify(note)),
      );
    } catch (error) {
      throw new LoadError(
        `Cannot write ${naming(url)} to --cache-dir "${this.#folder}": ${messageOf(error)}; ` +
          `make room there, or leave the flag out`,
        { cause: error },
      );
    }
  }

  async #path(url: URL, extension: string): Promise<string> {
    return join(this.#folder, `${await sha256(url.href)}.${extension}`);
  }

  /** At once, for workers that share the folder. */
  async #replace(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${path}.${crypto.randomUUID()}`;
    await Deno.writeFile(temporary, bytes, { mode: 0o600, createNew: true });
    await Deno.rename(temporary, path);
  }
}

interface Note {
  readonly url: string;
  readonly finalUrl: string;
  readonly contentType: string | null;
  readonly etag: string | null;
  readonly sha256: string;
}

function toNote(value: unknown): Note {
  const note = (typeof value === "object" ? value : null) as Partial<Note> | null;
  if (
    typeof note?.url === "string" && typeof note.sha256 === "string" &&
    URL.canParse(String(note.finalUrl)) && isTextOrNull(note.contentType) && isTextOrNull(note.etag)
  ) return note as Note;
  throw new SyntaxError("not a note of this cache");
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === "string";
}
