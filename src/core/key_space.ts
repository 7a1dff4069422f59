/**
 * Owns: whether ranges of hash keys cover every key, of all or of another range.
 * Must not: know which shards they are of, or what follows.
 * Called by: `cli/doctor/stream_checks.ts`, `core/shard_state.ts`.
 *
 * @module
 */

/** A range of hash keys with a name; both ends are inclusive, decimal numbers. */
export interface NamedRange {
  readonly id: string;
  readonly start: string;
  readonly end: string;
}

/** What is wrong with a set of ranges. */
export interface Coverage {
  /** Keys that no range has. */
  readonly holes: readonly { readonly start: string; readonly end: string }[];
  /** Pairs of ranges, by name, that have keys in common. */
  readonly overlaps: readonly (readonly [string, string])[];
}

/** A hash key is the MD5 of a partition key: 128 bits. */
const LAST_KEY = 2n ** 128n - 1n;

/** The holes between ranges and the overlaps of them, in the order of the keys. */
export function coverageOf(ranges: readonly NamedRange[]): Coverage {
  const sorted = ranges
    .map(({ id, start, end }) => ({ id, start: BigInt(start), end: BigInt(end) }))
    .toSorted((a, b) => a.start < b.start ? -1 : a.start > b.start ? 1 : a.end < b.end ? -1 : 1);
  const holes: { start: string; end: string }[] = [];
  const overlaps: [string, string][] = [];
  /** The range that reaches furthest so far. */
  let last = { id: "", end: -1n };
  for (const range of sorted) {
    if (range.start > last.end + 1n) {
      holes.push({ start: String(last.end + 1n), end: String(range.start - 1n) });
    }
    if (range.start <= last.end) overlaps.push([last.id, range.id]);
    if (range.end > last.end) last = range;
  }
  if (last.end < LAST_KEY) holes.push({ start: String(last.end + 1n), end: String(LAST_KEY) });
  return { holes, overlaps };
}

/** Whether ranges together have every key of another one. */
export function covers(
  ranges: readonly Omit<NamedRange, "id">[],
  { start, end }: Omit<NamedRange, "id">,
): boolean {
  const sorted = ranges.map((range) => ({ start: BigInt(range.start), end: BigInt(range.end) }))
    .toSorted((a, b) => a.start < b.start ? -1 : 1);
  let next = BigInt(start);
  for (const range of sorted) {
    if (range.start <= next && range.end >= next) next = range.end + 1n;
  }
  return next > BigInt(end);
}
