/**
 * Owns: where the code of a graph is so that the runtime can import it: a private folder, or, for a single module, its own URL.
 * Must not: run it.
 * Called by: `instantiate.ts`.
 *
 * @module
 */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { messageOf } from "../../errors.ts";
import { LoadError, namingProcessor } from "./load_error.ts";
import type { GraphModule, ModuleGraph } from "./module_graph.ts";
import { OWN_PACKAGE } from "./own_package.ts";
import { PrivateFolder } from "./private_folder.ts";

/** Where the code of a graph is. */
export interface ModulePlace {
  /** The path of its folder, if it has one. */
  readonly path: string | undefined;
  /** How messages may name the folder: its URL, its path. */
  readonly names: readonly string[];
  /** How messages may name the single module, if there is no folder, and its file name. */
  readonly single?: { readonly url: string; readonly fileName: string };
  /** Adds modules that are not there. */
  write(modules: readonly GraphModule[]): Promise<void>;
  urlOf(fileName: string): string;
  remove(): Promise<void>;
}

/**
 * Puts a graph where it can be imported.
 *
 * @throws {LoadError} If its files cannot be written.
 */
export async function openPlace(graph: ModuleGraph): Promise<ModulePlace> {
  let folder: PrivateFolder | undefined;
  try {
    folder = await PrivateFolder.make();
    await folder.write(graph.modules);
    return ownFolder(folder);
  } catch (error) {
    await folder?.[Symbol.asyncDispose]();
    const [entry, ...others] = graph.modules;
    if (entry && others.every(({ url }) => url === OWN_PACKAGE)) {
      return memoryPlace(graph, entry, others);
    }
    throw needsFolder(graph, error);
  }
}

/** A folder that somebody else fills and removes. */
export function folderPlace(path: string): ModulePlace {
  const urlOf = (fileName: string): string => pathToFileURL(join(path, fileName)).href;
  return {
    path,
    names: [urlOf("."), path].map((name) => name.replace(/[/\\]\.?$/, "")),
    write: () => Promise.resolve(),
    urlOf,
    remove: () => Promise.resolve(),
  };
}

function ownFolder(folder: PrivateFolder): ModulePlace {
  return {
    ...folderPlace(folder.path),
    write: (modules) => folder.write(modules),
    remove: () => folder[Symbol.asyncDispose](),
  };
}

/** A single module needs no file; what it imports of this package is part of its text. */
function memoryPlace(
  graph: ModuleGraph,
  entry: GraphModule,
  [own]: readonly GraphModule[],
): ModulePlace {
  const { fileName } = entry;
  const code = own
    ? entry.code.replaceAll(JSON.stringify(`./${own.fileName}`), JSON.stringify(dataUrl(own.code)))
    : entry.code;
  const url = dataUrl(code);
  return {
    path: undefined,
    names: [],
    single: { url, fileName },
    write: (modules) => {
      const isAll = modules.every((module) => graph.modules.includes(module));
      return isAll ? Promise.resolve() : Promise.reject(needsFolder(graph, "none could be made"));
    },
    urlOf: () => url,
    remove: () => Promise.resolve(),
  };
}

function needsFolder(graph: ModuleGraph, cause: unknown): LoadError {
  return new LoadError(
    `Cannot load ${namingProcessor(graph.place)}: its modules need a folder for temporary files: ` +
      `${
        messageOf(cause)
      }; let TMPDIR name one that may be written, or bundle the processor into ` +
      `one module`,
    { cause },
  );
}

function dataUrl(code: string): string {
  return `data:text/javascript;charset=utf-8,${encodeURIComponent(code)}`;
}
