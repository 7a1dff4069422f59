/**
 * Owns: a simulation driven by hand, for the directed cases: nothing happens but what the case says, with every checker on.
 * Must not: check what only one case is about.
 * Called by: `cases_*_test.ts`.
 *
 * @module
 */

import { formatCheckpoint } from "../../src/core/checkpoint.ts";
import { isEnded, type ShardRow } from "../../src/core/lease.ts";
import type { AppFact } from "../../src/events.ts";
import type { Checker, Delivery } from "./checker.ts";
import { type CallFaults, NO_FAULTS, type Scenario } from "./scenario.ts";
import type { Direction, Sent } from "./sim_network.ts";
import { type ClockError, EPOCH_MS, processOf } from "./sim_clock.ts";
import type { SimProcess } from "./sim_process.ts";
import type { SimRecord, SimShard } from "./sim_stream.ts";
import type { TableWrite } from "./sim_table.ts";
import { Simulation } from "./simulation.ts";
import { withTripwires } from "./tripwires.ts";

/** Milliseconds. */
export const SECOND = 1_000;
/** Milliseconds. */
export const MINUTE = 60_000;
/** What a few messages to and from the table may take, in milliseconds. */
export const MESSAGES_MS = 2_000;

const FAULTLESS: CallFaults = { latencyMin: 2, latencyMax: 20, ...NO_FAULTS };

/** The default settings, no fault, and a processor that is quick. */
const QUIET: Scenario = {
  seed: 1,
  workers: 0,
  shards: 4,
  shardsMax: 1_000,
  keys: 40,
  recordsPerSecond: 2,
  aggregated: 0,
  safetyMs: 0,
  calmMs: 10 * MINUTE,
  config: {},
  isGentle: true,
  driftMax: 0,
  callTimeoutMs: 3_000,
  store: FAULTLESS,
  source: FAULTLESS,
  staleListMs: 0,
  hasTornLists: false,
  hasChildren: true,
  retentionMs: 24 * 60 * MINUTE,
  tableReadyMs: 0,
  iteratorMs: 5 * MINUTE,
  isSuspended: false,
  recordBytes: 8,
  hasDestination: false,
  happenings: {
    crash: 0,
    pause: 0,
    partition: 0,
    stop: 0,
    join: 0,
    twin: 0,
    split: 0,
    merge: 0,
    burst: 0,
    clockJump: 0,
    operator: 0,
    outage: 0,
    order: 0,
  },
  filtered: 0,
  processor: {
    kind: "record",
    workMsMax: 20,
    slow: 0,
    slowMsMax: 0,
    throws: 0,
    partial: 0,
    pulled: "none",
    sinks: false,
    packed: 0,
    mode: { kind: "retryAndSkip", retries: 2 },
    windows: 0,
  },
};
const SEEDS: readonly number[] = [1, 2, 3];
const JOURNAL_LINES = 60;
const STEP_MS = 50;
const KEYS_MAX = 10_000;

/** What a case may choose. `isGentle` says that no worker is cut off, paused or operated: then the tight bounds hold. */
export type StageOptions =
  & Partial<Omit<Scenario, "processor" | "seed">>
  & { readonly processor?: Partial<Scenario["processor"]>; readonly seeds?: readonly number[] };

/** Something that a worker told, and when. */
export interface Told {
  readonly at: number;
  readonly fact: AppFact;
}

/** Plays a case on several seeds, which differ in how long messages take. */
export async function play(
  options: StageOptions,
  act: (stage: Stage) => Promise<void>,
): Promise<void> {
  const { seeds = SEEDS, processor, ...scenario } = options;
  for (const seed of seeds) {
    const stage = new Stage({
      ...QUIET,
      ...scenario,
      seed,
      processor: { ...QUIET.processor, ...processor },
    });
    await withTripwires(async () => {
      try {
        await act(stage);
        stage.check();
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new Error(`${stage.journal}\n\nSeed ${seed} of the case: ${reason}`, {
          cause: error,
        });
      }
    }, (what) => stage.fail(what));
  }
}

