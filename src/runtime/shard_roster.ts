/**
 * Owns: the shards that this worker works on, those that it was told to leave alone, and what follows when a turn is over.
 * Must not: choose shards; it is told what to take and what to hand over.
 * Called by: `runtime/worker.ts`.
 *
 * @module
 */

import { formatCheckpoint } from "../core/checkpoint.ts";
import { type HandoverRequest, isHalted, type ShardOrder, type ShardRow } from "../core/lease.ts";
import type { StopReason } from "../events.ts";
import type { ShardInfo } from "../ports.ts";
import type { Lease, LeaseDeps, Parting } from "./lease_keeper.ts";
import { type RunOutcome, runShard, type ShardRunnerDeps } from "./shard_runner.ts";
import { takeShard } from "./take_shard.ts";

/** A shard that this worker processes. */
export interface OwnShard {
  /** The shard. */
  readonly shardId: string;
  /** The fencing token of this worker's turn. */
  readonly term: number;
  /** What is finished, written or not yet, as the state table writes it. */
  readonly checkpoint: string;
  /** For how long the oldest batch that is not finished has been in the processor's hands, in milliseconds; 0 if there is none. */
  readonly inHandMs: number;
}

/** What the roster needs of the worker. */
export interface RosterDeps extends LeaseDeps, ShardRunnerDeps {
  /** How long a shard that could not be read or processed here is left to others, in milliseconds. */
  readonly coolOff: number;
  /** The workers that are alive. */
  readonly alive: () => ReadonlySet<string>;
  /** Who should get a shard that this worker gives up; undefined if there is nobody. */
  readonly heirOf: (row: ShardRow) => string | undefined;
  /** A shard was given to another worker, which should know soon. */
  readonly onGiven: (workerId: string) => void;
  /** A shard is not worked on here any more, and not because it was given away. */
  readonly onFree: () => void;
  /** A shard is about to be marked as finished: its children get their rows, and are taken here if they are free. */
  readonly onEnding: (children: readonly Omit<ShardInfo, "isClosed">[]) => Promise<void>;
  /** Something happened that this worker cannot go on after. */
  readonly onFatal: (error: unknown) => void;
}

/** A shard that is worked on here, until the last record in hand is back from the user's code. */
interface Here {
  readonly lease: Lease;
  drain: AbortController;
  request: HandoverRequest | null;
  /** The order that stops it, for the whole cluster. */
  halt: ShardOrder | null;
  readonly done: Promise<void>;
}

/** Why a shard is left alone here. */
interface Stop {
  /** Until when, on the monotonic clock. */
  readonly until: number;
  /** The order of an operator that was known then: a later one to start it makes this void. */
  readonly order: string | undefined;
}

/** The shards of this worker. */
export class ShardRoster {
  readonly #deps: RosterDeps;
  readonly #here = new Map<string, Here>();
  /** The shards that are being taken; each resolves when it is known whether this worker has it. */
  readonly #taking = new Map<string, Promise<void>>();
  readonly #stopped = new Map<string, Stop>();
  #isClosing = false;

  /** @param deps What it needs of the worker. */
  constructor(deps: RosterDeps) {
    this.#deps = deps;
  }

  /** How many shards this worker has. */
  get size(): number {
    return [...this.#here.values()].filter(({ lease }) => !lease.signal.aborted).length;
  }

  /** Whether the shard is worked on here, or a record of it is still in hand. */
  isHere(shardId: string): boolean {
    return this.#here.has(shardId) || this.#taking.has(shardId);
  }

  /** Whether this worker leaves the shard alone. */
  isStopped(shardId: string): boolean {
    return (this.#stopped.get(shardId)?.until ?? -Infinity) > this.#deps.clock.monotonic();
  }

  /** The shards that this worker has. */
  shards(): readonly OwnShard[] {
    const now = this.#deps.clock.monotonic();
    return [...this.#here.values()].filter(({ lease }) => lease.isHeld).map(({ lease }) => ({
      shardId: lease.shardId,
      term: lease.term,
      checkpoint: formatCheckpoint(lease.position),
      inHandMs: Math.max(0, now - (lease.inHandSince ?? now)),
    }));
  }

