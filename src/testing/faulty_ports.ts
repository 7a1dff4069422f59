/**
 * Owns: the way of one worker to a state table and a stream, on which calls go wrong as a test says, and which ends when it crashes.
 * Must not: decide what goes wrong.
 * Called by: users, as `@reacto/kinesix/testing`; `testing/test_kit.ts`.
 *
 * @module
 */

import type { Checkpoint } from "../core/checkpoint.ts";
import type { LeaseChange, Row, RowChange } from "../core/lease.ts";
import { SourceError, StoreError } from "../errors.ts";
import type {
  Batch,
  Clock,
  LeaseStore,
  Random,
  ReadBudget,
  RowKinds,
  RowListing,
  StreamSource,
  Transaction,
  TransactionResult,
  WriteResult,
} from "../ports.ts";
import { Scope } from "../runtime/tasks.ts";

/**
 * A call to the state table (`list`, `read`, `write` of rows, `transact`: of a row and items) or to the stream (`listShards`, `retentionMs` if it has that, `open` a
 * shard, its `nextBatch`).
 */
export interface PortCall {
  /** The worker that makes it. */
  readonly workerId: string;
  /** What it does. */
  readonly operation:
    | "prepare"
    | "list"
    | "read"
    | "write"
    | "transact"
    | "listShards"
    | "retentionMs"
    | "open"
    | "nextBatch";
  /** The kind of the rows; null for a call to the stream, and for `prepare`. */
  readonly rowKind: Row["kind"] | null;
  /** The row or the shard; null if there is none. */
  readonly id: string | null;
  /** The how many-th call of this operation by this worker it is, from 1. */
  readonly number: number;
}

/**
 * What goes wrong with a call:
 * - `throttled`: AWS asks to slow down; nothing was done.
 * - `unavailable`: the request is lost, and nothing was done. The sender of a write cannot know that.
 * - `replyLost`: the call was done, and its reply is lost.
 * - a number: it is done, and takes so many milliseconds.
 *
 * These are failures that outlast the retries that an adapter makes by itself.
 */
export type Fault = "throttled" | "unavailable" | "replyLost" | number;

/** Decides over each call; undefined if nothing goes wrong. */
export type FaultRule = (call: PortCall) => Fault | undefined;

/** What {@linkcode FaultyPorts} takes. */
export interface FaultyPortsOptions {
  /** The state table itself. */
  readonly store: LeaseStore;
  /** The stream itself. */
  readonly source: StreamSource;
  /** The clock. */
  readonly clock: Clock;
  /** Chance. */
  readonly random: Random;
  /** The worker whose ports these are. */
  readonly workerId: string;
  /** What goes wrong. */
  readonly faults: FaultRule;
}

/** What a call is about, and what ends the wait for its answer. */
interface Asked extends Partial<Pick<PortCall, "rowKind" | "id">> {
  readonly signal: AbortSignal;
}

/**
 * The ports of one worker, on which calls go wrong. {@linkcode FaultyPorts.crash} ends it as a `kill -9` does: nothing that it waits
 * for ever comes.
 *
 * @example
 * ```ts
 * import { ReactoKinesixApp } from "@reacto/kinesix";
 * import {
 *   FaultyPorts,
 *   MemoryLeaseStore,
 *   MemoryStream,
 *   SeededRandom,
 *   VirtualClock,
 * } from "@reacto/kinesix/testing";
 *
 * const clock = new VirtualClock();
 * const ports = new FaultyPorts({
 *   store: new MemoryLeaseStore(),
 *   source: new MemoryStream({ shards: 1, clock }),
 *   clock,
 *   random: new SeededRandom(1),
 *   workerId: "PHANTOM",
 *   faults: ({ operation, number }) => operation === "nextBatch" && number === 2 ? "throttled" : undefined,
 * });
 * const processor = { process: () => {} };
 * const names = { appName: "TestApp", streamName: "TestStream", workerId: "PHANTOM" };
 * const app = await clock.until(ReactoKinesixApp.createNew({ ...names, processor, ports }));
 * await clock.until(app.stop());
 * ```
 */
export class FaultyPorts {
  /** The clock of this worker. */
  readonly clock: Clock;
  /** Chance. */
  readonly random: Random;
  /** Its way to the state table. */
  readonly store: LeaseStore;
  /** Its way to the stream. */
  readonly source: StreamSource;
  readonly #options: FaultyPortsOptions;
  readonly #numbers = new Map<PortCall["operation"], number>();
  readonly #crash = new AbortController();
  readonly #crashed = Promise.withResolvers<void>();
  #sleeps = 0;

