/**
 * Owns: from `jsr:@scope/name@range/path` to the URL of a module, and the checksums that the registry publishes.
 * Must not: fetch by itself.
 * Called by: `module_source.ts`.
 *
 * @module
 */

import { LoadError, naming } from "./load_error.ts";

/** Where JSR keeps its packages. */
export const JSR_URL = "https://jsr.io/";

/** What a registry answers, which is always JSON. */
export type FetchJson = (url: URL) => Promise<unknown>;

interface Manifest {
  readonly exports: Readonly<Record<string, unknown>>;
  /** The checksum of each file, such as `sha256-` and hexadecimal digits, by its path from `/` on. */
  readonly checksums: ReadonlyMap<string, string>;
}

/** A registry of JSR packages. */
export class JsrRegistry {
  readonly #base: URL;
  readonly #fetchJson: FetchJson;
  /** By package and version; asked for once for each graph. */
  readonly #manifests = new Map<string, Promise<Manifest>>();

  /** @param base The address of the registry. */
  constructor(base: URL, fetchJson: FetchJson) {
    this.#base = base;
    this.#fetchJson = fetchJson;
  }

  /**
   * The URL of the module that a specifier means now: of the highest version that its range allows.
   *
   * @throws {LoadError} If there is none.
   */
  async resolve(specifier: string): Promise<URL> {
    const parts = /^jsr:\/?(@[^/@]+\/[^/@]+)(?:@([^/]+))?(\/.*)?$/.exec(specifier);
    const [, name = "", range = "*", path = ""] = parts ?? [];
    if (!parts) {
      throw new LoadError(
        `${naming(specifier)} is no name of a JSR package; it must be such as jsr:@scope/name@^1`,
      );
    }
    const version = await this.#versionOf(specifier, name, decoded(range));
    const { exports } = await this.#manifest(name, version);
    const file = exports[path === "" ? "." : `.${path}`];
    const folder = new URL(`${name}/${version}/`, this.#base);
    const url = typeof file === "string" ? URL.parse(file.replace(/^\.?\//, "./"), folder) : null;
    if (url?.href.startsWith(folder.href)) return url;
    throw new LoadError(
      `${naming(specifier)} cannot be had: ${naming(`${name}@${version}`)} does not export ` +
        `"${naming(`.${path}`)}"; it exports ${naming(Object.keys(exports).join(", "))}`,
    );
  }

  /** What a URL names of a published package; undefined for other modules. */
  partsOf(
    { href }: URL,
  ): { readonly name: string; readonly version: string; readonly path: string } | undefined {
    if (!href.startsWith(this.#base.href)) return undefined;
    const [, name, version, path] =
      /^(@[^/]+\/[^/]+)\/([^/]+)(\/[^?#]+)/.exec(href.slice(this.#base.href.length)) ?? [];
    const isWhole = name !== undefined && version !== undefined && path !== undefined;
    return isWhole ? { name, version, path } : undefined;
  }

  /** The checksum that the registry published for a module of it, in hexadecimal digits; undefined for other modules. */
  async checksumOf(url: URL): Promise<string | undefined> {
    const parts = this.partsOf(url);
    if (!parts) return undefined;
    const { name, version, path } = parts;
    const { checksums } = await this.#manifest(name, version);
    const checksum = checksums.get(decoded(path));
    if (checksum !== undefined) return checksum;
    throw new LoadError(
      `${naming(url)} is not part of ${naming(`${name}@${version}`)} as it was published`,
      {
        isDistrusted: true,
      },
    );
  }

  async #versionOf(specifier: string, name: string, range: string): Promise<string> {
    // @ts-types="@types/semver"
    const { default: semver } = await import("semver");
    if (semver.validRange(range) === null) {
      throw new LoadError(
        `${naming(specifier)} cannot be had: "${naming(range)}" is no range of versions`,
      );
    }
    const url = new URL(`${name}/meta.json`, this.#base);
    const meta = toObject(await this.#fetchJson(url), url);
    const versions = Object.entries(toObject(meta["versions"] ?? {}, url))
      .filter(([, about]) => !toObject(about, url)["yanked"]).map(([version]) => version);
    const version = semver.maxSatisfying(versions, range);
    if (version !== null) return version;
    throw new LoadError(
      `${naming(specifier)} cannot be had: no version of it is ${naming(range)}; there are ${
        naming(versions.join(", ") || "none")
      }`,
    );
  }

  #manifest(name: string, version: string): Promise<Manifest> {
    const url = new URL(`${name}/${version}_meta.json`, this.#base);
    const known = this.#manifests.get(url.href);
    if (known) return known;
    const manifest = this.#fetchJson(url).then((value) => toManifest(value, url));
    this.#manifests.set(url.href, manifest);
    return manifest;
  }
}

/** Percent signs that stand for nothing stay: no name has them. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function toManifest(value: unknown, url: URL): Manifest {
  const { exports, manifest } = toObject(value, url);
  const checksums = Object.entries(toObject(manifest, url)).flatMap(([path, about]) => {
    const [, digest] = /^sha256-([0-9a-f]{64})$/.exec(String(toObject(about, url)["checksum"])) ??
      [];
    return digest === undefined ? [] : [[path, digest] as const];
  });
  // An export may be one text instead of a table.
  return {
    exports: typeof exports === "string" ? { ".": exports } : toObject(exports, url),
    checksums: new Map(checksums),
  };
}

function toObject(value: unknown, url: URL): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  throw new LoadError(`${naming(url)} is not what a JSR registry answers`);
}
