/**
 * Owns: reading a stream in a loop of one's own, instead of by a processor that is called.
 * Must not: know how records get there: below, a reader is a processor like any other.
 * Called by: users, through `mod.ts`.
 *
 * @module
 */

import { systemClock } from "./adapters/system.ts";
import { type AppOptions, ReactoKinesixApp } from "./app.ts";
import type { BatchDelivery, RecordDelivery } from "./pull/delivery.ts";
import {
  batchPuller,
  type PullDeps,
  type ReaderHooks,
  recordPuller,
} from "./pull/pull_processor.ts";
import { Puller, type Turn } from "./pull/puller.ts";
import type { RecordProcessor } from "./processor.ts";

/** What {@linkcode readRecords} and {@linkcode readBatches} take: what an app takes, without the processor. */
export interface ReaderOptions extends Omit<AppOptions, "processor">, ReaderHooks {
  /**
   * What finishes a record, or a batch. `auto`: the loop that had it asks for the next one. `manual`: `ack()`, for whoever asks for
   * the next one before the last one is done: several at a time, RxJS, a pipe with a buffer in it.
   *
   * @default {"auto"}
   */
  readonly ack?: "auto" | "manual";
}

/**
 * Starts a worker, and gives its records to whoever asks for them. Nothing more is read than what fits, and each shard has at most
 * `concurrency` records in the hands of its readers.
 *
 * @throws {TypeError | RangeError} If an option or a setting is not acceptable; it is named.
 * @throws {StoreError} If the state table cannot be used.
 * @throws {SourceError} If the stream cannot be read.
 *
 * @example
 * ```ts
 * import { readRecords } from "@reacto/kinesix";
 * import { MemoryLeaseStore, MemoryStream } from "@reacto/kinesix/testing";
 *
 * const stream = new MemoryStream({ shards: 2 });
 * stream.put("customer-1", "hello");
 * await using records = await readRecords({
 *   appName: "TestApp",
 *   streamName: "TestStream",
 *   ports: { store: new MemoryLeaseStore(), source: stream }, // without this line: AWS
 * });
 * for await (const { record, context, ack } of records) {
 *   console.log(context.shardId, record.text());
 *   ack(); // before the loop is left: what is in hand then would come again
 *   break; // stops the worker
 * }
 * ```
 */
export function readRecords(options: ReaderOptions): Promise<Reader<RecordDelivery>> {
  return start(options, recordPuller);
}

/**
 * As {@linkcode readRecords}, many records of a shard at a time: `batchSize`, `batchWindow` and `bisectBatchOnError` hold as for
 * `processBatch`.
 *
 * @throws {TypeError | RangeError} If an option or a setting is not acceptable; it is named.
 * @throws {StoreError} If the state table cannot be used.
 * @throws {SourceError} If the stream cannot be read.
 *
 * @example
 * ```ts
 * import { readBatches } from "@reacto/kinesix";
 * import { MemoryLeaseStore, MemoryStream } from "@reacto/kinesix/testing";
 *
 * const stream = new MemoryStream({ shards: 1 });
 * for (const text of ["a", "b", "c"]) stream.put("customer-1", text);
 * await using batches = await readBatches({
 *   appName: "TestApp",
 *   streamName: "TestStream",
 *   config: { batchSize: 2 },
 *   ports: { store: new MemoryLeaseStore(), source: stream }, // without this line: AWS
 * });
 * for await (const { records, ack } of batches) {
 *   console.log(records.map((record) => record.text())); // [ "a", "b" ]
 *   ack();
 *   break;
 * }
 * ```
 */
export function readBatches(options: ReaderOptions): Promise<Reader<BatchDelivery>> {
  return start(options, batchPuller);
}

/**
 * A worker whose records are asked for.
 *
 * Several loops may read at the same time; each record goes to one of them. To leave a loop (`break`, `return`, a throw) stops the
 * worker: what the loop has in hand is not finished, and the next owner of the shard gets it again. `ReadableStream.from(reader)`
 * makes a stream of it, and to cancel that is to leave the loop.
 */
export interface Reader<T> extends AsyncDisposable {
  /** The worker: its events, its shards, its status. That it has failed is told to whoever asks for the next record. */
  readonly app: ReactoKinesixApp;
  /**
   * A loop over the records of all shards, in turn. It ends when the worker has stopped, and throws if it had to.
   *
   * @throws {TypeError} If it is read by {@linkcode Reader.shards}.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined>;
  /**
   * The shards of this worker, each when it has its first record here; one that was handed over and comes back is another one. Read
   * each in a loop of its own, and do not wait for its end before you ask for the next shard. To leave this loop stops the worker.
   *
   * @throws {TypeError} If a loop over all of it has begun.
   */
  shards(): AsyncIterableIterator<ShardReader<T>, undefined>;
  /**
   * Stops the worker, and ends the loops: what they have in hand may be finished within `shutdownTimeout`. Within a loop, `break`
   * instead: this would wait for the loop.
   */
  stop(): Promise<void>;
  /** The same as {@linkcode Reader.stop}. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The records of one shard, for as long as this worker has it. */
export interface ShardReader<T> {
  /** The shard. */
  readonly shardId: string;
  /**
   * A loop over the records. It ends when the shard has ended, goes to another worker, or is lost. To leave it stops the shard here,
   * as `app.stopProcessing` does: other workers may take it.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined>;
}

class AppReader<T> implements Reader<T> {
  readonly app: ReactoKinesixApp;
  readonly #puller: Puller<T>;

  constructor(app: ReactoKinesixApp, puller: Puller<T>) {
    this.app = app;
    this.#puller = puller;
    app.finished.then(() => puller.end(), (error) => puller.end({ error }));
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined> {
    return this.#puller.loop(() => this.stop());
  }

  shards(): AsyncIterableIterator<ShardReader<T>, undefined> {
    return this.#puller.turns((turn) => this.#shardReader(turn), () => this.stop());
  }

  stop(): Promise<void> {
    return this.app.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #shardReader(turn: Turn<T>): ShardReader<T> {
    const isOver = (): boolean => !this.#puller.has(turn) || this.app.health().phase === "stopped";
    const stop = async (): Promise<void> => {
      if (isOver()) return;
      await this.app.stopProcessing(turn.shardId).catch((error) => {
        // What ended meanwhile needs no stop.
        if (!isOver()) throw error;
      });
    };
    return {
      shardId: turn.shardId,
      [Symbol.asyncIterator]: () => this.#puller.loopOf(turn, stop),
    };
  }
}

async function start<T>(
  options: ReaderOptions,
  makeProcessor: (deps: PullDeps<T>) => RecordProcessor,
): Promise<Reader<T>> {
  const { ack = "auto", getErrorHandlingMode, onMaxRetryExceeded, shardEnded, ...app } = options;
  if (ack !== "auto" && ack !== "manual") {
    throw new RangeError(`Cannot use ack "${ack}": it must be "auto" or "manual"`);
  }
  const puller = new Puller<T>({
    ack,
    makeProcessor,
    clock: options.ports?.clock ?? systemClock,
    processTimeout: options.config?.processTimeout ?? 0,
    hooks: {
      ...getErrorHandlingMode && { getErrorHandlingMode },
      ...onMaxRetryExceeded && { onMaxRetryExceeded },
      ...shardEnded && { shardEnded },
    },
  });
  const processor = puller.processorOf;
  return new AppReader(await ReactoKinesixApp.createNew({ ...app, processor }), puller);
}
