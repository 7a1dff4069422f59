/**
 * Owns: the end of a closed shard, when its records are processed: telling the processor, and waiting for the last checkpoint.
 * Must not: mark the shard as finished.
 * Called by: `runtime/record_runner.ts`.
 *
 * @module
 */

import { formatCheckpoint } from "../core/checkpoint.ts";
import type { ErrorHandlingMode } from "../core/policy.ts";
import type { EventSink } from "../events.ts";
import type { Lease } from "./lease_keeper.ts";
import type { Ready } from "./ready_processor.ts";
import type { BatchOutcome } from "./record_attempts.ts";
import type { UserCode } from "./user_code.ts";

/** The turn that comes to the end of its shard. */
export interface EndingTurn {
  readonly user: UserCode;
  readonly lease: Lease;
  readonly emit: EventSink;
  /** Aborts when the shard is to be given up, or lost. */
  readonly until: AbortSignal;
  /** Aborts when it is to be given up. */
  readonly drain: AbortSignal;
  readonly millisBehindLatest: number;
}

const SHARD_ENDED_MODE: ErrorHandlingMode = { kind: "retryAndStop", retries: 2 };

/** Tells the processor that every record of the closed shard was processed. */
export async function tellShardEnded(
  { use, processor }: Ready,
  turn: EndingTurn,
): Promise<BatchOutcome> {
  const { user, lease, millisBehindLatest } = turn;
  let outcome: BatchOutcome = "done";
  for (let attempt = 1; processor.shardEnded !== undefined; attempt++) {
    try {
      const call = processor.shardEnded.bind(processor);
      await user.call(processor, { last: undefined, attempt, millisBehindLatest }, call);
      break;
    } catch (error) {
      user.tellFailed("shardEnded", error);
      const next = await user.afterFailure(attempt, SHARD_ENDED_MODE);
      if (next === "again") continue;
      outcome = next === "skip" || next === "stop" ? "processorFailed" : next;
      break;
    }
  }
  await use.done();
  return outcome === "done" && !lease.isAllFinished ? await untilFinished(turn) : outcome;
}

/** In the manual mode the end of a shard waits for the checkpoint of its last record, or what is after it would be lost. */
async function untilFinished(
  { lease, emit, until, drain }: EndingTurn,
): Promise<"done" | "drained" | "lost"> {
  const { shardId } = lease;
  const checkpoint = formatCheckpoint(lease.position);
  emit({ type: "shard_end_waiting", shardId, checkpoint });
  try {
    await lease.allFinished(until);
    return "done";
  } catch (error) {
    if (!until.aborted) throw error;
    return drain.aborted ? "drained" : "lost";
  }
}
