/**
 * Owns: the family tree of shards: which rows to create and in which order, which shards may run, which rows may go.
 * Must not: know workers, time or the stream's API.
 * Called by: `runtime/shard_sync.ts`, `core/balance.ts`.
 *
 * The rule that keeps the order of a partition key across splits and merges: a shard runs when each of its parents is
 * finished. A parent without a row counts as finished, which is why a row is only created when the rows of its parents
 * are there, and only deleted when the shard is finished and has left the stream.
 *
 * @module
 */

import { isEnded, type ShardRow } from "./lease.ts";

/** The part of a shard that the tree needs. */
export interface FamilyMember {
  readonly id: string;
  readonly parents: readonly string[];
}

/** The shards without a row, as generations: the rows of one generation are created before those of the next. */
export function shardsWithoutRow<S extends FamilyMember>(
  shards: readonly S[],
  rows: readonly FamilyMember[],
): readonly (readonly S[])[] {
  const known = new Set(rows.map((row) => row.id));
  let waiting = shards.filter((shard) => !known.has(shard.id));
  const generations: S[][] = [];
  while (waiting.length > 0) {
    const ids = new Set(waiting.map((shard) => shard.id));
    const free = waiting.filter((shard) => !shard.parents.some((parent) => ids.has(parent)));
    // A tree has always a shard without waiting parents; a stream that claims a circle is taken as it comes.
    const generation = free.length > 0 ? free : waiting;
    generations.push(generation);
    const done = new Set(generation.map((shard) => shard.id));
    waiting = waiting.filter((shard) => !done.has(shard.id));
  }
  return generations;
}

/** Whether each parent of the shard is finished, or has no row any more. */
export function isReady(row: ShardRow, rows: ReadonlyMap<string, ShardRow>): boolean {
  return row.parents.every((id) => {
    const parent = rows.get(id);
    return parent === undefined || isEnded(parent);
  });
}

/** The rows of finished shards that the stream does not list any more, and whose state no child is to take up. */
export function rowsWithoutShard(
  shards: readonly FamilyMember[],
  rows: readonly ShardRow[],
): readonly ShardRow[] {
  const listed = new Set(shards.map((shard) => shard.id));
  const parents = new Set(rows.flatMap((row) => row.parents));
  return rows.filter((row) =>
    isEnded(row) && !listed.has(row.id) && (row.state === null || !parents.has(row.id))
  );
}
