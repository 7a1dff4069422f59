/**
 * Owns: every change of a shard row that an operator may order.
 * Must not: perform it, wait, or know the time.
 * Called by: `runtime/cluster_control.ts`.
 *
 * An operator holds no shard. What is ordered is written beside what its owner writes, or in a later term, so that neither undoes the
 * other.
 *
 * @module
 */

import type { Checkpoint } from "./checkpoint.ts";
import type { HandoverRequest, LeaseChange, ShardOrder, ShardRow } from "./lease.ts";

/** Asks the owner of a shard for it in the name of an operator, instead of whoever else asks. */
export function orderHandover(row: ShardRow, request: HandoverRequest): LeaseChange {
  return {
    kind: "shard",
    id: row.id,
    expect: { owner: row.owner, term: row.term, handover: row.handover },
    set: { handover: { ...request, isOrder: true } },
  };
}

/** Stops or starts a shard for the whole cluster. */
export function order(row: ShardRow, given: ShardOrder): LeaseChange {
  return {
    kind: "shard",
    id: row.id,
    expect: { term: row.term, order: row.order },
    set: { order: given, ...given.kind === "start" && { stoppedBy: [] } },
  };
}

/** Sets the checkpoint of a shard, from whoever has it: the term goes up, so that nothing of theirs is written any more. */
export function rewind(row: ShardRow, checkpoint: Checkpoint): LeaseChange {
  return {
    kind: "shard",
    id: row.id,
    expect: { owner: row.owner, holder: row.holder, term: row.term },
    set: {
      owner: null,
      holder: null,
      previousOwner: row.owner ?? row.previousOwner,
      term: row.term + 1,
      because: "rewound",
      checkpoint,
      checkpointAt: null,
      millisBehindLatest: null,
      handover: null,
      // What was kept belongs to another position.
      state: null,
    },
  };
}
