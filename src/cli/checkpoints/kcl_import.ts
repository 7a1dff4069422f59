/**
 * Owns: what the leases of a KCL application mean for the shards of the stream.
 * Must not: read or write anything.
 * Called by: `checkpoint import --from-kcl`.
 *
 * @module
 */

import { type Checkpoint, SHARD_END, TRIM_HORIZON } from "../../core/checkpoint.ts";
import { shardsWithoutRow } from "../../core/lineage.ts";
import type { ShardInfo } from "../../ports.ts";
import type { KclLease } from "./kcl_table.ts";

/** A shard with the checkpoint that it begins at. */
export type ImportedShard = Omit<ShardInfo, "isClosed"> & { readonly checkpoint: Checkpoint };

/** What an import takes, and what it leaves. */
export interface KclImport {
  /** Parents before children. */
  readonly shards: readonly ImportedShard[];
  /** Leases of shards that the stream does not hold any more, with records that were not processed. */
  readonly lost: readonly string[];
  /** Shards without a lease that begin at their oldest record when a worker finds them. */
  readonly fresh: readonly string[];
}

/**
 * Matches leases with the shards that the stream lists.
 *
 * @param positions Where leases begin that say `LATEST` or `AT_TIMESTAMP`: the KCL does not write down when that was.
 * @throws {RangeError} If there is such a lease, and no time for it.
 */
export function planKclImport(
  leases: readonly KclLease[],
  shards: readonly ShardInfo[],
  positions: { readonly latest: Checkpoint; readonly atTimestamp: Checkpoint | undefined },
): KclImport {
  const byShard = new Map(leases.map((lease) => [lease.shardId, lease]));
  const listed = new Set(shards.map(({ id }) => id));
  const isDone = finishedBefore(shards, byShard);
  const imported = shards.flatMap(({ isClosed: _, ...shard }) => {
    const lease = byShard.get(shard.id);
    if (lease !== undefined) return [{ ...shard, checkpoint: toCheckpoint(lease, positions) }];
    return isDone(shard.id) ? [{ ...shard, checkpoint: SHARD_END }] : [];
  });
  const taken = new Set(imported.map(({ id }) => id));
  return {
    shards: shardsWithoutRow(imported, []).flat(),
    lost: leases.filter(({ shardId, checkpoint }) =>
      !listed.has(shardId) && checkpoint !== "SHARD_END"
    ).map(({ shardId }) => shardId),
    fresh: shards.map(({ id }) => id).filter((id) => !taken.has(id)),
  };
}

function toCheckpoint(
  { shardId, checkpoint, subSequenceNumber }: KclLease,
  positions: { readonly latest: Checkpoint; readonly atTimestamp: Checkpoint | undefined },
): Checkpoint {
  switch (checkpoint) {
    case "SHARD_END":
      return SHARD_END;
    case "TRIM_HORIZON":
      return TRIM_HORIZON;
    case "LATEST":
      return positions.latest;
    case "AT_TIMESTAMP":
      if (positions.atTimestamp !== undefined) return positions.atTimestamp;
      throw new RangeError(
        `Cannot import shard "${shardId}": its KCL checkpoint is AT_TIMESTAMP, and the KCL does not write ` +
          "down which; give it with --at-timestamp TIME",
      );
    default:
      // The KCL counts from 0 in a record that stands alone too.
      return { kind: "sequence", sequenceNumber: checkpoint, subSequenceNumber };
  }
}

/**
 * Whether a shard without a lease was finished: the KCL removes the lease of a shard when those that came from it are being
 * processed.
 */
function finishedBefore(
  shards: readonly ShardInfo[],
  leases: ReadonlyMap<string, KclLease>,
): (shardId: string) => boolean {
  const ancestors = new Set<string>();
  const parentsOf = new Map(shards.map(({ id, parents }) => [id, parents]));
  const queue = [...leases.keys()];
  for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
    for (const parent of parentsOf.get(id) ?? []) {
      if (ancestors.has(parent)) continue;
      ancestors.add(parent);
      queue.push(parent);
    }
  }
  return (shardId) => ancestors.has(shardId);
}
