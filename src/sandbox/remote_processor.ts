/**
 * Owns: a processor in other threads as a processor like any other: which thread gets what, and what follows when a thread
 * ended before it answered.
 * Must not: start a thread, or know what its processor is.
 * Called by: `sandbox/processor_threads.ts`; the runtime, as a processor.
 *
 * @module
 */

import type { ErrorHandlingMode } from "../core/policy.ts";
import { invariant } from "../errors.ts";
import type {
  BatchResult,
  KinesisRecord,
  ProcessContext,
  RunOptions,
  RunProcessor,
  RunResult,
  TimedProcessor,
} from "../processor.ts";
import { payloadOf } from "../runtime/delivered_record.ts";
import { laneOf } from "../runtime/lanes.ts";
import type { CheckpointRequests } from "./checkpoint_requests.ts";
import { type Answer, ThreadEnd } from "./live_thread.ts";
import { packRecords } from "./packing.ts";
import type { ProcessorThread, Task } from "./processor_thread.ts";
import { type PackedContext, type ProcessorMethod, Progress, type Work } from "./protocol.ts";

/** What a processor in other threads works with. */
export interface RemoteDeps {
  readonly threads: readonly ProcessorThread[];
  /** Which processor of the threads it is: 0 for the one that all shards share. */
  readonly number: number;
  /** How many lanes a shard has: whatever is called for a key, its lane says in which thread. */
  readonly lanes: number;
  readonly checkpoints: CheckpointRequests;
}

/** What of a run is sent at once: enough to make the way worth it, and not much to be copied and kept. */
const PART_RECORDS_MAX = 2_000;
const PART_BYTES_MAX = 1_048_576;

/** A processor with the methods that the one in the threads has. */
export function remoteProcessor(
  deps: RemoteDeps,
  methods: readonly ProcessorMethod[],
): TimedProcessor {
  const remote = new Remote(deps);
  const has = (method: ProcessorMethod): boolean => methods.includes(method);
  return {
    keepsTime: true,
    ...has("process") && {
      process: remote.process.bind(remote),
      processRun: remote.processRun.bind(remote),
    },
    ...has("processBatch") && { processBatch: remote.processBatch.bind(remote) },
    ...has("getErrorHandlingMode") && {
      getErrorHandlingMode: remote.getErrorHandlingMode.bind(remote),
    },
    ...has("onMaxRetryExceeded") && { onMaxRetryExceeded: remote.onMaxRetryExceeded.bind(remote) },
    ...has("shardEnded") && { shardEnded: remote.shardEnded.bind(remote) },
    ...has("dispose") && { [Symbol.asyncDispose]: () => disposeIn(deps.threads, deps.number) },
  } satisfies TimedProcessor & Partial<RunProcessor>;
}

/**
 * Disposes a processor in every thread.
 *
 * @throws What the first one throws, when all are done.
 */
