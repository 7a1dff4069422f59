/**
 * Owns: one worker of a test kit: its app, its ports, what it processed, and how it ends.
 * Must not: know the other workers.
 * Called by: `testing/test_kit.ts`.
 *
 * @module
 */

import type { FailureFunction } from "../adapters/failure_destination.ts";
import { ReactoKinesixApp } from "../app.ts";
import { type ReactoKinesixConfig, resolveConfig, type ResolvedConfig } from "../core/config.ts";
import type { AppEvent } from "../events.ts";
import type { KinesisRecord, ProcessorSource, RecordFilter } from "../processor.ts";
import { checkProcessorSource } from "../runtime/processors.ts";
import type { FaultyPorts } from "./faulty_ports.ts";
import type { RecordObserver, SkippedRecord, UserCalls } from "./user_calls.ts";
import type { VirtualClock } from "./virtual_clock.ts";

/** What a worker of a kit is given. */
export interface TestWorkerOptions {
  /** What processes the records: one processor for all shards, or a factory that makes one for each. */
  readonly processor: ProcessorSource;
  /**
   * The settings. Durations are virtual time.
   *
   * @default {those of every app}
   */
  readonly config?: ReactoKinesixConfig;
  /** Which records are processed; all of them without one. */
  readonly filter?: RecordFilter;
  /** Where records go that are given up. */
  readonly onFailure?: FailureFunction;
}

/** A worker of a kit. */
export interface TestWorker {
  /** Its name. */
  readonly workerId: string;
  /** The app itself. What it is asked for may need time: `kit.until(worker.app.stopProcessing(...))`. */
  readonly app: ReactoKinesixApp;
  /** The records that this worker processed, in that order. */
  readonly processed: readonly KinesisRecord[];
  /** The records that it gave up. */
  readonly skipped: readonly SkippedRecord[];
  /** Whether it crashed. */
  readonly isCrashed: boolean;
  /** Ends it as a `kill -9` does: from now on it does nothing more, and the others find out after `heartbeatTimeout`. */
  crash(): void;
  /** Stops it cleanly. */
  stop(): Promise<void>;
  /** Uses another processor from the next record on. */
  changeProcessor(next: ProcessorSource): Promise<void>;
}

/** What a worker needs of its kit. */
export interface MemberDeps {
  readonly clock: VirtualClock;
  readonly calls: UserCalls;
  readonly ports: FaultyPorts;
  readonly observer: RecordObserver;
  readonly onEvent: (event: AppEvent) => void;
}

/** A worker of a kit, as the kit has it. */
export class Member implements TestWorker {
  readonly ports: FaultyPorts;
  readonly config: ResolvedConfig;
  readonly processed: KinesisRecord[] = [];
  readonly skipped: SkippedRecord[] = [];
  readonly #deps: MemberDeps;
  readonly #options: TestWorkerOptions;
  #app: ReactoKinesixApp | undefined;
  #isStopped = false;

  /** @param options What its app is made of. */
  constructor(deps: MemberDeps, options: TestWorkerOptions) {
    this.#deps = deps;
    this.ports = deps.ports;
    this.#options = options;
    this.config = resolveConfig(options.config);
  }

  /** Starts the app. */
  async start(workerId: string): Promise<void> {
    const { processor, filter, onFailure, config } = this.#options;
    const put: FailureFunction | undefined = onFailure &&
      ((failure, signal) =>
        this.#deps.calls.call("onFailure", this.ports, () => onFailure(failure, signal)));
    this.#app = await ReactoKinesixApp.createNew({
      appName: "test",
      streamName: "stream",
      workerId,
      processor: this.#observed(processor),
      ...filter !== undefined && { filter },
      ...put !== undefined && { onFailure: put },
      ...config !== undefined && { config },
      onEvent: (event) => {
        if (!this.isCrashed) this.#deps.onEvent(event);
      },
      ports: this.ports,
    });
    const end = (): void => void (this.#isStopped = true);
    this.#app.finished.then(end, end); // Why is in `worker_stopped`.
  }

  get app(): ReactoKinesixApp {
    if (this.#app !== undefined) return this.#app;
    throw new TypeError("Cannot use the app of a worker that has not started");
  }

  get workerId(): string {
    return this.app.workerId;
  }

  get isCrashed(): boolean {
    return this.ports.isCrashed;
  }

  /** Whether it does nothing any more. */
  get isOver(): boolean {
    return this.#app === undefined || this.isCrashed || this.#isStopped;
  }

  crash(): void {
    this.ports.crash();
  }

  async stop(): Promise<void> {
    if (!this.isOver) await this.#untilCrashed(this.app.stop());
  }

  async changeProcessor(next: ProcessorSource): Promise<void> {
    checkProcessorSource(next);
    await this.#untilCrashed(this.app.changeProcessor(this.#observed(next)));
  }

  /** Lets time pass until a promise is settled, or nobody is left who would settle it. */
  async #untilCrashed(promise: Promise<void>): Promise<void> {
    await this.#deps.clock.until(Promise.race([promise, this.ports.crashed]));
  }

  #observed(source: ProcessorSource): ProcessorSource {
    const { observer } = this.#deps;
    return this.#deps.calls.observed(checkProcessorSource(source), this.ports, {
      onDelivered: (...args) => observer.onDelivered(...args),
      onProcessed: (records) => {
        for (const record of records) this.processed.push(record);
        observer.onProcessed(records);
      },
      onSkipped: (skipped) => {
        this.skipped.push(skipped);
        observer.onSkipped(skipped);
      },
    });
  }
}
