/**
 * Owns: errors that name the modules of a processor by their URLs, with line and column, and never by the files they run from.
 * Must not: decide whether something is an error.
 * Called by: `instantiate.ts`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { stripVTControlCharacters } from "node:util";
import { toEventError } from "../../errors.ts";
import type { GraphModule } from "./module_graph.ts";
import type { ModulePlace } from "./module_place.ts";
import { syntaxHint } from "./transpile.ts";

/** Turns places in files into places in modules. */
export class ErrorPlaces {
  readonly #modules = new Map<string, GraphModule>();
  readonly #pattern: RegExp;

  readonly #single: ModulePlace["single"];

  /** @param place Where the files are. */
  constructor({ names, single }: ModulePlace) {
    this.#single = single;
    const escaped = ["\\.", ...names.map((name) => RegExp.escape(name))].join("|");
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
    const { url, fileName } = this.#single ?? {};
    const plain = stripVTControlCharacters(text);
    return (url === undefined ? plain : plain.replaceAll(url, `./${fileName}`)).replaceAll(
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
    const told = toEventError(error);
    const message = (await this.readable(told.message)).trim();
    const stack = await this.readable(stackOf(error));
    setStack(error, stack);
    // The runtime shows the lines that it stumbled over, of the file.
    const lines = message.split("\n");
    const [, prefix, first = ""] = /^(?:(\w*Error): )?(.*)$/.exec(lines[0] ?? "") ?? [];
    const kind = prefix ?? told.name;
    const name = kind === "Error" ? "" : `${kind}: `;
    const place = this.#placeIn(message) ?? this.#placeIn(stack);
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

/** Anything can be thrown, also what throws when it is looked at. */
function stackOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.stack ?? "") : "";
  } catch {
    return "";
  }
}

/** For those who look at the cause. */
function setStack(error: unknown, stack: string): void {
  try {
    // One that is frozen stays as it is.
    if (error instanceof Error) Reflect.set(error, "stack", stack);
  } catch {
    // Nor can this one be changed; the message says what matters.
  }
}

function sourceMapOf(code: string): string | undefined {
  const at = code.lastIndexOf("//# sourceMappingURL=data:application/json;base64,");
  if (at < 0) return undefined;
  return Buffer.from(code.slice(code.indexOf(",", at) + 1).trim(), "base64").toString();
}