export async function disposeIn(
  threads: readonly ProcessorThread[],
  number: number,
): Promise<void> {
  const results = await Promise.allSettled(threads.map((thread) => thread.dispose(number)));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

class Remote implements RunProcessor, TimedProcessor {
  readonly keepsTime = true;
  readonly #deps: RemoteDeps;
  /** By the signal of a turn, where its records were processed: there is something to end there. */
  readonly #workedOn = new WeakMap<AbortSignal, Set<ProcessorThread>>();
  /** What follows a failure is asked where it failed. */
  readonly #failedIn = new WeakMap<KinesisRecord, ProcessorThread>();

  constructor(deps: RemoteDeps) {
    this.#deps = deps;
  }

  async process(record: KinesisRecord, context: ProcessContext): Promise<void> {
    const result = await this.processRun([record], context, {
      lane: this.#laneOf(record),
      until: context.signal,
      progressed: () => {},
      isTooOld: () => false,
      isHeld: () => true,
      call: (_, code) => code(context),
    });
    if ("error" in result) throw result.error;
    context.signal.throwIfAborted();
  }

  async processRun(
    records: readonly KinesisRecord[],
    context: ProcessContext,
    { lane, until, progressed, isTooOld }: RunOptions,
  ): Promise<RunResult> {
    const thread = this.#threadOf(lane, context);
    let finished = 0;
    while (finished < records.length && !until.aborted) {
      const next = records[finished];
      if (finished > 0 && next !== undefined && isTooOld(next)) break;
      const part = thread.isCareful
        ? records.slice(finished, finished + 1)
        : nextPart(records, finished);
      const result = await this.#runPart(thread, part, { context, until });
      finished += result.finished;
      if ("error" in result) {
        const failed = records[finished];
        if (failed !== undefined) this.#failedIn.set(failed, thread);
        return { finished, error: result.error };
      }
      progressed(finished);
    }
    return { finished };
  }

  /** Some records in a thread, until one fails, or the thread ends or has been at it for a while. */
  async #runPart(
    thread: ProcessorThread,
    records: readonly KinesisRecord[],
    { context, until }: { readonly context: ProcessContext; readonly until: AbortSignal },
  ): Promise<RunResult> {
    const progress = new Progress();
    try {
      const answer = await thread.call({
        ...this.#task(context),
        patience: until,
        progress,
        makeWork: () => ({
          kind: "run",
          ...packed(records, context),
          progress: progress.memory,
        }),
      });
      const finished = Number(answer.value ?? 0);
      return answer.thrown === undefined ? { finished } : { finished, error: answer.thrown.error };
    } catch (error) {
      if (!(error instanceof ThreadEnd)) {
        return until.aborted ? { finished: 0 } : { finished: 0, error };
      }
      const { finished, reason } = error;
      return error.isToBlame ? { finished, error: reason } : { finished };
    }
  }

  async processBatch(
    records: readonly KinesisRecord[],
    context: ProcessContext,
  ): Promise<BatchResult> {
    const [first] = records;
    if (first === undefined) return { failed: [] };
    // All of one lane.
    const thread = this.#threadOf(this.#laneOf(first), context);
    try {
      const makeWork = (): Work => ({ kind: "batch", ...packed(records, context) });
      const { failed = [] } = await this.#ask(thread, context, makeWork);
      return {
        failed: failed.flatMap(({ index, error }) => {
          const record = records[index];
          if (record === undefined) return [];
          this.#failedIn.set(record, thread);
          return [{ record, error }];
        }),
      };
    } catch (error) {
      for (const record of records) this.#failedIn.set(record, thread);
      throw error;
    }
  }

  async getErrorHandlingMode(
    record: KinesisRecord,
    error: unknown,
    context: ProcessContext,
  ): Promise<ErrorHandlingMode> {
    // Whether it is a mode is for the caller to see, as with every processor.
    const { value } = await this.#ask(this.#threadThatFailed(record), context, (thread) => ({
      kind: "askMode",
      ...packed([record], context),
      error: thread.pack(error),
    }));
    return value as ErrorHandlingMode;
  }

  async onMaxRetryExceeded(
    record: KinesisRecord,
    mode: ErrorHandlingMode,
    error: unknown,
    context: ProcessContext,
  ): Promise<void> {
    await this.#ask(this.#threadThatFailed(record), context, (thread) => ({
      kind: "giveUp",
      ...packed([record], context),
      mode: { kind: mode.kind, retries: mode.retries },
      error: thread.pack(error),
    }));
  }

  /** In each thread that had records of the shard in this turn; once at least, as with every processor. */
  async shardEnded(context: ProcessContext): Promise<void> {
    const threads = this.#threadsOf(context);
    if (threads.size === 0) this.#threadOf(0, context);
    for (const thread of threads) {
      await this.#ask(thread, context, () => ({ kind: "shardEnded", context: fields(context) }));
      threads.delete(thread);
    }
  }

  /** Has something done that is no run, and done again when a thread ended because of something else. */
  async #ask(
    thread: ProcessorThread,
    context: ProcessContext,
    makeWork: Task["makeWork"],
  ): Promise<Answer> {
    const patience = context.signal;
    for (;;) {
      try {
        const answer = await thread.call({ ...this.#task(context), patience, makeWork });
        if (answer.thrown === undefined) return answer;
        throw answer.thrown.error;
      } catch (error) {
        if (!(error instanceof ThreadEnd)) throw error;
        if (error.isToBlame) throw error.reason;
        patience.throwIfAborted();
      }
    }
  }

  #task(context: ProcessContext): Pick<Task, "processor" | "signal"> {
    this.#deps.checkpoints.note(context);
    return { processor: this.#deps.number, signal: context.signal };
  }

  #threadOf(lane: number, context: ProcessContext): ProcessorThread {
    const thread = at(this.#deps.threads, lane);
    this.#threadsOf(context).add(thread);
    return thread;
  }

  #threadsOf({ signal }: ProcessContext): Set<ProcessorThread> {
    const threads = this.#workedOn.get(signal) ?? new Set();
    this.#workedOn.set(signal, threads);
    return threads;
  }

  #threadThatFailed(record: KinesisRecord): ProcessorThread {
    return this.#failedIn.get(record) ?? at(this.#deps.threads, this.#laneOf(record));
  }

  #laneOf({ partitionKey }: KinesisRecord): number {
    return laneOf(partitionKey, this.#deps.lanes);
  }
}

function at(threads: readonly ProcessorThread[], lane: number): ProcessorThread {
  const thread = threads[lane % threads.length];
  invariant(thread !== undefined, "there is a thread");
  return thread;
}

function nextPart(records: readonly KinesisRecord[], from: number): readonly KinesisRecord[] {
  let to = from;
  let bytes = 0;
  const max = Math.min(records.length, from + PART_RECORDS_MAX);
  // One record at least, however large.
  while (to < max && (to === from || bytes < PART_BYTES_MAX)) {
    const record = records[to];
    bytes += record === undefined ? 0 : payloadOf(record).byteLength;
    to += 1;
  }
  return records.slice(from, to);
}

function packed(
  records: readonly KinesisRecord[],
  context: ProcessContext,
): { readonly context: PackedContext; readonly records: ArrayBuffer } {
  return { context: fields(context), records: packRecords(records) };
}

function fields(context: ProcessContext): PackedContext {
  const { shardId, workerId, streamName, attempt, millisBehindLatest, term } = context;
  return { shardId, workerId, streamName, attempt, millisBehindLatest, term };
}
