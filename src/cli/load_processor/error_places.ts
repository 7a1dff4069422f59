/**
 * Owns: errors that name the modules of a processor by their URLs, with line and column, and never by the files they run from.
 * Must not: decide whether something is an error.
 * Called by: `instantiate.ts`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { stripVTControlCharacters } from "node:util";
import { messageOf } from "../../errors.ts";
import type { GraphModule } from "./module_graph.ts";
import { syntaxHint } from "./transpile.ts";

/** Turns places in files into places in modules. */
export class ErrorPlaces {
  readonly #modules = new Map<string, GraphModule>();
  readonly #pattern: RegExp;

  /** @param folders How messages may name the folder: its URL, its path. */
  constructor(folders: readonly string[]) {
    const escaped = ["\\.", ...folders.map((folder) => RegExp.escape(folder))].join("|");
    this.#pattern = new RegExp(
      `(?:${escaped})[/\\\\]([\\w-]+\\.(?:mjs|json))(?::(\\d+):(\\d+))?`,
      "g",
    );
  }

  /** Knows these modules from now on. */
  add(modules: readonly GraphModule[]): void {
    for (const module of modules) this.#modules.set(module.fileName, module);
  }

  /** A text in which modules are named by their URLs. */
  async readable(text: string): Promise<string> {
    const { TraceMap, originalPositionFor } = await import("@jridgewell/trace-mapping");
    return stripVTControlCharacters(text).replaceAll(
      this.#pattern,
      (all, fileName: string, line?: string, column?: string) => {
        const module = this.#modules.get(fileName);
        if (!module) return all;
        if (line === undefined || column === undefined) return module.url;
        const map = sourceMapOf(module.code);
        const place = map === undefined ? null : originalPositionFor(new TraceMap(map), {
          line: Number(line),
          column: Number(column) - 1,
        });
        return place?.line
          ? `${module.url}:${place.line}:${place.column + 1}`
          : `${module.url}:${line}:${column}`;
      },
    );
  }

  /** What to say about an error of a module: one line, and where it comes from if the error knows. */
  async describe(error: unknown): Promise<string> {
    const isError = error instanceof Error;
    const message = (await this.readable(messageOf(error))).trim();
    if (isError) error.stack = await this.readable(error.stack ?? "");
    // The runtime shows the lines that it stumbled over, of the file.
    const lines = message.split("\n");
    const [, told, first = ""] = /^(?:(\w*Error): )?(.*)$/.exec(lines[0] ?? "") ?? [];
    const kind = told ?? (isError ? error.name : "Error");
    const name = kind === "Error" ? "" : `${kind}: `;
    const place = this.#placeIn(message) ?? this.#placeIn(isError ? error.stack ?? "" : "");
    if (place === undefined) return name + first;
    const { text, module, line } = place;
    const hint = kind === "SyntaxError" ? syntaxHint(module.code, line) : "";
    return `${name}${first}${first.includes(text) ? "" : ` at ${text}`}${hint}`;
  }

  /** The first place of a module that a text names. */
  #placeIn(text: string): PlaceInModule | undefined {
    let best: PlaceInModule | undefined;
    for (const module of this.#modules.values()) {
      const match = new RegExp(`${RegExp.escape(module.url)}:(\\d+):\\d+`).exec(text);
      if (match && match.index < (best?.index ?? Infinity)) {
        best = { index: match.index, text: match[0], module, line: Number(match[1]) };
      }
    }
    return best;
  }
}

interface PlaceInModule {
  readonly index: number;
  /** The URL with line and column. */
  readonly text: string;
  readonly module: GraphModule;
  readonly line: number;
}

function sourceMapOf(code: string): string | undefined {
  const at = code.lastIndexOf("//# sourceMappingURL=data:application/json;base64,");
  if (at < 0) return undefined;
  return Buffer.from(code.slice(code.indexOf(",", at) + 1).trim(), "base64").toString();
}
