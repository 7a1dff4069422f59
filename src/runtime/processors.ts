/**
 * Owns: which processor is the current one, who still uses an older one, and when each is disposed.
 * Must not: call `process`.
 * Called by: `runtime/record_runner.ts` uses a slot per shard; `runtime/worker.ts` changes and closes.
 *
 * @module
 */

import { toEventError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type { ProcessorSource, RecordProcessor } from "../processor.ts";

/** The processors of a worker. */
export class Processors {
  readonly #emit: EventSink;
  readonly #slots = new Set<Slot>();
  #current: Generation;

  /** @param source The first processor. */
  constructor(source: ProcessorSource, emit: EventSink) {
    this.#emit = emit;
    this.#current = new Generation(checkProcessorSource(source), emit);
  }

  /** A place for the processor of one shard. */
  open(shardId: string): Slot {
    const slot = new Slot(shardId, () => this.#current, this.#emit, () => this.#slots.delete(slot));
    this.#slots.add(slot);
    return slot;
  }

  /** Uses another processor from the next record on. Resolves when the old one is disposed. */
  async change(next: ProcessorSource): Promise<void> {
    const old = this.#current;
    if (next === old.source) return;
    this.#current = new Generation(checkProcessorSource(next), this.#emit);
    this.#emit({ type: "processor_changed" });
    await Promise.all([...this.#slots].map((slot) => slot.leaveIfIdle()));
    await old.retire();
  }

  /** Disposes the processor that all shards share, when no shard uses it any more. */
  async close(): Promise<void> {
    await this.#current.retire();
  }
}

/** One processor, or the factory of one per shard, from the moment it became the current one. */
class Generation {
  readonly source: ProcessorSource;
  readonly #emit: EventSink;
  readonly #gone = Promise.withResolvers<void>();
  #users = 0;
  #isRetired = false;

  constructor(source: ProcessorSource, emit: EventSink) {
    this.source = source;
    this.#emit = emit;
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
    if (typeof this.source !== "function") await dispose(this.source, null, this.#emit);
    this.#gone.resolve();
  }
}

/** The processor of one shard. It follows a change of the processor between two records. */
export class Slot {
  readonly shardId: string;
  readonly #currentOf: () => Generation;
  readonly #emit: EventSink;
  readonly #onClose: () => void;
  #generation: Generation | null = null;
  #processor: RecordProcessor | null = null;
  #isBusy = false;

  /** @param currentOf Gives the generation that holds from the next record on. */
  constructor(
    shardId: string,
    currentOf: () => Generation,
    emit: EventSink,
    onClose: () => void,
  ) {
    this.shardId = shardId;
    this.#currentOf = currentOf;
    this.#emit = emit;
    this.#onClose = onClose;
  }

  /**
   * The processor to use for the next record. It stays the same until {@linkcode Slot.done}.
   *
   * @throws Whatever the user's factory throws.
   */
  use(): RecordProcessor | Promise<RecordProcessor> {
    this.#isBusy = true;
    if (this.#processor !== null && this.#generation === this.#currentOf()) return this.#processor;
    return this.#renew();
  }

  /** The record is finished: the processor may change. */
  async done(): Promise<void> {
    this.#isBusy = false;
    if (this.#generation !== null && this.#generation !== this.#currentOf()) await this.#leave();
  }

  async leaveIfIdle(): Promise<void> {
    if (!this.#isBusy) await this.#leave();
  }

  async close(): Promise<void> {
    this.#onClose();
    await this.#leave();
  }

  async #renew(): Promise<RecordProcessor> {
    await this.#leave();
    const generation = this.#currentOf();
    const { source } = generation;
    generation.enter();
    this.#generation = generation;
    try {
      this.#processor = typeof source === "function"
        ? checkProcessor(await source(this.shardId))
        : source;
      return this.#processor;
    } catch (error) {
      await this.#leave();
      throw error;
    }
  }

  async #leave(): Promise<void> {
    const generation = this.#generation;
    const processor = this.#processor;
    this.#generation = null;
    this.#processor = null;
    if (generation === null) return;
    if (processor !== null && processor !== generation.source) {
      await dispose(processor, this.shardId, this.#emit);
    }
    await generation.leave();
  }
}

/**
 * Checks what a user gives as a processor.
 *
 * @throws {TypeError} If it is neither a processor nor a factory.
 */
export function checkProcessorSource(source: unknown): ProcessorSource {
  return typeof source === "function" ? source as ProcessorSource : checkProcessor(source);
}

function checkProcessor(processor: unknown): RecordProcessor {
  const isObject = typeof processor === "object" && processor !== null;
  const { process, processBatch } = (isObject ? processor : {}) as RecordProcessor;
  const methods = [process, processBatch].filter((method) => method !== undefined);
  if (methods.length > 0 && methods.every((method) => typeof method === "function")) {
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
  emit: EventSink,
): Promise<void> {
  try {
    await processor[Symbol.asyncDispose]?.();
  } catch (error) {
    emit({ type: "processor_failed", shardId, operation: "dispose", error: toEventError(error) });
  }
}
