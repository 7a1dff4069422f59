/**
 * Owns: the calls of the user's code that are under way in a test kit, and what became of each record.
 * Must not: change what the user's code does, or what the worker sees of it.
 * Called by: `testing/test_kit.ts`.
 *
 * @module
 */

import type {
  KinesisRecord,
  ProcessContext,
  ProcessorSource,
  RecordProcessor,
  StatefulProcessor,
} from "../processor.ts";
import { failedOf } from "../runtime/batch_result.ts";
import { isStateful } from "../runtime/shard_state.ts";
import { type FaultyPorts, never } from "./faulty_ports.ts";

/** A record that was given up and passed. */
export interface SkippedRecord {
  /** The record. */
  readonly record: KinesisRecord;
  /** What its last attempt threw. */
  readonly error: unknown;
  /** How often it was tried; 0 if it was too old at once. */
  readonly attempts: number;
}

/** Who is told what becomes of records; in the order in which it happens. */
export interface RecordObserver {
  /** Records are given to the processor of a worker: one, or a batch. */
  onDelivered(records: readonly KinesisRecord[], workerId: string): void;
  /** Records are finished: the processor returned, in time. */
  onProcessed(records: readonly KinesisRecord[]): void;
  /** A record is given up. */
  onSkipped(skipped: SkippedRecord): void;
}

/** A call that is under way. */
interface CallInHand {
  readonly name: string;
  readonly ports: FaultyPorts;
  /** Whether it was waited for in real time as long as that may be. */
  isSlow: boolean;
}

interface CallOptions<T> {
  /** Is told what it gave. */
  readonly onDone?: (result: T) => void;
  /** Aborts when nobody waits for it any more. */
  readonly signal?: AbortSignal;
}

/** Makes a call that is about a shard. */
type CallUser = <T>(
  name: string,
  context: ProcessContext,
  work: (context: ProcessContext) => T | PromiseLike<T>,
  onDone?: (result: T) => void,
) => T | Promise<T>;

/** The user's code, as all workers of a kit call it. */
export class UserCalls {
  readonly #inHand = new Set<CallInHand>();
  readonly #onActivity: () => void;
  /** A wait for a checkpoint, and whose it is. */
  readonly #checkpoints = new Set<Pick<CallInHand, "ports">>();
  #over = 0;

  /** @param onActivity Is told that a call begins or ends. */
  constructor(onActivity: () => void) {
    this.#onActivity = onActivity;
  }

  /** The calls that are under way, in words. */
  names(): readonly string[] {
    return this.#live().map(({ name }) => name);
  }

