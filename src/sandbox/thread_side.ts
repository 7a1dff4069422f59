/**
 * Owns: a user's processor inside a thread of its own: does what the outside asks for, and says what became of it.
 * Must not: decide what follows a failure; touch the globals of the thread (`thread_world.ts` does).
 * Called by: the entry module of the thread.
 *
 * @module
 */

import { invariant, ProcessTimeoutError } from "../errors.ts";
import type { Clock } from "../ports.ts";
import type {
  KinesisRecord,
  ProcessContext,
  ProcessorSource,
  RecordProcessor,
} from "../processor.ts";
import { failedOf } from "../runtime/batch_result.ts";
import { DeliveredRecord, isLastOfAggregate } from "../runtime/delivered_record.ts";
import { withTimeout } from "../runtime/tasks.ts";
import { checkByHand } from "../runtime/user_code.ts";
import { type PackedError, packError, packErrors, unpackError } from "./packed_error.ts";
import { unpackRecords } from "./packing.ts";
import {
  type FromThread,
  methodsOf,
  type PackedContext,
  Progress,
  SHARED,
  type ThreadSettings,
  type ToThread,
  type Work,
} from "./protocol.ts";

const NO_WINDOWS =
  "Cannot run windows in a thread of their own: what they keep is written with the checkpoint, which " +
  "the main thread does; leave out --threads and --sandbox";

/** What a thread works with. */
export interface ThreadSideDeps {
  readonly settings: ThreadSettings;
  readonly clock: Clock;
  readonly source: ProcessorSource;
  readonly post: (message: FromThread) => void;
}

/** What is told of a call. Of a run: how many records are finished, also when the one after those failed. */
type Outcome = Pick<Extract<FromThread, { kind: "reply" }>, "value" | "error" | "failed">;

/** A processor that never waits must not keep other shards, timers and messages from their turn for longer than this. */
const SYNC_STRETCH_MAX_MS = 100;
/** A run that takes longer than this is answered, so that the checkpoint follows slow records too. */
const RUN_MAX_MS = 500;
/** What was thrown is kept for the questions that follow a failure; with more failures than this at once the oldest are forgotten. */
const ERRORS_KEPT_MAX = 1_000;

/** The processor of a thread, or the processors that its factory made. */
export class ThreadSide {
  readonly #deps: ThreadSideDeps;
  readonly #running: Int32Array<SharedArrayBuffer>;
  readonly #processors = new Map<number, RecordProcessor>();
  readonly #calls = new Map<number, Call>();
  readonly #checkpoints = new Map<number, PromiseWithResolvers<void>>();
  readonly #errors = new Map<number, unknown>();
  readonly #never = new AbortController().signal;
  #lastNumber = 0;

  /**
   * Tells the outside that it is ready.
   *
   * @throws {TypeError} If the processor cannot run in a thread.
   */
  constructor(deps: ThreadSideDeps) {
    this.#deps = deps;
    this.#running = new Int32Array(deps.settings.running);
    const { source } = deps;
    if ("keepsState" in source) throw new TypeError(NO_WINDOWS);
    if (typeof source !== "function") this.#processors.set(SHARED, checkFit(source));
    deps.post({ kind: "ready", methods: typeof source === "function" ? null : methodsOf(source) });
  }

  /** Takes a message from outside. */
  receive(message: ToThread): void {
    switch (message.kind) {
      case "call":
        // It answers its own failures.
        void this.#answer(message);
        break;
      case "abort":
        this.#calls.get(message.id)?.abort(unpackError(message.reason));
        break;
      case "checkpointed":
        this.#checkpointed(message);
        break;
      case "ping":
        this.#deps.post({ kind: "pong" });
        break;
      default:
        message satisfies never;
    }
  }

  async #answer({ id, processor, work }: Extract<ToThread, { kind: "call" }>): Promise<void> {
    const call = new Call(id);
    this.#calls.set(id, call);
    let outcome: Outcome;
    try {
      outcome = await this.#outcomeOf(call, processor, work);
    } catch (error) {
      outcome = { error: this.#keep(error) };
    }
    this.#calls.delete(id);
    this.#deps.post({ kind: "reply", id, ...outcome });
  }

  async #outcomeOf(call: Call, number: number, work: Work): Promise<Outcome> {
    switch (work.kind) {
      case "run":
        return await this.#run(call, this.#processor(number), work);
      case "batch":
        return await this.#batch(call, this.#processor(number), work);
      default:
        return { value: await this.#do(call, number, work) };
    }
  }