  /** The rows of the shards that this worker has, as last acknowledged. */
  rows(): readonly ShardRow[] {
    return [...this.#here.values()].map(({ lease }) => lease.row);
  }

  /** Takes a shard, and works on it until the turn is over. */
  async take(row: ShardRow, signal: AbortSignal): Promise<void> {
    if (this.#isClosing || !this.#deps.fence.isUp) return;
    if (this.isHere(row.id) || this.isStopped(row.id)) return;
    const taken = Promise.withResolvers<void>();
    this.#taking.set(row.id, taken.promise);
    try {
      const lease = await takeShard(row, this.#deps, signal);
      if (lease === "too late") this.#deps.onFree();
      else if (lease !== null) this.#begin(lease);
    } finally {
      this.#taking.delete(row.id);
      taken.resolve();
    }
  }

  /** Gives a shard to the worker that asks for it, when the record in hand is finished. */
  handOver(row: ShardRow): void {
    const here = this.#here.get(row.id);
    if (here === undefined || row.handover === null || here.lease.term !== row.term) return;
    here.request = row.handover;
    here.lease.saw(row);
    this.#drainOne(here);
  }

  /** Leaves a shard alone from now on. Resolves when the record in hand is finished, and the shard given up. */
  async stop({ id: shardId, order }: ShardRow): Promise<void> {
    const wasStopped = this.isStopped(shardId);
    this.#stopped.set(shardId, { until: Infinity, order: order?.id });
    await this.#taking.get(shardId);
    const here = this.#here.get(shardId);
    if (here === undefined) {
      if (!wasStopped) this.#deps.emit({ type: "shard_stopped", shardId, reason: "requested" });
      this.#deps.onFree();
      return;
    }
    this.#drainOne(here);
    await here.done;
  }

  /** Does not leave a shard alone any more. */
  start(shardId: string): void {
    this.#stopped.delete(shardId);
    this.#deps.emit({ type: "shard_start_requested", shardId });
  }

  /** Gives up every shard, each when its record in hand is finished. Nothing is taken from now on. */
  async drain(): Promise<void> {
    this.#isClosing = true;
    for (const here of this.#here.values()) this.#drainOne(here);
    await Promise.all(this.#taking.values());
    await Promise.all([...this.#here.values()].map(({ done }) => done));
  }

  /** Gives up every shard now, at what is finished; what is in hand will be processed again by the next owner. */
  async giveUp(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#here.values()].map(({ lease }) => {
      lease.abandon("the time to stop ran out");
      return this.#part(lease);
    }));
  }

  /** Follows what the rows say: shards that others have by now, and the orders of operators. */
  reconcile(rows: readonly ShardRow[]): void {
    for (const row of rows) {
      this.#heed(row);
      const here = this.#here.get(row.id);
      // While the shard is being given up, the later term may be the one that this worker made itself.
      if (here === undefined || here.lease.isParting) continue;
      const { lease } = here;
      if (row.term > lease.term) lease.lose("another worker took it, or an operator did");
      else if (isHalted(row) && row.term === lease.term) this.#halt(here, row);
    }
  }

  /** An order to start a shard makes the stops before it void. */
  #heed({ id, order }: ShardRow): void {
    const stop = this.#stopped.get(id);
    if (order?.kind === "start" && stop !== undefined && stop.order !== order.id) this.start(id);
  }

  #halt(here: Here, row: ShardRow): void {
    if (here.halt !== null) return;
    here.halt = row.order;
    here.lease.saw(row);
    this.#drainOne(here);
  }

  /** Forgets every shard, without a write: others have them, or may soon. */
  loseAll(reason: string): void {
    for (const { lease } of this.#here.values()) lease.lose(reason);
  }

  #begin(lease: Lease): void {
    const done = Promise.withResolvers<void>();
    const here: Here = {
      lease,
      drain: new AbortController(),
      request: null,
      halt: null,
      done: done.promise,
    };
    this.#here.set(lease.shardId, here);
    this.#drainIfUnwanted(here);
    this.#deps.tasks.start(`process ${lease.shardId}`, async () => {
      try {
        await this.#work(here);
      } catch (error) {
        lease.lose("its processing failed in a way that was not foreseen");
        this.#deps.onFatal(error);
      } finally {
        this.#here.delete(lease.shardId);
        done.resolve();
      }
    });
  }

