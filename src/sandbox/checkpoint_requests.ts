/**
 * Owns: the calls of `context.checkpoint()` that come out of another thread, also after the call that the context was for.
 * Must not: keep more than one context of a shard, and none in the mode in which nothing is checkpointed by hand.
 * Called by: `sandbox/remote_processor.ts` and `sandbox/processor_threads.ts`.
 *
 * @module
 */

import { LeaseLostError } from "../errors.ts";
import type { KinesisRecord, ProcessContext } from "../processor.ts";
import { DeliveredRecord } from "../runtime/delivered_record.ts";
import type { PackedPosition } from "./protocol.ts";

/** Finds the shard that a request is for. */
export class CheckpointRequests {
  readonly #isManual: boolean;
  readonly #contexts = new Map<string, ProcessContext>();

  /** @param mode Nothing is kept in the mode `auto`. */
  constructor(mode: "auto" | "manual") {
    this.#isManual = mode === "manual";
  }

  /** Notes the latest context of a shard, until the shard is lost. */
  note(context: ProcessContext): void {
    if (!this.#isManual) return;
    const { shardId, signal } = context;
    const before = this.#contexts.get(shardId);
    this.#contexts.set(shardId, context);
    // One listener for a turn, not for a call.
    if (before?.signal === signal) return;
    signal.addEventListener("abort", () => {
      if (this.#contexts.get(shardId)?.signal === signal) this.#contexts.delete(shardId);
    }, { once: true });
  }

  /**
   * Makes the checkpoint; `null` is everything that was given.
   *
   * @throws {LeaseLostError} If the shard is not held any more, or not in that term.
   */
  async request(shardId: string, term: number, position: PackedPosition | null): Promise<void> {
    const context = this.#contexts.get(shardId);
    if (context?.term !== term) {
      throw new LeaseLostError(shardId, `it is not held in term ${term} any more`);
    }
    await context.checkpoint(position === null ? undefined : recordAt(shardId, position));
  }
}

/** A checkpoint looks at the position of the record only. */
function recordAt(shardId: string, position: PackedPosition): KinesisRecord {
  const { sequenceNumber, subSequenceNumber } = position;
  return new DeliveredRecord(shardId, {
    sequenceNumber,
    ...subSequenceNumber !== undefined && { subSequenceNumber },
    partitionKey: "",
    data: new Uint8Array(),
    approximateArrivalTimestamp: 0,
  });
}
