/**
 * Owns: one simulation from its seed to its result: a phase with faults, a phase without in which all must settle, and a
 * calm in which nothing may move any more.
 * Must not: print.
 * Called by: `run.ts`, `sim_test.ts`.
 *
 * @module
 */

import { resolveConfig } from "../../src/core/config.ts";
import { formatCheckpoint } from "../../src/core/checkpoint.ts";
import { isEnded, isHalted } from "../../src/core/lease.ts";
import { Blameless } from "./blame.ts";
import type { Checker, Truth } from "./checker.ts";
import { CheckpointOnlyMovesOn, NoDuplicatesAtParting, NoLoss, Order } from "./checkers.ts";
import { Lineage } from "./checkers.ts";
import { Fencing, History, NoFalseLoss, OneAtATime, RequestsAddressed } from "./turn_checkers.ts";
import { CheckpointBudget, CostAtRest, MemoryBudget, ReadBudget } from "./budgets.ts";
import { BoundedDuplicates } from "./duplicates.ts";
import { describeUnsettled, settlingMs } from "./convergence.ts";
import { Orders } from "./orders.ts";
import { NoDefects, NothingLeft, RequestsEnd, StopDeadline, Takeover } from "./deadlines.ts";
import { Coverage } from "./coverage.ts";
import { Fleet, type FleetOptions } from "./fleet.ts";
import { Happenings } from "./happenings.ts";
import { Journal } from "./journal.ts";
import { applyOverride, type ScenarioOverride } from "./override.ts";
import { makeScenario, type Scenario } from "./scenario.ts";
import type { SimProcess } from "./sim_process.ts";
import { ExactlyOnce } from "./sim_sink.ts";
import { SimStream } from "./sim_stream.ts";
import { SimTable, type TableWrite } from "./sim_table.ts";
import { WindowsAddUp } from "./sim_windows.ts";
import { withTripwires } from "./tripwires.ts";
import { HALT, type Prng, World } from "./world.ts";

/** What came of a seed. */
export interface SimulationResult {
  readonly seed: number;
  /** The checker that a promise is broken for; null if none is. */
  readonly checker: string | null;
  /** The checker, and what it saw. */
  readonly failure: string | null;
  /** The last lines of the story. */
  readonly journal: string;
  readonly traceHash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly records: number;
  /** What went wrong, and how often. */
  readonly coverage: ReadonlyMap<string, number>;
  readonly worstCrashMs: number;
  readonly worstPartingMs: number;
}

/** What a person may want of a simulation. */
export interface SimulationOptions {
  /** What is otherwise than the seed says. */
  readonly override?: ScenarioOverride;
  /** How many lines of the story are kept. */
  readonly journalLines?: number;
  /** The virtual time at which it ends, in milliseconds. */
  readonly untilMs?: number;
  /** A text; the first line of the story that contains it counts as a broken promise. */
  readonly find?: string;
}

const EVENTS_MAX = 20_000_000;
const MINUTE = 60_000;
const RESTART_MS = 15_000;

/** Runs a seed. The ambient clock, chance, timers and network throw meanwhile. */
export async function simulate(
  seed: number,
  options: SimulationOptions = {},
): Promise<SimulationResult> {
  const { override = {}, journalLines = 40, untilMs = Infinity, find } = options;
  const scenario = applyOverride(makeScenario(seed), override);
  const simulation = new Simulation(scenario, journalLines);
  simulation.haltAt(untilMs);
  if (find !== undefined) simulation.failAt(find);
  const result = await withTripwires(
    () => simulation.run(),
    (what) => simulation.fail("no stray failure", what),
  );
  return { ...result, seed };
}

/** A cluster in its world, with every checker on. */
export class Simulation {
  readonly #truth: Truth;
  readonly #scenario: Scenario;
  readonly #world: World;
  readonly #random: Prng;
  readonly #journal: Journal;
  readonly #checkers: Checker[] = [];
  readonly #takeover: Takeover;
  readonly #fleet: Fleet;
  readonly #happenings: Happenings;
  /** When the last thing that was planned has happened. */
  #quietAt = 0;

