/**
 * Owns: how a shard becomes this worker's.
 * Must not: decide which one.
 * Called by: `runtime/shard_roster.ts`.
 *
 * @module
 */

import { formatCheckpoint } from "../core/checkpoint.ts";
import { claim, isHeldBy, type ShardRow } from "../core/lease.ts";
import { readUntil } from "../core/retention.ts";
import { Lease, type LeaseDeps } from "./lease_keeper.ts";
import { writePatiently } from "./patient_write.ts";

/**
 * Takes a shard; null if somebody else was faster. `"too late"`: it is this worker's, but its fence was down in between; it has
 * to be taken again, in another term.
 */
export async function takeShard(
  row: ShardRow,
  deps: LeaseDeps,
  signal: AbortSignal,
): Promise<Lease | "too late" | null> {
  const { falls } = deps.fence;
  // A conflict may come from an earlier try whose reply was lost: what counts is whose the row is now.
  const { row: now } = await writePatiently(deps, claim(row, deps.claimant), signal);
  if (now === null || !isHeldBy(now, deps.claimant) || now.term !== row.term + 1) return null;
  // Whoever found this worker dead meanwhile may have a claim on its way that expects this very term.
  if (!deps.fence.isUp || deps.fence.falls !== falls) return "too late";
  const until = readUntil(now);
  deps.emit({
    type: "shard_claimed",
    shardId: now.id,
    term: now.term,
    from: now.previousOwner,
    checkpoint: formatCheckpoint(now.checkpoint),
    ...until !== null && { readUntil: new Date(until).toISOString() },
  });
  return new Lease(now, deps);
}
