/**
 * Owns: finding the imports of a module, and making them name the files that they lead to.
 * Must not: decide what they lead to.
 * Called by: `graph_builder.ts` and `instantiate.ts`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { DynamicImport, StaticImport } from "es-module-lexer";
import { messageOf } from "../../errors.ts";
import { LoadError, naming } from "./load_error.ts";
import { syntaxError, type Transpiled } from "./transpile.ts";

/** A module with the imports that were found in it. */
export interface ParsedModule extends Transpiled {
  readonly url: string;
  /** In the order of the text; those that name a module in plain text. */
  readonly imports: readonly ParsedImport[];
  readonly found: readonly (StaticImport | DynamicImport)[];
}

/** An import that names a module. */
export interface ParsedImport {
  readonly specifier: string;
  /** Whether it is an `import()`, which may never run. */
  readonly isLate: boolean;
  /** What it asks for by `with { type: ... }`; null without. */
  readonly type: string | null;
  /** `line:column`, from 1, in the text that runs: the line is that of the source. */
  readonly place: string;
}

/** The name of the function that an `import()` becomes a call of; see `late_imports.ts`. */
export const LATE_IMPORT = "@reacto/kinesix/late-import";

/**
 * Finds the imports of a module.
 *
 * @throws {LoadError} If the module is not well written.
 */
export async function parseImports(url: string, module: Transpiled): Promise<ParsedModule> {
  if (module.kind === "json") return { ...module, url, imports: [], found: [] };
  const { init, parse } = await import("es-module-lexer");
  await init();
  const { text } = module;
  let found: readonly (StaticImport | DynamicImport)[];
  try {
    found = parse(text, url)[0].filter((one) => one.type !== "import-meta");
  } catch (error) {
    const at = Number((error as { readonly idx?: unknown }).idx) || 0;
    const [line = 1, column = 1] = placesIn(text)(at).split(":").map(Number);
    const reason = messageOf(error).replace(/^Parse error .*$/s, "something is unexpected here");
    throw syntaxError(url, { reason, line, column, text }, error);
  }
  const placeOf = placesIn(text);
  const imports = found.flatMap((one): readonly ParsedImport[] => {
    const place = placeOf(one.importStart);
    if (one.phase === "source") {
      throw new LoadError(
        `${naming(url)}:${place} cannot be had: "import source" is not supported`,
      );
    }
    const isLate = one.type === "dynamic";
    if (one.specifier === undefined || (isLate && one.glob)) return [];
    const type = one.attributes?.find(([key]) => key === "type")?.[1] ?? null;
    return [{ specifier: one.specifier, isLate, type, place }];
  });
  return { ...module, url, imports, found };
}

/** What the imports of a module become. */
export interface Rewriting {
  /** The name of the graph. */
  readonly id: string;
  /** The file or package that a specifier leads to. */
  readonly fileOf: (specifier: string) => string;
}

/** The code of a module, with imports that name files, and its URL as its own. */
export async function rewrite(module: ParsedModule, rewriting: Rewriting): Promise<string> {
  if (module.kind === "json") return module.text;
  const { MagicString } = await import("magic-string");
  const code = new MagicString(module.text);
  const url = JSON.stringify(module.url);
  for (const one of module.found) {
    if (one.type === "dynamic") {
      const call = `globalThis[Symbol.for(${JSON.stringify(LATE_IMPORT)})]`;
      code.overwrite(
        one.importStart,
        one.dynamicStart + 1,
        `${call}(${JSON.stringify(rewriting.id)},${url},`,
      );
    } else {
      // Between the quotes; they are replaced too.
      code.overwrite(one.start - 1, one.end + 1, JSON.stringify(rewriting.fileOf(one.specifier)));
    }
  }
  code.prepend(prologue(module.url));
  const map = await joinedMap(
    module,
    code.generateMap({ source: module.url, hires: "boundary" }).toString(),
  );
  return `${code.toString()}\n//# sourceMappingURL=data:application/json;base64,${
    Buffer.from(map).toString("base64")
  }\n`;
}

/** On the first line, before the module's own code, so that lines keep their numbers. */
function prologue(url: string): string {
  const resolve = "import.meta.resolve=(s)=>/^\\.{0,2}\\//.test(s)?" +
    "new URL(s,import.meta.url).href:URL.parse(s)?.href??s;";
  return `import.meta.url=${JSON.stringify(url)};${resolve}${pathOf(url)}`;
}

/** Only what is a file has a path. */
function pathOf(url: string): string {
  if (!url.startsWith("file:")) return "delete import.meta.filename;delete import.meta.dirname;";
  const path = fileURLToPath(url);
  return `import.meta.filename=${JSON.stringify(path)};` +
    `import.meta.dirname=${JSON.stringify(dirname(path))};`;
}

async function joinedMap({ sourceMap }: ParsedModule, own: string): Promise<string> {
  if (sourceMap === null) return own;
  const { default: remapping } = await import("@jridgewell/remapping");
  return remapping([own, sourceMap], () => null).toString();
}

/** Finds lines and columns. The lines are looked for once: a bundle is long, and one with many imports would block the worker. */
function placesIn(text: string): (index: number) => string {
  const starts = [0];
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) {
    starts.push(end + 1);
  }
  return (index) => {
    let [line, after] = [0, starts.length];
    while (after - line > 1) {
      const middle = (line + after) >> 1;
      if ((starts[middle] ?? Infinity) <= index) line = middle;
      else after = middle;
    }
    return `${line + 1}:${index - (starts[line] ?? 0) + 1}`;
  };
}
