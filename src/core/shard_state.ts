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
import { isEnded, type LeaseChange, type ShardRow } from "./lease.ts";

/** The longest state, in bytes of UTF-8: a row may have 400 KB, and everybody who reads the row pays for it. */
export const STATE_BYTES_MAX = 262_144;

/** Whether a shard has a state of its own, or is processed without one: it inherits nothing any more. */
export function hasBegun({ state, checkpoint }: Pick<ShardRow, "state" | "checkpoint">): boolean {
  return state !== null || checkpoint.kind === "sequence" || checkpoint.kind === "shardEnd";
}

/** The finished shards whose state each of their children has taken up. */
export function rowsWithStateTaken(rows: readonly ShardRow[]): readonly ShardRow[] {
  const parents = new Set(rows.flatMap((row) => row.parents));
  const awaited = new Set(rows.filter((row) => !hasBegun(row)).flatMap((row) => row.parents));
  return rows.filter((row) =>
    isEnded(row) && row.state !== null && parents.has(row.id) && !awaited.has(row.id)
  );
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
