/**
 * Owns: one simulated process: a shipped `Worker` on simulated ports, with a user's processor.
 * Must not: decide when it crashes, pauses or stops.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import type { ResolvedConfig } from "../../src/core/config.ts";
import type { AppFact } from "../../src/events.ts";
import type { FailureDestination } from "../../src/ports.ts";
import type {
  BatchResult,
  KinesisRecord,
  ProcessContext,
  ProcessorSource,
  RecordProcessor,
} from "../../src/processor.ts";
import { LeaseLostError } from "../../src/errors.ts";
import { Worker } from "../../src/runtime/worker.ts";
import { type Delivery, neverMs, type Outcome } from "./checker.ts";
import type { ProcessorHabits, Scenario } from "./scenario.ts";
import { pulledBy } from "./sim_loops.ts";
import type { SimNetwork } from "./sim_network.ts";
import { type ClockError, type PortHost, SimClock, SimRandom } from "./sim_clock.ts";
import { type PortObserver, SimLeaseStore, SimStreamSource } from "./sim_ports.ts";
import { dynamoSink } from "../../src/sink/dynamo_sink.ts";
import { itemOf } from "./sim_sink.ts";
import type { SimRecord, SimStream } from "./sim_stream.ts";
import type { SimTable } from "./sim_table.ts";
import { type WindowClosed, windowed } from "./sim_windows.ts";
import { Prng, type World } from "./world.ts";

/** What a process is made of. */
export interface ProcessOptions {
  readonly name: string;
  readonly workerId: string;
  readonly world: World;
  readonly random: Prng;
  readonly config: ResolvedConfig;
  readonly clockError: ClockError;
  readonly table: SimTable;
  readonly stream: SimStream;
  readonly toTable: SimNetwork;
  readonly toStream: SimNetwork;
  readonly habits: ProcessorHabits;
  readonly failureDestination: FailureDestination | undefined;
  readonly isFaulty: () => boolean;
  readonly isTorn: () => boolean;
  readonly staleMs: () => number;
  readonly scenario: Pick<
    Scenario,
    "seed" | "hasChildren" | "tableReadyMs" | "iteratorMs" | "filtered"
  >;
  /** Sees what passes the ports. */
  readonly observer: (process: SimProcess) => PortObserver;
  readonly onFact: (process: SimProcess, fact: AppFact) => void;
  readonly onDelivery: (delivery: Delivery) => void;
  readonly onReturn: (delivery: Delivery, outcome: Outcome) => void;
  readonly onWindow: (process: SimProcess, closed: WindowClosed) => void;
}

/** How often a window takes long to close, where anything does. */
const SLOW_CLOSE = 0.05;

/** What a process is doing. */
export type ProcessState = "starting" | "running" | "stopping" | "stopped" | "crashed";

/** A process. */
export class SimProcess implements PortHost {
  readonly name: string;
  readonly workerId: string;
  readonly worker: Worker;
  readonly store: SimLeaseStore;
  isCrashed = false;
  pausedUntil = 0;
  isDeaf = { requests: false, replies: false };
  pendingCalls = 0;
  pendingSleeps = 0;
  state: ProcessState = "starting";
  /** When it last wrote itself into the row of its worker id: of two namesakes the later one goes on. */
  registeredAt: number = -Infinity;
  stoppedAt: number = neverMs;
  stopRequestedAt: number = neverMs;
  /** Whether another process was started with the same worker id. */
  isReplaced = false;
  wasPaused = false;
  /** Whether an operator told it what to do. */
  wasOperated = false;
  recordsInHand = 0;
  readonly #options: ProcessOptions;
  readonly #clock: SimClock;
  readonly #source: SimStreamSource;
  /** A chance of its own: what it draws changes nothing for the others. */
  readonly #sinkChance: Prng;

