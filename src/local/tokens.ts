// Owns: the opaque strings that carry a position from one call to the next: how they are made and read back.
// Must not: judge whether what they say still holds.
// Called by: shard_iterators.ts, shard_listing.ts.

type Part = string | number;

/** Writes the parts as one base64 string; `kind` keeps one sort of token from being taken for another. */
export function formatToken(kind: string, parts: readonly Part[]): string {
  return btoa(JSON.stringify([kind, ...parts]));
}

/** Reads the parts back, or answers `undefined` for a string that `formatToken` did not make. */
export function parseToken(kind: string, token: string): readonly unknown[] | undefined {
  try {
    const parts: unknown = JSON.parse(atob(token));
    return Array.isArray(parts) && parts[0] === kind ? parts.slice(1) : undefined;
  } catch {
    // Neither base64 nor JSON: the answer is the same as for any other foreign string.
    return undefined;
  }
}
