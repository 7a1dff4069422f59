/**
 * Owns: whether what a module exports is a processor, and what to say when it is not.
 * Must not: run it.
 * Called by: `load_processor.ts`.
 *
 * @module
 */

import type { ProcessorSource, RecordProcessor } from "../../processor.ts";
import { namingProcessor } from "./load_error.ts";

/** The methods that a processor may have. */
const METHODS = [
  "process",
  "processBatch",
  "getErrorHandlingMode",
  "onMaxRetryExceeded",
  "shardEnded",
] as const satisfies readonly (keyof RecordProcessor)[];

/**
 * The default export of a processor module.
 *
 * @throws {Error} If there is none, or it is no processor.
 */
export function processorOf(
  module: Readonly<Record<string, unknown>>,
  place: string,
): ProcessorSource {
  const { default: processor } = module;
  if (processor === undefined) {
    throw new Error(
      `Cannot use ${namingProcessor(place)}: it has no default export${exportsOf(module)}; ` +
        `write "export default" before the processor`,
    );
  }
  if (typeof processor === "function") {
    refuseClass(processor, place);
    return wrapFactory(processor as (shardId: string) => unknown, place);
  }
  return checkProcessor(processor, `the default export of ${namingProcessor(place)}`);
}

function wrapFactory(
  factory: (shardId: string) => unknown,
  place: string,
): (shardId: string) => Promise<RecordProcessor> {
  const wrapped = async (shardId: string): Promise<RecordProcessor> =>
    checkProcessor(
      await factory(shardId),
      `what the factory of ${namingProcessor(place)} returned`,
    );
  // A mark of what it makes.
  return "keepsState" in factory ? Object.assign(wrapped, { keepsState: true }) : wrapped;
}

function refuseClass(value: object, place: string): void {
  // A class is a function too, but calling it without "new" fails only when the first shard is taken.
  if (!/^class\b/.test(Function.prototype.toString.call(value))) return;
  throw new Error(
    `Cannot use ${
      namingProcessor(place)
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