  /** @param directed What a directed case has beside the checkers, and instead of chance. */
  constructor(
    scenario: Scenario,
    journalLines: number,
    directed: Pick<FleetOptions, "checkers" | "direct"> = { checkers: [] },
  ) {
    this.#scenario = scenario;
    this.#world = new World(scenario.seed, { eventsMax: EVENTS_MAX });
    this.#random = this.#world.random.fork();
    this.#journal = new Journal(journalLines);
    const processes = new Map<string, SimProcess>();
    const stream = new SimStream(scenario.shards, () => this.#world.now);
    const sink = new ExactlyOnce(this.#world, stream);
    const truth = {
      world: this.#world,
      scenario,
      config: resolveConfig(scenario.config),
      table: new SimTable((write) => this.#onWrite(write), sink),
      stream,
      coverage: new Coverage(),
      putAside: new Set<string>(),
      processes,
    };
    this.#truth = truth;
    this.#takeover = new Takeover(truth);
    this.#checkers.push(
      new NoLoss(truth),
      new CheckpointOnlyMovesOn(truth),
      new Fencing(truth),
      new NoFalseLoss(truth),
      new OneAtATime(truth),
      new Order(truth),
      new Lineage(truth),
      new NoDuplicatesAtParting(truth),
      new BoundedDuplicates(truth),
      new History(truth),
      new RequestsAddressed(truth),
      new Orders(truth),
      new ReadBudget(truth),
      new MemoryBudget(truth),
      new CheckpointBudget(truth),
      new CostAtRest(truth),
      new StopDeadline(truth),
      new NothingLeft(truth),
      new RequestsEnd(truth),
      new NoDefects(truth),
      this.#takeover,
      new WindowsAddUp(truth),
      new Blameless(truth),
      ...directed.checkers,
    );
    this.#fleet = new Fleet({
      ...truth,
      direct: directed.direct,
      processes,
      checkers: this.#checkers,
      journal: this.#journal,
      random: this.#random.fork(),
    });
    this.#happenings = new Happenings(truth, this.#fleet, this.#random);
  }

  get truth(): Truth {
    return this.#truth;
  }

  get fleet(): Fleet {
    return this.#fleet;
  }

  fail(checker: string, message: string): void {
    this.#world.fail(checker, message);
  }

  /** Ends the story at a virtual time. */
  haltAt(ms: number): void {
    this.#world.haltAt = ms;
  }

  /** Has the first line of the story that contains a text count as a broken promise. */
  failAt(text: string): void {
    this.#journal.watch((line) => line.includes(text) && this.fail("found", line.trim()));
  }

