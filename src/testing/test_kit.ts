/**
 * Owns: a cluster in one process for the test of a processor: stream, state table and workers, at a clock that the test moves.
 * Must not: use the network, a permission or a timer.
 * Called by: users, as `@reacto/kinesix/testing`; `testing/simulate.ts`.
 *
 * @module
 */

import { MemoryLeaseStore, MemoryStream } from "../adapters/memory.ts";
import { systemClock } from "../adapters/system.ts";
import { formatCheckpoint } from "../core/checkpoint.ts";
import type { ResolvedConfig } from "../core/config.ts";
import type { AppEvent, AppEventOf, AppEventType } from "../events.ts";
import type { Clock } from "../ports.ts";
import type { KinesisRecord } from "../processor.ts";
import { checkProcessorSource } from "../runtime/processors.ts";
import { type FaultRule, FaultyPorts } from "./faulty_ports.ts";
import { bytesOf, type Payload } from "./records.ts";
import { Member, type TestWorker, type TestWorkerOptions } from "./test_worker.ts";
import { type RecordObserver, type SkippedRecord, UserCalls } from "./user_calls.ts";
import { SeededRandom, settled, VirtualClock } from "./virtual_clock.ts";

/** What {@linkcode testKit} takes. */
export interface TestKitOptions extends TestWorkerOptions {
  /**
   * How many shards the stream begins with; 1 to 10,000.
   *
   * @default {1}
   */
  readonly shards?: number;
  /**
   * For how long the stream says that it keeps its records, in milliseconds; more than 0. `lag_near_retention` and
   * `checkpoint_expired` go by that. It keeps all of them, however old.
   *
   * @default {it does not say, and nobody tells such events}
   */
  readonly retentionMs?: number;
  /**
   * How many workers are started, `worker-1` and so on; 0 to 100.
   *
   * @default {1}
   */
  readonly workers?: number;
  /** What goes wrong with calls to the state table and the stream; nothing without one. */
  readonly faults?: FaultRule;
  /**
   * Decides over chance, such as the lengths of back-offs.
   *
   * @default {1}
   */
  readonly seed?: number;
  /**
   * How long a call of the processor may wait for something real, such as a file, before virtual time goes on without it, in
   * milliseconds of real time. A call that hangs costs a test this once.
   *
   * @default {50}
   */
  readonly patience?: number;
  /** Is told what becomes of each record of each worker, when it happens. */
  readonly observer?: RecordObserver;
}

const WORKERS_MAX = 100;
/** The longest that {@linkcode TestKit.runUntilIdle} lets time pass, unless it is told another one. */
const LIMIT_MS = 86_400_000;
/** The longest back-off: that of a failure destination, or of a processor. */
const BACKOFF_MAX_MS = 30_000;
/** What is told again and again while nothing moves. */
const NO_ACTIVITY: ReadonlySet<AppEventType> = new Set([
  "heartbeat_failed",
  "task_failed",
  "throttled",
  "read_failed",
  "row_malformed",
  "handover_requested",
  "handover_cleared",
  "listener_failed",
]);

/**
 * Starts a kit: a stream in memory, and workers that process it.
 *
 * @throws {TypeError | RangeError} If an option or a setting is not acceptable; it is named.
 *
 * @example
 * ```ts
 * import { testKit } from "@reacto/kinesix/testing";
 *
 * const sink: string[] = [];
 * await using kit = await testKit({ processor: { process: (record) => void sink.push(record.text()) } });
 * kit.put("customer-1", "hello");
 * await kit.runUntilIdle();
 * if (sink[0] !== "hello" || kit.skipped.length > 0) throw new Error("it was processed");
 * ```
 */
export async function testKit(options: TestKitOptions): Promise<TestKit> {
  const { workers = 1 } = options;
  if (!Number.isInteger(workers) || workers < 0 || workers > WORKERS_MAX) {
    throw new RangeError(
      `Cannot start ${workers} workers: it must be a whole number from 0 to ${WORKERS_MAX}`,
    );
  }
  const kit = new TestKit(options);
  for (let n = 0; n < workers; n++) await kit.addWorker();
  return kit;
}

