/**
 * Owns: the public class; it wires the outside world to the runtime.
 * Must not: decide anything about shards, records or leases.
 * Called by: users through `mod.ts`, and the command line.
 *
 * @module
 */

import manifest from "../deno.json" with { type: "json" };
import {
  checkOnFailure,
  type OnFailure,
  openFailureDestination,
} from "./adapters/failure_destination.ts";
import { systemClock, systemRandom } from "./adapters/system.ts";
import { defaultWorkerId } from "./adapters/worker_identity.ts";
import { checkInitialPosition } from "./core/config_checks.ts";
import { type ReactoKinesixConfig, resolveConfig } from "./core/config.ts";
import { checkNames, checkWorkerId } from "./core/names.ts";
import { type ClusterStatus, clusterStatus } from "./core/status.ts";
import { EventHub, type EventListener, type ListenerOptions } from "./event_hub.ts";
import { toEventError } from "./errors.ts";
import type { AppEvent, AppEventType, AppFact } from "./events.ts";
import type { ProcessorSource, RecordFilter } from "./processor.ts";
import { ClusterControl } from "./runtime/cluster_control.ts";
import { checkProcessorSource, checkState } from "./runtime/processors.ts";
import { checkFilter } from "./runtime/record_filter.ts";
import type { OwnShard } from "./runtime/shard_roster.ts";
import { Worker, type WorkerHealth } from "./runtime/worker.ts";
import { type ClusterOptions, connect, type Ports } from "./world.ts";

/** What {@linkcode ReactoKinesixApp.createNew} takes. */
export interface AppOptions extends ClusterOptions {
  /** What processes the records: one processor for all shards, or a factory that makes one for each. */
  readonly processor: ProcessorSource;
  /**
   * Which records are processed: those for which it gives true. The others count as finished, and `batch_processed` says how many
   * they were.
   *
   * @default {all of them}
   */
  readonly filter?: RecordFilter;
  /**
   * The name of this worker, different for each process. 1 to 128 characters.
   *
   * @default {the EC2 instance id if there is one, else the host name; with a random part}
   */
  readonly workerId?: string;
  /** The settings. */
  readonly config?: ReactoKinesixConfig;
  /**
   * Where records go that are given up (`retryAndSkip`): `file:PATH`, `kinesis:STREAM`, or a function. The whole record is there
   * before the checkpoint passes it; if that fails it is tried again for as long as it takes, and the record waits.
   *
   * @default {nowhere: `onMaxRetryExceeded` is all that learns of it}
   */
  readonly onFailure?: OnFailure;
  /** Is told every event from the very first one on. A throw is reported as `listener_failed`. */
  readonly onEvent?: (event: AppEvent) => void;
  /** Stops the app when it is aborted, also while it starts; then `createNew` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Replaces parts of the outside world, mostly for tests; see `@reacto/kinesix/testing`. */
  readonly ports?: Ports;
}

/**
 * A worker: one of the processes that consume a stream together.
 *
 * @example
 * ```ts
 * import { ReactoKinesixApp } from "@reacto/kinesix";
 * import { MemoryLeaseStore, MemoryStream } from "@reacto/kinesix/testing";
 *
 * const stream = new MemoryStream({ shards: 2 });
 * stream.put("customer-1", "hello");
 * const seen = Promise.withResolvers<string>();
 * await using app = await ReactoKinesixApp.createNew({
 *   appName: "TestApp",
 *   streamName: "TestStream",
 *   workerId: "PHANTOM",
 *   processor: { process: (record) => seen.resolve(record.text()) },
 *   ports: { store: new MemoryLeaseStore(), source: stream }, // without this line: AWS
 * });
 * console.log(await seen.promise, app.shards().length); // hello 2
 * ```
 */
export class ReactoKinesixApp implements AsyncDisposable {
  /** The name of this worker. */
  readonly workerId: string;
  /** The name of the app: workers with the same one share the stream. */
  readonly appName: string;
  /** The name of the stream. */
  readonly streamName: string;
  /** Resolves when the worker has stopped; rejects when it had to, with the reason. */
  readonly finished: Promise<void>;
  readonly #worker: Worker;
  readonly #hub: EventHub;