  #processor(number: number): RecordProcessor {
    const processor = this.#processors.get(number);
    invariant(processor !== undefined, `processor ${number} was made in this thread`);
    return processor;
  }

  #do(call: Call, number: number, work: Exclude<Work, { kind: "run" | "batch" }>): unknown {
    if (work.kind === "make") return this.#make(call, number, work.shardId);
    const processor = this.#processor(number);
    switch (work.kind) {
      case "askMode": {
        const [record] = deliver(work);
        return record && this.#askMode(call, processor, record, work);
      }
      case "giveUp": {
        const [record] = deliver(work);
        const context = this.#context(call, work.context, record);
        const error = this.#thrown(work.error);
        return record && this.#finish(
          call,
          () => processor.onMaxRetryExceeded?.(record, work.mode, error, context),
        );
      }
      case "shardEnded": {
        const context = this.#context(call, work.context, undefined);
        return this.#finish(call, () => processor.shardEnded?.(context));
      }
      case "dispose":
        this.#processors.delete(number);
        return this.#finish(call, () => processor[Symbol.asyncDispose]?.());
      default:
        return work satisfies never;
    }
  }

  async #make(call: Call, number: number, shardId: string): Promise<readonly string[]> {
    const { source } = this.#deps;
    invariant(typeof source === "function", "only a factory is asked for processors");
    const processor = await this.#wait(call, () => source(shardId));
    this.#processors.set(number, checkFit(processor));
    return methodsOf(processor);
  }

  /** One record after the other; without waiting as long as the processor does not. */
  async #run(
    call: Call,
    processor: RecordProcessor,
    { context, records, progress: memory }: Extract<Work, { kind: "run" }>,
  ): Promise<Outcome> {
    const { clock } = this.#deps;
    const progress = new Progress(memory);
    const startedAt = clock.monotonic();
    let yieldedAt = startedAt;
    let finished = 0;
    for (const source of unpackRecords(records)) {
      progress.inHand = finished;
      const now = clock.monotonic();
      if (progress.isStopped || now - startedAt >= RUN_MAX_MS) break;
      if (now - yieldedAt >= SYNC_STRETCH_MAX_MS) {
        await clock.sleep(0, this.#never);
        yieldedAt = clock.monotonic();
      }
      const record = new DeliveredRecord(context.shardId, source);
      call.begin();
      try {
        const own = this.#context(call, context, record);
        const running = this.#enter(call, () => processor.process?.(record, own));
        // Awaiting what is no promise costs more than many a processor.
        if (running !== undefined) await this.#limited(call, running);
      } catch (error) {
        return { value: finished, error: this.#keep(error) };
      }
      finished += 1;
    }
    return { value: finished };
  }

  /** What it returns cannot be sent as it is; which records failed can. */
  async #batch(
    call: Call,
    processor: RecordProcessor,
    work: Extract<Work, { kind: "batch" }>,
  ): Promise<Outcome> {
    const records = deliver(work);
    const context = this.#context(call, work.context, records.at(-1));
    const returned: unknown = await this.#wait(
      call,
      () => processor.processBatch?.(records, context),
    );
    const failed = failedOf(records, returned);
    const errors = packErrors(failed.map(({ error }) => error));
    return {
      failed: failed.map(({ index, error }, i) => ({ index, error: this.#keep(error, errors[i]) })),
    };
  }

  /** Runs code of the user's, and waits for it. */
  async #wait<T>(call: Call, code: () => T): Promise<Awaited<T>> {
    return await this.#limited(call, this.#enter(call, code));
  }

  /** The same, for what it returns nobody asks; and not everything can be sent, in which case no answer would come. */
  async #finish(call: Call, code: () => unknown): Promise<void> {
    await this.#wait(call, code);
  }

  /** Waits for code of the user's for at most `processTimeout`. */
  async #limited<T>(call: Call, running: T): Promise<Awaited<T>> {
    const { clock, settings: { processTimeout } } = this.#deps;
    if (processTimeout === 0) return await running;
    const attempt = call.attempt;
    return await withTimeout(
      clock,
      processTimeout,
      this.#never,
      async (signal) => {
        signal.addEventListener("abort", () => attempt.abort(signal.reason), { once: true });
        return await running;
      },
      () => new ProcessTimeoutError(processTimeout),
    );
  }

  async #askMode(
    call: Call,
    processor: RecordProcessor,
    record: KinesisRecord,
    work: Extract<Work, { kind: "askMode" }>,
  ): Promise<unknown> {
    const context = this.#context(call, work.context, record);
    const error = this.#thrown(work.error);
    const answer: unknown = await this.#wait(
      call,
      () => processor.getErrorHandlingMode?.(record, error, context),
    );
    // Whatever else it may be, the outside is to see that it is no mode; and not everything can be sent.
    if (typeof answer !== "object" || answer === null) return undefined;
    const { kind, retries } = answer as { readonly kind?: unknown; readonly retries?: unknown };
    return typeof kind === "string" && typeof retries === "number" ? { kind, retries } : undefined;
  }

  /** Runs code of the user's; the outside can see whose it is for as long as it does not wait. */
  #enter<T>(call: Call, code: () => T): T {
    Atomics.store(this.#running, 0, call.id);
    try {
      return code();
    } finally {
      Atomics.store(this.#running, 0, 0);
    }
  }

  #context(
    call: Call,
    packed: PackedContext,
    inHand: KinesisRecord | undefined,
  ): ProcessContext {
    const { attempt } = call;
    return {
      ...packed,
      get signal() {
        return attempt.signal;
      },
      checkpoint: (record) => this.#checkpoint(packed, record ?? inHand),
      transact: () => Promise.reject(new TypeError(NO_TRANSACTIONS)),
    };
  }

  /** Throws at once at a mistake: whoever calls it without waiting must learn of it too. */
  #checkpoint(
    { shardId, term }: PackedContext,
    record: KinesisRecord | undefined,
  ): Promise<void> {
    checkByHand(this.#deps.settings.checkpointMode, shardId, record);
    const id = this.#lastNumber += 1;
    const done = Promise.withResolvers<void>();
    done.promise.catch(() => {}); // Whoever does not wait for it learns of a lost shard from the signal.
    this.#checkpoints.set(id, done);
    const position = record === undefined ? null : {
      sequenceNumber: record.sequenceNumber,
      subSequenceNumber: isLastOfAggregate(record) ? undefined : record.subSequenceNumber,
    };
    this.#deps.post({ kind: "checkpoint", id, shardId, term, position });
    return done.promise;
  }

  #checkpointed({ id, error }: Extract<ToThread, { kind: "checkpointed" }>): void {
    const done = this.#checkpoints.get(id);
    this.#checkpoints.delete(id);
    if (error === undefined) done?.resolve();
    else done?.reject(unpackError(error));
  }

  #keep(error: unknown, packed: PackedError = packError(error)): PackedError {
    const kept = this.#lastNumber += 1;
    this.#errors.set(kept, error);
    const [oldest] = this.#errors.keys();
    if (this.#errors.size > ERRORS_KEPT_MAX && oldest !== undefined) this.#errors.delete(oldest);
    return { ...packed, kept };
  }

  /** The very thing that was thrown here, so that `instanceof` says the same as in one thread; else what is known of it. */
  #thrown(packed: PackedError): unknown {
    const { kept } = packed;
    return kept !== undefined && this.#errors.has(kept)
      ? this.#errors.get(kept)
      : unpackError(packed);
  }
}

