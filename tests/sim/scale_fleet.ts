/**
 * Owns: many workers on one metered table, cheap enough for a thousand of them, and who has how many shards.
 * Must not: decide what happens to them.
 * Called by: `scale.ts`.
 *
 * @module
 */

import { resolveConfig, type ResolvedConfig } from "../../src/core/config.ts";
import type { Row, RowChange, ShardRow } from "../../src/core/lease.ts";
import type { AppFact } from "../../src/events.ts";
import type { Batch, RowKinds, ShardInfo, StreamSource, WriteResult } from "../../src/ports.ts";
import { Worker } from "../../src/runtime/worker.ts";
import { NO_FAULTS } from "./scenario.ts";
import { SimNetwork } from "./sim_network.ts";
import { type PortHost, SimClock, SimRandom } from "./sim_clock.ts";
import { SimLeaseStore, UNOBSERVED } from "./sim_ports.ts";
import { SimTable, type TableWrite } from "./sim_table.ts";
import type { Prng, World } from "./world.ts";

/** What the table was asked for. */
export interface Usage {
  readonly shardLists: number;
  readonly workerLists: number;
  readonly rowReads: number;
  readonly rowsRead: number;
  /** Estimated read capacity units, consistent. */
  readonly readUnits: number;
  /** Every write that arrived, refused or not: each costs a write capacity unit. */
  readonly writes: number;
  readonly refused: number;
  readonly claims: number;
}

/** What a row weighs, about. */
const ROW_BYTES: Readonly<Record<Row["kind"], number>> = { shard: 350, worker: 250, stream: 150 };
const READ_UNIT_BYTES = 4_096;

/** The table, and what it costs. */
export class MeteredTable extends SimTable {
  #usage = {
    shardLists: 0,
    workerLists: 0,
    rowReads: 0,
    rowsRead: 0,
    readUnits: 0,
    writes: 0,
    refused: 0,
    claims: 0,
  };

  get usage(): Usage {
    return { ...this.#usage };
  }

  override list<K extends Row["kind"]>(kind: K): readonly RowKinds[K][] {
    const rows = super.list(kind);
    this.#usage[kind === "shard" ? "shardLists" : "workerLists"] += 1;
    this.#meter(kind, rows.length);
    return rows;
  }

  override read<K extends Row["kind"]>(kind: K, id: string): RowKinds[K] | null {
    this.#usage.rowReads += 1;
    this.#meter(kind, 1);
    return super.read(kind, id);
  }

  override write<R extends Row>(change: RowChange<R>, by: string): WriteResult<R> {
    const result = super.write(change, by);
    this.#usage.writes += 1;
    if (result.kind === "conflict") this.#usage.refused += 1;
    const { set } = change as unknown as RowChange<ShardRow>;
    const isClaim = change.kind === "shard" && set !== "delete" && set.holder !== undefined;
    if (isClaim && set.holder !== null && result.kind === "written") this.#usage.claims += 1;
    return result;
  }

  #meter(kind: Row["kind"], rows: number): void {
    this.#usage.rowsRead += rows;
    this.#usage.readUnits += Math.max(1, Math.ceil(rows * ROW_BYTES[kind] / READ_UNIT_BYTES));
  }
}

/**
 * A stream on which nothing happens. A reader of it waits until it is not wanted any more, so that ten thousand idle
 * shards cost nothing: what is measured here is the state table, and reading a shard never touches it.
 */
class SilentSource implements StreamSource {
  readonly #shards: readonly ShardInfo[];
  readonly #listed: (signal: AbortSignal) => Promise<void>;

  constructor(shards: readonly ShardInfo[], listed: (signal: AbortSignal) => Promise<void>) {
    this.#shards = shards;
    this.#listed = listed;
  }

  async listShards(signal: AbortSignal): Promise<readonly ShardInfo[]> {
    await this.#listed(signal);
    return this.#shards;
  }

  // deno-lint-ignore require-yield -- it never has anything to give
  async *open(_shardId: string, _after: unknown, signal: AbortSignal): AsyncGenerator<Batch> {
    await new Promise<void>((_, reject) => {
      const onAbort = (): void => reject(signal.reason);
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}

/** One worker. */
interface Member extends PortHost {
  readonly name: string;
  isCrashed: boolean;
  hasStarted: boolean;
  worker: Worker | undefined;
}

/** One way; a call takes 5 to 30 ms. */
const LATENCY_MS = { latencyMin: 2.5, latencyMax: 15 };

/** All workers, and what they have. */
export class ScaleFleet {
  readonly table: MeteredTable;
  readonly config: ResolvedConfig = resolveConfig({});
  readonly #world: World;
  readonly #random: Prng;
  readonly #network: SimNetwork;
  readonly #shards: readonly ShardInfo[];
  readonly #members = new Map<string, Member>();
  /** The owner of each shard, as the rows say. */
  readonly #owners = new Map<string, string | null>();
  /** Shards that nobody who is there has taken since the last thing happened. */
  readonly #waiting = new Set<string>();
  #heldAt = 0;
  #startsLeft = 0;
  /** Facts that should not be told when nothing goes wrong. */
  readonly troubles: string[] = [];

  constructor(world: World, random: Prng, shards: number) {
    this.#world = world;
    this.#random = random;
    this.table = new MeteredTable((write) => this.#onWrite(write));
    this.#network = new SimNetwork({
      world,
      random: random.fork(),
      faults: { ...LATENCY_MS, ...NO_FAULTS },
      timeoutMs: 5_000,
      isFaulty: () => false,
      outageUntil: () => 0,
      onFault: () => {},
    });
    this.#shards = Array.from({ length: shards }, (_, i) => ({
      id: `shardId-${String(i).padStart(12, "0")}`,
      parents: [],
      hashKeyRange: { start: String(i), end: String(i) },
      isClosed: false,
    }));
    for (const { id } of this.#shards) this.#waiting.add(id);
  }