  private constructor(
    worker: Worker,
    hub: EventHub,
    names: Pick<ReactoKinesixApp, "workerId" | "appName" | "streamName">,
    finished: Promise<void>,
  ) {
    this.#worker = worker;
    this.#hub = hub;
    this.workerId = names.workerId;
    this.appName = names.appName;
    this.streamName = names.streamName;
    this.finished = finished;
  }

  /**
   * Starts a worker. Resolves when the state table is ready and the worker has taken its first shards.
   *
   * The events of the start are told to the listeners that are added in the same turn in which this resolves.
   *
   * @throws {TypeError | RangeError} If an option or a setting is not acceptable; it is named.
   * @throws {StoreError} If the state table cannot be used.
   * @throws {SourceError} If the stream cannot be read.
   */
  static async createNew(options: AppOptions): Promise<ReactoKinesixApp> {
    options.signal?.throwIfAborted();
    const names = checkNames(options);
    const config = resolveConfig(options.config);
    const processor = checkProcessorSource(options.processor, config.concurrency);
    checkState(processor, config);
    const filter = checkFilter(options.filter);
    const onFailure = checkOnFailure(options.onFailure, names.streamName);
    const { clock = systemClock, random = systemRandom } = options.ports ?? {};
    checkInitialPosition(config.initialPosition, clock.now());
    const isOnAws = !options.kinesisEndpoint && !options.dynamoDBEndpoint && !options.ports;
    const workerId = checkWorkerId(
      options.workerId ?? await defaultWorkerId({ clock, random, isOnAws }),
    );
    const emit = (fact: AppFact): void =>
      hub.deliver({ ...fact, time: new Date(clock.now()).toISOString(), workerId });
    const onListenerError = (eventType: string, error: unknown): void =>
      emit({ type: "listener_failed", eventType, error: toEventError(error) });
    const hub = new EventHub(onListenerError, options.onEvent);
    const failures = await openFailureDestination(onFailure, options);
    const world = await connect(options, config, { clock, random, emit }).catch((error) => {
      failures.close();
      throw error;
    });
    const { version } = manifest;
    const given = { ...names, workerId, version, config, processor, filter };
    const worker = new Worker({ ...world, ...given, failureDestination: failures.destination });
    const stop = (): void => void worker.stop();
    options.signal?.addEventListener("abort", stop, { once: true });
    const finished = worker.finished.finally(() => {
      options.signal?.removeEventListener("abort", stop);
      world.close();
      failures.close();
      hub.close();
    });
    finished.catch(() => {}); // As long as this start is under way, it is thrown here.
    // An abort before this was told to nobody.
    if (options.signal?.aborted) stop();
    try {
      await worker.start();
    } catch (error) {
      hub.open();
      options.signal?.throwIfAborted();
      throw error;
    }
    // A macrotask later, so that whoever awaits this can add listeners first.
    void clock.sleep(0, new AbortController().signal).then(() => hub.open());
    return new ReactoKinesixApp(worker, hub, { ...names, workerId }, finished.then(() => {}));
  }

  /**
   * The cluster as the state table shows it, without starting a worker.
   *
   * Whether a worker is alive is guessed from the time of its last heartbeat and the clock of this machine; the workers
   * themselves never compare clocks.
   *
   * @throws {TypeError | RangeError} If an option is not acceptable.
   * @throws {StoreError} If the state table cannot be read; `missing` if there is none.
   */
  static async clusterStatus(
    options: ClusterOptions & {
      readonly config?: Pick<ReactoKinesixConfig, "dynamoDBTableSuffix">;
      readonly ports?: Pick<Ports, "store" | "clock">;
    },
  ): Promise<ClusterStatus> {
    checkNames(options);
    const config = resolveConfig(options.config);
    const { clock = systemClock } = options.ports ?? {};
    const world = await connect(options, config, { clock, random: systemRandom, emit: () => {} });
    try {
      const { signal } = new AbortController();
      const shards = await world.store.list("shard", signal);
      const workers = await world.store.list("worker", signal);
      const now = clock.now();
      return clusterStatus(
        workers.rows,
        shards.rows,
        (worker) => now - worker.beatAt < worker.heartbeatTimeout,
      );
    } finally {
      world.close();
    }
  }

