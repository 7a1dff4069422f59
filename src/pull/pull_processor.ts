/**
 * Owns: a processor that does nothing by itself: it offers what it is given, and waits until a reader is done with it.
 * Must not: know how a reader reads.
 * Called by: the runtime, as a processor; `pull/puller.ts` makes it.
 *
 * @module
 */

import type { Clock } from "../ports.ts";
import type {
  BatchResult,
  BrokeredProcessor,
  BrokerOptions,
  KinesisRecord,
  LeftOff,
  ProcessContext,
  RecordProcessor,
  RunOptions,
  RunProcessor,
  RunResult,
  TimedProcessor,
} from "../processor.ts";
import { withinProcessTimeout } from "../runtime/attempt_time.ts";
import { type BatchDelivery, Offer, type Outcome, type RecordDelivery } from "./delivery.ts";

/** The members of a processor that a reader has beside its loop. */
export type ReaderHooks = Pick<
  RecordProcessor,
  "getErrorHandlingMode" | "onMaxRetryExceeded" | "shardEnded"
>;

/** What such a processor works with. */
export interface PullDeps<T> {
  readonly clock: Clock;
  /** In milliseconds; 0 is no limit. */
  readonly processTimeout: number;
  readonly hooks: ReaderHooks;
  readonly offer: (offer: Offer<T>) => void;
  /** Takes an offer back, if nobody has it. */
  readonly withdraw: (offer: Offer<T>) => void;
  /** The processor is not used any more. */
  readonly onDispose: () => void;
}

const LEFT: LeftOff = { failed: [], isLeftOff: true };
const UNBROKERED: BrokerOptions = { until: new AbortController().signal, isHeld: () => true };

/** Offers records one by one. */
export function recordPuller(deps: PullDeps<RecordDelivery>): RecordProcessor {
  const runProcessor: RunProcessor = {
    ...common(deps),
    // What makes it a processor of records; the runtime calls `processRun`.
    process: () => {},
    processRun: (records, context, options) =>
      new RecordRun(deps, records, context, options).result,
  };
  return runProcessor;
}

/** Offers batches. */
export function batchPuller(deps: PullDeps<BatchDelivery>): RecordProcessor {
  const processor: BrokeredProcessor = {
    ...common(deps),
    isBrokered: true,
    processBatch: (records, context, options = UNBROKERED) =>
      offerBatch(deps, records, { context, ...options }),
  };
  return processor;
}

function common<T>(deps: PullDeps<T>): TimedProcessor {
  const { getErrorHandlingMode, onMaxRetryExceeded, shardEnded } = deps.hooks;
  const limited = <R>(
    context: ProcessContext,
    work: (context: ProcessContext) => R | Promise<R>,
  ): Promise<R> =>
    withinProcessTimeout(
      deps,
      context.signal,
      async (signal) => await work({ ...context, signal }),
    );
  return {
    // The time of an attempt begins when a reader takes it.
    keepsTime: true,
    ...getErrorHandlingMode && {
      getErrorHandlingMode: (record, error, context) =>
        limited(context, (context) => getErrorHandlingMode(record, error, context)),
    },
    ...onMaxRetryExceeded && {
      onMaxRetryExceeded: (record, mode, error, context) =>
        limited(context, (context) => onMaxRetryExceeded(record, mode, error, context)),
    },
    ...shardEnded && { shardEnded: (context) => limited(context, shardEnded) },
    [Symbol.asyncDispose]: () => deps.onDispose(),
  };
}

/** One run: its records are offered one after the other, without a wait in between. */
class RecordRun {
  readonly #deps: PullDeps<RecordDelivery>;
  readonly #records: readonly KinesisRecord[];
  readonly #context: ProcessContext;
  readonly #options: RunOptions;
  readonly #result = Promise.withResolvers<RunResult>();
  readonly #onAbort = (): void => this.#leaveOff();
  #finished = 0;
  #current: Offer<RecordDelivery> | undefined;

  constructor(
    deps: PullDeps<RecordDelivery>,
    records: readonly KinesisRecord[],
    context: ProcessContext,
    options: RunOptions,
  ) {
    this.#deps = deps;
    this.#records = records;
    this.#context = context;
    this.#options = options;
    options.until.addEventListener("abort", this.#onAbort, { once: true });
    this.#offerNext();
  }

  get result(): Promise<RunResult> {
    return this.#result.promise;
  }

  #offerNext(): void {
    const { until, isTooOld, isHeld, writing } = this.#options;
    const record = this.#records[this.#finished];
    const isOver = record === undefined || until.aborted || this.#finished > 0 && isTooOld(record);
    if (isOver) return this.#end();
    const { clock, processTimeout, offer } = this.#deps;
    this.#current = new Offer<RecordDelivery>({
      ...{ clock, processTimeout, record, context: this.#context, isCurrent: isHeld, writing },
      toDelivery: ({ context, ack, nack }) => ({ record, context, ack: () => ack(), nack }),
      onSettled: (outcome) => this.#settled(outcome),
    });
    offer(this.#current);
  }

  #settled(outcome: Outcome): void {
    switch (outcome.kind) {
      case "acked":
        this.#finished += 1;
        this.#options.progressed(this.#finished);
        return this.#offerNext();
      case "nacked":
        return this.#end({ error: outcome.error });
      case "left":
        this.#current = undefined;
        // It has not failed: it comes again elsewhere, for the shard is about to be given up.
        return this.#options.until.aborted ? this.#end() : undefined;
      case "stale":
        return this.#end();
      default:
        return outcome satisfies never;
    }
  }

  /** Of what somebody has in hand, the end is waited for. */
  #leaveOff(): void {
    if (this.#current === undefined) return this.#end();
    if (this.#current.isTaken) return;
    this.#deps.withdraw(this.#current);
    this.#current.leave();
  }

  #end(failure: { readonly error?: unknown } = {}): void {
    this.#options.until.removeEventListener("abort", this.#onAbort);
    this.#result.resolve({ finished: this.#finished, ...failure });
  }
}

/** Offers a batch, and waits for its end. */
async function offerBatch(
  deps: PullDeps<BatchDelivery>,
  records: readonly KinesisRecord[],
  call: BrokerOptions & { readonly context: ProcessContext },
): Promise<void | BatchResult> {
  const { clock, processTimeout } = deps;
  const { context, until, isHeld, writing } = call;
  const settled = Promise.withResolvers<Outcome>();
  const over = Promise.withResolvers<LeftOff>();
  const offer = new Offer<BatchDelivery>({
    ...{ clock, processTimeout, context, isCurrent: isHeld, writing, onSettled: settled.resolve },
    toDelivery: ({ context, ack, nack }) => ({ records, context, ack, nack }),
  });
  const onAbort = (): void => {
    over.resolve(LEFT);
    if (offer.isTaken) return;
    deps.withdraw(offer);
    offer.leave();
  };
  until.addEventListener("abort", onAbort, { once: true });
  try {
    if (until.aborted) return LEFT;
    deps.offer(offer);
    const outcome = await settled.promise;
    if (outcome.kind === "nacked") throw outcome.error;
    if (outcome.kind === "acked") return outcome.result;
    // What was left has not failed: it comes again elsewhere, for the shard is about to be given up.
    return outcome.kind === "left" ? await over.promise : LEFT;
  } finally {
    until.removeEventListener("abort", onAbort);
  }
}
