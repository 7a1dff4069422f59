/**
 * Owns: which code of the documents tests ask for by its words.
 * Must not: know what they do with it.
 * Called by: the tests of the documents.
 *
 * @module
 */

import { allCodeIn, codeIn } from "./markdown.ts";

const TESTS = new URL("../", import.meta.url);
const CALL = /\bcodeIn\(\s*"([^"]+)",\s*(?:"([^"]+)"|'([^']+)'),?\s*\)/g;
const CALL_FOR_ALL = /\ballCodeIn\("([^"]+)"\)/g;

/** Places, as `docs/start.md:12`. */
export async function claimed(): Promise<ReadonlySet<string>> {
  const places = new Set<string>();
  for await (const text of sourcesIn(TESTS)) {
    for (const [, path = "", words, others = ""] of text.matchAll(CALL)) {
      places.add((await codeIn(path, words ?? others)).where);
    }
    for (const [, path = ""] of text.matchAll(CALL_FOR_ALL)) {
      for (const { where } of await allCodeIn(path)) places.add(where);
    }
  }
  return places;
}

async function* sourcesIn(folder: URL): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sourcesIn(new URL(`${name}/`, folder));
    else if (name.endsWith(".ts")) yield await Deno.readTextFile(new URL(name, folder));
  }
}
