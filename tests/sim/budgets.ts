/**
 * Owns: the promises about what a cluster costs: reads of a shard, writes of checkpoints, and the table at rest.
 * Must not: know how the code under test keeps them.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import type { AppFact } from "../../src/events.ts";
import type { Row } from "../../src/core/lease.ts";
import type { Checker, Delivery, Outcome, Truth } from "./checker.ts";
import { processOf } from "./sim_clock.ts";
import type { SimProcess } from "./sim_process.ts";
import type { TableWrite } from "./sim_table.ts";
import type { WindowClosed } from "./sim_windows.ts";

/** 5 a second: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html */
const READS_PER_SECOND_MAX = 5;

/** A process reads a shard at most five times a second, also when it opens it anew. */
export class ReadBudget implements Checker {
  readonly #truth: Truth;
  /** When the last reads arrived, by process and shard. */
  readonly #arrivals = new Map<string, number[]>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onGetRecords(process: SimProcess, shardId: string): void {
    const { world, scenario } = this.#truth;
    // Elsewhere what was sent a while ago may arrive together with what was sent just now.
    if (!scenario.isGentle) return;
    const key = `${process.name} ${shardId}`;
    const arrivals = this.#arrivals.get(key) ?? [];
    this.#arrivals.set(key, arrivals);
    arrivals.push(world.now);
    if (arrivals.length <= READS_PER_SECOND_MAX + 1) return;
    const first = arrivals.shift() ?? 0;
    const withinMs = world.now - first;
    if (withinMs >= 1_000 - scenario.source.latencyMax) return;
    world.fail(
      "budget",
      `${process.name} read ${shardId} ${arrivals.length + 1} times in ${Math.round(withinMs)} ms`,
    );
  }
}

/** What was read into memory and is not finished stays within `maxBufferedBytes`, but that each shard may begin with one record. */
export class MemoryBudget implements Checker {
  readonly #truth: Truth;
  /** How many records of each shard are in the memory of a process. */
  readonly #inMemory = new Map<SimProcess, Map<string, number>>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  /** What the reader fetched ahead is gone; what is in hand still then is left out here. */
  onClose(process: SimProcess, shardId: string): void {
    this.#of(process).delete(shardId);
  }

  onBatch(process: SimProcess, shardId: string, records: number): void {
    const { world, config, stream } = this.#truth;
    const shards = this.#of(process);
    shards.set(shardId, (shards.get(shardId) ?? 0) + records);
    const all = [...shards.values()].reduce((sum, count) => sum + count, 0);
    const bytes = (all - shards.size) * stream.heldBytesMax;
    if (bytes <= config.maxBufferedBytes) return;
    world.fail("budget", `${process.name} has ${all} records in memory: ${bytes} bytes too many`);
  }

  onReturn(delivery: Delivery, outcome: Outcome): void {
    const { process, shardId, records, isAsked, isBlameless } = delivery;
    // What is asked for is about to be written.
    const isOver = outcome === "finished" || isAsked && isBlameless;
    if (isOver) this.#finished(process, shardId, records.length);
  }

  onFact(process: SimProcess, fact: AppFact): void {
    if (fact.type === "record_skipped") this.#finished(process, fact.shardId, 1);
    // What the filter left out is in nobody's hands.
    if (fact.type === "batch_processed") this.#finished(process, fact.shardId, fact.filtered ?? 0);
  }

  /** The last turns may end a while after the worker, when the user's code comes back. */
  onStopped(process: SimProcess): void {
    const { world, config } = this.#truth;
    world.after(config.heartbeatTimeout + 60_000, () => {
      const { bufferedBytes } = process.worker;
      if (process.isCrashed || process.recordsInHand > 0 || process.pausedUntil > world.now) return;
      if (bufferedBytes === 0) return;
      world.fail("budget", `${process.name} stopped long ago and holds ${bufferedBytes} bytes`);
    });
  }

  #of(process: SimProcess): Map<string, number> {
    const shards = this.#inMemory.get(process) ?? new Map<string, number>();
    this.#inMemory.set(process, shards);
    return shards;
  }

  #finished(process: SimProcess, shardId: string, records: number): void {
    const shards = this.#of(process);
    const left = (shards.get(shardId) ?? 0) - records;
    if (shards.has(shardId)) shards.set(shardId, Math.max(0, left));
  }
}

/** A checkpoint of a shard is written at most once per `checkpointFrequency`, apart from those that end a turn. */
export class CheckpointBudget implements Checker {
  readonly #truth: Truth;
  readonly #turns = new Map<
    string,
    { readonly since: number; again: number; closed: number; writes: number }
  >();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  /** What was not answered is written again soon, with what was finished meanwhile. */
  onFact(_process: SimProcess, fact: AppFact): void {
    if (fact.type !== "task_failed" && fact.type !== "throttled") return;
    const what = fact.type === "task_failed" ? fact.task : fact.operation;
    const shardId = what.match(/^write the row of shard (.+)$/)?.[1];
    const term = this.#truth.table.read("shard", shardId ?? "")?.term;
    const turn = this.#turns.get(`${shardId} ${term}`);
    if (turn !== undefined) turn.again += 1;
  }

  /** A window that the end of a read closed is written down at once: after a crash the reads may end elsewhere. */
  onWindow(_process: SimProcess, { shardId, term }: WindowClosed): void {
    const turn = this.#turns.get(`${shardId} ${term}`);
    if (turn !== undefined) turn.closed += 1;
  }

