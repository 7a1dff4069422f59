/**
 * Owns: one run: records of a shard through one processor, one after the other, up to the first failure.
 * Must not: decide what follows a failure.
 * Called by: `runtime/record_attempts.ts`.
 *
 * @module
 */

import { invariant, NoFaultOfRecordError, ProcessTimeoutError } from "../errors.ts";
import type {
  KinesisRecord,
  RecordProcessor,
  RunOptions,
  RunProcessor,
  RunResult,
} from "../processor.ts";
import type { Lease } from "./lease_keeper.ts";
import { isStateful } from "./shard_state.ts";
import { Scope } from "./tasks.ts";
import type { UserCode } from "./user_code.ts";

/** What is to be run, by what, and for how long. */
export interface Run {
  readonly user: UserCode;
  readonly lease: Lease;
  readonly processor: RecordProcessor;
  readonly records: readonly KinesisRecord[];
  readonly attempt: number;
  readonly millisBehindLatest: number;
  readonly lane: number;
  /** Aborts when the shard is to be given up, or lost. */
  readonly until: AbortSignal;
  /** Aborts when further records are for another version of the processor. */
  readonly retired: AbortSignal;
  /** Is told how many records are finished so far, before each wait. */
  readonly onFinished: (finished: number) => void;
}

/** Runs the records. What is finished was finished while the shard was held, in this thread at least. */
export function runRecords(run: Run): Promise<RunResult> {
  const { processor } = run;
  return isRunProcessor(processor) ? runElsewhere(run, processor) : runHere(run);
}

/** Whether a processor takes many records at once, in another thread. */
export function isRunProcessor(processor: RecordProcessor): processor is RunProcessor {
  return "processRun" in processor;
}

async function runElsewhere(run: Run, processor: RunProcessor): Promise<RunResult> {
  const { user, lease, records, lane, attempt, millisBehindLatest } = run;
  using scope = new Scope(run.until, run.retired);
  const until = scope.signal;
  let sure = 0;
  const progressed = (finished: number): void => {
    if (user.isLeftOff) return;
    sure = finished;
    run.onFinished(finished);
  };
  const context = user.context({ ...run, last: records.at(-1) }, lease.signal);
  let hasTooOld = false;
  let isLost = false;
  const options: RunOptions = {
    ...{ lane, until, progressed },
    isTooOld: (record) => hasTooOld = user.isTooOld(record),
    isHeld: () => !(isLost = !lease.isHeld),
    writing: () => user.writing,
    call: (last, code) => user.call(processor, { last, attempt, millisBehindLatest }, code),
  };
  const result = await processor.processRun(records, context, options)
    // Another thread broke down: the first record that it did not finish has failed.
    .catch((error) => ({ finished: sure, error }));
  const isOver = result.finished === records.length || "error" in result || until.aborted ||
    hasTooOld || isLost;
  invariant(isOver, "a run ends with its last record, a failure, or because it was told to");
  return user.isLeftOff ? { finished: sure } : result;
}

/** In this thread: without a wait for each record, as long as the processor does not wait either. */
async function runHere(run: Run): Promise<RunResult> {
  const { user, lease, processor, attempt, millisBehindLatest, until, retired, onFinished } = run;
  let finished = 0;
  for (const record of run.records) {
    // Whoever starts a run has looked at the first one.
    if (finished > 0 && user.isTooOld(record)) return { finished };
    // The shard is held here: whoever starts a run asks, and each round does at its end.
    try {
      const running: unknown = user.call(
        processor,
        { last: record, attempt, millisBehindLatest },
        (context) => processor.process?.(record, context),
      );
      if (isThenable(running)) {
        onFinished(finished);
        await running;
        if (user.isLeftOff) return { finished };
      }
    } catch (error) {
      return { finished, error: causeOf(error, processor) };
    }
    const now = user.now();
    if (!lease.isHeldAt(now)) return { finished };
    finished += 1;
    const pause = user.letOthersRun(now);
    if (pause !== undefined) {
      onFinished(finished);
      await pause;
      if (!lease.isHeld) return { finished };
    }
    if (until.aborted || retired.aborted) return { finished };
  }
  return { finished };
}

/** What a record failed with. It is added to its window at once: what takes so long is the end of a window, which is before it. */
function causeOf(error: unknown, processor: RecordProcessor): unknown {
  if (!isStateful(processor) || !(error instanceof ProcessTimeoutError)) return error;
  return new NoFaultOfRecordError(`Cannot close a window: ${error.message}`, { cause: error });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value &&
    typeof value.then === "function";
}
