/**
 * Owns: the life of a worker: start, the loops that run while it lives, stop. Wires the rooms of the runtime.
 * Must not: decide who should have which shard (`core/balance.ts`), or write a row as its owner (`lease_keeper.ts`).
 * Called by: `app.ts`.
 *
 * @module
 */

import { type ResolvedConfig, startingCheckpoint } from "../core/config.ts";
import { create, isEnded, isHalted, type ShardRow, type StreamRow } from "../core/lease.ts";
import { type ClusterStatus, clusterStatus } from "../core/status.ts";
import { invariant, messageOf, StoreError, toEventError, WorkerReplacedError } from "../errors.ts";

import type { FailureDestination, ShardInfo, StreamSource } from "../ports.ts";
import type { ProcessorSource, RecordFilter } from "../processor.ts";
import { BufferBudget } from "./buffer_budget.ts";
import { Fence, Heartbeat } from "./heartbeat.ts";
import { Membership } from "./membership.ts";
import { type WriteDeps, writePatiently } from "./patient_write.ts";
import { checkState, Processors } from "./processors.ts";
import { type OwnShard, ShardRoster } from "./shard_roster.ts";
import { RetentionWatch } from "./retention_watch.ts";
import { ShardSync } from "./shard_sync.ts";
import { Survey } from "./survey.ts";
import { Breather, TaskGroup, withTimeout } from "./tasks.ts";

/** What a worker needs. */
export interface WorkerDeps extends WriteDeps {
  readonly workerId: string;
  readonly streamName: string;
  readonly appName: string;
  /** Where records go that are given up; undefined if nowhere. */
  readonly failureDestination?: FailureDestination | undefined;
  readonly version: string;
  readonly config: ResolvedConfig;
  readonly processor: ProcessorSource;
  /** Which records are processed; undefined for all. */
  readonly filter?: RecordFilter | undefined;
  readonly source: StreamSource;
}

/** How a worker is, as far as it knows itself. */
export interface WorkerHealth {
  /** `starting` until it has taken its first shards, `stopping` from the call of `stop` on, or when it cannot go on. */
  readonly phase: "starting" | "running" | "stopping" | "stopped";
  /** How long ago the last heartbeat was sent that was acknowledged, in milliseconds; null before the first one. */
  readonly heartbeatAgeMs: number | null;
  /** Whether no heartbeat was acknowledged for so long that nothing is processed. */
  readonly isFenced: boolean;
  /** Which of its loops run: `heartbeat`, `fence`, `survey` and `shard sync` as long as it is `running`, and maybe others. */
  readonly loops: readonly string[];
}

/** The parts of `shutdownTimeout`: finishing what is in hand, giving up what is not finished, and saying good-bye. */
const DRAIN_SHARE = 0.6;
const GIVE_UP_SHARE = 0.2;
const FAREWELL_SHARE = 0.1;
/** Within the first part: a state table that does not answer must not take the time of the records in hand. */
const HEIRS_SHARE = 0.2;

/** A worker of the cluster. */
export class Worker {
  readonly #deps: WorkerDeps;
  /** Aborts when no shard is to be taken any more. */
  readonly #closing = new AbortController();
  /** Aborts when this worker's row is about to be removed. */
  readonly #leaving = new AbortController();
  /** Aborts when the last write of this worker is done. */
  readonly #ended = new AbortController();
  readonly #finished = Promise.withResolvers<void>();
  readonly #tasks: TaskGroup;
  readonly #nudges: TaskGroup;
  readonly #fence: Fence;
  readonly #processors: Processors;
  readonly #heartbeat: Heartbeat;
  readonly #membership: Membership;
  readonly #budget: BufferBudget;
  readonly #roster: ShardRoster;
  readonly #survey: Survey;
  readonly #retention: RetentionWatch;
  #sync: ShardSync | undefined;
  /** A stop is not interrupted by anything but its time limits. */
  readonly #never = new AbortController().signal;
  #registration: Promise<void> | undefined;
  #isRegistered = false;
  #isStopping = false;
  #isRunning = false;
  readonly #loops = new Set<string>();