  /** One turn. It goes on when the request or the order that it was drained for was taken back. */
  async #work(here: Here): Promise<void> {
    while (true) {
      const outcome = await runShard(this.#deps, here.lease, here.drain.signal);
      const parting = await this.#conclude(here, outcome);
      if (parting !== "withdrawn") {
        if (parting === "lost") this.#deps.onFree();
        return;
      }
      here.drain = new AbortController();
      here.request = null;
      here.halt = null;
      here.lease.calm();
      this.#drainIfUnwanted(here);
    }
  }

  /** What this worker is to give up may have been decided while the shard was on its way here, or on its way out. */
  #drainIfUnwanted(here: Here): void {
    const { lease } = here;
    if (this.#isClosing || this.isStopped(lease.shardId)) this.#drainOne(here);
  }

  /** Has no further record started; a checkpoint that the record in hand may be waiting for is written at once. */
  #drainOne({ lease, drain }: Here): void {
    lease.hurry();
    drain.abort();
  }

  async #conclude(here: Here, outcome: RunOutcome): Promise<Parting> {
    const { lease } = here;
    const { shardId } = lease;
    switch (outcome.kind) {
      case "lost":
        if (!lease.isAbandoned) lease.lose("no heartbeat was acknowledged in time");
        return "lost";
      case "ended": {
        // The rows of the children are there before the shard counts as finished, so that nobody finds a gap.
        await this.#deps.onEnding(outcome.children);
        const children = outcome.children.map((child) => child.id);
        const parting = await lease.end(children, outcome.wasTrimmed);
        this.#deps.onFree();
        return parting;
      }
      case "stopped": {
        const { clock, coolOff } = this.#deps;
        const isForGood = outcome.reason === "recordFailed" || this.isStopped(shardId);
        const until = isForGood ? Infinity : clock.monotonic() + coolOff;
        this.#stopped.set(shardId, { until, order: lease.row.order?.id });
        return await this.#stopHere(lease, outcome.reason);
      }
      case "drained": {
        if (this.isStopped(shardId)) return await this.#stopHere(lease, "requested");
        if (here.halt !== null) return await this.#obey(lease, here.halt);
        const { request } = here;
        if (request === null || this.#isClosing) {
          const parting = await this.#part(lease);
          this.#deps.onFree(); // Somebody may have been told to start it while it stopped.
          return parting;
        }
        const parting = await lease.give(request.to, { answers: request });
        if (parting === "done") this.#deps.onGiven(request.to);
        return parting;
      }
      default:
        return outcome satisfies never;
    }
  }

  async #obey(lease: Lease, obeys: ShardOrder): Promise<Parting> {
    const parting = await lease.release({ obeys });
    const { shardId } = lease;
    if (parting === "done") this.#deps.emit({ type: "shard_stopped", shardId, reason: "halted" });
    return parting;
  }

  async #stopHere(lease: Lease, reason: StopReason): Promise<Parting> {
    const parting = await this.#part(lease, reason);
    this.#deps.emit({ type: "shard_stopped", shardId: lease.shardId, reason });
    this.#deps.onFree();
    return parting;
  }

  /** Gives a shard to whoever should have it next, or frees it. */
  async #part(lease: Lease, because?: StopReason): Promise<Parting> {
    const stoppedBy = this.#deps.claimant.workerId;
    const options = because === undefined ? {} : { because, stoppedBy, alive: this.#deps.alive() };
    const heir = this.#deps.heirOf(lease.row);
    if (heir === undefined) return await lease.release(options);
    const parting = await lease.give(heir, options);
    if (parting === "done") this.#deps.onGiven(heir);
    return parting;
  }
}