  /**
   * Steers the cluster without starting a worker: stops, starts and hands over shards, and sets checkpoints.
   *
   * @throws {TypeError | RangeError} If an option is not acceptable.
   */
  static async control(
    options: ClusterOptions & {
      readonly config?: Pick<ReactoKinesixConfig, "dynamoDBTableSuffix" | "maxDynamoDBRetries">;
      readonly ports?: Ports;
    },
  ): Promise<ClusterControl> {
    checkNames(options);
    const config = resolveConfig(options.config);
    const { clock = systemClock, random = systemRandom } = options.ports ?? {};
    const world = await connect(options, config, { clock, random, emit: () => {} });
    return new ClusterControl(world, () => world.close());
  }

  /**
   * Processes a shard on this worker again that was stopped here, by `stopProcessing` or by a record with `retryAndStop`. Resolves
   * when this worker has taken it, or when it turned out that another one has it.
   *
   * @throws {RangeError} If the stream has no such shard, or every record of it is finished.
   */
  startProcessing(shardId: string): Promise<void> {
    return this.#worker.startProcessing(shardId);
  }

  /**
   * Stops a shard on this worker. Resolves when the record in hand (with `processBatch`: the batch) is finished and
   * checkpointed, and the shard is given up; other workers may then take it. A worker that does not have the shard
   * remembers not to take it, so that calling this on every worker stops the shard.
   *
   * @throws {RangeError} If the stream has no such shard, or every record of it is finished.
   */
  stopProcessing(shardId: string): Promise<void> {
    return this.#worker.stopProcessing(shardId);
  }

  /**
   * Uses another processor from the next record on. Resolves when the old one is not used any more and disposed.
   * After a stop it is the next one that is disposed, since nobody uses it.
   *
   * @throws {TypeError} If it is neither a processor nor a factory, or does not work with the settings.
   */
  changeProcessor(next: ProcessorSource): Promise<void> {
    return this.#worker.changeProcessor(next);
  }

  /**
   * The memory that is held at this moment for records that are read and not finished, and for reads that are under way, in bytes:
   * what `maxBufferedBytes` limits.
   */
  get bufferedBytes(): number {
    return this.#worker.bufferedBytes;
  }

  /** How this worker is, as far as it knows itself: what a health check asks. It asks nobody and costs nothing. */
  health(): WorkerHealth {
    return this.#worker.health();
  }

  /** The shards that this worker processes now. */
  shards(): readonly OwnShard[] {
    return this.#worker.shards();
  }

  /**
   * The cluster as the state table shows it now.
   *
   * @throws {StoreError} If the state table cannot be read.
   */
  status(): Promise<ClusterStatus> {
    return this.#worker.status();
  }

  /** Calls a listener at every event of a type; `*` is every type. What it throws is reported as `listener_failed`. */
  addEventListener<T extends AppEventType = AppEventType>(
    type: T | "*",
    listener: EventListener<T>,
    options?: ListenerOptions,
  ): void {
    this.#hub.add(type, listener, options);
  }

  /** Takes a listener off. */
  removeEventListener<T extends AppEventType = AppEventType>(
    type: T | "*",
    listener: EventListener<T>,
  ): void {
    this.#hub.remove(type, listener);
  }

  /**
   * Every event as a stream, which ends when the worker has stopped. Called in the turn in which `createNew` resolves, it has those
   * of the start too. It fails when 10,000 events wait to be read.
   */
  events(): ReadableStream<AppEvent> {
    return this.#hub.stream();
  }

  /**
   * Stops: finishes the records in hand, checkpoints, gives the shards to other workers. Returns within
   * `shutdownTimeout`; a record that is not finished by then is given up, and its next owner gets it again.
   */
  stop(): Promise<void> {
    return this.#worker.stop();
  }

  /** The same as {@linkcode ReactoKinesixApp.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
