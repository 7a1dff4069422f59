/**
 * Owns: which processor is the current one, who still uses an older one, and when each is disposed.
 * Must not: call `process`.
 * Called by: `runtime/record_runner.ts` uses a slot per shard; `runtime/worker.ts` changes and closes.
 *
 * @module
 */

import type { ResolvedConfig } from "../core/config.ts";
import { toUserError } from "../errors.ts";
import type { ProcessorSource, RecordProcessor, RecordProcessorFactory } from "../processor.ts";
import { withinProcessTimeout } from "./attempt_time.ts";
import { cannotTransact, type UserCodeDeps } from "./user_code.ts";

/** What the processors need of the worker. */
export type ProcessorsDeps =
  & Pick<UserCodeDeps, "clock" | "emit" | "processTimeout">
  & Partial<Pick<UserCodeDeps, "concurrency">>;

/** The processors of a worker. */
export class Processors {
  readonly #deps: ProcessorsDeps;
  readonly #slots = new Set<Slot>();
  #current: Generation;
  #isClosed = false;

  /** @param source The first processor. */
  constructor(source: ProcessorSource, deps: ProcessorsDeps) {
    this.#deps = deps;
    this.#current = new Generation(checkProcessorSource(source, deps.concurrency), deps);
  }

  /** A place for the processor of one shard. */
  open(shardId: string): Slot {
    const slot = new Slot(shardId, () => this.#current, this.#deps, () => this.#slots.delete(slot));
    this.#slots.add(slot);
    return slot;
  }

  /** Uses another processor from the next record on. Resolves when the old one is disposed; once closed, when the other one is. */
  async change(next: ProcessorSource): Promise<void> {
    const old = this.#current;
    if (next === old.source) return;
    const generation = new Generation(
      checkProcessorSource(next, this.#deps.concurrency),
      this.#deps,
    );
    // Nobody would ever use it.
    if (this.#isClosed) return await generation.retire();
    this.#current = generation;
    this.#deps.emit({ type: "processor_changed" });
    await Promise.all([...this.#slots].map((slot) => slot.renew()));
    await old.retire();
  }

  /** Disposes the processor that all shards share, when no shard uses it any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#current.retire();
  }
}

/** One processor, or the factory of one per shard, from the moment it became the current one. */
class Generation {
  readonly source: ProcessorSource;
  readonly #deps: ProcessorsDeps;
  readonly #gone = Promise.withResolvers<void>();
  #users = 0;
  #isRetired = false;

  constructor(source: ProcessorSource, deps: ProcessorsDeps) {
    this.source = source;
    this.#deps = deps;
  }

  enter(): void {
    this.#users += 1;
  }

  async leave(): Promise<void> {
    this.#users -= 1;
    await this.#disposeIfDone();
  }

  async retire(): Promise<void> {
    this.#isRetired = true;
    if (this.#users === 0) await this.#disposeIfDone();
    await this.#gone.promise;
  }

  async #disposeIfDone(): Promise<void> {
    if (!this.#isRetired || this.#users > 0) return;
    if (typeof this.source !== "function") await dispose(this.source, null, this.#deps);
    this.#gone.resolve();
  }
}

/**
 * One version of the processor in the hands of one shard. Whoever gets it from {@linkcode Slot.use} waits for `processor`, and
 * calls `done` once.
 */
export class Use {
  /** Rejects with whatever the user's factory throws. */
  readonly processor: RecordProcessor | Promise<RecordProcessor>;
  /** Whether the factory keeps to `processTimeout` by itself. */
  readonly keepsTime: boolean;
  readonly #shardId: string;
  readonly #generation: Generation;
  readonly #deps: ProcessorsDeps;
  readonly #retired = new AbortController();
  readonly #onRetired: (use: Use) => void;
  #users = 0;
  #made: RecordProcessor | undefined;
  #disposed: Promise<void> | undefined;

  constructor(
    shardId: string,
    generation: Generation,
    deps: ProcessorsDeps,
    onRetired: (use: Use) => void,
  ) {
    this.#shardId = shardId;
    this.#generation = generation;
    this.#deps = deps;
    this.#onRetired = onRetired;
    const { source } = generation;
    generation.enter();
    this.keepsTime = "keepsTime" in source;
    this.#made = typeof source === "function" ? undefined : source;
    this.processor = typeof source === "function" ? this.#make(source) : source;
  }

  /** Aborts when no further record is to be started with this version. */
  get retired(): AbortSignal {
    return this.#retired.signal;
  }

  /** The processor, if it is made already. */
  get made(): RecordProcessor | undefined {
    return this.#made;
  }

  enter(): this {
    this.#users += 1;
    return this;
  }

  /** The records are finished. Resolves when the processor is disposed, if it has to be. */
  done(): Promise<void> | undefined {
    this.#users -= 1;
    // What failed, or was not there in time, is made anew for whoever comes next.
    return this.#made === undefined ? this.retire() : this.#disposeIfUnused();
  }

  /** No further record gets this version: it is disposed when nobody uses it any more. */
  retire(): Promise<void> | undefined {
    if (this.#retired.signal.aborted) return this.#disposeIfUnused();
    this.#onRetired(this);
    this.#retired.abort();
    return this.#disposeIfUnused();
  }

  async #make(factory: RecordProcessorFactory): Promise<RecordProcessor> {
    const made = checkProcessor(await factory(this.#shardId), this.#deps.concurrency);
    // Without the mark nobody would know in time that there is state.
    if ("keepsState" in made && !("keepsState" in factory)) {
      throw new TypeError(
        "Cannot use windows that another factory made: give what tumblingWindows returns as the processor",
      );
    }
    return this.#made = made;
  }

  #disposeIfUnused(): Promise<void> | undefined {
    if (this.#users > 0 || !this.#retired.signal.aborted) return undefined;
    this.#disposed ??= this.#dispose();
    return this.#disposed;
  }

  async #dispose(): Promise<void> {
    if (this.processor instanceof Promise) {
      const disposed = this.processor.then(
        (processor) => dispose(processor, this.#shardId, this.#deps),
        () => {}, // What was never made needs no end.
      );
      // A factory that hangs is not waited for; should its processor come one day, it is disposed.
      if (this.#made !== undefined) await disposed;
    }
    await this.#generation.leave();
  }
}

/** The processor of one shard. It follows a change of the processor between two records. */
export class Slot {
  readonly shardId: string;
  readonly #currentOf: () => Generation;
  readonly #deps: ProcessorsDeps;
  readonly #onClose: () => void;
  #current: Use | undefined;

  /** @param currentOf Gives the generation that holds from the next record on. */
  constructor(
    shardId: string,
    currentOf: () => Generation,
    deps: ProcessorsDeps,
    onClose: () => void,
  ) {
    this.shardId = shardId;
    this.#currentOf = currentOf;
    this.#deps = deps;
    this.#onClose = onClose;
  }

  /** The version to use for the next records; several users share one. */
  use(): Use {
    this.#current ??= new Use(this.shardId, this.#currentOf(), this.#deps, (use) => {
      if (this.#current === use) this.#current = undefined;
    });
    return this.#current.enter();
  }

  /** The current processor, if no factory makes it. */
  get made(): RecordProcessor | undefined {
    const { source } = this.#currentOf();
    return typeof source === "function" ? undefined : source;
  }

  /** Whether the current processor keeps state: it is to learn of every read. */
  get keepsState(): boolean {
    return "keepsState" in this.#currentOf().source;
  }

  /** The next record gets the processor that is current then. Resolves when the old one is disposed, if nobody uses it now. */
  async renew(): Promise<void> {
    await this.#current?.retire();
  }

  async close(): Promise<void> {
    this.#onClose();
    await this.renew();
  }
}

/**
 * Checks what a user gives as a processor.
 *
 * @throws {TypeError} If it is neither a processor nor a factory, or a processor that does not work with the setting `concurrency`.
 */
export function checkProcessorSource(source: unknown, concurrency?: number): ProcessorSource {
  return typeof source === "function"
    ? source as ProcessorSource
    : checkProcessor(source, concurrency);
}

/**
 * Checks that a processor goes with the settings.
 *
 * @throws {RangeError} If it keeps state, and what it keeps would not belong to a checkpoint.
 */
export function checkState(
  source: ProcessorSource,
  { concurrency, checkpointMode }: Pick<ResolvedConfig, "concurrency" | "checkpointMode">,
): void {
  if (!("keepsState" in source)) return;
  const setting = concurrency > 1
    ? `"concurrency" is ${concurrency}; set it to 1`
    : checkpointMode === "manual"
    ? '"checkpointMode" is "manual"; set it to "auto"'
    : undefined;
  if (setting === undefined) return;
  throw new RangeError(
    `Cannot use windows, which need the records one after the other and checkpoints by themselves: the setting ${setting}`,
  );
}

function checkProcessor(processor: unknown, concurrency = 1): RecordProcessor {
  const isObject = typeof processor === "object" && processor !== null;
  const { process, processBatch } = (isObject ? processor : {}) as RecordProcessor;
  const methods = [process, processBatch].filter((method) => method !== undefined);
  if (methods.length > 0 && methods.every((method) => typeof method === "function")) {
    const isTransacting = "isTransacting" in (processor as RecordProcessor);
    if (isTransacting && concurrency > 1) throw new TypeError(cannotTransact(concurrency));
    return processor as RecordProcessor;
  }
  throw new TypeError(
    `Cannot use ${describe(processor)} as a processor: it must be an object with a method ` +
      `"process" or "processBatch", or a function that makes one for a shard`,
  );
}

function describe(value: unknown): string {
  if (value === null || typeof value !== "object") {
    return `a value of type ${value === null ? "null" : typeof value}`;
  }
  const names = Object.keys(value).slice(0, 10);
  return names.length === 0 ? "an object without members" : `an object with ${names.join(", ")}`;
}

async function dispose(
  processor: RecordProcessor,
  shardId: string | null,
  deps: ProcessorsDeps,
): Promise<void> {
  const { signal } = new AbortController();
  const work = async (): Promise<void> => await processor[Symbol.asyncDispose]?.();
  try {
    await withinProcessTimeout(deps, signal, work);
  } catch (error) {
    const told = toUserError(error);
    deps.emit({ type: "processor_failed", shardId, operation: "dispose", error: told });
  }
}
