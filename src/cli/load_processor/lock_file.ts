/**
 * Owns: the file of `--lock`: what each module from elsewhere must hash to, and where redirects must lead.
 * Must not: fetch anything.
 * Called by: `module_source.ts`.
 *
 * @module
 */

import { messageOf } from "../../errors.ts";
import { shorten } from "../flags.ts";
import { parseIntegrity, writtenSha256 } from "./integrity.ts";
import { LoadError, naming } from "./load_error.ts";
import type { ModuleGraph } from "./module_graph.ts";
import type { LockOptions } from "./options.ts";
import { isRemote } from "./policy.ts";
import { replaceFile } from "./replace_file.ts";

const VERSION = 1;

/** The file of hashes, read. Modules of this machine are not in it: who may change them may change it too. */
export class LockFile {
  readonly #options: LockOptions;
  readonly #modules: Map<string, string>;
  readonly #redirects: Map<string, string>;

  private constructor(
    options: LockOptions,
    modules: Map<string, string>,
    redirects: Map<string, string>,
  ) {
    this.#options = options;
    this.#modules = modules;
    this.#redirects = redirects;
  }

  /**
   * Reads the file. One that will be written starts empty.
   *
   * @throws {LoadError} If it is not there or not a lock file.
   */
  static async open(options: LockOptions): Promise<LockFile> {
    if (options.isWritten) return new LockFile(options, new Map(), new Map());
    let text: string;
    try {
      text = await Deno.readTextFile(options.path);
    } catch (error) {
      const hint = error instanceof Deno.errors.NotFound ? "; --lock-write makes it" : "";
      throw new LoadError(
        `Cannot read --lock "${shorten(options.path)}": ${messageOf(error)}${hint}`,
        { cause: error },
      );
    }
    const { modules, redirects } = parseLock(text, options.path);
    return new LockFile(options, modules, redirects);
  }

  /** Whether what the file does not know is refused. */
  get isFrozen(): boolean {
    return this.#options.isFrozen ?? false;
  }

  /** Where a URL must lead to, if the file says. */
  redirectOf(url: string): string | undefined {
    return this.#redirects.get(url);
  }

  /** Whether the file has a hash for a module. */
  knows(url: string): boolean {
    return this.#modules.has(url);
  }

  /**
   * Checks a module from elsewhere.
   *
   * @param digest Its SHA-256 in hexadecimal digits.
   * @throws {LoadError} If it is not the module that the file knows, or if it must know it and does not.
   */
  check(url: string, digest: string): void {
    if (this.#options.isWritten || !isRemote(new URL(url))) return;
    const expected = this.#modules.get(url);
    if (expected === digest) return;
    if (expected === undefined) return this.refuseUnknown(url);
    throw new LoadError(
      `${naming(url)} is not the module that --lock "${
        shorten(this.#options.path)
      }" knows: its hash ` +
        `is ${writtenSha256(digest)}, not ${
          writtenSha256(expected)
        }; if that is as it should be, ` +
        `make the file anew with --lock-write`,
      { isDistrusted: true },
    );
  }

  /**
   * Checks where a URL led to, after what {@linkcode LockFile.redirectOf} says.
   *
   * @throws {LoadError} If the file knows a module there, or must know the redirect: another module that it knows, with the
   * right hash, would take its place.
   */
  checkRedirect(url: string, to: string): void {
    if (this.#options.isWritten || url === to) return;
    if (!this.knows(url)) return this.refuseUnknown(url);
    throw new LoadError(
      `${naming(url)} is a module in --lock "${shorten(this.#options.path)}", and redirects to ` +
        `${naming(to)} now; if that is as it should be, make the file anew with --lock-write`,
      { isDistrusted: true },
    );
  }

  /**
   * Refuses what the file does not know, if it must.
   *
   * @throws {LoadError} If it must.
   */
  refuseUnknown(url: string): void {
    if (!this.isFrozen) return;
    throw new LoadError(
      `${naming(url)} is not in --lock "${shorten(this.#options.path)}", and --frozen allows ` +
        `nothing else; if it belongs there, make the file anew with --lock-write`,
      { isDistrusted: true },
    );
  }

  /**
   * Adds the modules of a graph to the file, if it is to be written.
   *
   * @throws {LoadError} If it cannot be written.
   */
  async save(graph: Pick<ModuleGraph, "modules" | "redirects">): Promise<void> {
    if (!this.#options.isWritten) return;
    for (const { url, sha256 } of graph.modules) {
      if (isRemoteUrl(url)) this.#modules.set(url, sha256);
    }
    for (const [from, to] of Object.entries(graph.redirects)) {
      if (isRemoteUrl(to)) this.#redirects.set(from, to);
    }
    const content = {
      version: VERSION,
      redirects: sorted(this.#redirects),
      modules: sorted(
        new Map([...this.#modules].map(([url, digest]) => [url, writtenSha256(digest)])),
      ),
    };
    try {
      const text = `${JSON.stringify(content, null, 2)}\n`;
      await replaceFile(this.#options.path, new TextEncoder().encode(text), 0o644);
    } catch (error) {
      throw new LoadError(
        `Cannot write --lock "${shorten(this.#options.path)}": ${messageOf(error)}`,
        { cause: error },
      );
    }
  }
}

/**
 * Reads the text of a lock file.
 *
 * @throws {LoadError} If it is not one; it says what is wrong.
 */
export function parseLock(
  text: string,
  path: string,
): { readonly modules: Map<string, string>; readonly redirects: Map<string, string> } {
  const wrong = (reason: string, cause?: unknown): LoadError =>
    new LoadError(
      `Cannot use --lock "${shorten(path)}": ${reason}; make it anew with --lock-write`,
      { cause },
    );
  let content: { version?: unknown; modules?: unknown; redirects?: unknown } | null;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw wrong(`it is not JSON (${shorten(messageOf(error))})`, error);
  }
  if (typeof content !== "object" || content === null) throw wrong("it is not a JSON object");
  if (content.version !== VERSION) {
    throw wrong(`its version is ${shorten(JSON.stringify(content.version) ?? "missing")}, not 1`);
  }
  const modules = new Map<string, string>();
  for (const [url, hash] of entriesOf(content.modules, "modules", wrong)) {
    const integrity = parseIntegrity(hash);
    if (integrity?.algorithm !== "sha256" || !isRemoteUrl(url)) {
      throw wrong(`"${shorten(url)}": "${shorten(hash)}" is not a URL and its sha256`);
    }
    modules.set(url, integrity.digest);
  }
  const redirects = entriesOf(content.redirects ?? {}, "redirects", wrong);
  for (const [from, to] of redirects) {
    if (!isRemoteUrl(to)) throw wrong(`"${shorten(from)}" leads to "${shorten(to)}", no URL`);
  }
  return { modules, redirects: new Map(redirects) };
}

function entriesOf(
  value: unknown,
  name: string,
  wrong: (reason: string) => LoadError,
): readonly (readonly [string, string])[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(`its "${name}" is not an object`);
  }
  return Object.entries(value).map(([key, text]) => {
    if (typeof text === "string") return [key, text] as const;
    throw wrong(`in its "${name}", "${shorten(key)}" is not followed by a text`);
  });
}

function isRemoteUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && isRemote(url);
}

function sorted(map: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
}
