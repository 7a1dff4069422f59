/**
 * Owns: from the bytes of a module to JavaScript or JSON, line by line as it was written.
 * Must not: change what the imports name.
 * Called by: `graph_builder.ts`.
 *
 * @module
 */

import { messageOf } from "../../errors.ts";
import { LoadError, naming } from "./load_error.ts";

/** The text of a module as the runtime understands it. */
export interface Transpiled {
  readonly kind: "javascript" | "json";
  readonly text: string;
  /** Leads from places in the text to places in the TypeScript that it was made from; null if that is the same. */
  readonly sourceMap: string | null;
}

type MediaType = "typescript" | "javascript" | "json";

/** What servers say. `video/mp2t` is what those that do not know TypeScript take `.ts` for. */
const BY_CONTENT_TYPE: ReadonlyMap<string, MediaType> = new Map(Object.entries({
  "application/typescript": "typescript",
  "application/x-typescript": "typescript",
  "text/typescript": "typescript",
  "text/x-typescript": "typescript",
  "application/javascript": "javascript",
  "application/x-javascript": "javascript",
  "application/ecmascript": "javascript",
  "text/javascript": "javascript",
  "text/ecmascript": "javascript",
  "application/json": "json",
  "text/json": "json",
}));

/** These say nothing, so the extension decides. */
const VAGUE = [
  "text/plain",
  "application/octet-stream",
  "binary/octet-stream",
  "video/mp2t",
  "video/vnd.dlna.mpeg-tts",
];

const BY_EXTENSION: ReadonlyMap<string, MediaType> = new Map(Object.entries({
  ts: "typescript",
  mts: "typescript",
  js: "javascript",
  mjs: "javascript",
  json: "json",
}));

/**
 * Makes JavaScript of a module.
 *
 * @param contentType What the source calls it; null if it does not say.
 * @throws {LoadError} If it is of a kind that is not supported, or cannot be read.
 */
export async function transpile(
  url: string,
  bytes: Uint8Array,
  contentType: string | null,
): Promise<Transpiled> {
  const mediaType = mediaTypeOf(new URL(url), contentType);
  const text = decode(url, bytes);
  if (mediaType === "javascript") return { kind: "javascript", text, sourceMap: null };
  if (mediaType === "typescript") return await stripTypes(url, text);
  try {
    JSON.parse(text);
  } catch (error) {
    throw new LoadError(`${naming(url)} is not valid JSON: ${messageOf(error)}`, { cause: error });
  }
  return { kind: "json", text, sourceMap: null };
}

function mediaTypeOf(url: URL, contentType: string | null): MediaType {
  const extension = /\.([A-Za-z]+)$/.exec(url.protocol === "data:" ? "" : url.pathname)?.[1]
    ?.toLowerCase();
  if (extension === "tsx" || extension === "jsx") {
    throw new LoadError(`${naming(url)} is JSX, which is not supported; bundle it first`);
  }
  if (extension === "cjs" || extension === "cts") {
    throw new LoadError(
      `${naming(url)} is CommonJS; only ES modules can be loaded; bundle it first`,
    );
  }
  const byExtension = BY_EXTENSION.get(extension ?? "");
  if (contentType === null) return byExtension ?? "javascript";
  const byContentType = BY_CONTENT_TYPE.get(contentType) ??
    (contentType.endsWith("+json") ? "json" : undefined);
  if (byContentType !== undefined) return byContentType;
  if (VAGUE.includes(contentType) && byExtension !== undefined) return byExtension;
  throw new LoadError(
    `${naming(url)} is not a module: its content type is ${contentType}; serve it as ` +
      `application/typescript, text/javascript or application/json`,
  );
}

function decode(url: string, bytes: Uint8Array): string {
  try {
    // A `#!` line is for shells; the line stays, so that those after it keep their numbers.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/^#!/, "//");
  } catch (error) {
    throw new LoadError(`${naming(url)} is not text in UTF-8`, { cause: error });
  }
}

async function stripTypes(url: string, text: string): Promise<Transpiled> {
  const { transform } = await import("sucrase");
  try {
    const { code, sourceMap } = transform(text, {
      transforms: ["typescript"],
      // The runtime knows all of today's JavaScript.
      disableESTransforms: true,
      preserveDynamicImport: true,
      production: true,
      filePath: url,
      sourceMapOptions: { compiledFilename: url },
    });
    return { kind: "javascript", text: code, sourceMap: JSON.stringify(sourceMap ?? null) };
  } catch (error) {
    const [, reason = messageOf(error), line = "1", column = "1"] =
      /^(?:Error transforming [^]*?: )?([^:]*) \((\d+):(\d+)\)$/.exec(messageOf(error)) ?? [];
    throw syntaxError(url, { reason, line: Number(line), column: Number(column), text }, error);
  }
}

/** Where and why a module is not what it should be. Lines and columns begin at 1. */
export interface SyntaxFault {
  readonly reason: string;
  readonly line: number;
  readonly column: number;
  /** What was fetched. */
  readonly text: string;
}

/** The error of a module that is not well written. */
export function syntaxError(url: string, fault: SyntaxFault, cause: unknown): LoadError {
  const { reason, line, column, text } = fault;
  const hint = syntaxHint(text, line);
  return new LoadError(
    `${naming(url)}:${line}:${column} is not valid: ${reason}${hint}`,
    { cause },
  );
}

/** What to do about a line that is not valid. Neither the runtime nor the transpiler knows these two; they are just unexpected. */
export function syntaxHint(text: string, line: number): string {
  return /(^|[\s;{}])@[\w(]|\baccessor\s/.test(text.split("\n")[line - 1] ?? "")
    ? "; decorators and accessor fields are not supported: bundle the processor with a tool that compiles them"
    : "";
}