/** The items would be written with the rights of the worker, from which a sandboxed processor is kept away. */
const NO_TRANSACTIONS =
  "Cannot write items with the checkpoint from a processor in a thread of its own; run it without --threads and --sandbox";

/** Better than a record that fails for it, and is perhaps skipped. */
function checkFit(processor: RecordProcessor): RecordProcessor {
  if (typeof processor !== "object" || processor === null) return processor;
  if ("isTransacting" in processor) throw new TypeError(NO_TRANSACTIONS);
  if ("keepsState" in processor) throw new TypeError(NO_WINDOWS);
  return processor;
}

/** One thing that this thread is asked to do. */
class Call {
  readonly id: number;
  attempt: Attempt = new Attempt();
  #abort: { readonly reason: unknown } | undefined;

  constructor(id: number) {
    this.id = id;
  }

  /** Begins with the next record. */
  begin(): void {
    this.attempt = new Attempt();
    if (this.#abort !== undefined) this.attempt.abort(this.#abort.reason);
  }

  abort(reason: unknown): void {
    this.#abort = { reason };
    this.attempt.abort(reason);
  }
}

/** An abort signal that is made when somebody looks at it: few processors do, and it costs more than all the rest. */
class Attempt {
  #controller: AbortController | undefined;
  #abort: { readonly reason: unknown } | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abort !== undefined) this.#controller.abort(this.#abort.reason);
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#abort ??= { reason };
    this.#controller?.abort(reason);
  }
}

function deliver(
  { context, records }: { readonly context: PackedContext; readonly records: ArrayBuffer },
): readonly KinesisRecord[] {
  return Array.from(
    unpackRecords(records),
    (record) => new DeliveredRecord(context.shardId, record),
  );
}