  async run(): Promise<SimulationResult> {
    const { safetyMs, workers } = this.#scenario;
    for (let i = 0; i < workers; i++) {
      this.#world.after(this.#random.between(0, 5_000), () => this.#fleet.start());
    }
    this.putRecords();
    this.#happenings.schedule();
    await this.#world.runUntil(safetyMs);
    await this.settle();
    await this.#part();
    for (const checker of this.#checkers) checker.onEnd?.();
    return this.result();
  }

  /** Ends the faults, and waits until all is settled; then nothing may move any more. */
  async settle(): Promise<void> {
    this.#happenings.end();
    this.#fleet.heal();
    // The last late writes arrive, and whoever ended by itself is started again.
    this.#quietAt = this.#world.now + 5 * this.#scenario.callTimeoutMs + RESTART_MS;
    this.#bringBack();
    await this.#settle();
  }

  /** What came of it. */
  result(): SimulationResult {
    const { failure, traceHash, events, now } = this.#world;
    const { worstCrashMs, worstPartingMs } = this.#takeover;
    const { shards } = this.#truth.stream;
    const isBroken = failure !== undefined && failure.checker !== HALT;
    return {
      seed: this.#scenario.seed,
      checker: isBroken ? failure.checker : null,
      failure: isBroken ? failure.message : null,
      journal: this.#journal.format(),
      traceHash,
      events,
      virtualMs: now,
      coverage: this.#truth.coverage.counts,
      records: shards.reduce((sum, shard) => sum + shard.records.length, 0),
      worstCrashMs,
      worstPartingMs,
    };
  }

  /** Waits until everything is settled, which must be within a bound; then nothing may move any more. */
  async #settle(): Promise<void> {
    const { config, table, stream } = this.#truth;
    const bound = this.#world.now + settlingMs(this.#truth);
    let unsettled = "";
    while (this.#world.failure === undefined) {
      // It may look settled for a moment, with a request for a shard on its way.
      await this.#world.runUntil(this.#world.now + config.heartbeat);
      unsettled = describeUnsettled(this.#truth);
      if (unsettled === "") {
        await this.#world.runUntil(this.#world.now + config.loadBalanceFrequency * 1.2);
        unsettled = describeUnsettled(this.#truth);
        if (unsettled === "" && this.#world.now >= this.#quietAt) break;
      }
      if (unsettled !== "" && this.#world.now > bound) {
        this.fail("liveness", `not settled in time: ${unsettled}`);
      }
    }
    const isAuto = config.checkpointMode === "auto";
    const terms = (): string =>
      table.shards().filter((row) => !isEnded(row))
        // With checkpoints by hand, records may be finished without being written down, and come again.
        .map((row) =>
          isAuto
            ? `${row.id} ${row.term} ${formatCheckpoint(row.checkpoint)}`
            : `${row.id} ${row.term}`
        )
        .join();
    const before = terms();
    if (this.#world.failure !== undefined) return;
    this.#note("=== all is settled; nothing may move from now on");
    for (const checker of this.#checkers) checker.onCalm?.();
    await this.#world.runUntil(this.#world.now + this.#scenario.calmMs);
    for (const checker of this.#checkers) checker.onCalmOver?.();
    if (this.#world.failure === undefined && terms() !== before) {
      this.fail("calm", `shards moved although nothing happened: ${before} became ${terms()}`);
    }
    const lost = stream.shards.flatMap((shard) =>
      shard.records.filter((record, place) => place >= shard.trimmedTo && !record.isFinished)
    );
    if (lost.length > 0 && describeUnsettled(this.#truth) !== "") {
      this.fail("no loss", "at the end");
    }
  }

  /** Everyone stops, which leaves nothing behind. */
  async #part(): Promise<void> {
    const { config, table, processes } = this.#truth;
    if (this.#world.failure !== undefined) return;
    for (const process of this.#fleet.live) this.#fleet.stop(process);
    await this.#world.runUntil(
      this.#world.now + config.shutdownTimeout + config.heartbeatTimeout + 2 * MINUTE,
    );
    const held = table.shards().find((row) => row.holder !== null);
    if (held !== undefined) this.fail("farewell", `${held.id} is held by ${held.holder}`);
    for (const { workerId, isCrashed, isReplaced } of processes.values()) {
      if (isCrashed || isReplaced || table.read("worker", workerId) === null) continue;
      this.fail("farewell", `${workerId} stopped, and has a row`);
    }
  }

  /** Whoever is needed to finish the work is there: at least one worker runs, and stopped shards are started. */
  #bringBack(): void {
    const alive = [...this.#truth.processes.values()].some((process) =>
      process.isLive || process.state === "starting"
    );
    if (!alive) this.#fleet.start();
    // A worker that gave a shard up for a failing record waits for an operator, and so does a shard that one stopped.
    const again = (): void => {
      for (const row of this.#truth.table.shards()) {
        if (isHalted(row) && !isEnded(row)) this.#fleet.order("start", row.id);
      }
      for (const { worker } of this.#fleet.live) {
        for (const row of this.#truth.table.shards()) {
          if (isEnded(row)) continue;
          worker.startProcessing(row.id).catch(() => {}); // It may have ended meanwhile.
        }
      }
    };
    const { processor, happenings } = this.#scenario;
    const hasOperator = happenings.operator > 0 || happenings.order > 0;
    if (processor.mode.kind === "retryAndSkip" && !hasOperator) return;
    const { heartbeatTimeout, handoverRequestExpiry } = this.#truth.config;
    const { slowMsMax } = this.#scenario.processor;
    const lastMs = handoverRequestExpiry + slowMsMax;
    this.#quietAt = Math.max(this.#quietAt, this.#world.now + lastMs + heartbeatTimeout);
    for (let ms = 0; ms < lastMs; ms += heartbeatTimeout) this.#world.after(ms, again);
  }

  /** Puts records from now on, until the faults end. */
  putRecords(): void {
    this.#happenings.putRecords();
  }

  #onWrite(write: TableWrite): void {
    const { change, isAccepted, by } = write;
    this.#journal.add({
      at: this.#world.now,
      process: by,
      shardId: change.kind === "shard" ? change.id : "",
      what: () => describeWrite(write),
    });
    this.#world.mixText(`${by} ${change.kind} ${change.id} ${isAccepted}`);
    for (const checker of this.#checkers) checker.onWrite?.(write);
  }

  #note(what: string): void {
    this.#journal.add({ at: this.#world.now, process: "", shardId: "", what: () => what });
  }
}

function describeWrite({ change, isAccepted }: TableWrite): string {
  const outcome = isAccepted ? "[written]" : "[refused]";
  if (change.kind === "shard") {
    return `${outcome} ${JSON.stringify(change.set)} expecting ${JSON.stringify(change.expect)}`;
  }
  if (change.set === "delete") return `${outcome} delete ${change.id}`;
  const set = change.set === null ? "" : JSON.stringify(change.set).slice(0, 80);
  return `${outcome} beat of ${change.id} ${set}`;
}
