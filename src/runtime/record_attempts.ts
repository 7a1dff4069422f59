/**
 * Owns: records through `process`, until they are finished, given up, or the shard must stop: attempts and what follows a failure.
 * Must not: choose the records, or remember how far the shard is finished.
 * Called by: `runtime/record_runner.ts`.
 *
 * @module
 */

import type { ErrorHandlingMode } from "../core/policy.ts";
import { NoFaultOfRecordError, toUserError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type { KinesisRecord } from "../processor.ts";
import { placeOf } from "./delivered_record.ts";
import { type OnFinished, type Run, runRecords } from "./record_run.ts";

/**
 * How it went: every record is `done`; some were left off because the shard is to be given up (`drained`) or was `lost`; or the
 * shard must stop, because the record or the processor failed.
 */
export type BatchOutcome = "done" | "drained" | "lost" | "processorFailed" | "recordFailed";

/** How far the records came. With `done` and some left, those are for another version of the processor, or too old. */
export interface Processed {
  readonly finished: number;
  readonly outcome: BatchOutcome;
}

/** A run of which the failures are dealt with. */
export interface TriedRun extends Run {
  readonly emit: EventSink;
}

const NEVER = new AbortController().signal;

/** Processes records up to the first that has to be left off, or, with one failure dealt with, the one after it. */
export async function processRecords(
  records: readonly KinesisRecord[],
  run: TriedRun,
  onFinished: OnFinished,
): Promise<Processed> {
  const { lease, user, processor, until, millisBehindLatest } = run;
  const [first] = records;
  if (first !== undefined && user.isTooOld(first)) {
    const last = { attempt: 0, error: undefined, millisBehindLatest };
    const outcome = await user.giveUpTooOld(processor, first, last);
    if (outcome !== "done") return { finished: 0, outcome };
    onFinished(1);
    return { finished: 1, outcome };
  }
  const result = await runRecords(records, run, onFinished);
  const { finished } = result;
  onFinished(finished);
  if (!lease.isHeld) return { finished, outcome: "lost" };
  if (finished === records.length) return { finished, outcome: "done" };
  if (user.isLeftOff) return { finished, outcome: "drained" };
  if (!("error" in result)) return { finished, outcome: until.aborted ? "drained" : "done" };
  const failed = records[finished];
  if (failed === undefined) return { finished, outcome: "done" };
  const outcome = await tryAgain(failed, run, result.error);
  if (outcome !== "done") return { finished, outcome };
  onFinished(finished + 1);
  return { finished: finished + 1, outcome };
}

/** Tries a record again that failed, until it is processed or given up. */
async function tryAgain(
  record: KinesisRecord,
  run: TriedRun,
  firstError: unknown,
): Promise<BatchOutcome> {
  const { user, lease, processor, millisBehindLatest } = run;
  let mode: ErrorHandlingMode | undefined;
  let error = firstError;
  for (let attempt = 1;; attempt++) {
    if (!lease.isHeld) return "lost";
    tellRecordFailed(run.emit, record, { attempt, error });
    mode ??= await user.askMode(processor, record, { error, attempt, millisBehindLatest });
    const next = await user.afterFailure(attempt, mode);
    if (next === "lost" || next === "drained") return next;
    if (next === "again" && user.isTooOld(record)) {
      return await user.giveUpTooOld(processor, record, { attempt, error, millisBehindLatest });
    }
    if (next === "stop" && NoFaultOfRecordError.is(error)) return "processorFailed";
    if (next !== "again") {
      const last = { mode, error, attempt, millisBehindLatest, reason: "failed" } as const;
      const outcome = await user.giveUp(processor, record, last);
      return next === "stop" ? "recordFailed" : outcome;
    }
    // A record keeps the processor that it began with, also when there is a newer one.
    const again = { ...run, attempt: attempt + 1, retired: NEVER };
    const result = await runRecords([record], again, () => {});
    if (!lease.isHeld) return "lost";
    if (result.finished === 1) return "done";
    if (!("error" in result) || user.isLeftOff) return "drained";
    const before = error;
    error = result.error;
    // The policy is about the one or the other.
    if (NoFaultOfRecordError.is(before) !== NoFaultOfRecordError.is(error)) mode = undefined;
  }
}

/** Tells of a failed attempt. */
export function tellRecordFailed(
  emit: EventSink,
  record: KinesisRecord,
  failure: { readonly attempt: number; readonly error: unknown },
): void {
  const error = toUserError(failure.error);
  emit({ type: "record_failed", ...placeOf(record), attempt: failure.attempt, error });
}
