/**
 * Owns: what the processor of a shard keeps, during one turn: what it begins with, and what is written with a checkpoint.
 * Must not: write a row, or know what is in a state.
 * Called by: `runtime/lease_keeper.ts`, of which each turn has one; `runtime/finished_read.ts`.
 *
 * @module
 */

import type { Checkpoint } from "../core/checkpoint.ts";
import { isEnded, type ShardRow } from "../core/lease.ts";
import { type Backoff, backoffMs } from "../core/policy.ts";
import { hasBegun, STATE_BYTES_MAX } from "../core/shard_state.ts";
import { StoreError, toEventError } from "../errors.ts";
import type { RecordProcessor, ShardBeginning, StatefulProcessor } from "../processor.ts";
import type { WriteDeps } from "./patient_write.ts";

/** A position, and what belongs to it. */
export interface StateAt {
  readonly checkpoint: Checkpoint;
  readonly state: string | null;
}

const READ_BACKOFF: Backoff = { baseMs: 200, maxMs: 5_000 };

/** The state of one turn. */
export class ShardState {
  readonly #deps: WriteDeps;
  readonly #row: ShardRow;
  /** What the processor left that is not used any more; at first what the row has. */
  #left: string | null;
  #processor: StatefulProcessor | undefined;
  #isUnfit = false;
  /** Whether it inherits nothing any more. */
  #hasBegun: boolean;

  /** @param row The row as the claim returned it. */
  constructor(row: ShardRow, deps: WriteDeps) {
    this.#deps = deps;
    this.#row = row;
    this.#left = row.state;
    this.#hasBegun = hasBegun(row);
  }

  /** Whether a processor keeps something. */
  get isKept(): boolean {
    return this.#processor !== undefined;
  }

  /** Whether a processor may be given records: one that keeps state has to begin first. One that keeps none ends what there was. */
  isReady(processor: RecordProcessor): boolean {
    if (isStateful(processor)) return processor === this.#processor;
    this.#processor = undefined;
    this.#left = null;
    this.#hasBegun = true;
    return true;
  }

  /**
   * Has a processor begin with what the one before it left, or with what the parents of the shard left.
   *
   * @returns Whether it begins with something that its row does not have yet.
   * @throws If the state is none of its own; or the signal's reason.
   */
  async begin(processor: RecordProcessor, signal: AbortSignal): Promise<boolean> {
    if (this.isReady(processor) || !isStateful(processor)) return false;
    if (this.#processor !== undefined) this.#left = this.#processor.snapshot();
    const { id: shardId, hashKeyRange, parents } = this.#row;
    const inherited = this.#left === null && !this.#hasBegun ? await this.#inherited(signal) : [];
    const state = this.#left;
    const isMerged = parents.length > 1;
    processor.begin({ shardId, hashKeyRange, state, parents: inherited, isMerged });
    this.#processor = processor;
    return inherited.length > 0;
  }

  /** Whether what belongs to the last position could not be written; that was told. */
  get isUnfit(): boolean {
    return this.#isUnfit;
  }

  /** What to write with a position; what is written already, if what belongs to this one cannot be. */
  at(checkpoint: Checkpoint, written: StateAt): StateAt {
    try {
      const state = this.#processor === undefined ? this.#left : this.#processor.snapshot();
      if (this.#processor !== undefined) checkLength(this.#row.id, state ?? "");
      this.#isUnfit = false;
      return { checkpoint, state };
    } catch (error) {
      const { id: shardId } = this.#row;
      const operation = "state";
      if (!this.#isUnfit) {
        this.#deps.emit({
          type: "processor_failed",
          shardId,
          operation,
          error: toEventError(error),
        });
      }
      this.#isUnfit = true;
      return written;
    }
  }

  async #inherited(signal: AbortSignal): Promise<ShardBeginning["parents"]> {
    const rows = await Promise.all(this.#row.parents.map((id) => this.#read(id, signal)));
    return rows.flatMap((row) => {
      if (row === null || !isEnded(row) || row.state === null) return [];
      return [{ shardId: row.id, hashKeyRange: row.hashKeyRange, state: row.state }];
    });
  }

  /** Without it nothing can begin, so it is tried for as long as it takes. */
  async #read(shardId: string, signal: AbortSignal): Promise<ShardRow | null> {
    const { store, clock, random, emit } = this.#deps;
    for (let failures = 1;; failures++) {
      try {
        return await store.read("shard", shardId, signal);
      } catch (error) {
        if (signal.aborted || !(error instanceof StoreError)) throw error;
        const task = `read what shard ${shardId} left`;
        emit({ type: "task_failed", task, error: toEventError(error) });
        await clock.sleep(backoffMs(failures, READ_BACKOFF, random.next()), signal);
      }
    }
  }
}

/** Whether a processor keeps state. */
export function isStateful(processor: RecordProcessor): processor is StatefulProcessor {
  return "keepsState" in processor;
}

function checkLength(shardId: string, state: string): void {
  // A character has three bytes at most.
  if (state.length * 3 <= STATE_BYTES_MAX) return;
  const bytes = new TextEncoder().encode(state).byteLength;
  if (bytes <= STATE_BYTES_MAX) return;
  throw new RangeError(
    `Cannot checkpoint shard "${shardId}": its processor keeps ${bytes} bytes, and ${STATE_BYTES_MAX} are allowed; keep less`,
  );
}
