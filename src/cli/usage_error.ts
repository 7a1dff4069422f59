/**
 * Owns: the error of a wrong call, and the nearest name to a wrong one.
 * Must not: print.
 * Called by: everything that reads flags; `main.ts` turns it into exit code 2.
 *
 * @module
 */

/** The command was called in a wrong way; nothing was started. */
export class UsageError extends Error {
  /** The name of the class. */
  override readonly name = "UsageError";
}

/** `, did you mean X?` when a known name is near to the wrong one, else nothing. */
export async function suggestion(wrong: string, known: readonly string[]): Promise<string> {
  const { closest, distance } = await import("fastest-levenshtein");
  const nearest = closest(wrong, known);
  // More than a third of the letters wrong is another word, not a typo; two swapped letters count as two.
  const typosMax = Math.max(2, Math.floor(nearest.length / 3));
  const typos = distance(wrong, nearest);
  return typos <= typosMax && typos < nearest.length ? `; did you mean ${nearest}?` : "";
}