  /** How many calls are under way that may wait for something real: neither for a checkpoint, nor given up. */
  get waitingForReal(): number {
    const checkpoints = [...this.#checkpoints].filter(({ ports }) => !ports.isCrashed).length;
    return this.#live().filter(({ isSlow }) => !isSlow).length - checkpoints;
  }

  /** How many calls are over. */
  get over(): number {
    return this.#over;
  }

  /** Says that those which are under way now were waited for long enough. */
  giveUpWaiting(): void {
    for (const call of this.#inHand) call.isSlow = true;
  }

  /** The processor, or the factory, whose calls are seen here. */
  observed(
    source: ProcessorSource,
    ports: FaultyPorts,
    observer: RecordObserver,
  ): ProcessorSource {
    if (typeof source !== "function") return this.#observedProcessor(source, ports, observer);
    const mark = "keepsState" in source ? { keepsState: true } : {};
    return Object.assign((shardId: string) => {
      const made = this.call(`the factory for ${shardId}`, ports, () => source(shardId));
      const observe = (processor: RecordProcessor): RecordProcessor =>
        typeof processor === "object" && processor !== null
          ? this.#observedProcessor(processor, ports, observer)
          : processor; // No processor: the worker says so.
      return made instanceof Promise ? made.then(observe) : observe(made);
    }, mark);
  }

  /** Makes a call of the user's code. It gives a promise only if the user's code does; nothing, ever, once the worker crashed. */
  call<T>(
    name: string,
    ports: FaultyPorts,
    work: () => T | PromiseLike<T>,
    { onDone, signal }: CallOptions<T> = {},
  ): T | Promise<T> {
    if (ports.isCrashed) return never();
    const inHand: CallInHand = { name, ports, isSlow: false };
    const end = (): void => {
      signal?.removeEventListener("abort", end);
      if (!this.#inHand.delete(inHand)) return;
      this.#over += 1;
      this.#onActivity();
    };
    // Nobody waits for it then: it ran into its time-out, or its shard is lost.
    signal?.addEventListener("abort", end);
    this.#inHand.add(inHand);
    this.#onActivity();
    let result: T | PromiseLike<T>;
    try {
      result = work();
    } catch (error) {
      end();
      if (ports.isCrashed) return never();
      throw error;
    }
    if (!ports.isCrashed && !isThenable(result)) {
      end();
      onDone?.(result);
      return result;
    }
    const waited = ports.unlessCrashed(Promise.resolve(result)).finally(end);
    return waited.then((value) => {
      onDone?.(value);
      return value;
    });
  }

  #live(): readonly CallInHand[] {
    return [...this.#inHand].filter(({ ports }) => !ports.isCrashed);
  }

  #observedProcessor(
    processor: RecordProcessor,
    ports: FaultyPorts,
    observer: RecordObserver,
  ): RecordProcessor {
    const call: CallUser = <T>(
      name: string,
      context: ProcessContext,
      work: (context: ProcessContext) => T | PromiseLike<T>,
      onDone?: (result: T) => void,
    ) => {
      const { shardId, workerId, signal } = context;
      // What is not in time, or of a lost shard, does not count for the worker either.
      const options = {
        onDone: (result: T): void => {
          if (!signal.aborted) onDone?.(result);
        },
        signal,
      };
      const seen = this.#seen(context, ports);
      return this.call(`${name} in ${shardId} on ${workerId}`, ports, () => work(seen), options);
    };
    const dispose = processor[Symbol.asyncDispose];
    return {
      ..."isTransacting" in processor && { isTransacting: true },
      ...observedDeliveries(processor, call, observer),
      ...observedQuestions(processor, call, observer),
      ...isStateful(processor) && observedState(processor, call),
      ...dispose !== undefined && {
        [Symbol.asyncDispose]: () => this.call("dispose", ports, () => dispose.call(processor)),
      },
    };
  }

  /** The context, on which a wait for a checkpoint is known as one for virtual time. */
  #seen(context: ProcessContext, ports: FaultyPorts): ProcessContext {
    const seen = (written: Promise<void>): Promise<void> => {
      const wait = { ports };
      this.#checkpoints.add(wait);
      const end = (): void => void this.#checkpoints.delete(wait);
      written.then(end, end);
      return written;
    };
    return {
      ...context,
      checkpoint: (record) => seen(context.checkpoint(record)),
      transact: (items, record) => seen(context.transact(items, record)),
    };
  }
}

function observedDeliveries(
  processor: RecordProcessor,
  call: CallUser,
  observer: RecordObserver,
): Pick<RecordProcessor, "process" | "processBatch"> {
  const { process, processBatch } = processor;
  return {
    ...process !== undefined && {
      process: (record, context) => {
        const work = (seen: ProcessContext) => {
          observer.onDelivered([record], context.workerId);
          return process.call(processor, record, seen);
        };
        const name = `process of record ${record.sequenceNumber}`;
        return call(name, context, work, () => observer.onProcessed([record]));
      },
    },
    ...processBatch !== undefined && {
      processBatch: (records, context) => {
        const work = (seen: ProcessContext) => {
          observer.onDelivered(records, context.workerId);
          return processBatch.call(processor, records, seen);
        };
        const name = `processBatch of ${records.length} records`;
        return call(name, context, work, (result) => {
          observer.onProcessed(finishedOf(records, result));
        });
      },
    },
  };
}

function observedQuestions(
  processor: RecordProcessor,
  call: CallUser,
  observer: RecordObserver,
): Pick<RecordProcessor, "getErrorHandlingMode" | "onMaxRetryExceeded" | "shardEnded"> {
  const { getErrorHandlingMode, onMaxRetryExceeded, shardEnded } = processor;
  return {
    ...getErrorHandlingMode !== undefined && {
      getErrorHandlingMode: (record, error, context) =>
        call(
          "getErrorHandlingMode",
          context,
          (seen) => getErrorHandlingMode.call(processor, record, error, seen),
        ),
    },
    onMaxRetryExceeded: (record, mode, error, context) => {
      if (mode.kind === "retryAndSkip") {
        observer.onSkipped({ record, error, attempts: context.attempt });
      }
      return call(
        "onMaxRetryExceeded",
        context,
        (seen) => onMaxRetryExceeded?.call(processor, record, mode, error, seen),
      );
    },
    ...shardEnded !== undefined && {
      shardEnded: (context) =>
        call("shardEnded", context, (seen) => shardEnded.call(processor, seen)),
    },
  };
}

function observedState(
  processor: StatefulProcessor,
  call: CallUser,
): Omit<StatefulProcessor, keyof RecordProcessor> {
  return {
    keepsState: true,
    begin: (beginning) => processor.begin(beginning),
    snapshot: () => processor.snapshot(),
    finishedRead: (read, context) => {
      const told = processor.finishedRead(read, context);
      // Most reads are of no consequence, and come for ever.
      return typeof told === "boolean" ? told : call("close of a window", context, () => told);
    },
  };
}

/** The records of a batch that are finished by what `processBatch` returned. */
function finishedOf(
  records: readonly KinesisRecord[],
  returned: unknown,
): readonly KinesisRecord[] {
  try {
    const failed = new Set(failedOf(records, returned).map(({ index }) => index));
    return records.filter((_, index) => !failed.has(index));
  } catch {
    return []; // It cannot be understood: for the worker the whole batch failed.
  }
}

function isThenable<T>(result: T | PromiseLike<T>): result is PromiseLike<T> {
  return typeof (result as PromiseLike<T> | undefined | null)?.then === "function";
}