/** A cluster in one process, at a clock that the test moves; see {@linkcode testKit}. */
export class TestKit implements AsyncDisposable {
  /** The clock of all workers. A processor under test that waits should wait here. */
  readonly clock: VirtualClock;
  /** The stream; it can be split and merged. */
  readonly stream: MemoryStream;
  /** The state table. */
  readonly store: MemoryLeaseStore = new MemoryLeaseStore();
  /** What goes wrong with calls from now on; undefined if nothing does. */
  faults: FaultRule | undefined;
  readonly #options: TestKitOptions;
  readonly #events: AppEvent[] = [];
  readonly #processed: KinesisRecord[] = [];
  readonly #skipped: SkippedRecord[] = [];
  readonly #members: Member[] = [];
  readonly #calls: UserCalls;
  readonly #observer: RecordObserver = {
    onDelivered: (...args) => this.#options.observer?.onDelivered(...args),
    onProcessed: (records) => {
      for (const record of records) this.#processed.push(record);
      this.#options.observer?.onProcessed(records);
    },
    onSkipped: (skipped) => {
      this.#skipped.push(skipped);
      this.#options.observer?.onSkipped(skipped);
    },
  };
  #started = 0;
  #readersWaiting = 0;
  #activeAt = 0;

  /** Makes a kit without a worker; {@linkcode testKit} starts some, too. */
  constructor(options: TestKitOptions) {
    checkProcessorSource(options.processor);
    this.#options = options;
    this.faults = options.faults;
    this.clock = new VirtualClock(() => this.#settle());
    const { shards = 1, retentionMs } = options;
    this.stream = new MemoryStream({ shards, clock: this.#streamClock(), retentionMs });
    this.#calls = new UserCalls(() => this.#noteActivity());
  }

  /** The records for which the processor returned in time, in that order; one that was delivered again is here again. */
  get processed(): readonly KinesisRecord[] {
    return this.#processed;
  }

  /** The records that were given up and passed, in that order. */
  get skipped(): readonly SkippedRecord[] {
    return this.#skipped;
  }

  /** Every event of every worker, in that order. */
  get events(): readonly AppEvent[] {
    return this.#events;
  }

  /** The events of one type. */
  told<T extends AppEventType>(type: T): readonly AppEventOf<T>[] {
    return this.#events.filter((event): event is AppEventOf<T> => event.type === type);
  }

  /**
   * The checkpoint of each shard that has a row: the sequence number of the last finished record (and, within an aggregate, a colon
   * and its place there), `TRIM_HORIZON`, or `SHARD_END`.
   */
  get checkpoints(): Readonly<Record<string, string>> {
    return Object.fromEntries(
      this.store.rows("shard").map(({ id, checkpoint }) => [id, formatCheckpoint(checkpoint)]),
    );
  }

  /** The workers that run. */
  get workers(): readonly TestWorker[] {
    return this.#members.filter(({ isOver }) => !isOver);
  }

  /**
   * Puts a record into the shard that its partition key belongs to.
   *
   * @param data Bytes; a text, which is put as UTF-8; or any other object, which is put as JSON.
   */
  put(
    partitionKey: string,
    data: Payload,
  ): { readonly shardId: string; readonly sequenceNumber: string } {
    return this.stream.put(partitionKey, bytesOf(data));
  }

  /**
   * Starts another worker.
   *
   * @param options What is different from the options of the kit.
   * @throws {StoreError | SourceError} If it cannot start, because of {@linkcode TestKit.faults}.
   */
  async addWorker(options: Partial<TestWorkerOptions> = {}): Promise<TestWorker> {
    this.#started += 1;
    const workerId = `worker-${this.#started}`;
    const ports = new FaultyPorts({
      store: this.store,
      source: this.stream,
      clock: this.clock,
      random: new SeededRandom((this.#options.seed ?? 1) * WORKERS_MAX + this.#started),
      workerId,
      faults: (call) => this.faults?.(call),
    });
    const deps = {
      ...{ clock: this.clock, calls: this.#calls, ports, observer: this.#observer },
      onEvent: (event: AppEvent) => this.#onEvent(event),
    };
    const member = new Member(deps, { ...this.#options, ...options });
    this.#members.push(member);
    await this.clock.until(member.start(workerId));
    return member;
  }

  /** Lets time pass, in virtual milliseconds. */
  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
  }

  /**
   * Lets time pass until a promise is settled, at most an hour; gives what it gives.
   *
   * @throws {RangeError} If it is not settled by then.
   */
  async until<T>(promise: Promise<T>): Promise<T> {
    return await this.clock.until(promise);
  }

  /**
   * Lets time pass until every record is finished and checkpointed, or nothing more can be expected to happen: shards are stopped, or
   * nobody calls `checkpoint()`.
   *
   * @param options.limit The most virtual time that may pass, in milliseconds; a day if it is not given.
   * @throws {RangeError} If something still goes on then, or no worker is left for what is not finished.
   */
  async runUntilIdle({ limit = LIMIT_MS }: { readonly limit?: number } = {}): Promise<void> {
    const end = this.clock.monotonic() + limit;
    this.#noteActivity();
    await this.#settle();
    while (!this.#isIdle()) {
      if (await this.clock.next(end)) continue;
      throw new RangeError(
        `Cannot come to rest within ${limit} ms of virtual time: ${this.#whatIsLeft()}`,
      );
    }
  }

  /** Stops every worker. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.workers) await worker.stop();
  }

  #onEvent(event: AppEvent): void {
    this.#events.push(event);
    if (!NO_ACTIVITY.has(event.type)) this.#noteActivity();
  }

  #noteActivity(): void {
    this.#activeAt = this.clock.monotonic();
  }

  /** Lets everything happen that can happen without virtual time passing, in the outside world too. */
  async #settle(): Promise<void> {
    await settled();
    const { patience = 50 } = this.#options;
    let last = { over: -1, at: 0 };
    while (this.#mayWaitForReal()) {
      const now = systemClock.monotonic();
      const { over } = this.#calls;
      if (over !== last.over) last = { over, at: now };
      if (now - last.at >= patience) return this.#calls.giveUpWaiting();
      await settled();
    }
  }

  #mayWaitForReal(): boolean {
    const ofWorkers = this.#members.reduce((sum, { ports }) => sum + ports.sleeping, 0);
    return this.#calls.waitingForReal > this.clock.sleeping - ofWorkers - this.#readersWaiting;
  }

  /** The clock, on which the waits of readers are counted. */
  #streamClock(): Clock {
    const { clock } = this;
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      sleep: (ms, signal) => {
        this.#readersWaiting += 1;
        return clock.sleep(ms, signal).finally(() => this.#readersWaiting -= 1);
      },
    };
  }

  #isIdle(): boolean {
    if (this.#calls.names().length > 0) return false;
    const unfinished = this.#unfinished();
    if (unfinished.length === 0) return true;
    const running = this.#members.filter(({ isOver }) => !isOver);
    if (running.length === 0) {
      throw new RangeError(`Cannot come to rest: no worker is left, and ${this.#whatIsLeft()}`);
    }
    const quiet = Math.max(...running.map(({ config }) => quietMs(config)));
    return this.clock.monotonic() - this.#activeAt > quiet;
  }

  /** The shards with records that are not finished, or whose end is not. */
  #unfinished(): readonly string[] {
    const rows = new Map(this.store.rows("shard").map((row) => [row.id, row]));
    return this.stream.shards().filter(({ id, isClosed }) => {
      const { checkpoint } = rows.get(id) ?? {};
      if (checkpoint?.kind === "shardEnd") return false;
      return isClosed || this.stream.hasRecordsAfter(id, checkpoint ?? { kind: "trimHorizon" });
    }).map(({ id }) => id);
  }

  #whatIsLeft(): string {
    const { checkpoints } = this;
    const shards = this.#unfinished().map((id) =>
      `shard "${id}" is not finished after ${checkpoints[id] ?? "TRIM_HORIZON"}`
    );
    const calls = this.#calls.names().map((name) => `${name} has not returned`);
    const errors = this.#events.flatMap((event) =>
      "error" in event && event.error !== undefined ? [event.error.message] : []
    );
    const last = errors.slice(-1).map((message) => `the last error was "${message}"`);
    return [...shards, ...calls, ...last].join("; ") || "events go on";
  }
}

/** For how long nothing happens at most while something is still to come: the death of a worker is noticed, and shards are looked for. */
function quietMs(config: ResolvedConfig): number {
  const { heartbeatTimeout, checkUnprocessedShardsFrequency, checkStreamChangesFrequency } = config;
  return heartbeatTimeout + 2 * checkUnprocessedShardsFrequency + 2 * checkStreamChangesFrequency +
    config.batchWindow + config.checkpointFrequency + config.handoverRequestExpiry + BACKOFF_MAX_MS;
}
