/**
 * Owns: the error of a module that cannot be had, and how messages name modules.
 * Must not: decide what to do about it.
 * Called by: everything of the loader.
 *
 * @module
 */

import { shorten } from "../flags.ts";

/** A module of the processor cannot be loaded. */
export class LoadError extends Error {
  /** The name of the class. */
  override readonly name = "LoadError";
  /** Whether the source may have it later: it did not answer, or answered that it is in trouble. */
  readonly isUnreachable: boolean;
  /** Whether what came is not what was trusted; that is never put off until an `import()` runs. */
  readonly isDistrusted: boolean;

  constructor(
    message: string,
    options: ErrorOptions & { readonly isUnreachable?: boolean; readonly isDistrusted?: boolean } =
      {},
  ) {
    super(message, options);
    this.isUnreachable = options.isUnreachable ?? false;
    this.isDistrusted = options.isDistrusted ?? false;
  }
}

/** A URL as a message shows it. */
export function naming(url: string | URL): string {
  return shorten(String(url));
}

/** How messages name the module that the user asked for. */
export function namingProcessor(place: string): string {
  return `processor module "${shorten(place)}"`;
}
