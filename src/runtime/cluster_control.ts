/**
 * Owns: what an operator tells the whole cluster, through the state table: stop, start, hand over, set a checkpoint.
 * Must not: process anything, or wait for the workers longer than it is told to.
 * Called by: the command line, and programs that steer a cluster.
 *
 * Nobody who gives an order needs to reach a worker. The order is in the row of the shard, where every worker heeds it; the
 * workers whom it concerns are nudged, so that they look with their next heartbeat.
 *
 * @module
 */

import { type Checkpoint, formatCheckpoint, TRIM_HORIZON } from "../core/checkpoint.ts";
import {
  create,
  isEnded,
  isHalted,
  type LeaseChange,
  newShardRow,
  passOn,
  type ShardRow,
  type StreamRow,
  type WorkerRow,
} from "../core/lease.ts";
import { order, orderHandover, rewind } from "../core/orders.ts";
import { invariant, StoreError } from "../errors.ts";
import { type WriteDeps, writePatiently } from "./patient_write.ts";

/** How a checkpoint is set. */
export interface SetCheckpointOptions {
  /**
   * Whether to take the shard away from a worker that seems alive. It learns of it with its next write; what it processes until
   * then is processed again.
   *
   * @default {false}
   */
  readonly isForced?: boolean;
}

/** The row may change between a read and the write that follows, for instance by a checkpoint of its owner. */
const CONFLICTS_MAX = 20;
/** Who looks at the rows sees what is free and tells others for whom it is: a few are enough. */
const WITNESSES = 3;
/** So many workers are named to whoever names one that there is not. */
const NAMES_TOLD_MAX = 10;

/**
 * Steers the workers of an app through the state table, from anywhere: none of them has to be reached.
 *
 * @example
 * ```ts
 * import { ReactoKinesixApp } from "@reacto/kinesix";
 * import { MemoryLeaseStore, MemoryStream } from "@reacto/kinesix/testing";
 *
 * const ports = { store: new MemoryLeaseStore(), source: new MemoryStream({ shards: 1 }) };
 * const cluster = { appName: "TestApp", streamName: "TestStream", ports }; // without the ports: AWS
 * await using app = await ReactoKinesixApp.createNew({ ...cluster, processor: { process() {} } });
 * await using control = await ReactoKinesixApp.control(cluster);
 *
 * const [shard] = app.shards();
 * if (shard) await control.stop(shard.shardId); // on every worker, now and later
 * if (shard) await control.start(shard.shardId);
 * ```
 */
export class ClusterControl implements AsyncDisposable {
  readonly #deps: WriteDeps;
  readonly #close: () => void;
  readonly #life: AbortController = new AbortController();

  /** Is made by `ReactoKinesixApp.control`. */
  constructor(deps: WriteDeps, close: () => void) {
    this.#deps = deps;
    this.#close = close;
  }

