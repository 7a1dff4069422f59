/**
 * Owns: a batch through `processBatch` until each of its records is finished or given up, or the shard must stop: which records go
 * to the processor together, and how often.
 * Must not: choose the records, or remember how far the shard is finished.
 * Called by: `runtime/record_runner.ts`.
 *
 * All records that are tried together have had the same number of attempts: those that fail are tried again together, and cutting
 * a batch in two is no attempt.
 *
 * @module
 */

import { decide, type ErrorHandlingMode } from "../core/policy.ts";
import { toUserError } from "../errors.ts";
import type {
  BrokeredProcessor,
  BrokerOptions,
  KinesisRecord,
  LeftOff,
  RecordProcessor,
} from "../processor.ts";
import { type Failed, failedOf } from "./batch_result.ts";
import { InHand } from "./call_context.ts";
import { placeOf } from "./delivered_record.ts";
import { type BatchOutcome, tellRecordFailed, type TriedRun } from "./record_attempts.ts";

/** How a batch is to be run. */
export interface BatchRun
  extends Pick<TriedRun, "user" | "lease" | "emit" | "processor" | "millisBehindLatest" | "until"> {
  readonly bisectBatchOnError: boolean;
}

/** Is told the indexes of what is finished: from one on, and before another one. */
type OnFinished = (from: number, until: number) => void;

/** Processes a batch. Unless it is `done`, records were left off that are not finished. */
export async function processBatch(
  records: readonly KinesisRecord[],
  run: BatchRun,
  onFinished: OnFinished,
): Promise<BatchOutcome> {
  return await new BatchAttempts(records, run, onFinished).run();
}

/** Records that go to the processor together: their indexes in the batch, in order. */
interface Group {
  readonly indexes: readonly number[];
  readonly attempt: number;
}

/** What became of a call. */
type Result =
  | { readonly kind: "returned"; readonly failed: readonly Failed[] }
  | { readonly kind: "threw"; readonly error: unknown }
  | { readonly kind: "leftOff" };

class BatchAttempts {
  readonly #records: readonly KinesisRecord[];
  readonly #run: BatchRun;
  readonly #onFinished: OnFinished;
  readonly #broker: BrokerOptions;
  /** What is left, the next one last. */
  readonly #groups: Group[];
  /** What follows the failures of a record, once that is known. */
  readonly #modes = new Map<number, ErrorHandlingMode>();
  /** What each record failed with last. */
  readonly #errors = new Map<number, unknown>();

  constructor(records: readonly KinesisRecord[], run: BatchRun, onFinished: OnFinished) {
    this.#records = records;
    this.#run = run;
    this.#onFinished = onFinished;
    this.#broker = brokerOf(run);
    this.#groups = [{ indexes: [...records.keys()], attempt: 1 }];
  }

  /** It ends: what fails becomes smaller, or has one attempt less. */
  async run(): Promise<BatchOutcome> {
    const { lease, until } = this.#run;
    for (let group = this.#groups.pop(); group !== undefined; group = this.#groups.pop()) {
      const fresh = await this.#withoutTooOld(group);
      if (typeof fresh === "string") return fresh;
      // To give up what is too old takes as long as the destination and the user's code do.
      if (until.aborted && fresh.indexes.length > 0) return lease.isHeld ? "drained" : "lost";
      const outcome = await this.#try(fresh);
      if (!lease.isHeld) return "lost";
      if (outcome !== "done") return outcome;
      if (until.aborted && this.#groups.length > 0) return "drained";
    }
    return "done";
  }

  async #try(group: Group): Promise<BatchOutcome> {
    const { lease, user, bisectBatchOnError } = this.#run;
    const { indexes, attempt } = group;
    if (indexes.length === 0) return "done";
    const result = await this.#call(group);
    if (!lease.isHeld) return "lost";
    if (result.kind === "leftOff") {
      this.#groups.push(group);
      return "done";
    }
    if (result.kind === "threw" && bisectBatchOnError && indexes.length > 1) {
      this.#bisect(group, result.error);
    } else {
      const again = await this.#afterFailures(group, result);
      if (typeof again === "string") return again;
      if (again.length > 0) this.#groups.push({ indexes: again, attempt: attempt + 1 });
    }
    // What fails or is done without waiting must let others run too.
    await user.letOthersRun(user.now());
    return "done";
  }

  async #call({ indexes, attempt }: Group): Promise<Result> {
    const { user, processor, millisBehindLatest } = this.#run;
    const records = this.#recordsAt(indexes);
    try {
      const returned: unknown = await user.call(
        processor,
        new InHand(records.at(-1), { attempt, millisBehindLatest }),
        (context) =>
          isBrokered(processor)
            ? processor.processBatch(records, context, this.#broker)
            : processor.processBatch?.(records, context),
      );
      const isLeft = user.isLeftOff || isBrokered(processor) && isLeftOff(returned);
      if (isLeft) return { kind: "leftOff" };
      const failed = failedOf(records, returned);
      return {
        kind: "returned",
        failed: failed.map(({ index, error }) => ({ index: indexes[index] ?? index, error })),
      };
    } catch (error) {
      return user.isLeftOff ? { kind: "leftOff" } : { kind: "threw", error };
    }
  }

