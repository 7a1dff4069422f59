/**
 * Owns: sending a write again whose outcome does not depend on how often it is sent.
 * Must not: be used for the writes of a turn on a shard, which need the queue and the checks of `lease_keeper.ts`.
 * Called by: everything in the runtime that writes a row it does not own, or its own worker row.
 *
 * @module
 */

import type { Row, RowChange } from "../core/lease.ts";
import { type Backoff, backoffMs } from "../core/policy.ts";
import { StoreError, toEventError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type { Clock, LeaseStore, Random, WriteResult } from "../ports.ts";
import { forEachLimited } from "./tasks.ts";

/** What a write needs. */
export interface WriteDeps {
  readonly store: LeaseStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: EventSink;
}

const BACKOFF: Backoff = { baseMs: 200, maxMs: 5_000 };
/** Attempts without an answer. */
const ATTEMPTS_MAX = 6;
/** Of many rows. */
const WRITES_AT_ONCE_MAX = 16;

/**
 * Sends a change until there is an answer; a table that asks to slow down is waited for as long as it takes. A conflict may mean
 * that an earlier try was applied and its reply lost: look at the row that comes with it.
 *
 * @param change The change, or what makes it anew for each attempt.
 * @throws The error of the last attempt, or that of the first one after which trying again cannot help.
 */
export async function writePatiently<R extends Row>(
  deps: WriteDeps,
  change: RowChange<R> | (() => RowChange<R>),
  signal: AbortSignal,
): Promise<WriteResult<R>> {
  let throttles = 0;
  for (let attempt = 1;; attempt++) {
    const sent = typeof change === "function" ? change() : change;
    try {
      return await deps.store.write(sent, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const kind = error instanceof StoreError ? error.kind : "unavailable";
      if (kind === "throttled") throttles += 1;
      else if (kind !== "unavailable" || attempt - throttles === ATTEMPTS_MAX) throw error;
      const retryInMs = backoffMs(attempt, BACKOFF, deps.random.next());
      tellWriteFailure(deps, sent, error, retryInMs);
      await deps.clock.sleep(retryInMs, signal);
    }
  }
}

/** Changes many rows, some at a time. A conflict says that a row has moved on; the next look at the rows sees where to. */
export async function writeEachPatiently<R extends Row>(
  deps: WriteDeps,
  rows: readonly R[],
  makeChange: (row: R) => RowChange<R>,
  { signal, onWritten }: {
    readonly signal: AbortSignal;
    readonly onWritten?: (row: R) => void;
  },
): Promise<void> {
  await forEachLimited(rows, WRITES_AT_ONCE_MAX, async (row) => {
    const { kind } = await writePatiently(deps, makeChange(row), signal);
    if (kind === "written") onWritten?.(row);
  });
}

/** Tells that a write failed and is tried again. */
export function tellWriteFailure<R extends Row>(
  deps: Pick<WriteDeps, "emit">,
  change: RowChange<R>,
  error: unknown,
  retryInMs: number,
): void {
  const operation = `write the row of ${change.kind} ${change.id}`;
  const shardId = change.kind === "shard" ? change.id : null;
  deps.emit(
    error instanceof StoreError && error.kind === "throttled"
      ? { type: "throttled", shardId, operation, retryInMs }
      : { type: "task_failed", task: operation, error: toEventError(error) },
  );
}
