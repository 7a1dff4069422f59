// Owns: a state table that fails as told, and the parts that the runtime's rooms are given.
// Must not: assert anything.
// Called by: the runtime's tests.
import { MemoryLeaseStore } from "../../src/adapters/memory.ts";
import type { Claimant, Row, RowChange, ShardRow } from "../../src/core/lease.ts";
import { create } from "../../src/core/lease.ts";
import { StoreError } from "../../src/errors.ts";
import type { AppFact } from "../../src/events.ts";
import type { LeaseStore, RowKinds, RowListing, WriteResult } from "../../src/ports.ts";
import { Fence } from "../../src/runtime/heartbeat.ts";
import type { LeaseDeps } from "../../src/runtime/lease_keeper.ts";
import { BufferBudget } from "../../src/runtime/buffer_budget.ts";
import type { RecordRunnerDeps } from "../../src/runtime/record_runner.ts";
import { Breather, TaskGroup } from "../../src/runtime/tasks.ts";
import { SeededRandom, VirtualClock } from "../virtual_clock.ts";
import { shardRow } from "./arbitraries.ts";

/** What becomes of one write: it is made, its request or its reply is lost, or AWS says no. */
export type Fate = "made" | "request lost" | "reply lost" | "throttled";

/** A state table in memory whose writes a test delays or loses. */
export class FaultyStore implements LeaseStore {
  readonly table: MemoryLeaseStore = new MemoryLeaseStore();
  /** Every change that was sent, whatever became of it. */
  readonly sent: RowChange<Row>[] = [];
  /** Decides over each write; may wait. */
  fate: (change: RowChange<Row>) => Fate | Promise<Fate> = () => "made";
  /** Is awaited before each list. */
  beforeList: () => void | Promise<void> = () => {};

  prepare(signal: AbortSignal): Promise<void> {
    return this.table.prepare(signal);
  }

  async list<K extends Row["kind"]>(
    kind: K,
    signal: AbortSignal,
  ): Promise<RowListing<RowKinds[K]>> {
    await this.beforeList();
    return await this.table.list(kind, signal);
  }

  read<K extends Row["kind"]>(
    kind: K,
    id: string,
    signal: AbortSignal,
  ): Promise<RowKinds[K] | null> {
    return this.table.read(kind, id, signal);
  }

  async write<R extends Row>(change: RowChange<R>, signal: AbortSignal): Promise<WriteResult<R>> {
    signal.throwIfAborted();
    this.sent.push(change as unknown as RowChange<Row>);
    const fate = await this.fate(change as unknown as RowChange<Row>);
    if (fate === "throttled") throw new StoreError("slow down", { kind: "throttled" });
    const result = fate === "request lost" ? undefined : await this.table.write(change, signal);
    if (fate === "made" && result !== undefined) return result;
    throw new StoreError("no answer", { kind: "unavailable", maybeApplied: true });
  }

  /** The fates of the next writes of a kind of row, in order; all later ones are made. */
  willBe(kind: Row["kind"], ...fates: readonly Fate[]): void {
    const queue = [...fates];
    this.fate = (change) => change.kind === kind ? queue.shift() ?? "made" : "made";
  }

  /** Holds the next write back until its fate is told; all later ones are made. */
  holdNext(): PromiseWithResolvers<Fate> {
    const gate = Promise.withResolvers<Fate>();
    this.fate = () => {
      this.fate = () => "made";
      return gate.promise;
    };
    return gate;
  }

  /** The row of a shard as it stands. */
  async shard(id: string): Promise<ShardRow> {
    const row = await this.table.read("shard", id, new AbortController().signal);
    if (row === null) throw new Error(`there is no row of ${id}`);
    return row;
  }
}

/** A worker's parts, as far as a lease needs them. */
export class Bench {
  readonly clock: VirtualClock = new VirtualClock();
  readonly random: SeededRandom = new SeededRandom();
  readonly store: FaultyStore = new FaultyStore();
  readonly facts: AppFact[] = [];
  readonly fence: Fence = new Fence(this.clock);
  readonly failures: unknown[] = [];
  readonly tasks: TaskGroup = new TaskGroup((_task, error) => this.failures.push(error));
  readonly signal: AbortSignal = new AbortController().signal;
  readonly emit = (fact: AppFact): void => void this.facts.push(fact);

  constructor() {
    this.fence.raise({ at: 0, wallAt: this.clock.now() }, 10_000_000);
  }

  deps(changes: Partial<LeaseDeps> = {}): LeaseDeps {
    const { clock, random, store, emit, fence, tasks } = this;
    return {
      clock,
      random,
      store,
      emit,
      fence,
      tasks,
      claimant: claimantOf("A"),
      checkpointFrequency: 1_000,
      onRowNews: () => {},
      ...changes,
    };
  }

  /** Puts the row of a shard into the table, as a new one that nobody has. */
  async addShard(id = "s", fields: Partial<ShardRow> = {}): Promise<ShardRow> {
    const { row } = await this.store.table.write(create(shardRow(id, fields)), this.signal);
    if (row === null) throw new Error(`${id} is there already`);
    return row;
  }

  /** The facts of a type. */
  told<T extends AppFact["type"]>(type: T): readonly Extract<AppFact, { type: T }>[] {
    return this.facts.filter((fact): fact is Extract<AppFact, { type: T }> => fact.type === type);
  }
}

/** How a worker has the records of a shard processed, as far as a test does not say otherwise. */
export function recordDeps({ clock, random, emit }: Bench): RecordRunnerDeps {
  return {
    clock,
    random,
    emit,
    workerId: "A",
    streamName: "orders",
    appName: "Test",
    checkpointMode: "auto",
    processTimeout: 0,
    maxRecordAge: 0,
    breather: new Breather(clock),
    concurrency: 1,
    orderBy: "partitionKey",
    bisectBatchOnError: false,
    batchSize: 10_000,
    batchWindow: 0,
    maxBatchSize: 10_000,
    deaggregate: true,
    budget: new BufferBudget(2 ** 26),
  };
}

export function claimantOf(workerId: string): Claimant {
  return { workerId, incarnation: `${workerId}-1` };
}