  /** Makes the ports of a worker. */
  constructor(options: FaultyPortsOptions) {
    this.#options = options;
    const { clock, random, store, source } = options;
    this.random = random;
    this.clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      sleep: (ms, signal) => this.#sleep(ms, signal),
    };
    this.store = this.#storeOver(store);
    const retentionMs = source.retentionMs?.bind(source);
    this.source = {
      listShards: (signal) => this.#ask("listShards", { signal }, () => source.listShards(signal)),
      ...retentionMs && {
        retentionMs: (signal) => this.#ask("retentionMs", { signal }, () => retentionMs(signal)),
      },
      open: (...args) => this.#open(...args),
    };
  }

  /** Whether {@linkcode FaultyPorts.crash} was called. */
  get isCrashed(): boolean {
    return this.#crash.signal.aborted;
  }

  /** Resolves when it crashes. */
  get crashed(): Promise<void> {
    return this.#crashed.promise;
  }

  /** How many sleeps of this worker are under way. */
  get sleeping(): number {
    return this.isCrashed ? 0 : this.#sleeps;
  }

  /** Nothing that this worker waits for comes from now on, not even an error; what it has in hand stays as it is. */
  crash(): void {
    this.#crash.abort();
    this.#crashed.resolve();
  }

  /** Gives what a promise gives, unless the worker crashes before: then nothing, ever. */
  async unlessCrashed<T>(promise: Promise<T>): Promise<T> {
    try {
      const value = await promise;
      return this.isCrashed ? await never() : value;
    } catch (error) {
      if (this.isCrashed) return await never();
      throw error;
    }
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    using scope = new Scope(signal, this.#crash.signal);
    this.#sleeps += 1;
    try {
      await this.unlessCrashed(this.#options.clock.sleep(ms, scope.signal));
    } finally {
      this.#sleeps -= 1;
    }
  }

  #storeOver(store: LeaseStore): LeaseStore {
    return {
      prepare: (signal) => this.#ask("prepare", { signal }, () => store.prepare(signal)),
      list: <K extends Row["kind"]>(
        rowKind: K,
        signal: AbortSignal,
      ): Promise<RowListing<RowKinds[K]>> =>
        this.#ask("list", { rowKind, signal }, () => store.list(rowKind, signal)),
      read: <K extends Row["kind"]>(
        rowKind: K,
        id: string,
        signal: AbortSignal,
      ): Promise<RowKinds[K] | null> =>
        this.#ask("read", { rowKind, id, signal }, () => store.read(rowKind, id, signal)),
      write: <R extends Row>(
        change: RowChange<R>,
        signal: AbortSignal,
      ): Promise<WriteResult<R>> =>
        this.#ask(
          "write",
          { rowKind: change.kind, id: change.id, signal },
          () => store.write(change, signal),
        ),
      ...store.transact !== undefined && {
        transact: (
          change: LeaseChange,
          transaction: Transaction,
          signal: AbortSignal,
        ): Promise<TransactionResult> =>
          this.#ask(
            "transact",
            { rowKind: "shard", id: change.id, signal },
            () => store.transact?.(change, transaction, signal) ?? never(),
          ),
      },
    };
  }

  async *#open(
    shardId: string,
    after: Checkpoint,
    signal: AbortSignal,
    budget?: ReadBudget,
  ): AsyncGenerator<Batch> {
    const target = { id: shardId, signal };
    const batches = await this.#ask("open", target, () => {
      const opened = this.#options.source.open(shardId, after, signal, budget);
      return Promise.resolve(opened[Symbol.asyncIterator]());
    });
    try {
      for (;;) {
        const next = await this.#ask("nextBatch", target, () => batches.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await batches.return?.();
    }
  }

  async #ask<T>(
    operation: PortCall["operation"],
    { rowKind = null, id = null, signal }: Asked,
    call: () => Promise<T>,
  ): Promise<T> {
    const { workerId, faults } = this.#options;
    const number = (this.#numbers.get(operation) ?? 0) + 1;
    this.#numbers.set(operation, number);
    const fault = faults({ workerId, operation, rowKind, id, number });
    if (this.isCrashed) return await never(); // The rule may have done that.
    const isOfStream = ["listShards", "retentionMs", "open", "nextBatch"].includes(operation);
    const fail = (kind: "throttled" | "unavailable", maybeApplied = false): Error => {
      const message = `Cannot ${operation} ${id ?? rowKind ?? "it"}: the test says "${fault}"`;
      return isOfStream
        ? new SourceError(message, { kind })
        : new StoreError(message, { kind, maybeApplied });
    };
    const isWrite = operation === "write" || operation === "transact";
    if (fault === "throttled") throw fail("throttled");
    if (fault === "unavailable") throw fail("unavailable", isWrite);
    if (typeof fault === "number") await this.#sleep(fault, signal);
    const answer = await this.unlessCrashed(call());
    if (fault === "replyLost") throw fail("unavailable", isWrite);
    return answer;
  }
}

/** What a dead process waits for. */
export function never(): Promise<never> {
  return new Promise(() => {});
}