  constructor(options: ProcessOptions) {
    this.#options = options;
    const { name, workerId, world, config, random, scenario } = options;
    this.name = name;
    this.workerId = workerId;
    this.#sinkChance = new Prng(scenario.seed ^ 0x1b873593);
    this.#clock = new SimClock(world, this, options.clockError);
    const { tableReadyMs, hasChildren, iteratorMs } = scenario;
    const ports = {
      world,
      host: this,
      clock: this.#clock,
      config,
      random: random.fork(),
      observer: options.observer(this),
    };
    this.store = new SimLeaseStore(
      { ...ports, network: options.toTable },
      options.table,
      { isTorn: options.isTorn, readyAt: tableReadyMs },
    );
    this.#source = new SimStreamSource({ ...ports, network: options.toStream }, options.stream, {
      staleMs: options.staleMs,
      hasChildren,
      iteratorMs,
    });
    this.worker = new Worker({
      workerId,
      streamName: "stream",
      appName: "sim",
      version: "sim",
      config,
      clock: this.#clock,
      random: new SimRandom(random.fork(), name),
      store: this.store,
      source: this.#source,
      emit: (fact) => options.onFact(this, fact),
      processor: this.makeProcessor(),
      ...scenario.filtered > 0 && { filter: (record) => this.#isWanted(record) },
      failureDestination: options.failureDestination,
    });
  }

  /** Of a record that is left out nobody hears; it is the same ones for everybody. */
  #isWanted({ sequenceNumber, subSequenceNumber }: KinesisRecord): boolean {
    const { stream, scenario } = this.#options;
    const record = stream.record(sequenceNumber, subSequenceNumber);
    if (record === undefined || (record.index * 7919) % 100 >= scenario.filtered * 100) return true;
    record.isFinished = true;
    record.isPassed = true;
    return false;
  }

  get isLive(): boolean {
    return this.state === "running" && !this.isCrashed;
  }

  get openReaders(): number {
    return this.#source.openReaders;
  }

  /** Whether it has been stopping for so long. */
  isOutOfTime(ms: number): boolean {
    return this.#options.world.now - this.stopRequestedAt >= ms;
  }

  /** Sets the wall clock forward, or back. */
  jumpClock(ms: number): void {
    this.#clock.jump(ms);
  }

  /** The machine sleeps: nothing runs on it for a while, its monotonic clock included. */
  suspendClock(ms: number): void {
    this.#clock.suspend(ms);
  }

  /** A user's processor, or a factory of them. */
  makeProcessor(habits: ProcessorHabits = this.#options.habits): ProcessorSource {
    const { random, config } = this.#options;
    if (habits.pulled !== "none") {
      const processor = this.#processor(habits);
      return pulledBy(processor, { clock: this.#clock, config, ack: habits.pulled });
    }
    if (habits.windows > 0) {
      return windowed(() => this.#processor({ ...habits, kind: "record" }), {
        size: habits.windows,
        stream: this.#options.stream,
        work: () => this.#closeWindow(habits),
        onWindow: (closed) => this.#options.onWindow(this, closed),
      });
    }
    if (habits.packed > 0 && this.#sinkChance.chance(habits.packed)) return this.#packing(habits);
    if (habits.kind !== "factory") return this.#processor(habits);
    return async (shardId) => {
      habits.behaviour?.onMake?.(shardId);
      if (random.chance(0.3)) await this.#work(random.between(0, 2_000));
      if (this.#options.isFaulty() && random.chance(habits.throws)) {
        throw new Error("a factory that fails");
      }
      return this.#processor(habits);
    };
  }

  async #closeWindow({ workMsMax, slow, slowMsMax, throws }: ProcessorHabits): Promise<void> {
    const { random, isFaulty } = this.#options;
    const isSlow = slow > 0 && isFaulty() && random.chance(SLOW_CLOSE);
    this.recordsInHand += 1;
    await this.#work(random.between(0, isSlow ? slowMsMax : workMsMax));
    this.recordsInHand -= 1;
    if (isFaulty() && random.chance(throws)) throw new Error("a window that cannot be closed");
  }

  #common(habits: ProcessorHabits): RecordProcessor {
    const { config } = this.#options;
    return {
      getErrorHandlingMode: () => habits.mode,
      onMaxRetryExceeded: () => habits.behaviour?.onMaxRetryExceeded?.(),
      shardEnded: async (context) => {
        if (config.checkpointMode === "manual") await context.checkpoint();
      },
    };
  }

  /** A sink of the library's own. What it is asked for is not written yet, and may be asked for again. */
  #packing(habits: ProcessorHabits): RecordProcessor {
    return dynamoSink({
      ...this.#common(habits),
      items: async (record, context) => {
        const delivery = this.#deliver([record], context, { isAsked: true });
        const { workMs, fails } = this.#howOf(delivery, habits);
        if (workMs > 0) await this.#work(workMs);
        delivery.isBlameless = !fails;
        this.#return(delivery, true, fails);
        return delivery.records.map(itemOf);
      },
    });
  }

  #processor(habits: ProcessorHabits): RecordProcessor {
    const common = this.#common(habits);
    if (habits.kind === "batch") {
      return {
        ...common,
        processBatch: (records, context) => this.#process(records, context, habits),
      };
    }
    // A record alone fails by a throw.
    return {
      ...common,
      process: (record, context) =>
        this.#process([record], context, { ...habits, partial: 0 }) as void | Promise<void>,
    };
  }

  #process(
    records: readonly KinesisRecord[],
    context: ProcessContext,
    habits: ProcessorHabits,
  ): void | BatchResult | Promise<void | BatchResult> {
    const { random, config } = this.#options;
    const delivery = this.#deliver(records, context);
    const { workMs, fails } = this.#howOf(delivery, habits);
    const isPart = fails && habits.partial > 0 && random.chance(habits.partial);
    if (isPart) delivery.failed = new Set(delivery.records.filter(() => random.chance(0.3)));
    const how = { workMs, fails: fails && !isPart };
    const isQuick = workMs === 0 && config.checkpointMode === "auto" && !habits.sinks;
    if (isQuick) return this.#return(delivery, how.fails);
    return this.#workAndReturn(delivery, context, { ...how, sinks: habits.sinks });
  }

  #deliver(
    records: readonly KinesisRecord[],
    { shardId, term, attempt, signal }: ProcessContext,
    options: Pick<Delivery, "isAsked"> = {},
  ): Delivery {
    const { stream, onDelivery } = this.#options;
    const known = records.flatMap(({ sequenceNumber, subSequenceNumber }) =>
      stream.record(sequenceNumber, subSequenceNumber) ?? []
    );
    const about = { process: this, shardId, term, attempt, signal, records: known };
    const delivery: Delivery = { ...about, failed: new Set(), ...options };
    this.recordsInHand += 1;
    onDelivery(delivery);
    return delivery;
  }

  #howOf(
    delivery: Delivery,
    habits: ProcessorHabits,
  ): { readonly workMs: number; readonly fails: boolean } {
    const { random, isFaulty } = this.#options;
    const isSlow = isFaulty() && random.chance(habits.slow);
    const { behaviour } = habits;
    const workMs = behaviour?.workMs?.(delivery) ??
      (isSlow ? random.between(0, habits.slowMsMax) : random.between(0, habits.workMsMax));
    const fails = behaviour?.fails?.(delivery) ?? (isFaulty() && random.chance(habits.throws));
    return { workMs, fails };
  }

  async #workAndReturn(
    delivery: Delivery,
    context: ProcessContext,
    { workMs, fails, sinks }: {
      readonly workMs: number;
      readonly fails: boolean;
      readonly sinks: boolean;
    },
  ): Promise<void | BatchResult> {
    const { config, random } = this.#options;
    await this.#work(workMs);
    const isWritten = !sinks || fails || await this.#sink(delivery, context);
    // Whoever hears that the shard is given up may say nothing of it.
    delivery.isBlameless = !isWritten;
    const throws = fails || !isWritten && this.#sinkChance.chance(0.5);
    const result = this.#return(delivery, fails || !isWritten, throws);
    const mayCheckpoint = config.checkpointMode === "manual" && delivery.failed.size === 0;
    if (mayCheckpoint && random.chance(0.05)) await context.checkpoint();
    return result;
  }

  /** A batch goes as a whole. */
  async #sink({ records }: Delivery, context: ProcessContext): Promise<boolean> {
    try {
      await context.transact(records.map(itemOf));
      return true;
    } catch (error) {
      if (error instanceof LeaseLostError) return false;
      throw error;
    }
  }

  #return(delivery: Delivery, fails: boolean, throws = fails): void | BatchResult {
    this.recordsInHand -= 1;
    const outcome = delivery.signal.aborted ? "in vain" : fails ? "threw" : "finished";
    this.#options.onReturn(delivery, outcome);
    if (throws) throw new Error("a processor that fails");
    // One that fails in no part says nothing.
    if (delivery.failed.size > 0) return { failed: [...delivery.failed].map(nameOf) };
  }

  /** A user's work, which does not care for signals. */
  #work(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#options.world.after(ms, resolve, this);
    return promise;
  }
}

function nameOf({ sequenceNumber, subSequenceNumber }: SimRecord): string {
  return subSequenceNumber === undefined
    ? sequenceNumber
    : `${sequenceNumber}:${subSequenceNumber}`;
}