/** A simulation driven by hand. */
export class Stage {
  /** Every change that arrived at the table, and when. */
  readonly writes: (TableWrite & { readonly at: number })[] = [];
  /** All that the workers told. */
  readonly told: Told[] = [];
  /** Everything that was handed to a processor, and when. */
  readonly deliveries: (Delivery & { readonly at: number })[] = [];
  /** Decides what becomes of a call, instead of chance. */
  direct: ((call: Sent) => Direction | undefined) | undefined;
  /** Is told each change that arrives at the table. */
  onWrite: ((write: TableWrite) => void) | undefined;
  readonly #simulation: Simulation;

  /** @param scenario What chance decides, if anything. */
  constructor(scenario: Scenario) {
    const recorder: Checker = {
      onWrite: (write) => {
        this.writes.push({ ...write, at: this.now });
        this.onWrite?.(write);
      },
      onFact: (_process, fact) => void this.told.push({ at: this.now, fact }),
      onDelivery: (delivery) => void this.deliveries.push({ ...delivery, at: this.now }),
    };
    this.#simulation = new Simulation(scenario, JOURNAL_LINES, {
      checkers: [recorder],
      direct: (call) => this.direct?.(call),
    });
  }

  get now(): number {
    return this.#simulation.truth.world.now;
  }

  get journal(): string {
    return this.#simulation.result().journal;
  }

  get config(): Simulation["truth"]["config"] {
    return this.#simulation.truth.config;
  }

  get stream(): Simulation["truth"]["stream"] {
    return this.#simulation.truth.stream;
  }

  get fleet(): Simulation["fleet"] {
    return this.#simulation.fleet;
  }

  /** The longest that a shard may wait after the crash of its worker, in milliseconds. */
  get crashBoundMs(): number {
    const { heartbeat, heartbeatTimeout, checkUnprocessedShardsFrequency } = this.config;
    return heartbeatTimeout + checkUnprocessedShardsFrequency + heartbeat + MESSAGES_MS;
  }

  fail(what: string): void {
    this.#simulation.fail("directed case", what);
  }

  /** Throws what a checker found. */
  check(): void {
    const { failure } = this.#simulation.truth.world;
    if (failure !== undefined) throw failure;
  }

  /** Lets time pass. */
  async advance(ms: number): Promise<void> {
    await this.#simulation.truth.world.runUntil(this.now + ms);
    this.check();
  }

  /** Lets time pass until something holds; returns how long it took, in milliseconds. */
  async until(what: string, holds: () => boolean, withinMs: number): Promise<number> {
    const since = this.now;
    while (!holds()) {
      if (this.now - since > withinMs) {
        throw new Error(`not within ${withinMs} ms: ${what}; the rows say\n${this.describeRows()}`);
      }
      await this.advance(STEP_MS);
    }
    return this.now - since;
  }

  /** Ends whatever goes wrong, and waits until all is settled; then nothing may move any more. */
  async settle(): Promise<void> {
    this.direct = undefined;
    await this.#simulation.settle();
    this.check();
  }

  /** Starts workers, and waits until they share the shards. */
  async assemble(workers: number): Promise<readonly SimProcess[]> {
    const started = Array.from({ length: workers }, () => this.fleet.start());
    await this.untilBalanced(2 * this.config.loadBalanceFrequency + 2 * MINUTE);
    return started;
  }

  /** Waits until live workers hold every open shard. Returns how long it took, in milliseconds. */
  untilHeld(withinMs: number): Promise<number> {
    return this.until("every shard is held", () => this.isHeld(), withinMs);
  }

  /** Waits until live workers hold every open shard, none of them two more than another. */
  untilBalanced(withinMs: number): Promise<number> {
    return this.until("every shard is held, evenly", () => {
      const loads = Object.values(this.loads());
      return this.isHeld() && Math.max(...loads) - Math.min(...loads) <= 1;
    }, withinMs);
  }

  isHeld(): boolean {
    return this.stream.open.every(({ id }) => this.holderOf(id) !== undefined);
  }

  /** How many shards each live worker holds. */
  loads(): Record<string, number> {
    const loads = Object.fromEntries(this.fleet.live.map(({ workerId }) => [workerId, 0]));
    for (const { id } of this.stream.open) {
      const name = this.holderOf(id)?.workerId;
      if (name !== undefined) loads[name] = (loads[name] ?? 0) + 1;
    }
    return loads;
  }

  /** The numbers of shards, the most first. */
  shares(): readonly number[] {
    return Object.values(this.loads()).sort((a, b) => b - a);
  }

  /** The live worker that holds a shard, by the row. */
  holderOf(shardId: string): SimProcess | undefined {
    const holder = this.row(shardId)?.holder ?? null;
    if (holder === null) return undefined;
    return this.fleet.live.find(({ name }) => name === processOf(holder));
  }

  /** The open shards that a worker holds. */
  shardsOf(process: SimProcess): readonly SimShard[] {
    return this.stream.open.filter(({ id }) => this.holderOf(id) === process);
  }

  row(shardId: string): ShardRow | null {
    return this.#simulation.truth.table.read("shard", shardId);
  }

  rows(): readonly ShardRow[] {
    return this.#simulation.truth.table.shards();
  }

  /** The workers that have a row. */
  workerRows(): readonly string[] {
    return this.#simulation.truth.table.ids("worker");
  }

  describeRows(): string {
    return this.rows().filter((row) => !isEnded(row)).map((row) =>
      `${row.id} ${row.owner} ${row.holder} term ${row.term} ${formatCheckpoint(row.checkpoint)}` +
      (row.handover === null ? "" : ` asked for by ${row.handover.to}`)
    ).join("\n");
  }

  /** Puts records from now on, at random. */
  putRecords(): void {
    this.#simulation.putRecords();
  }

  /** Puts records into one shard. */
  put(shard: SimShard, records: number): readonly SimRecord[] {
    const key = this.keyOf(shard);
    return Array.from({ length: records }, () => this.stream.put(key, this.#stamp()));
  }

  /** A partition key whose records go to a shard. */
  keyOf(shard: SimShard): string {
    for (let i = 0; i < KEYS_MAX; i++) {
      if (this.stream.openShardOf(`key-${i}`) === shard) return `key-${i}`;
    }
    throw new Error(`Cannot find a key of ${shard.id}: it is too narrow, or closed`);
  }

  /** An open shard, by the order of its start. */
  open(place: number): SimShard {
    const shard = this.stream.open[place];
    if (shard === undefined) throw new Error(`There is no open shard ${place}`);
    return shard;
  }

  /** Drops what is older than this. */
  trim(retentionMs: number): void {
    this.stream.trim(retentionMs, this.#stamp());
  }

  /** How many times too often a record was handed to a processor, repeated attempts left out. */
  duplicates(): number {
    const records = this.stream.shards.flatMap((shard) => shard.records);
    return records.reduce((sum, { deliveries }) => sum + Math.max(0, deliveries - 1), 0);
  }

  /** What the workers told of a kind. */
  facts<T extends AppFact["type"]>(
    type: T,
  ): readonly (Told & { readonly fact: Extract<AppFact, { type: T }> })[] {
    return this.told.flatMap(({ fact, ...told }) =>
      fact.type === type ? [{ ...told, fact: fact as Extract<AppFact, { type: T }> }] : []
    );
  }

  /** Cuts a worker off from table and stream, or only its way to it, or only the way back. */
  cut(process: SimProcess, way: { readonly requests: boolean; readonly replies: boolean }): void {
    process.isDeaf = { ...way };
  }

  /** Starts a worker with a clock of its own. */
  startWith(clockError: ClockError, workerId?: string): SimProcess {
    return this.fleet.start(workerId, clockError);
  }

  #stamp(): number {
    return EPOCH_MS + Math.floor(this.now);
  }
}
