/**
 * Owns: the row of a shard that this worker holds, as it was last acknowledged; sending a change of it until it is certain what became of it.
 * Must not: decide what to write or when, or send two changes at a time.
 * Called by: `runtime/lease_keeper.ts`, one change after the other.
 *
 * A write is sent again when its reply was lost; the row that comes back with the conflict then tells whether the first one was applied.
 *
 * @module
 */

import { compareCheckpoints, formatCheckpoint } from "../core/checkpoint.ts";
import {
  advance,
  type Claimant,
  isHeldBy,
  type LeaseChange,
  type Progress,
  type ShardRow,
} from "../core/lease.ts";
import { type Backoff, backoffMs } from "../core/policy.ts";
import {
  invariant,
  LeaseLostError,
  type RefusedItem,
  StoreError,
  TransactionRefusedError,
} from "../errors.ts";
import type { Transaction, TransactionResult, WriteResult } from "../ports.ts";
import type { Fence } from "./heartbeat.ts";
import { tellWriteFailure, type WriteDeps } from "./patient_write.ts";
import { Scope } from "./tasks.ts";

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
  write(
    makeChange: (row: ShardRow) => LeaseChange | null,
  ): Promise<"written" | "lost" | "withdrawn"> {
    const { deps: { store }, signal } = this.#options;
    return this.#untilCertain(makeChange, {
      signal,
      send: (change) => store.write(change, signal),
    });
  }

  /**
   * Moves the checkpoint on together with items, all or nothing. It is withdrawn when nothing of it can have been done and
   * `sending.until` aborts, or `sending.patience` once a try has failed; when `sending.signal` does, nobody knows.
   *
   * @throws {LeaseLostError} If the turn ended before it was written, or it was withdrawn.
   * @throws {TransactionRefusedError} If DynamoDB refused items.
   * @throws {StoreError} If the items can never be written as they are.
   * @throws {RangeError} If the checkpoint passed the position without them.
   */
  async transact(
    progress: Progress,
    items: Transaction["items"],
    sending: Required<Omit<Sending, "send">>,
  ): Promise<void> {
    const { id, checkpoint } = this.#row;
    if (compareCheckpoints(progress.checkpoint, checkpoint) <= 0) {
      throw new RangeError(
        `Cannot write items with the checkpoint after ${
          formatCheckpoint(progress.checkpoint)
        } of ` +
          `shard "${id}": it is passed already; write them before it`,
      );
    }
    const outcome = await this.#transact(advance(this.#row, progress), items, sending);
    if (typeof outcome !== "string") throw new TransactionRefusedError(outcome, items);
    if (outcome === "written") return;
    sending.signal.throwIfAborted();
    throw new LeaseLostError(id, "it is given up before its items were written");
  }

  /** @returns The reasons, if DynamoDB refused items. */
  async #transact(
    change: LeaseChange,
    items: Transaction["items"],
    { signal, until, patience }: Required<Omit<Sending, "send">>,
  ): Promise<"written" | "lost" | "withdrawn" | readonly RefusedItem[]> {
    const { deps: { store, random }, lose } = this.#options;
    const transact = store.transact?.bind(store);
    if (transact === undefined) {
      throw new TypeError(
        "Cannot write items with the checkpoint: the store of this app has no transactions; " +
          'implement "transact" in "ports.store", or leave that option out',
      );
    }
    const from = this.#row.checkpoint;
    // Word for word the same change, under one token, however often it is sent.
    const token = random.uuid();
    let refused: readonly RefusedItem[] = [];
    let invalid: StoreError | undefined;
    const isAsBefore = (row: ShardRow): boolean => compareCheckpoints(row.checkpoint, from) === 0;
    const outcome = await this.#untilCertain((row) => isAsBefore(row) ? change : null, {
      ...{ signal, until, patience },
      send: async (change) => {
        try {
          const result = await transact(change, { items, token }, signal);
          if (result.kind === "refused") ({ refused } = result);
          return result;
        } catch (error) {
          if (!(error instanceof StoreError) || error.kind !== "invalid") throw error;
          // An earlier try, whose reply was lost, may have been carried out: the row tells.
          const row = await store.read("shard", change.id, signal);
          if (row === null || !this.#isOurs(row) || !isAsBefore(row)) {
            return { kind: "conflict", row };
          }
          invalid = error;
          return { kind: "refused", refused };
        }
      },
    });
    if (outcome === "withdrawn" && !isAsBefore(this.#row)) {
      // Some of these items may have been in it.
      return lose("a transaction that had failed for all that was known was carried out late");
    }
    if (invalid !== undefined) throw invalid;
    return refused.length > 0 ? refused : outcome;
  }

  async #untilCertain(
    makeChange: (row: ShardRow) => LeaseChange | null,
    { signal, until = signal, patience = until, send }: Sending,
  ): Promise<"written" | "lost" | "withdrawn"> {
    const { deps, lose } = this.#options;
    const { random, fence } = deps;
    let inDoubt: LeaseChange | null = null;
    let failures = 0;
    for (let conflicts = 0; conflicts < CONFLICTS_MAX;) {
      if (signal.aborted) return "lost";
      const isOver = until.aborted || failures > 0 && patience.aborted;
      const change: LeaseChange | null = isOver && inDoubt === null ? null : makeChange(this.#row);
      if (change === null) return "withdrawn";
      if (!fence.isUp) return lose("no heartbeat was acknowledged in time");
      try {
        const result = await send(change);
        if (result.kind === "refused") return "withdrawn";
        const row = "row" in result ? result.row : changedRow(this.#row, change);
        if (result.kind === "written") {
          invariant(row !== null, "a written shard row exists");
          this.#row = row;
          return "written";
        }
        if (row !== null && this.#isOurs(row)) {
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
        const isLate = this.#isGivenAway(row) && (inDoubt === null || !isParting(inDoubt));
        return lose(isLate ? LATE_HANDOVER : `the row says that ${describeOwner(row)}`);
      } catch (error) {
        if (signal.aborted) return "lost";
        if (!(error instanceof StoreError) || error.maybeApplied) inDoubt = change;
        failures += 1;
        const retryInMs = backoffMs(failures, WRITE_BACKOFF, random.next());
        tellWriteFailure(deps, change, error, retryInMs);
        // What is in doubt is not withdrawn, so there is something to wait for.
        using either = new Scope(until, patience);
        await this.#pause(retryInMs, signal, inDoubt === null ? either.signal : signal);
      }
    }
    return lose(`its row changed ${CONFLICTS_MAX} times while it was written`);
  }

  /** Whether it was this worker that ended the turn. */
  #isGivenAway(row: ShardRow | null): boolean {
    return row?.previousOwner === this.#options.deps.claimant.workerId && row.holder === null &&
      row.term === this.#term + 1;
  }

  #isOurs(row: ShardRow): boolean {
    return isHeldBy(row, this.#options.deps.claimant) && row.term === this.#term;
  }

  /** An abort is seen by the next write. */
  async #pause(ms: number, signal: AbortSignal, until: AbortSignal): Promise<void> {
    using either = new Scope(signal, until);
    await this.#options.deps.clock.sleep(ms, either.signal).catch(() => {});
  }
}

/** It was taken back since the row did not show it, and was under way all the same. */
const LATE_HANDOVER = "a handover that had failed for all that was known was carried out late";

/** How a change is sent. */
interface Sending {
  /** Aborts when nothing is sent any more, nor waited for. */
  readonly signal: AbortSignal;
  /** Aborts when what was not done yet is not to be done any more. */
  readonly until?: AbortSignal;
  /** Aborts when what has failed is not tried again. */
  readonly patience?: AbortSignal;
  readonly send: (change: LeaseChange) => Promise<WriteResult<ShardRow> | TransactionResult>;
}

/** The row after a change, for which nobody tells how it stands. What others wrote meanwhile comes with the next look. */
function changedRow(row: ShardRow, { set }: LeaseChange): ShardRow {
  invariant(set !== "delete", "a row is not deleted together with anything");
  return { ...row, ...set } as ShardRow;
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
