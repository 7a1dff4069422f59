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
import { InHand } from "./call_context.ts";
import type { Lease } from "./lease_keeper.ts";
import { isStateful } from "./shard_state.ts";
import { Scope } from "./tasks.ts";
import type { UserCode } from "./user_code.ts";

/** What is to be run, by what, and for how long. */
export interface Run {
  readonly user: UserCode;
  readonly lease: Lease;
  readonly processor: RecordProcessor;
  readonly attempt: number;
  readonly millisBehindLatest: number;
  readonly lane: number;
  /** Aborts when the shard is to be given up, or lost. */
  readonly until: AbortSignal;
  /** Aborts when further records are for another version of the processor. */
  readonly retired: AbortSignal;
}

/** Is told how many records are finished so far, before each wait. */
export type OnFinished = (finished: number) => void;

/** Runs records. What is finished was finished while the shard was held, in this thread at least. */
export function runRecords(
  records: readonly KinesisRecord[],
  run: Run,
  onFinished: OnFinished,
): Promise<RunResult> {
  return isRunProcessor(run.processor)
    ? runElsewhere(records, { ...run, processor: run.processor }, onFinished)
    : runHere(records, run, onFinished);
}

/** Whether a processor takes many records at once, in another thread. */
export function isRunProcessor(processor: RecordProcessor): processor is RunProcessor {
  return "processRun" in processor;
}

/** Whether it costs no more to process a read in parts than as a whole. */
export function takesParts(processor: RecordProcessor | undefined): boolean {
  // Of one that is not made yet nobody knows; should it be one of batches, the first of them is small.
  if (processor === undefined) return true;
  return processor.processBatch === undefined && !("isTransacting" in processor);
}

async function runElsewhere(
  records: readonly KinesisRecord[],
  run: Run & { readonly processor: RunProcessor },
  onFinished: OnFinished,
): Promise<RunResult> {
  const { user, lease, processor } = run;
  using scope = new Scope(run.until, run.retired);
  const context = user.context(new InHand(records.at(-1), run), lease.signal);
  const elsewhere = new RunElsewhere(run, scope.signal, onFinished);
  const result = await processor.processRun(records, context, elsewhere)
    // Another thread broke down: the first record that it did not finish has failed.
    .catch((error) => ({ finished: elsewhere.finished, error }));
  const isOver = result.finished === records.length || "error" in result || elsewhere.isToldToEnd;
  invariant(isOver, "a run ends with its last record, a failure, or because it was told to");
  return user.isLeftOff ? { finished: elsewhere.finished } : result;
}

/** What whoever processes a run is given; by `onFinished` it leads to the records. */
class RunElsewhere implements RunOptions {
  readonly lane: number;
  readonly until: AbortSignal;
  /** How many records are finished for sure. */
  finished = 0;
  readonly #run: Run;
  readonly #onFinished: OnFinished;
  #hasTooOld = false;
  #isLost = false;

  constructor(run: Run, until: AbortSignal, onFinished: OnFinished) {
    this.lane = run.lane;
    this.until = until;
    this.#run = run;
    this.#onFinished = onFinished;
  }

  /** Whether it was to end before its last record. */
  get isToldToEnd(): boolean {
    return this.until.aborted || this.#hasTooOld || this.#isLost;
  }

  readonly progressed: RunOptions["progressed"] = (finished) => {
    if (this.#run.user.isLeftOff) return;
    this.finished = finished;
    this.#onFinished(finished);
  };

  readonly isTooOld: RunOptions["isTooOld"] = (record) =>
    this.#hasTooOld = this.#run.user.isTooOld(record);

  readonly isHeld: RunOptions["isHeld"] = () => !(this.#isLost = !this.#run.lease.isHeld);

  readonly writing: NonNullable<RunOptions["writing"]> = () => this.#run.user.writing;

  readonly call: RunOptions["call"] = (last, code) =>
    this.#run.user.call(this.#run.processor, new InHand(last, this.#run), code);
}

/** In this thread: without a wait for each record, as long as the processor does not wait either. */
async function runHere(
  records: readonly KinesisRecord[],
  run: Run,
  onFinished: OnFinished,
): Promise<RunResult> {
  const { user, lease, processor, until, retired } = run;
  let finished = 0;
  for (const record of records) {
    // Whoever starts a run has looked at the first one.
    if (finished > 0 && user.isTooOld(record)) return { finished };
    // The shard is held here: whoever starts a run asks, and each round does at its end.
    try {
      const running: unknown = user.call(
        processor,
        new InHand(record, run),
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
