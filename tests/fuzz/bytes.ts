/**
 * Owns: texts and bytes that nobody would send on purpose, and how to try them.
 * Called by: the tests of this folder.
 *
 * @module
 */

import { assert } from "@std/assert";
import fc from "fast-check";

/** Any bytes, of which some are almost text. */
export const rawBytes: fc.Arbitrary<Uint8Array<ArrayBuffer>> = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => new Uint8Array(bytes)),
  fc.tuple(fc.json(), fc.uint8Array({ maxLength: 4 }), fc.nat()).map(([text, noise, at]) => {
    const bytes = new TextEncoder().encode(text);
    const cut = at % (bytes.length + 1);
    return new Uint8Array([...bytes.subarray(0, cut), ...noise, ...bytes.subarray(cut)]);
  }),
);

/** Names that mean something to JavaScript, and to nobody else. */
export const magicNames: fc.Arbitrary<string> = fc.constantFrom(
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "then",
  "toJSON",
);

/** Any text: of letters, of whatever bytes give, with half a surrogate pair, long, or magic. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  rawBytes.map((bytes) => new TextDecoder("latin1").decode(bytes)),
  fc.constantFrom("\ud800", "\u0000", "\n", "x".repeat(10_000), "9".repeat(1_000), "1e999", "-0"),
  magicNames,
);

/** Anything that JavaScript has. */
export const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true }),
  anyText,
);

/** Tries something that may throw an error of a named class, and nothing else. */
export function tryOut(
  work: () => unknown,
  ...named: readonly (abstract new (...args: never[]) => Error)[]
): void {
  try {
    work();
  } catch (error) {
    const isNamed = named.some((kind) => error instanceof kind);
    assert(isNamed, `it threw ${error instanceof Error ? error.stack : error}`);
  }
}
