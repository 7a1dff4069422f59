/**
 * Owns: giving a processor the very package that runs it, so that `instanceof` and the retry functions mean the same.
 * Must not: be loaded before a processor asks for it.
 * Called by: `graph_builder.ts`, `module_place.ts` and `instantiate.ts`.
 *
 * @module
 */

import packageFile from "../../../deno.json" with { type: "json" };

/** The name that a processor imports it by. */
export const OWN_PACKAGE: string = packageFile.name;

const KEY = `${OWN_PACKAGE}/own`;

/** A module that exports what this package exports; it runs once {@linkcode lendOwnPackage} was called in the same thread. */
export async function ownPackageCode(): Promise<string> {
  const names = Object.keys(await loadOwnPackage());
  return `const own=globalThis[Symbol.for(${JSON.stringify(KEY)})];` +
    names.map((name) => `export const ${name}=own.${name};`).join("");
}

/** Makes this package available to that module. */
export async function lendOwnPackage(): Promise<void> {
  Object.assign(globalThis, { [Symbol.for(KEY)]: await loadOwnPackage() });
}

/** What this package exports. */
export async function loadOwnPackage(): Promise<Readonly<Record<string, unknown>>> {
  return await import("../../../mod.ts");
}
