/**
 * Owns: what the text after `--processor` and after `import` means.
 * Must not: read or fetch anything.
 * Called by: `graph.ts` and `instantiate.ts`.
 *
 * @module
 */

import { isAbsolute, resolve } from "node:path";
import { builtinModules } from "node:module";
import { pathToFileURL } from "node:url";
import packageFile from "../../../deno.json" with { type: "json" };
import { UsageError } from "../usage_error.ts";
import { LoadError, naming, namingProcessor } from "./load_error.ts";
import { checkImport } from "./policy.ts";

/** What an import means. */
export type Target =
  /** A module to fetch; also `jsr:`, which leads to one. */
  | { readonly kind: "module"; readonly url: string }
  /** This package itself: the modules of the running program, so that its classes are the same ones. */
  | { readonly kind: "own" }
  /** What the runtime has: `node:` and npm packages. */
  | { readonly kind: "package"; readonly specifier: string };

const FETCHED = ["file:", "https:", "http:", "data:"];
const SUPPORTED =
  "a path, file:, https:, http: to this machine, data:, jsr: and npm: are supported";

/**
 * The URL of a processor module. A path is one from the current folder.
 *
 * @throws {UsageError} If it is of a kind that is not supported.
 */
export function entryUrl(place: string): URL {
  // A letter and a colon is a drive of Windows, not a scheme.
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(place)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    return pathToFileURL(isAbsolute(place) ? place : resolve(Deno.cwd(), place));
  }
  if (![...FETCHED, "jsr:", "npm:"].includes(`${scheme}:`)) {
    throw new UsageError(`Cannot load ${namingProcessor(place)}: ${SUPPORTED}, not ${scheme}:`);
  }
  const url = URL.parse(place);
  if (!url) throw new UsageError(`Cannot load ${namingProcessor(place)}: it is not a valid URL`);
  if (url.username === "" && url.password === "") return url;
  url.username = "";
  url.password = "";
  throw new UsageError(
    `Cannot load ${namingProcessor(url.href)}: a URL with a password would be written to logs; ` +
      `use --header instead`,
  );
}

/**
 * What an import in a module means.
 *
 * @param base The URL of the module that imports.
 * @throws {LoadError} If it means nothing here, or the module may not import such a thing.
 */
export function importTarget(specifier: string, base: string): Target {
  if (isOwnPackage(specifier)) return { kind: "own" };
  const isRelative = /^(\.\.?)?\//.test(specifier);
  const url = isRelative ? URL.parse(specifier, base) : URL.parse(specifier);
  if (isRelative && !url) {
    throw new LoadError(
      `${naming(base)} cannot import "${
        naming(specifier)
      }": there is nothing that it is relative to`,
    );
  }
  if (url && (FETCHED.includes(url.protocol) || url.protocol === "jsr:")) {
    checkImport(url, new URL(base));
    return { kind: "module", url: url.href };
  }
  if (url?.protocol === "node:" || url?.protocol === "npm:") return { kind: "package", specifier };
  if (url) {
    throw new LoadError(
      `${naming(base)} cannot import "${naming(specifier)}": ${SUPPORTED}, not ${url.protocol}`,
    );
  }
  if (builtinModules.includes(specifier)) {
    return { kind: "package", specifier: `node:${specifier}` };
  }
  return { kind: "package", specifier: resolveBareName(specifier, base) };
}

/**
 * Refuses npm packages, which the runtime resolves by itself, so that no lock file of ours covers them.
 *
 * @throws {LoadError} If it is one. What is embedded in an executable is as trusted as the executable.
 */
export function checkLocked(
  target: Target,
  specifier: string,
  { base, place }: { readonly base: string; readonly place?: string },
): void {
  const isFromNpm = target.kind === "package" && target.specifier.startsWith("npm:");
  if (!isFromNpm || Deno.build.standalone) return;
  const importer = place === undefined ? naming(base) : `${naming(base)}:${place}`;
  throw new LoadError(
    `${importer} cannot import "${
      naming(specifier)
    }": npm packages are not in the lock file, and ` +
      `--frozen allows nothing else; ${bundleHint(base)}`,
    { isDistrusted: true },
  );
}

/** What to do about a package that is not there. */
export function bundleHint(place: string): string {
  return `bundle the processor first, so that it is part of it: ` +
    `deno bundle --output processor.js ${/^[a-z]+:/.test(place) ? "PROCESSOR.ts" : naming(place)}`;
}

function isOwnPackage(specifier: string): boolean {
  const [, name] = /^(?:jsr:\/?)?(@[^/@]+\/[^/@]+)(?:@[^/]+)?$/.exec(specifier) ?? [];
  return name === packageFile.name;
}

function resolveBareName(specifier: string, base: string): string {
  try {
    // What this program is made with: `deno.json` of a clone, or what is embedded in the executable.
    return import.meta.resolve(specifier);
  } catch (error) {
    throw new LoadError(
      `${naming(base)} cannot import "${naming(specifier)}": it is not part of this program; ` +
        bundleHint(base),
      { cause: error },
    );
  }
}
