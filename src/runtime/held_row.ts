/**
 * Owns: the row of a shard that this worker holds, as it was last acknowledged; sending a change of it until it is certain what became of it.
 * Must not: decide what to write or when, or send two changes at a time.
 * Called by: `runtime/lease_keeper.ts`, one change after the other.
 *
 * A write is sent again when its reply was lost; the row that comes back with the conflict then tells whether the first one was applied.
 *
 * @module
 */

import { compareCheckpoints } from "../core/checkpoint.ts";
import { type Claimant, isHeldBy, type LeaseChange, type ShardRow } from "../core/lease.ts";
import { type Backoff, backoffMs } from "../core/policy.ts";
import { invariant, StoreError } from "../errors.ts";
import type { Fence } from "./heartbeat.ts";
import { tellWriteFailure, type WriteDeps } from "./patient_write.ts";

/** What the row of a turn needs of the worker. */
export interface HeldRowDeps extends WriteDeps {
  readonly claimant: Claimant;
  readonly fence: Fence;
}

/** What a row needs of its turn. */
export interface HeldRowOptions {
  readonly deps: HeldRowDeps;
  /** Aborts when this worker does not write for the shard any more. */
  readonly signal: AbortSignal;
  /** Is called when the turn is found to be over. */
  readonly lose: (reason: string) => "lost";
}

const WRITE_BACKOFF: Backoff = { baseMs: 100, maxMs: 10_000 };
/** How often the row of a held shard may have changed under one write: only a request for it can come in between. */
const CONFLICTS_MAX = 10;

/** The row of one turn. */
export class HeldRow {
  readonly #options: HeldRowOptions;
  readonly #term: number;
  #row: ShardRow;

  /** @param row The row as the claim returned it. */
  constructor(row: ShardRow, options: HeldRowOptions) {
    this.#row = row;
    this.#term = row.term;
    this.#options = options;
  }

  /** The row as it was last acknowledged. */
  get current(): ShardRow {
    return this.#row;
  }

  /** Says what others wrote into the row of this turn, as a look at it shows. */
  saw({ handover, order }: ShardRow): void {
    this.#row = { ...this.#row, handover, order };
  }

  /**
   * Sends a change until it is certain what became of it. `null` from `makeChange` means that the reason for the change is
   * gone; the turn goes on.
   */
  async write(
    makeChange: (row: ShardRow) => LeaseChange | null,
  ): Promise<"written" | "lost" | "withdrawn"> {
    const { deps, signal, lose } = this.#options;
    const { store, clock, random, claimant, fence } = deps;
    let inDoubt: LeaseChange | null = null;
    let failures = 0;
    for (let conflicts = 0; conflicts < CONFLICTS_MAX;) {
      const change = makeChange(this.#row);
      if (change === null) return "withdrawn";
      if (signal.aborted || !fence.isUp) return lose("no heartbeat was acknowledged in time");
      try {
        const { kind, row } = await store.write(change, signal);
        if (kind === "written") {
          invariant(row !== null, "a written shard row exists");
          this.#row = row;
          return "written";
        }
        if (row !== null && isHeldBy(row, claimant) && row.term === this.#term) {
          // Still ours: an earlier try was applied, or a request for the shard came in.
          this.#row = row;
          if (wasApplied(inDoubt ?? change, row)) return "written";
          conflicts += 1;
          continue;
        }
        // Somebody else's row may show our checkpoint too: only a change of the term tells that the write was ours.
        if (inDoubt !== null && row !== null && isParting(inDoubt) && wasApplied(inDoubt, row)) {
          this.#row = row;
          return "written";
        }
        return lose(`the row says that ${describeOwner(row)}`);
      } catch (error) {
        if (signal.aborted) return "lost";
        if (!(error instanceof StoreError)) throw error;
        if (error.maybeApplied) inDoubt = change;
        failures += 1;
        const retryInMs = backoffMs(failures, WRITE_BACKOFF, random.next());
        tellWriteFailure(deps, change, error, retryInMs);
        await clock.sleep(retryInMs, signal).catch(() => {}); // An abort is seen by the next write.
      }
    }
    return lose(`its row changed ${CONFLICTS_MAX} times while it was written`);
  }
}

/** Whether the change ends the turn. */
function isParting({ set }: LeaseChange): boolean {
  return set !== "delete" && set.term !== undefined;
}

/** Whether the row shows what a change, whose reply was lost, would have made of it. */
function wasApplied(change: LeaseChange, row: ShardRow): boolean {
  const { set } = change;
  if (set === "delete") return false;
  const { checkpoint, term, owner, state } = set;
  return (checkpoint === undefined || compareCheckpoints(row.checkpoint, checkpoint) === 0) &&
    (term === undefined || row.term === term) && (owner === undefined || row.owner === owner) &&
    (state === undefined || row.state === state);
}

function describeOwner(row: ShardRow | null): string {
  if (row === null) return "the shard left the stream";
  if (row.owner === null) return `nobody has it, in term ${row.term}`;
  return `worker "${row.owner}" has it, in term ${row.term}`;
}
