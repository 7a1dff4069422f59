/**
 * Owns: from the events of a worker to numbers: what was counted since it started, and how its shards are.
 * Must not: read a clock, or know how numbers leave the process.
 * Called by: the ways out in this folder, the command line, and users.
 *
 * @module
 */

import type { EventError } from "../errors.ts";
import type { AppEvent, AppEventType } from "../events.ts";

/** What is asked of an app: a `ReactoKinesixApp` is one. */
export interface ObservedApp {
  /** The name of the app. */
  readonly appName: string;
  /** The name of the stream. */
  readonly streamName: string;
  /** The memory that is held for records, in bytes. */
  readonly bufferedBytes: number;
  /** How the worker is. */
  health(): { readonly heartbeatAgeMs: number | null; readonly isFenced: boolean };
  /** The shards of the worker. */
  shards(): readonly { readonly inHandMs: number }[];
  /** Calls a listener at every event. */
  addEventListener(type: "*", listener: (event: AppEvent) => void): void;
  /** Takes a listener off. */
  removeEventListener(type: "*", listener: (event: AppEvent) => void): void;
}

/** What is measured when somebody asks. */
export interface Vitals {
  /** The memory that is held for records, in bytes. */
  readonly bufferedBytes: number;
  /** The age of the last acknowledged heartbeat, in milliseconds; null before the first one. */
  readonly heartbeatAgeMs: number | null;
  /** Whether nothing is processed, because no heartbeat was acknowledged. */
  readonly isFenced: boolean;
  /** For how long the oldest batch has been in the processor's hands, in milliseconds. */
  readonly inHandMs: number;
}

/** The numbers of a shard, as long as this worker has it. */
export interface ShardNumbers {
  /** Records processed here since the shard was taken. */
  records: number;
  /** Bytes processed here since the shard was taken. */
  bytes: number;
  /** How far the last batch was behind the tip of the shard, in milliseconds; null before the first one. */
  millisBehindLatest: number | null;
}

/** A batch that was processed, with what failed in it. */
export interface BatchDone {
  /** The shard. */
  readonly shardId: string;
  /** How many records were finished. */
  readonly records: number;
  /** How many bytes they have. */
  readonly bytes: number;
  /** How far it was behind the tip of the shard, in milliseconds. */
  readonly millisBehindLatest: number;
  /** When it was finished, in milliseconds since the epoch. */
  readonly endedAt: number;
  /** How long it took, in milliseconds. */
  readonly processMs: number;
  /** The failed attempts and the skipped records, the first {@linkcode FAILURES_MAX} of them. */
  readonly failures: readonly Failure[];
  /** How many there were. */
  readonly failureCount: number;
}

/** A failed attempt, or a record that was given up. */
export interface Failure {
  /** Which of the two. */
  readonly kind: "attempt_failed" | "record_skipped";
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  /** The record. */
  readonly sequenceNumber: string;
  /** Which attempt it was. */
  readonly attempt: number;
  /** What was thrown, of a failed attempt. */
  readonly error?: EventError;
}

/** Of so many failures of a batch the details are kept. */
export const FAILURES_MAX = 16;

/** The counts that have a name of their own; every event is counted by its type besides. */
export interface Counts {
  /** Records that were finished. */
  records: number;
  /** Their payload, in bytes. */
  bytes: number;
  /** Batches with records. */
  batches: number;
  /** Attempts that failed. */
  failures: number;
  /** Records that were given up. */
  skips: number;
  /** Checkpoints that were written. */
  checkpoints: number;
  /** By what happened to the lease. */
  readonly leases: Map<LeaseChange, number>;
  /** By the operation of AWS. */
  readonly throttles: Map<string, number>;
  /** By the type of the event. */
  readonly events: Map<AppEventType, number>;
}

/** What happened to the lease of a shard here. */
export type LeaseChange = "claimed" | "handed_over" | "released" | "lost" | "ended";

const LEASE_CHANGES: ReadonlyMap<AppEventType, LeaseChange> = new Map([
  ["shard_claimed", "claimed"],
  ["shard_handed_over", "handed_over"],
  ["shard_released", "released"],
  ["lease_lost", "lost"],
  ["shard_ended", "ended"],
]);

interface Failed {
  readonly failures: Failure[];
  count: number;
}

/**
 * The numbers of one worker. It keeps no more than a few dozen counts and, for each shard that the worker has, three numbers: a
 * shard that is given away or ends takes its numbers along.
 */
export class AppMetrics {
  /** Counts since the start. */
  readonly counts: Counts = {
    records: 0,
    bytes: 0,
    batches: 0,
    failures: 0,
    skips: 0,
    checkpoints: 0,
    leases: new Map(),
    throttles: new Map(),
    events: new Map(),
  };
  /** The name of the app. */
  readonly appName: string;
  /** The name of the stream. */
  readonly streamName: string;
  readonly #shards = new Map<string, ShardNumbers>();
  readonly #failed = new Map<string, Failed>();
  readonly #listeners = new Set<(batch: BatchDone) => void>();
  #vitals: (() => Vitals) | undefined;

  /** Makes numbers that are all zero. */
  constructor(names: Pick<ObservedApp, "appName" | "streamName">) {
    this.appName = names.appName;
    this.streamName = names.streamName;
  }

  /** The shards that this worker has, by their ids. */
  get shards(): ReadonlyMap<string, Readonly<ShardNumbers>> {
    return this.#shards;
  }

  /** What is measured now; undefined while no app is measured. */
  vitals(): Vitals | undefined {
    return this.#vitals?.();
  }