  /** Ends what is under way, and lets go of the connections. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort(new DOMException("The control of the cluster was closed", "AbortError"));
    this.#close();
    return Promise.resolve();
  }

  get #signal(): AbortSignal {
    return this.#life.signal;
  }

  /** The rows of all shards, as they are now. */
  async shards(): Promise<readonly ShardRow[]> {
    return (await this.#deps.store.list("shard", this.#signal)).rows;
  }

  /** The rows of all workers, as they are now. */
  async workers(): Promise<readonly WorkerRow[]> {
    return (await this.#deps.store.list("worker", this.#signal)).rows;
  }

  /**
   * The row of a shard as it is now.
   *
   * @throws {RangeError} If there is none.
   */
  shard(shardId: string): Promise<ShardRow> {
    return this.#find(shardId, "find");
  }

  /**
   * Stops a shard on every worker, now and later, until it is started again. Resolves when that is written down; its owner finishes
   * the record in hand, checkpoints, and gives the shard up. Does nothing if it is stopped already.
   *
   * @throws {RangeError} If the stream has no such shard, or every record of it is finished.
   */
  async stop(shardId: string): Promise<ShardRow> {
    const row = await this.#change(
      shardId,
      "stop",
      (row) => isHalted(row) ? null : this.#order(row, "stop"),
    );
    if (row.owner !== null) await this.#nudge([row.owner]);
    return row;
  }

  /**
   * Starts a shard again, whoever stopped it: an operator, `stopProcessing` on a worker, or a record that failed. One of the
   * workers takes it.
   *
   * @throws {RangeError} If the stream has no such shard, or every record of it is finished.
   */
  async start(shardId: string): Promise<ShardRow> {
    let stoppers: readonly string[] = [];
    // Before the order is written: who may not read the workers must not have half an order carried out.
    const { rows } = await this.#deps.store.list("worker", this.#signal);
    const row = await this.#change(shardId, "start", (row) => {
      stoppers = row.stoppedBy;
      return isHalted(row) || stoppers.length > 0 ? this.#order(row, "start") : null;
    });
    const idle = rows.filter((worker) => !worker.isDraining).sort((a, b) => a.shards - b.shards);
    await this.#nudge([...stoppers, ...idle.slice(0, WITNESSES).map((worker) => worker.id)]);
    return row;
  }

  /**
   * Has the owner of a shard hand it over to another worker: it finishes the record in hand, checkpoints, and gives it in one
   * write. A shard that nobody works on is given at once. Later the balancing may move it, or another one, as ever.
   *
   * @throws {RangeError} If the stream has no such shard, every record of it is finished, it is stopped, or there is no such
   * worker that takes shards.
   */
  async handOver(shardId: string, to: string): Promise<ShardRow> {
    const heir = await this.#deps.store.read("worker", to, this.#signal);
    if (heir === null || heir.isDraining) {
      throw new RangeError(
        `Cannot hand shard "${shardId}" over to worker "${to}": ` +
          (heir === null ? await this.#noWorker() : "it is stopping"),
      );
    }
    const row = await this.#change(shardId, "hand over", (row) => {
      this.#checkRuns(row);
      if (row.stoppedBy.includes(to)) {
        throw new RangeError(
          `Cannot hand shard "${shardId}" over to worker "${to}": it has stopped that shard; start it first`,
        );
      }
      if (row.owner === to) return null;
      if (row.holder === null) return passOn(row, to, "ordered");
      const { random, clock } = this.#deps;
      return orderHandover(row, { to, id: random.uuid(), at: clock.now() });
    });
    await this.#nudge([row.owner ?? to]);
    return row;
  }

  /**
   * Has the owner of a shard give it to another worker: the one with the fewest shards.
   *
   * @returns Which worker that is.
   * @throws {RangeError} As {@linkcode ClusterControl.handOver}, and if there is no other worker, or nobody has the shard.
   */
  async release(shardId: string): Promise<string> {
    const row = await this.#read(shardId, "release");
    this.#checkRuns(row);
    if (row.owner === null) {
      throw new RangeError(`Cannot release shard "${shardId}": nobody has it`);
    }
    const { rows } = await this.#deps.store.list("worker", this.#signal);
    const [heir] = rows
      .filter(({ id, isDraining }) =>
        id !== row.owner && !isDraining && !row.stoppedBy.includes(id)
      )
      .sort((a, b) => a.shards - b.shards || (a.id < b.id ? -1 : 1));
    if (heir === undefined) {
      throw new RangeError(
        `Cannot release shard "${shardId}": there is no other worker that would take it from "${row.owner}"`,
      );
    }
    await this.handOver(shardId, heir.id);
    return heir.id;
  }

  /**
   * Sets the checkpoint of a shard: whoever takes the shard next begins after it. It may go back, also in a shard whose every
   * record is finished, as long as the stream lists it.
   *
   * Whether a worker is alive is guessed from the time of its last heartbeat and the clock of this machine; if the guess is wrong
   * nothing breaks, since the term goes up.
   *
   * @throws {RangeError} If the stream has no such shard, or a worker that seems alive has it.
   */
  async setCheckpoint(
    shardId: string,
    checkpoint: Checkpoint,
    options: SetCheckpointOptions = {},
  ): Promise<ShardRow> {
    for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
      const row = await this.#find(shardId, "set the checkpoint of");
      const owner = row.owner === null
        ? null
        : await this.#deps.store.read("worker", row.owner, this.#signal);
      if (owner !== null && this.#seemsAlive(owner) && !options.isForced) {
        throw new RangeError(
          `Cannot set the checkpoint of shard "${shardId}": worker "${owner.id}" has it; stop the shard first`,
        );
      }
      const { kind, row: now } = await writePatiently(
        this.#deps,
        rewind(row, checkpoint),
        this.#signal,
      );
      // A conflict may come from an earlier try whose reply was lost.
      const isDone = kind === "written" ||
        now?.term === row.term + 1 && now.owner === null &&
          formatCheckpoint(now.checkpoint) === formatCheckpoint(checkpoint);
      if (isDone && now !== null) return now;
    }
    throw this.#neverStill(shardId, "set the checkpoint of");
  }

  /**
   * Puts shards into the table that have no row yet, such as those of another consumer that is to be followed, in the order
   * in which they are given: parents before children. The table is made if need be. A stream that was never processed begins at
   * its oldest record where nothing is given.
   *
   * @param streamName The name of the stream.
   * @returns The ids of those that had a row, which is left as it is.
   */
  async create(
    streamName: string,
    shards: readonly (Pick<ShardRow, "id" | "parents" | "hashKeyRange" | "checkpoint">)[],
  ): Promise<readonly string[]> {
    await this.#prepare(streamName);
    const stream: StreamRow = { kind: "stream", id: streamName, startAt: TRIM_HORIZON };
    await writePatiently(this.#deps, create(stream), this.#signal);
    const known: string[] = [];
    for (const shard of shards) {
      const row = newShardRow(shard, shard.checkpoint);
      const { kind } = await writePatiently(this.#deps, create(row), this.#signal);
      if (kind === "conflict") known.push(shard.id);
    }
    return known;
  }

  /** Makes the table if there is none. One that is there is left as it is, whatever its throughput. */
  async #prepare(streamName: string): Promise<void> {
    const { store } = this.#deps;
    try {
      await store.read("stream", streamName, this.#signal);
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== "missing") throw error;
      await store.prepare(this.#signal);
    }
  }

  /** The row of a shard. */
  async #find(shardId: string, verb: string): Promise<ShardRow> {
    const row = await this.#deps.store.read("shard", shardId, this.#signal);
    if (row !== null) return row;
    throw new RangeError(
      `Cannot ${verb} shard "${shardId}": the state table has no shard of that name`,
    );
  }

  /** The row of a shard with records that are not finished. */
  async #read(shardId: string, verb: string): Promise<ShardRow> {
    const row = await this.#find(shardId, verb);
    if (!isEnded(row)) return row;
    throw new RangeError(`Cannot ${verb} shard "${shardId}": every record of it is finished`);
  }

  /** Why a worker is not there, with those that are. */
  async #noWorker(): Promise<string> {
    const { rows } = await this.#deps.store.list("worker", this.#signal);
    const names = rows.filter(({ isDraining }) => !isDraining).map(({ id }) => `"${id}"`).sort();
    const more = names.length > NAMES_TOLD_MAX ? `, and ${names.length - NAMES_TOLD_MAX} more` : "";
    const known = names.slice(0, NAMES_TOLD_MAX).join(", ") + more;
    return `there is no worker of that name; ${
      known === "" ? "none takes shards now" : `those that take shards are ${known}`
    }`;
  }

  #seemsAlive({ beatAt, heartbeatTimeout }: WorkerRow): boolean {
    return this.#deps.clock.now() - beatAt < heartbeatTimeout;
  }

  #checkRuns(row: ShardRow): void {
    if (!isHalted(row)) return;
    throw new RangeError(`Cannot hand shard "${row.id}" over: it is stopped; start it first`);
  }

  #order(row: ShardRow, kind: "stop" | "start"): LeaseChange {
    const { clock, random } = this.#deps;
    return order(row, { kind, id: random.uuid(), at: clock.now() });
  }

  /** Makes a change of a row as it is at that moment; `makeChange` gives null when there is nothing to do. */
  async #change(
    shardId: string,
    verb: string,
    makeChange: (row: ShardRow) => LeaseChange | null,
  ): Promise<ShardRow> {
    for (let conflicts = 0; conflicts < CONFLICTS_MAX; conflicts++) {
      const row = await this.#read(shardId, verb);
      const change = makeChange(row);
      if (change === null) return row;
      const { kind, row: now } = await writePatiently(this.#deps, change, this.#signal);
      if (kind === "conflict") continue;
      invariant(now !== null, "a written shard row exists");
      return now;
    }
    throw this.#neverStill(shardId, verb);
  }

  #neverStill(shardId: string, verb: string): RangeError {
    return new RangeError(
      `Cannot ${verb} shard "${shardId}": its row changed ${CONFLICTS_MAX} times meanwhile; try again`,
    );
  }

  /** Has workers read the rows with their next heartbeat. Should that fail, they look in their own time. */
  async #nudge(workers: readonly string[]): Promise<void> {
    const { store, random } = this.#deps;
    for (const id of new Set(workers)) {
      const row = await store.read("worker", id, this.#signal);
      if (row === null) continue;
      await writePatiently<WorkerRow>(this.#deps, {
        kind: "worker",
        id,
        expect: { incarnation: row.incarnation },
        set: { attention: random.uuid() },
      }, this.#signal);
    }
  }
}