  onWrite({ isAccepted, before, after, by }: TableWrite): void {
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    const { world, config, scenario } = this.#truth;
    const { checkpointFrequency } = config;
    const key = `${after.id} ${after.term}`;
    if (before.term !== after.term) {
      this.#turns.set(key, { since: world.now, again: 0, closed: 0, writes: 0 });
      return;
    }
    const turn = this.#turns.get(key);
    if (turn === undefined || checkpointFrequency === 0 || scenario.processor.sinks) return;
    // Whoever is asked for the shard writes what it has at once.
    if (after.handover !== null && before.handover === null) turn.again += 1;
    if (before.checkpoint === after.checkpoint || after.holder === null) return;
    if (processOf(after.holder) !== by) return;
    turn.writes += 1;
    const periods = (world.now - turn.since) * (1 + scenario.driftMax) / checkpointFrequency;
    if (turn.writes <= periods + 3 + 2 * turn.again + turn.closed) return;
    world.fail(
      "budget",
      `${by} wrote ${turn.writes} checkpoints of ${after.id} within ` +
        `${Math.round(world.now - turn.since)} ms`,
    );
  }
}

/** What a process did to the table while nothing happened. */
interface Cost {
  beats: number;
  otherWrites: string[];
  workerLists: number;
  shardLists: number;
  rowReads: number;
}

/** How many workers look at all shards often, for all the others. */
const ON_DUTY_MAX = 3;
/** From how many workers on each looks at the others more seldom, and how often all of them together do per heartbeat. */
const WATCHERS_MAX = 10;
const WATCHES_MAX = 20;
/** Looks that were due or under way at either end of the calm. */
const EDGE = 4;

/** At rest each worker writes one heartbeat per `heartbeat` and nothing else, and reads no more than `docs/performance.md` says. */
export class CostAtRest implements Checker {
  readonly #truth: Truth;
  #costs: Map<string, Cost> | null = null;
  #since = 0;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onCalm(): void {
    this.#since = this.#truth.world.now;
    this.#costs = new Map();
  }

  onWrite({ by, change }: TableWrite): void {
    const cost = this.#costOf(by);
    if (cost === null) return;
    const isBeat = change.kind === "worker" && change.set !== "delete" && "beat" in change.set;
    // Rows of workers and shards that have been gone for a while are removed.
    if (isBeat) cost.beats += 1;
    else if (change.set !== "delete") cost.otherWrites.push(`${change.kind} ${change.id}`);
  }

  onTableRead(process: SimProcess, kind: Row["kind"], isList: boolean): void {
    const cost = this.#costOf(process.name);
    if (cost === null) return;
    if (!isList) cost.rowReads += 1;
    else if (kind === "worker") cost.workerLists += 1;
    else cost.shardLists += 1;
  }

  onCalmOver(): void {
    const { world, config, scenario, table } = this.#truth;
    const costs = this.#costs ?? new Map<string, Cost>();
    this.#costs = null;
    const calmMs = (world.now - this.#since) * (1 + scenario.driftMax);
    const per = (ms: number): number => calmMs / ms;
    const beats = per(config.heartbeat);
    const looks = per(
      Math.min(config.checkUnprocessedShardsFrequency, config.checkPendingHandoverRequestFrequency),
    );
    // Each look at the stream is made up to a tenth earlier.
    const shardLooks = looks + per(config.checkStreamChangesFrequency * 0.9);
    const total = { workerLists: 0, shardLists: 0 };
    const manual = config.checkpointMode === "manual" ? table.shards().length : 0;
    for (const [name, cost] of costs) {
      this.#check(name, "heartbeats", cost.beats, beats + 2);
      this.#check(name, `writes of ${cost.otherWrites}`, cost.otherWrites.length, manual);
      this.#check(name, "lists of workers", cost.workerLists, beats + shardLooks + EDGE);
      this.#check(name, "lists of shards", cost.shardLists, shardLooks + EDGE);
      this.#check(name, "reads of a row", cost.rowReads, 0);
      total.workerLists += cost.workerLists;
      total.shardLists += cost.shardLists;
    }
    const workers = costs.size;
    const onDuty = Math.min(workers, 2 * ON_DUTY_MAX);
    this.#check("all", "lists of shards", total.shardLists, onDuty * shardLooks + EDGE * workers);
    if (workers <= WATCHERS_MAX) return;
    const listsMax = WATCHES_MAX * beats + onDuty * shardLooks + EDGE * workers;
    this.#check("all", "lists of workers", total.workerLists, listsMax);
  }

  #check(name: string, what: string, count: number, most: number): void {
    if (count <= most) return;
    const calmMs = Math.round(this.#truth.world.now - this.#since);
    this.#truth.world.fail(
      "budget",
      `${name} made ${count} ${what} in ${calmMs} ms in which nothing happened; ` +
        `${Math.floor(most)} are allowed`,
    );
  }

  #costOf(name: string): Cost | null {
    if (this.#costs === null) return null;
    let cost = this.#costs.get(name);
    if (cost === undefined) {
      cost = { beats: 0, otherWrites: [], workerLists: 0, shardLists: 0, rowReads: 0 };
      this.#costs.set(name, cost);
    }
    return cost;
  }
}
