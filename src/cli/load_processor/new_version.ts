/**
 * Owns: whether a processor that runs is still what its place has.
 * Must not: run anything.
 * Called by: `run.ts`.
 *
 * @module
 */

import { fetchModule, fetchRemote } from "./fetch_module.ts";
import { fetchGraph } from "./graph.ts";
import { sha256 } from "./integrity.ts";
import type { LoadedProcessor } from "./load_processor.ts";
import type { ModuleGraph } from "./module_graph.ts";
import { ModuleSource } from "./module_source.ts";
import type { LoadOptions } from "./options.ts";
import { isRemote } from "./policy.ts";

/**
 * Asks where the modules of a processor came from whether one of them changed; by its tag where there is one, so that
 * little is sent while nothing does.
 *
 * @returns The whole new version, fetched and checked; null if there is none.
 * @throws {LoadError} If that cannot be found out, or the new version cannot be had, is not trusted or not well written.
 */
export async function checkForNewVersion(
  loaded: Pick<LoadedProcessor, "place" | "version" | "modules" | "redirects">,
  options: LoadOptions = {},
): Promise<ModuleGraph | null> {
  if (!await hasChanged(loaded, options)) return null;
  // A part of it from the cache would be neither the old version nor the new one.
  const graph = await fetchGraph(loaded.place, { ...options, isFresh: true });
  return graph.version === loaded.version ? null : graph;
}

async function hasChanged(
  { place, modules, redirects }: Pick<LoadedProcessor, "place" | "modules" | "redirects">,
  options: LoadOptions,
): Promise<boolean> {
  using source = await ModuleSource.open(place, options);
  // A redirect is followed again; it may lead elsewhere now.
  const led = Object.entries(redirects).map(([asked, url]) => ({ asked, url }));
  const direct = modules.map(({ url }) => ({ asked: url, url }))
    .filter(({ url }) => led.every((one) => one.url !== url));
  const known = new Map(modules.map((module) => [module.url, module]));
  const questions = [...led, ...direct];
  for (let i = 0; i < questions.length; i += PARALLEL_MAX) {
    const answers = questions.slice(i, i + PARALLEL_MAX).map(({ asked, url }) => {
      const module = known.get(url);
      return module !== undefined && isOther(module, asked, source);
    });
    if ((await Promise.all(answers)).includes(true)) return true;
  }
  return false;
}

const PARALLEL_MAX = 16;

async function isOther(
  module: LoadedProcessor["modules"][number],
  asked: string,
  source: ModuleSource,
): Promise<boolean> {
  const url = URL.parse(module.url);
  if (url?.protocol === "file:") {
    const { bytes } = await fetchModule(url, null, source.context);
    return await sha256(bytes) !== module.sha256;
  }
  // What is in a data: URL or in this program cannot change.
  if (!url || !isRemote(url) || source.context.isOffline) return false;
  const now = await source.locate(asked);
  if (asked.startsWith("jsr:")) return now.href !== url.href;
  if (source.isPublished(url)) return false;
  const answer = await fetchRemote(now, source.context, module);
  return answer !== "unchanged" &&
    (answer.url !== module.url || await sha256(answer.bytes) !== module.sha256);
}