  /** The workers that are there. */
  get live(): readonly string[] {
    return [...this.#members.keys()];
  }

  /** How many shards nobody has who is there. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** When the last shard that waited was taken, in virtual time. */
  get heldAt(): number {
    return this.#heldAt;
  }

  /** How many shards each worker has that is there. A shard that is on its way counts where it goes. */
  loads(): readonly number[] {
    const loads = new Map(this.live.map((name) => [name, 0]));
    for (const owner of this.#owners.values()) {
      const load = loads.get(owner ?? "");
      if (owner !== null && load !== undefined) loads.set(owner, load + 1);
    }
    return [...loads.values()];
  }

  /** Whether every worker runs, every shard has an owner, and nobody has two more than another. */
  isBalanced(): boolean {
    if (this.#waiting.size > 0 || this.#startsLeft > 0) return false;
    if ([...this.#members.values()].some(({ hasStarted }) => !hasStarted)) return false;
    const loads = this.loads();
    const total = loads.reduce((sum, load) => sum + load, 0);
    return total === this.#shards.length && Math.max(...loads) - Math.min(...loads) <= 1;
  }

  /** Says how many workers will be started: nothing is balanced before. */
  expect(workers: number): void {
    this.#startsLeft = workers;
  }

  /** Starts a worker. */
  start(name: string): void {
    this.#startsLeft -= 1;
    const random = this.#random.fork();
    const { config, table } = this;
    const member: Member = {
      name,
      isCrashed: false,
      pausedUntil: 0,
      isDeaf: { requests: false, replies: false },
      pendingCalls: 0,
      pendingSleeps: 0,
      hasStarted: false,
      worker: undefined,
    };
    this.#members.set(name, member);
    const clock = new SimClock(this.#world, member, { rate: 1, offsetMs: 0 });
    const network = this.#network;
    const ports = {
      world: this.#world,
      host: member,
      clock,
      config,
      random: random.fork(),
      observer: UNOBSERVED,
    };
    const worker = new Worker({
      workerId: name,
      streamName: "stream",
      appName: "sim",
      version: "sim",
      config,
      clock,
      random: new SimRandom(random.fork(), name),
      store: new SimLeaseStore({ ...ports, network }, table, {
        isTorn: () => false,
        readyAt: 0,
      }),
      source: new SilentSource(
        this.#shards,
        (signal) =>
          network.call({ host: member, signal, task: "list", isWrite: false, serve: () => {} }),
      ),
      emit: (fact) => this.#onFact(name, fact),
      processor: { process: () => {} },
    });
    member.worker = worker;
    void worker.start().then(
      () => member.hasStarted = true,
      (error) => this.troubles.push(`${name}: ${error}`),
    );
  }

  /** Workers are gone at once. */
  crash(names: readonly string[]): void {
    const dead = new Set(names);
    for (const [id, owner] of this.#owners) {
      if (owner === null || dead.has(owner)) this.#waiting.add(id);
    }
    for (const name of names) {
      const member = this.#members.get(name);
      if (member !== undefined) member.isCrashed = true;
      this.#members.delete(name);
    }
  }

  /** Workers are asked to stop. */
  stop(names: readonly string[]): void {
    const leaving = new Set(names);
    for (const [id, owner] of this.#owners) {
      if (owner === null || leaving.has(owner)) this.#waiting.add(id);
    }
    for (const name of names) {
      const member = this.#members.get(name);
      this.#members.delete(name);
      if (member !== undefined) void member.worker?.stop();
    }
  }

  #onWrite({ isAccepted, after }: TableWrite): void {
    if (!isAccepted || after?.kind !== "shard") return;
    this.#owners.set(after.id, after.owner);
    if (after.holder === null || after.owner === null || !this.#members.has(after.owner)) return;
    if (this.#waiting.delete(after.id) && this.#waiting.size === 0) this.#heldAt = this.#world.now;
  }

  #onFact(name: string, fact: AppFact): void {
    const isTrouble = fact.type === "task_failed" || fact.type === "worker_fenced" ||
      fact.type === "heartbeat_failed" || fact.type === "lease_lost";
    if (isTrouble && this.troubles.length < 20) {
      this.troubles.push(`${name}: ${JSON.stringify(fact)}`);
    }
  }
}
