/**
 * Owns: the way from a path or URL to a processor, and what to say when there is none.
 * Must not: run it.
 * Called by: `run.ts`.
 *
 * @module
 */

import { isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { messageOf } from "../errors.ts";
import type { ProcessorSource, RecordProcessor } from "../processor.ts";
import { shorten } from "./flags.ts";
import { UsageError } from "./usage_error.ts";

/** The methods that a processor may have. */
const METHODS = [
  "process",
  "processBatch",
  "getErrorHandlingMode",
  "onMaxRetryExceeded",
  "shardEnded",
] as const satisfies readonly (keyof RecordProcessor)[];

/**
 * Loads the default export of a processor module.
 *
 * @throws {UsageError} If the place is of a kind that is not supported.
 * @throws {Error} If the module does not load, or its default export is no processor.
 */
export async function loadProcessor(place: string): Promise<ProcessorSource> {
  const url = processorUrl(place);
  if (url.protocol === "file:") await requireFile(url, place);
  let module: { readonly default?: unknown };
  try {
    module = await import(url.href);
  } catch (error) {
    throw new Error(`Cannot load ${naming(place)}: ${messageOf(error)}`, { cause: error });
  }
  if (module.default === undefined) {
    throw new Error(
      `Cannot use ${naming(place)}: it has no default export${exportsOf(module)}; ` +
        `write "export default" before the processor`,
    );
  }
  if (typeof module.default === "function") {
    refuseClass(module.default, place);
    return wrapFactory(module.default as (shardId: string) => unknown, place);
  }
  return checkProcessor(module.default, `the default export of ${naming(place)}`);
}

/**
 * The URL of a processor module.
 *
 * @throws {UsageError} If it is of a kind that is not supported.
 */
export function processorUrl(place: string): URL {
  // A letter and a colon is a drive of Windows, not a scheme.
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(place)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    return pathToFileURL(isAbsolute(place) ? place : resolve(Deno.cwd(), place));
  }
  if (scheme !== "file" && scheme !== "data") {
    throw new UsageError(
      `Cannot load ${naming(place)}: only a path, file: and data: are supported, not ${scheme}:`,
    );
  }
  const url = URL.parse(place);
  if (url) return url;
  throw new UsageError(`Cannot load ${naming(place)}: it is not a valid URL`);
}

async function requireFile(url: URL, place: string): Promise<void> {
  try {
    const { isFile } = await Deno.stat(url);
    if (isFile) return;
  } catch (error) {
    throw new Error(`Cannot load ${naming(place)}: ${messageOf(error)}`, { cause: error });
  }
  throw new Error(`Cannot load ${naming(place)}: it is not a file; name the module itself`);
}

function wrapFactory(
  factory: (shardId: string) => unknown,
  place: string,
): (shardId: string) => Promise<RecordProcessor> {
  return async (shardId) =>
    checkProcessor(await factory(shardId), `what the factory of ${naming(place)} returned`);
}

function refuseClass(value: object, place: string): void {
  // A class is a function too, but calling it without "new" fails only when the first shard is taken.
  if (!/^class\b/.test(Function.prototype.toString.call(value))) return;
  throw new Error(
    `Cannot use ${
      naming(place)
    }: its default export is a class; write "export default new ..." or ` +
      `"export default () => new ..."`,
  );
}

function checkProcessor(value: unknown, what: string): RecordProcessor {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(
      `Cannot use ${what}: it is ${describe(value)}; it must be an object with a method ` +
        `process(record, context) or processBatch(records, context), or a function that returns one`,
    );
  }
  const processor = value as RecordProcessor;
  for (const name of METHODS) {
    if (processor[name] === undefined || typeof processor[name] === "function") continue;
    throw new TypeError(
      `Cannot use ${what}: its "${name}" is ${describe(processor[name])}; it must be a function`,
    );
  }
  if (!processor.process && !processor.processBatch) {
    const names = Object.keys(value).map((name) => `"${name}"`).join(", ") || "nothing";
    throw new TypeError(
      `Cannot use ${what}: it has neither process(record, context) nor ` +
        `processBatch(records, context); it has ${names}`,
    );
  }
  return processor;
}

function describe(value: unknown): string {
  if (value === null) return "null";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function exportsOf(module: object): string {
  const names = Object.keys(module);
  return names.length === 0 ? "" : ` (it exports ${names.join(", ")})`;
}

function naming(place: string): string {
  return `processor module "${shorten(place)}"`;
}
