/**
 * Owns: what a processor may keep in the row of its shard, and how that goes from a shard to its children.
 * Must not: know what is in it.
 * Called by: `runtime/shard_state.ts`, `runtime/shard_sync.ts`, `windows/tumbling_windows.ts`.
 *
 * A state is written with the checkpoint that it belongs to, in one change. A shard that was split or merged ends with one; each child
 * begins with what it makes of those of its parents, until its own row has one. So a parent keeps its state, and its row, as long as a
 * child has not begun: whoever takes that child makes the same of it, however often.
 *
 * @module
 */

import { SHARD_END } from "./checkpoint.ts";
import { covers } from "./key_space.ts";
import { isEnded, type LeaseChange, type ShardRow } from "./lease.ts";

/** The longest state, in bytes of UTF-8: a row may have 400 KB, and everybody who reads the row pays for it. */
export const STATE_BYTES_MAX = 262_144;

/** Whether a shard has a state of its own, or is processed without one: it inherits nothing any more. */
export function hasBegun({ state, checkpoint }: Pick<ShardRow, "state" | "checkpoint">): boolean {
  return state !== null || checkpoint.kind === "sequence" || checkpoint.kind === "shardEnd";
}

/** The finished shards whose state each of their children has taken up. */
export function rowsWithStateTaken(rows: readonly ShardRow[]): readonly ShardRow[] {
  const left = new Map<string, ShardRow[]>();
  for (const row of rows) if (isEnded(row) && row.state !== null) left.set(row.id, []);
  for (const row of rows) for (const parent of row.parents) left.get(parent)?.push(row);
  return rows.filter((row) => isTaken(row, left.get(row.id) ?? []));
}

/** Whether each child has begun. One may have no row yet: that is seen by the keys that no other one has. */
function isTaken({ hashKeyRange }: ShardRow, children: readonly ShardRow[]): boolean {
  if (children.length === 0 || !children.every(hasBegun)) return false;
  const ranges = children.flatMap((child) => child.hashKeyRange ?? []);
  const isKnown = ranges.length === children.length;
  return hashKeyRange === null || !isKnown || covers(ranges, hashKeyRange);
}

/** Drops the state of a finished shard. */
export function dropState(row: ShardRow): LeaseChange {
  return {
    kind: "shard",
    id: row.id,
    expect: { term: row.term, checkpoint: SHARD_END },
    set: { state: null },
  };
}
