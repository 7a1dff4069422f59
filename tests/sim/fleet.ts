/**
 * Owns: the processes of a simulation, and what happens to them: start, crash, pause, partition, stop, restart.
 * Must not: check anything.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import type { AppFact } from "../../src/events.ts";
import type { Checker, Delivery, Outcome, Truth } from "./checker.ts";
import type { Journal } from "./journal.ts";
import { type Fate, type NetworkOptions, SimNetwork } from "./sim_network.ts";
import type { ClockError } from "./sim_clock.ts";
import type { PortObserver } from "./sim_ports.ts";
import type { ClusterControl } from "../../src/runtime/cluster_control.ts";
import { simOperator } from "./sim_operator.ts";
import { SimDestination } from "./sim_destination.ts";
import { SimProcess } from "./sim_process.ts";
import type { WindowClosed } from "./sim_windows.ts";
import { Prng } from "./world.ts";

/** What a fleet stands on. */
export interface FleetOptions extends Truth {
  readonly processes: Map<string, SimProcess>;
  readonly checkers: readonly Checker[];
  readonly journal: Journal;
  readonly random: Prng;
  /** What a directed case decides about calls instead of chance. */
  readonly direct?: NetworkOptions["direct"];
}

/** The processes. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #random: Prng;
  readonly #toTable: SimNetwork;
  readonly #toStream: SimNetwork;
  /** How many processes ran under a worker id. */
  readonly #started = new Map<string, number>();
  readonly #operator: ClusterControl;
  #outageUntil = 0;
  #isFaulty = true;
  #workerIds = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#random = options.random;
    const { world, scenario } = options;
    const common = {
      world,
      timeoutMs: scenario.callTimeoutMs,
      direct: options.direct,
      isFaulty: () => this.#isFaulty,
      onFault: (host: { readonly name: string }, task: string, what: Fate): void => {
        this.#note(host.name, "", () => `  ~ ${task}: ${what}`);
        options.coverage.count(`call: ${what}`);
      },
    };
    this.#toTable = new SimNetwork({
      ...common,
      random: this.#random.fork(),
      faults: scenario.store,
      outageUntil: () => this.#outageUntil,
    });
    this.#toStream = new SimNetwork({
      ...common,
      random: this.#random.fork(),
      faults: scenario.source,
      outageUntil: () => 0,
    });
    const { table, config, coverage } = options;
    const network = this.#toTable;
    // A chance of its own: what it draws changes nothing for the others.
    const random = new Prng(scenario.seed ^ 0x5eed);
    this.#operator = simOperator(
      { world, config, network, random },
      table,
      (what) => coverage.count(what),
    );
  }

  get live(): readonly SimProcess[] {
    return [...this.#options.processes.values()].filter((process) => process.isLive);
  }

  /** Those to which something may happen: in a gentle world one of them is spared. */
  get targets(): readonly SimProcess[] {
    const { live } = this;
    return this.#options.scenario.isGentle ? live.slice(1) : live;
  }

  /** Starts a process under a new worker id, or the one that is given. */
  start(workerId: string = `w${this.#workerIds++}`, clockError?: ClockError): SimProcess {
    const { scenario, world, config, table, stream, processes } = this.#options;
    const lives = (this.#started.get(workerId) ?? 0) + 1;
    this.#started.set(workerId, lives);
    const isTwin = [...processes.values()].some((other) =>
      other.workerId === workerId && other.isLive
    );
    if (isTwin) this.#options.coverage.count("namesake starts");
    for (const older of processes.values()) {
      if (older.workerId === workerId) older.isReplaced = true;
    }
    const { driftMax } = scenario;
    const process: SimProcess = new SimProcess({
      name: `${workerId}.${lives}`,
      workerId,
      world,
      random: this.#random.fork(),
      config,
      clockError: clockError ?? {
        rate: 1 + this.#random.between(-driftMax, driftMax),
        offsetMs: Math.round(this.#random.between(-1, 1) ** 5 * 600_000) * (driftMax > 0 ? 1 : 0),
      },
      table,
      stream,
      toTable: this.#toTable,
      toStream: this.#toStream,
      habits: scenario.processor,
      failureDestination: this.#destination(() => process),
      isFaulty: () => this.#isFaulty,
      isTorn: () => scenario.hasTornLists && this.#isFaulty,
      staleMs: () => this.#isFaulty ? this.#random.next() * scenario.staleListMs : 0,
      scenario,
      observer: (process) => this.#observe(process),
      onFact: (process, fact) => this.#onFact(process, fact),
      onDelivery: (delivery) => this.#onDelivery(delivery),
      onReturn: (delivery, outcome) => this.#onReturn(delivery, outcome),
      onWindow: (process, closed) => this.#onWindow(process, closed),
    });
    processes.set(process.name, process);
    this.#note(process.name, "", "=== starts");
    world.after(0, () => void this.#run(process), process);
    return process;
  }

  #destination(host: () => SimProcess): SimDestination | undefined {
    const { world, scenario, coverage, putAside: content, processes } = this.#options;
    if (!scenario.hasDestination) return undefined;
    return new SimDestination({
      ...{ world, host, content },
      random: new Prng(~scenario.seed + processes.size),
      isFaulty: () => this.#isFaulty,
      onFault: (what) => coverage.count(what),
    });
  }

  /** The process is gone at once. */
  crash(process: SimProcess): void {
    this.#happens(process.name, "crashes");
    process.isCrashed = true;
    process.state = "crashed";
    for (const checker of this.#options.checkers) checker.onCrash?.(process);
  }

  /** The process stands still, and goes on later as if nothing had happened. */
  pause(process: SimProcess, ms: number): void {
    const { isSuspended } = this.#options.scenario;
    const what = isSuspended ? "is suspended" : "stands still";
    this.#happens(process.name, what, `for ${Math.round(ms)} ms`);
    if (isSuspended) process.suspendClock(ms);
    process.pausedUntil = Math.max(process.pausedUntil, this.#options.world.now + ms);
    process.wasPaused = true;
  }

  /** The wall clock of the process is set forward or back. */
  jumpClock(process: SimProcess, ms: number): void {
    this.#happens(
      process.name,
      `clock is set ${ms < 0 ? "back" : "forward"}`,
      `${Math.round(ms)} ms`,
    );
    process.jumpClock(Math.round(ms));
  }

  /** The process is cut off from the network, in one direction or both. */
  partition(process: SimProcess, ms: number, losesRequests = 0.7): void {
    const requests = this.#random.chance(losesRequests);
    process.isDeaf = { requests, replies: !requests || this.#random.chance(0.5) };
    const { replies } = process.isDeaf;
    const what = [requests && "its requests", replies && "the replies"].filter(Boolean).join(
      " and ",
    );
    this.#happens(process.name, `loses ${what}`, `for ${Math.round(ms)} ms`);
    this.#options.world.after(ms, () => this.#heal(process));
  }

  /** The table answers nothing for a while. */
  outage(ms: number): void {
    this.#happens("table", "answers nothing", `for ${Math.round(ms)} ms`);
    this.#outageUntil = this.#options.world.now + ms;
  }

  /** The process is asked to stop. */
  stop(process: SimProcess): void {
    const { world, checkers } = this.#options;
    this.#happens(process.name, "is asked to stop");
    process.state = "stopping";
    process.stopRequestedAt = world.now;
    for (const checker of checkers) checker.onStop?.(process);
    world.after(0, () => void process.worker.stop(), process);
  }

  /** An operator has a process leave a shard alone. */
  stopShard(process: SimProcess, shardId: string): void {
    this.#note(process.name, shardId, "=== is told to stop it");
    this.#command(process, () => process.worker.stopProcessing(shardId));
  }

  /** An operator has a process take a shard again. */
  startShard(process: SimProcess, shardId: string): void {
    this.#note(process.name, shardId, "=== is told to start it");
    this.#command(process, () => process.worker.startProcessing(shardId));
  }

  /** An operator stops or starts a shard for the whole cluster. */
  order(kind: "stop" | "start", shardId: string): void {
    this.#happens("operator", `orders to ${kind}`, shardId);
    this.#steer((operator) => operator[kind](shardId));
  }

  /** An operator has a shard given to a worker. */
  orderHandover(shardId: string, to: string): void {
    this.#happens("operator", "orders a handover", `of ${shardId} to ${to}`);
    this.#steer((operator) => operator.handOver(shardId, to));
  }

  #steer(act: (operator: ClusterControl) => Promise<unknown>): void {
    const { world } = this.#options;
    // It may fail for a shard that has ended, a worker that is gone, a table that does not answer.
    world.after(
      0,
      () =>
        void act(this.#operator).catch((error) => this.#note("operator", "", `fails: ${error}`)),
    );
  }

  /** An operator gives a process another processor. */
  changeProcessor(process: SimProcess): void {
    this.#note(process.name, "", "=== is given another processor");
    this.#command(process, () => process.worker.changeProcessor(process.makeProcessor()));
  }

  #command(process: SimProcess, command: () => Promise<void>): void {
    process.wasOperated = true;
    // It may fail for a shard that has ended, a table that does not answer, a worker that stops.
    this.#options.world.after(0, () => void command().catch(() => {}), process);
  }

  /** No faults from now on. */
  heal(): void {
    // A story that has ended is not told on.
    if (this.#options.world.failure !== undefined) return;
    this.#note("", "", "=== no faults from now on");
    this.#isFaulty = false;
    this.#outageUntil = 0;
    for (const process of this.#options.processes.values()) {
      this.#heal(process);
    }
    for (const checker of this.#options.checkers) checker.onHealed?.();
  }

  #heal(process: SimProcess): void {
    process.isDeaf = { requests: false, replies: false };
  }

  async #run(process: SimProcess): Promise<void> {
    const { worker, workerId } = process;
    const { world, checkers } = this.#options;
    try {
      await worker.start();
      if (process.state === "starting") process.state = "running";
      await worker.finished;
    } catch (error) {
      this.#note(process.name, "", `=== fails: ${error}`);
    }
    const wasAsked = process.state === "stopping";
    process.state = "stopped";
    process.stoppedAt = world.now;
    this.#note(process.name, "", "=== has stopped");
    for (const checker of checkers) checker.onStopped?.(process);
    // Something starts a process again that ended by itself, unless a namesake runs.
    if (!wasAsked && !this.#runs(workerId)) {
      world.after(this.#random.between(1_000, 10_000), () => {
        if (!this.#runs(workerId)) this.start(workerId);
      });
    }
  }

  #runs(workerId: string): boolean {
    return [...this.#options.processes.values()].some((process) =>
      process.workerId === workerId && (process.isLive || process.state === "starting")
    );
  }

  #onFact(process: SimProcess, fact: AppFact): void {
    if (fact.type !== "batch_processed" || fact.records > 0) {
      const shardId = "shardId" in fact ? fact.shardId ?? "" : "";
      this.#note(process.name, shardId, () => describe(fact));
    }
    if (fact.type === "batch_bisected") this.#options.coverage.count("batch bisected");
    if (fact.type === "record_skipped" && fact.reason === "tooOld") {
      this.#options.coverage.count("record too old");
    }
    if (fact.type === "batch_processed") {
      this.#options.coverage.count("record left out", fact.filtered);
    }
    this.#options.world.mixText(fact.type);
    for (const checker of this.#options.checkers) checker.onFact?.(process, fact);
  }

  #observe(process: SimProcess): PortObserver {
    const { checkers, coverage } = this.#options;
    return {
      onFault: (what) => coverage.count(what),
      onGetRecords: (shardId) => checkers.forEach((one) => one.onGetRecords?.(process, shardId)),
      onOpen: (shardId) => checkers.forEach((one) => one.onOpen?.(process, shardId)),
      onClose: (shardId) => checkers.forEach((one) => one.onClose?.(process, shardId)),
      onBatch: (shardId, records) =>
        checkers.forEach((one) => one.onBatch?.(process, shardId, records)),
      onTableRead: (kind, isList) =>
        checkers.forEach((one) => one.onTableRead?.(process, kind, isList)),
    };
  }

  #onDelivery(delivery: Delivery): void {
    const { process, shardId, term, records, attempt } = delivery;
    const shown = records.length > 3
      ? `${records[0]?.sequenceNumber}..${records.at(-1)?.sequenceNumber}`
      : records.map((record) => record.sequenceNumber).join(" ");
    this.#note(process.name, shardId, () => `-> ${shown} (term ${term}, attempt ${attempt})`);
    this.#options.world.mixText(shown);
    for (const checker of this.#options.checkers) checker.onDelivery?.(delivery);
  }

  #onReturn(delivery: Delivery, outcome: Outcome): void {
    const { process, shardId, records, failed } = delivery;
    const part = failed.size > 0 ? `, but for ${failed.size}` : "";
    this.#note(
      process.name,
      shardId,
      () => `<- ${records.at(-1)?.sequenceNumber} ${outcome}${part}`,
    );
    if (failed.size > 0) this.#options.coverage.count("part of a batch failed");
    for (const checker of this.#options.checkers) checker.onReturn?.(delivery, outcome);
  }

  #onWindow(process: SimProcess, closed: WindowClosed): void {
    const { shardId, window: { id, state } } = closed;
    this.#note(process.name, shardId, () => `closes ${id} with ${state.length} records`);
    this.#options.coverage.count("window closed");
    for (const checker of this.#options.checkers) checker.onWindow?.(process, closed);
  }

  #happens(process: string, what: string, how = ""): void {
    this.#note(process, "", `=== ${what} ${how}`);
    this.#options.coverage.count(what);
  }

  #note(process: string, shardId: string, what: string | (() => string)): void {
    const line = typeof what === "string" ? () => what : what;
    this.#options.journal.add({ at: this.#options.world.now, process, shardId, what: line });
  }
}

function describe(fact: AppFact): string {
  const { type, ...fields } = fact;
  const shown = Object.entries(fields)
    .filter(([name, value]) => name !== "shardId" && value !== null)
    .map(([name, value]) =>
      `${name}=${value instanceof Object && "message" in value ? value.message : value}`
    );
  return [type, ...shown].join(" ");
}