  /** The first half, with all that follows from it, comes before the second one. */
  #bisect({ indexes, attempt }: Group, error: unknown): void {
    const middle = Math.ceil(indexes.length / 2);
    const second = this.#records[indexes[middle] ?? NaN];
    if (second === undefined) return;
    const records = indexes.length;
    const told = toUserError(error);
    const type = "batch_bisected";
    this.#run.emit({ type, ...placeOf(second), records, attempt, error: told });
    this.#groups.push(
      { indexes: indexes.slice(middle), attempt },
      { indexes: indexes.slice(0, middle), attempt },
    );
  }

  /** Finishes what did not fail, gives up what failed too often; gives what is to be tried again, after a pause. */
  async #afterFailures(
    { indexes, attempt }: Group,
    result: Exclude<Result, { readonly kind: "leftOff" }>,
  ): Promise<readonly number[] | Exclude<BatchOutcome, "done">> {
    const { user, processor, millisBehindLatest } = this.#run;
    const failed = result.kind === "returned"
      ? result.failed
      : indexes.map((index) => ({ index, error: result.error }));
    const failedAt = new Set(failed.map(({ index }) => index));
    this.#finish(failedAt.size === 0 ? indexes : indexes.filter((index) => !failedAt.has(index)));
    // A throw is one failure of all.
    await this.#noteFailures(failed, { attempt, isOne: result.kind === "threw" });
    const again: number[] = [];
    let isStopped = false;
    for (const { index, error } of failed) {
      const [mode, record] = [this.#modes.get(index), this.#records[index]];
      if (mode === undefined || record === undefined) return "lost";
      const { kind } = decide(attempt, mode, 0);
      if (kind === "retry") {
        again.push(index);
        continue;
      }
      const last = { mode, error, attempt, millisBehindLatest, reason: "failed" } as const;
      const outcome = await user.giveUp(processor, record, last);
      if (outcome !== "done") return outcome;
      if (kind === "stop") isStopped = true;
      else this.#finish([index]);
    }
    if (isStopped) return "recordFailed";
    const [first] = again;
    const mode = first === undefined ? undefined : this.#modes.get(first);
    if (mode === undefined) return again;
    const next = await user.afterFailure(attempt, mode);
    return next === "lost" || next === "drained" ? next : again;
  }

  /** Tells of failures, and asks what is to follow the first one of each record. */
  async #noteFailures(
    failed: readonly Failed[],
    { attempt, isOne }: { readonly attempt: number; readonly isOne: boolean },
  ): Promise<void> {
    const { lease, user, emit, processor, millisBehindLatest } = this.#run;
    let shared: ErrorHandlingMode | undefined;
    for (const [i, { index, error }] of failed.entries()) {
      this.#errors.set(index, error);
      const record = this.#records[index];
      if (record === undefined) continue;
      if (!isOne || i === 0) {
        await user.letOthersRun(user.now());
        if (!lease.isHeld) return;
        tellRecordFailed(emit, record, { attempt, error });
      }
      const mode = this.#modes.get(index) ?? (isOne ? shared : undefined) ??
        await user.askMode(processor, record, { error, attempt, millisBehindLatest });
      shared ??= mode;
      this.#modes.set(index, mode);
    }
  }

  /** What is left of a group when the records that are too old are given up. */
  async #withoutTooOld(group: Group): Promise<Group | Exclude<BatchOutcome, "done">> {
    const { user, processor, millisBehindLatest } = this.#run;
    if (!user.hasAgeLimit) return group;
    const isTooOld = (index: number): boolean => {
      const record = this.#records[index];
      return record !== undefined && user.isTooOld(record);
    };
    const old = new Set(group.indexes.filter(isTooOld));
    if (old.size === 0) return group;
    for (const index of old) {
      const record = this.#records[index];
      if (record === undefined) continue;
      const error = this.#errors.get(index);
      const attempt = this.#errors.has(index) ? group.attempt - 1 : 0;
      const last = { attempt, error, millisBehindLatest };
      const outcome = await user.giveUpTooOld(processor, record, last);
      if (outcome !== "done") return outcome;
      this.#finish([index]);
    }
    return { ...group, indexes: group.indexes.filter((index) => !old.has(index)) };
  }

  #recordsAt(indexes: readonly number[]): readonly KinesisRecord[] {
    const records = this.#records;
    return indexes.length === records.length
      ? records
      : indexes.flatMap((index) => records[index] ?? []);
  }

  /** In stretches: as a rule everything is finished at once. */
  #finish(indexes: readonly number[]): void {
    const { length } = this.#records;
    if (indexes.length === length) return this.#onFinished(0, length);
    let [from] = indexes;
    for (const [i, index] of indexes.entries()) {
      if (from === undefined || indexes[i + 1] === index + 1) continue;
      this.#onFinished(from, index + 1);
      from = indexes[i + 1];
    }
  }
}

/** Made apart from the records: what such a literal leads to stays for long. */
function brokerOf({ until, lease, user }: BatchRun): BrokerOptions {
  return { until, isHeld: () => lease.isHeld, writing: () => user.writing };
}

function isBrokered(processor: RecordProcessor): processor is BrokeredProcessor {
  return "isBrokered" in processor;
}

function isLeftOff(returned: unknown): returned is LeftOff {
  return typeof returned === "object" && returned !== null && "isLeftOff" in returned;
}