  /** @param given What it needs of the outside world. */
  constructor(given: WorkerDeps) {
    this.#retention = new RetentionWatch(given);
    const emit = this.#retention.listening(given.emit);
    const deps = this.#deps = { ...given, emit };
    const { workerId, config } = deps;
    const { heartbeatTimeout } = config;
    const incarnation = deps.random.uuid();
    const claimant = { workerId, incarnation };
    const onTaskError = (task: string, error: unknown): void => {
      if (this.#ended.signal.aborted) return; // What the end of this worker interrupted.
      emit({ type: "task_failed", task, error: toEventError(error) });
    };
    this.#tasks = new TaskGroup(onTaskError);
    this.#nudges = new TaskGroup(onTaskError);
    this.#fence = new Fence(deps.clock);
    this.#processors = new Processors(deps.processor, { ...deps, ...config });
    this.#heartbeat = new Heartbeat({
      ...deps,
      ...config,
      claimant,
      fence: this.#fence,
      countShards: () => this.#roster.size,
      onAttention: () => this.#survey.ring(),
      onFenced: () => this.#onFenced(),
    });
    this.#membership = new Membership({
      ...deps,
      claimant,
      tasks: this.#nudges,
      onGone: (workerId) => this.#survey.seeTo(workerId),
    });
    this.#budget = new BufferBudget(config.maxBufferedBytes);
    this.#roster = new ShardRoster({
      ...deps,
      ...config,
      budget: this.#budget,
      claimant,
      fence: this.#fence,
      tasks: this.#tasks,
      processors: this.#processors,
      breather: new Breather(deps.clock),
      unreadableAfter: heartbeatTimeout,
      goneAfter: Math.min(config.checkStreamChangesFrequency, heartbeatTimeout / 2),
      coolOff: heartbeatTimeout,
      alive: () => this.#membership.alive(),
      heirOf: (row) => this.#survey.heirOf(row),
      onRowNews: () => this.#survey.ring(),
      onGiven: (to) => this.#membership.nudge(to, this.#ended.signal),
      onFree: () => this.#survey.ring(),
      onEnding: (children) => this.#prepareChildren(children),
      onFatal: (error) => this.#fail(error),
    });
    this.#survey = new Survey({
      ...deps,
      self: workerId,
      membership: this.#membership,
      roster: this.#roster,
    });
  }

  /** Resolves when the worker has stopped; rejects when it had to. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** Joins the cluster: resolves when this worker has taken its first shards, or found that others have them all. */
  async start(): Promise<void> {
    const { store, source, version, streamName, emit } = this.#deps;
    const { signal } = this.#closing;
    try {
      signal.throwIfAborted();
      // The stream first: a name with a typo must not leave a table behind.
      await source.listShards(signal);
      await store.prepare(signal);
      // A stop does not interrupt it: a row that arrives after its sender left would be taken for a worker.
      this.#registration = this.#heartbeat.register(this.#leaving.signal);
      await this.#registration;
      signal.throwIfAborted();
      this.#isRegistered = true;
      this.#live("heartbeat", () => this.#heartbeat.run(this.#leaving.signal));
      this.#live("fence", () => this.#heartbeat.watchFence(this.#leaving.signal));
      const sync = this.#sync = new ShardSync(this.#deps, await this.#startOfStream());
      await sync.look(signal);
      emit({ type: "worker_started", version, streamName });
      await this.#survey.look(signal);
      this.#live("survey", () => this.#survey.run(signal));
      this.#live("shard sync", () => sync.run(this.#membership, () => this.#survey.ring(), signal));
      if (this.#retention.isPossible) {
        this.#live("retention", () => this.#retention.run(() => this.shards(), signal));
      }
      this.#isRunning = true;
    } catch (error) {
      void this.#end(error);
      // If the worker was on its way out already, the reason for that counts; this error only followed from it.
      await this.#finished.promise;
      throw error;
    }
  }

  /** Stops: finishes the records in hand, checkpoints, gives the shards away. */
  async stop(): Promise<void> {
    void this.#end();
    await this.#finished.promise.catch(() => {}); // Whoever waits for `finished` is told.
  }

  /** Processes a shard here again; resolves when it is taken, or when another worker turned out to have it. */
  async startProcessing(shardId: string): Promise<void> {
    if (isHalted(await this.#checkShard("start", shardId))) {
      throw new RangeError(
        `Cannot start shard "${shardId}" here: an operator stopped it for the whole cluster, which ` +
          "has to start it again",
      );
    }
    this.#roster.start(shardId);
    this.#survey.adopt([shardId]);
    await this.#survey.look(this.#closing.signal);
  }

  /** Stops a shard here; resolves when the record in hand is finished and checkpointed. */
  async stopProcessing(shardId: string): Promise<void> {
    await this.#roster.stop(await this.#checkShard("stop", shardId));
  }

  /** Uses another processor from the next record on; resolves when the old one is disposed. */
  async changeProcessor(next: ProcessorSource): Promise<void> {
    checkState(next, this.#deps.config);
    await this.#processors.change(next);
  }

  /** The shards that this worker has. */
  shards(): readonly OwnShard[] {
    return this.#roster.shards();
  }

  /** How this worker is. */
  health(): WorkerHealth {
    const { ageMs, isUp } = this.#fence;
    const isOver = this.#ended.signal.aborted;
    const running = this.#isRunning ? "running" : "starting";
    return {
      phase: isOver ? "stopped" : this.#isStopping ? "stopping" : running,
      heartbeatAgeMs: ageMs,
      isFenced: ageMs !== null && !isUp,
      loops: [...this.#loops],
    };
  }

  /** What the records count for that are read and not finished, in bytes. */
  get bufferedBytes(): number {
    return this.#budget.heldBytes;
  }

  /** The cluster as the rows show it now. */
  async status(): Promise<ClusterStatus> {
    const { signal } = this.#ended;
    const { rows } = await this.#deps.store.list("shard", signal);
    if ((await this.#membership.look(signal)).length > 0) this.#survey.ring();
    const alive = this.#membership.alive();
    return clusterStatus(this.#membership.rows(), rows, (worker) => alive.has(worker.id));
  }

  /** Runs a loop whose end before its time is the end of the worker. */
  #live(name: string, loop: () => Promise<void>): void {
    this.#loops.add(name);
    const ended = (): boolean => this.#loops.delete(name);
    this.#tasks.start(name, () => loop().finally(ended).catch((error) => this.#fail(error)));
  }

  #fail(error: unknown): void {
    if (this.#isStopping) return; // It is on its way out already; the loops end by being interrupted.
    this.#tasks.start("stop", () => this.#end(error));
  }

  #onFenced(): void {
    this.#deps.emit({ type: "worker_fenced", shards: this.#roster.size });
    this.#roster.loseAll("no heartbeat was acknowledged in time");
  }

  /** Where the stream begins: what the first worker that ever started wrote down. */
  async #startOfStream(): Promise<StreamRow["startAt"]> {
    const { streamName, config, clock } = this.#deps;
    const startAt = startingCheckpoint(config.initialPosition, clock.now());
    const wish: StreamRow = { kind: "stream", id: streamName, startAt };
    const { row } = await writePatiently(this.#deps, create(wish), this.#closing.signal);
    invariant(row !== null, "a row that was created or found exists");
    return row.startAt;
  }

  /** Has the rows of a shard's children created, and taken here. The next look at the stream makes up for a failure. */
  async #prepareChildren(children: readonly Omit<ShardInfo, "isClosed">[]): Promise<void> {
    const { emit } = this.#deps;
    this.#survey.adopt(children.map((child) => child.id));
    try {
      await this.#sync?.createChildren(children, this.#ended.signal);
    } catch (error) {
      emit({ type: "task_failed", task: "create rows of children", error: toEventError(error) });
    }
  }

  async #checkShard(verb: string, shardId: string): Promise<ShardRow> {
    const row = await this.#deps.store.read("shard", shardId, this.#ended.signal);
    if (row !== null && !isEnded(row)) return row;
    const { streamName } = this.#deps;
    throw new RangeError(
      row === null
        ? `Cannot ${verb} shard "${shardId}": stream "${streamName}" has no shard of that name`
        : `Cannot ${verb} shard "${shardId}": every record of it is finished`,
    );
  }

  /** Ends this worker, once: drains its shards, unless the reason is that it has none any more. */
  async #end(error?: unknown): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    const { emit } = this.#deps;
    this.#closing.abort(new DOMException("The worker is stopping", "AbortError"));
    const isOver = error instanceof WorkerReplacedError || error instanceof StoreError;
    if (isOver) {
      this.#roster.loseAll(messageOf(error));
    } else if (this.#isRegistered) {
      this.#heartbeat.startDraining();
      await this.#within(DRAIN_SHARE, "finish what is in hand", () => this.#drain());
    } else if (this.#registration !== undefined) {
      const registered = this.#registration.catch(() => {}); // Whoever started this worker is told.
      await this.#within(FAREWELL_SHARE, "register", () => registered);
    }
    await this.#within(GIVE_UP_SHARE, "give up the shards", () => this.#roster.giveUp());
    // Others take these as soon as this worker has left: whoever still has a record of them in hand is told.
    this.#roster.loseAll("the time to stop ran out");
    // A heartbeat after the row is gone would bring it back.
    this.#leaving.abort(new DOMException("The worker is leaving", "AbortError"));
    if (this.#registration !== undefined) {
      // What was given to this worker meanwhile is free once its row is gone.
      const leave = async (signal: AbortSignal): Promise<void> => {
        // Whoever was given a shard is told, or it would look for it a while later only.
        await Promise.all([this.#heartbeat.deregister(signal), this.#nudges.settled()]);
      };
      await this.#within(FAREWELL_SHARE, "leave the cluster", leave);
    }
    this.#ended.abort(new DOMException("The worker has stopped", "AbortError"));
    await this.#within(FAREWELL_SHARE, "dispose the processor", () => this.#processors.close());
    emit({
      type: "worker_stopped",
      ...(error === undefined ? {} : { error: toEventError(error) }),
    });
    if (error === undefined) this.#finished.resolve();
    else this.#finished.reject(error);
  }

  async #drain(): Promise<void> {
    // Without heirs each shard goes to whoever should have it by the last look.
    await this.#within(HEIRS_SHARE, "choose who gets the shards", async (signal) => {
      for (const heir of await this.#survey.chooseHeirs(signal)) {
        this.#membership.nudge(heir, this.#ended.signal);
      }
    });
    await this.#roster.drain();
  }

  /** Does a part of the stop, which must not take longer than its share of the time. */
  async #within(
    share: number,
    task: string,
    work: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { clock, config, emit } = this.#deps;
    const ms = config.shutdownTimeout * share;
    try {
      await withTimeout(
        clock,
        ms,
        this.#never,
        work,
        () => new Error(`Cannot ${task} within ${ms} ms`),
      );
    } catch (error) {
      emit({ type: "task_failed", task, error: toEventError(error) });
    }
  }
}