  /** How far the shard that is furthest behind is behind, in milliseconds; null before the first batch. */
  maxMillisBehind(): number | null {
    let max: number | null = null;
    for (const { millisBehindLatest } of this.#shards.values()) {
      if (millisBehindLatest !== null) max = Math.max(max ?? 0, millisBehindLatest);
    }
    return max;
  }

  /**
   * Measures an app from now on, until the result is disposed: then there are no shards and no vitals any more. Its events are for
   * {@linkcode AppMetrics.add}.
   */
  measure(app: Pick<ObservedApp, "bufferedBytes" | "health" | "shards">): Disposable {
    const vitals = (): Vitals => {
      const { heartbeatAgeMs, isFenced } = app.health();
      const inHandMs = app.shards().reduce((max, shard) => Math.max(max, shard.inHandMs), 0);
      return { bufferedBytes: app.bufferedBytes, heartbeatAgeMs, isFenced, inHandMs };
    };
    this.#vitals = vitals;
    return {
      [Symbol.dispose]: () => {
        if (this.#vitals !== vitals) return; // Another app is measured by now.
        this.#vitals = undefined;
        this.#shards.clear();
        this.#failed.clear();
      },
    };
  }

  /** Calls a listener for each batch with records that is processed from now on, until the result is disposed. */
  onBatch(listener: (batch: BatchDone) => void): Disposable {
    // A listener that is added twice is called twice, and taken off one at a time.
    const own = (batch: BatchDone): void => listener(batch);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  /** Counts an event. */
  add(event: AppEvent): void {
    increase(this.counts.events, event.type);
    const change = LEASE_CHANGES.get(event.type);
    if (change !== undefined) increase(this.counts.leases, change);
    switch (event.type) {
      case "shard_claimed":
        this.#shards.set(event.shardId, { records: 0, bytes: 0, millisBehindLatest: null });
        break;
      case "shard_handed_over":
      case "shard_released":
      case "lease_lost":
      case "shard_ended":
        this.#shards.delete(event.shardId);
        this.#failed.delete(event.shardId);
        break;
      case "batch_processed":
        this.#addBatch(event);
        break;
      case "checkpoint_written":
        this.counts.checkpoints += 1;
        break;
      case "record_failed":
      case "record_skipped":
        this.#addFailure(event);
        break;
      case "throttled":
        increase(this.counts.throttles, event.operation);
        break;
    }
  }

  #addBatch(event: Extract<AppEvent, { readonly type: "batch_processed" }>): void {
    const { shardId, records, bytes, millisBehindLatest, processMs } = event;
    const shard = this.#shards.get(shardId);
    if (shard !== undefined) {
      shard.records += records;
      shard.bytes += bytes;
      shard.millisBehindLatest = millisBehindLatest;
    }
    if (records === 0) return;
    this.counts.records += records;
    this.counts.bytes += bytes;
    this.counts.batches += 1;
    const { failures, count } = this.#failed.get(shardId) ?? { failures: [], count: 0 };
    this.#failed.delete(shardId);
    if (this.#listeners.size === 0) return;
    const endedAt = Date.parse(event.time);
    const done = { shardId, records, bytes, millisBehindLatest, endedAt, processMs };
    for (const listener of this.#listeners) listener({ ...done, failures, failureCount: count });
  }

  #addFailure(
    event: Extract<AppEvent, { readonly type: "record_failed" | "record_skipped" }>,
  ): void {
    const isSkip = event.type === "record_skipped";
    if (isSkip) this.counts.skips += 1;
    else this.counts.failures += 1;
    // What comes after the shard is gone belongs to no batch.
    if (this.#listeners.size === 0 || !this.#shards.has(event.shardId)) return;
    const failed = this.#failed.get(event.shardId) ?? { failures: [], count: 0 };
    this.#failed.set(event.shardId, failed);
    failed.count += 1;
    if (failed.failures.length === FAILURES_MAX) return;
    const { sequenceNumber } = event;
    const at = Date.parse(event.time);
    failed.failures.push(
      isSkip ? { kind: "record_skipped", at, sequenceNumber, attempt: event.attempts } : {
        kind: "attempt_failed",
        at,
        sequenceNumber,
        attempt: event.attempt,
        error: event.error,
      },
    );
  }
}

/**
 * Numbers of a running app. Called in the turn in which `createNew` resolves, they have the events of the start too.
 *
 * Disposing them takes them off the app, which they keep in memory until then: the counts stay as they are, and there are no
 * shards and no vitals any more.
 *
 * @example
 * ```ts
 * import { ReactoKinesixApp } from "@reacto/kinesix";
 * import { observe } from "@reacto/kinesix/telemetry";
 * import { MemoryLeaseStore, MemoryStream } from "@reacto/kinesix/testing";
 *
 * await using app = await ReactoKinesixApp.createNew({
 *   appName: "TestApp",
 *   streamName: "TestStream",
 *   processor: { process: () => {} },
 *   ports: { store: new MemoryLeaseStore(), source: new MemoryStream({ shards: 4 }) },
 * });
 * using metrics = observe(app);
 * console.log(metrics.counts.records, metrics.vitals()?.isFenced); // 0 false
 * ```
 */
export function observe(app: ObservedApp): AppMetrics & Disposable {
  const metrics = new AppMetrics(app);
  const measuring = metrics.measure(app);
  const listener = (event: AppEvent): void => metrics.add(event);
  app.addEventListener("*", listener);
  return Object.assign(metrics, {
    [Symbol.dispose](): void {
      app.removeEventListener("*", listener);
      measuring[Symbol.dispose]();
    },
  });
}

function increase<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
