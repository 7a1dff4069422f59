/**
 * Owns: loading a processor in this process, as the command line does at its start.
 * Called by: the tests of the loader.
 *
 * @module
 */

import { assert, assertRejects } from "@std/assert";
import { fetchGraph } from "../../src/cli/load_processor/graph.ts";
import {
  type LoadedProcessor,
  startProcessor,
} from "../../src/cli/load_processor/load_processor.ts";
import type { LoadOptions } from "../../src/cli/load_processor/options.ts";

/** A processor that does nothing. */
export const PROCESSOR = "export default { process: () => 1 };";

/** Sets this when it is evaluated, which nothing that is refused may be. */
export const EVALUATED = `(globalThis as any).wasEvaluated = true;`;

/** Loads the processor at a place. */
export async function loadProcessor(
  place: string,
  options: LoadOptions = {},
): Promise<LoadedProcessor> {
  return await startProcessor(await fetchGraph(place, options), options);
}

/** Loads it, and lets go of it. */
export async function load(place: string, options: LoadOptions = {}): Promise<void> {
  await (await loadProcessor(place, options)).dispose();
}

/** Loads a processor whose `process()` gives what it wants to be seen; calls it once, and lets go of it. */
export async function seenBy(place: string, options: LoadOptions = {}): Promise<unknown> {
  const loaded = await loadProcessor(place, options);
  try {
    const { process } = loaded.source as unknown as { process(): unknown };
    return await process();
  } finally {
    await loaded.dispose();
  }
}

/** The message of a processor that does not load. */
export async function refusal(place: string, options: LoadOptions = {}): Promise<string> {
  const { message } = await assertRejects(() => loadProcessor(place, options), Error);
  assert(!("wasEvaluated" in globalThis), "something ran before everything was checked");
  assert(!message.includes("kinesix-processor-"), message);
  return message;
}
