/**
 * Owns: the records of one turn on a shard, from the read to "finished": which run at the same time, what follows a failure, how far
 * the shard is finished.
 * Must not: read the stream or write the state table.
 * Called by: `runtime/shard_runner.ts`.
 *
 * @module
 */

import type { Checkpoint } from "../core/checkpoint.ts";
import { ShardProgress } from "../core/progress.ts";
import { invariant } from "../errors.ts";
import type { Batch } from "../ports.ts";
import type { RecordFilter } from "../processor.ts";
import { processBatch } from "./batch_attempts.ts";
import { BatchWindow, type BatchWindowDeps } from "./batch_window.ts";
import type { BufferBudget, ShardBudget } from "./buffer_budget.ts";
import { DeliveredRecord, positionAfter } from "./delivered_record.ts";
import { Lanes, parted, Read, Stretch, type StretchQueue } from "./lanes.ts";
import type { Lease } from "./lease_keeper.ts";
import type { Slot } from "./processors.ts";
import { type Ready, ReadyProcessor } from "./ready_processor.ts";
import { type BatchOutcome, processRecords } from "./record_attempts.ts";
import { leftOut } from "./record_filter.ts";
import { isRunProcessor, takesParts } from "./record_run.ts";
import { tellShardEnded } from "./shard_end.ts";
import { Scope } from "./tasks.ts";
import { UserCode, type UserCodeDeps } from "./user_code.ts";
import { type Part, UserRecords } from "./user_records.ts";

/** What the record runner needs of the worker. */
export interface RecordRunnerDeps extends UserCodeDeps, BatchWindowDeps {
  readonly orderBy: "partitionKey" | "shard" | "none";
  /** Whether a batch that fails is cut in two. */
  readonly bisectBatchOnError: boolean;
  /** Which records are processed; undefined for all. */
  readonly filter?: RecordFilter | undefined;
  readonly maxBatchSize: number;
  /** Whether aggregates are taken apart. */
  readonly deaggregate: boolean;
  /** What all shards together may hold in memory. */
  readonly budget: BufferBudget;
}

/** Of what several lanes say, the last in this row counts. */
const OUTCOMES: readonly BatchOutcome[] = [
  "done",
  "drained",
  "lost",
  "processorFailed",
  "recordFailed",
];
const NONE: ReadonlySet<number> = new Set();
/** So many for each lane are read, however little a read brings: else many have none, and a key that fails soon holds up all. */
const LANE_RECORDS = 16;
/** While one record fails again and again, so many others may be finished after it; all of them would come again after a crash. */
const SPAN_MAX = 100_000;

/** What all records of a read have in common. */
type AboutRead = Pick<Read, "millisBehindLatest" | "readAt">;

/** Runs the records of one shard through its processor. */
export class RecordRunner {
  readonly #deps: RecordRunnerDeps;
  readonly #lease: Lease;
  readonly #processor: ReadyProcessor;
  readonly #drain: AbortSignal;
  readonly #until: Scope;
  readonly #user: UserCode;
  readonly #lanes: Lanes;
  readonly #window: BatchWindow;
  readonly #progress = new ShardProgress();
  /** What this turn holds in memory: until a read is finished, since its records are kept together. */
  readonly budget: ShardBudget;
  /** The reads with records that are not finished, in order. */
  readonly #reads: Read[] = [];
  #largestRead = 0;
  readonly #userRecords: UserRecords;
  #readTo: Checkpoint;
  #latest = { millisBehindLatest: 0 };
  #isTipTold = false;
  #outcome: BatchOutcome = "done";
  #defect: { readonly error: unknown } | undefined;
  #room: PromiseWithResolvers<void> | undefined;

  /** @param drain Aborts when no further record is to be started. */
  constructor(deps: RecordRunnerDeps, lease: Lease, slot: Slot, drain: AbortSignal) {
    this.#deps = deps;
    this.#lease = lease;
    this.#drain = drain;
    this.#readTo = lease.readTo;
    this.#window = new BatchWindow(deps);
    this.budget = deps.budget.open(this.#window.isOpen ? () => this.#window.added() : undefined);
    this.budget.mayComeInParts = takesParts(slot.made);
    const { shardId, row: { hashKeyRange } } = lease;
    const room = (): number => this.budget.room;
    this.#userRecords = new UserRecords({ ...deps, shardId, hashKeyRange, room });
    this.#until = new Scope(lease.signal, drain);
    this.#user = new UserCode(deps, lease, this.until);
    this.#processor = new ReadyProcessor(slot, this.#user, lease, this.until);
    this.#lanes = new Lanes(
      deps,
      (lane, queue) => this.#work(lane, queue),
      (error) => {
        this.#defect ??= { error };
        this.#end("drained");
      },
    );
  }

  /** Aborts when no further record is started here, for whatever reason. */
  get until(): AbortSignal {
    return this.#until.signal;
  }

  /** Where to read on: everything before was taken in hand. */
  get readTo(): Checkpoint {
    return this.#readTo;
  }

  /** Takes a batch in hand. Resolves when there is room for the next one: with one lane, if nothing is collected, when it is finished. */
  async run(batch: Batch): Promise<BatchOutcome> {
    const { records, millisBehindLatest } = batch;
    batch.release?.();
    const readAt = this.#deps.clock.monotonic();
    for (const part of this.#userRecords.of(records, this.#readTo)) {
      this.budget.added(part.addedBytes);
      const outcome = await this.#run(part, { millisBehindLatest, readAt });
      if (outcome !== "done") return outcome;
    }
    return "done";
  }

  async #run(part: Part, about: AboutRead): Promise<BatchOutcome> {
    const { filter, concurrency } = this.#deps;
    const records = part.records.map((record) => new DeliveredRecord(this.#lease.shardId, record));
    const filtered = filter === undefined ? NONE : await leftOut(records, filter, this.#user);
    this.#take(records, filtered, { ...about, heldBytes: part.heldBytes });
    if (concurrency === 1 && !this.#window.isOpen) return await this.settled();
    if (!this.#hasRoom()) {
      const room = this.#room = Promise.withResolvers();
      this.#window.added();
      await room.promise;
    }
    return this.until.aborted ? await this.settled() : "done";
  }

  /** Shares records out; those that the filter leaves out are finished. */
  #take(
    records: readonly DeliveredRecord[],
    filtered: ReadonlySet<number>,
    { millisBehindLatest, readAt, heldBytes }: AboutRead & Pick<Read, "heldBytes">,
  ): void {
    const { size } = filtered;
    const counts = { size: records.length, filtered: size, heldBytes };
    const read = new Read({ ...counts, millisBehindLatest, readAt, takenAt: this.#user.now() });
    const last = records.at(-1);
    this.#latest = read;
    if (last === undefined) {
      this.budget.finished(heldBytes);
      return this.#tellBatch(read);
    }
    this.#readTo = positionAfter(last);
    this.#largestRead = Math.max(this.#largestRead, read.size);
    this.#reads.push(read);
    this.#tellInHand();
    const numbers = records.map((record) => this.#progress.add(positionAfter(record)));
    if (size === 0) return this.#share(new Stretch(read, records, numbers));
    const isLeft = (_: unknown, index: number): boolean => !filtered.has(index);
    this.#share(new Stretch(read, records.filter(isLeft), numbers.filter(isLeft)));
    this.#leaveOut(read, numbers.filter((_, index) => filtered.has(index)));
  }

  #share(stretch: Stretch): void {
    const last = stretch.records.at(-1);
    if (last !== undefined) this.#lease.given = positionAfter(last);
    this.#lanes.add(stretch);
    this.#window.added();
  }

  /** Resolves when nothing is in the user's hands any more. */
  async settled(): Promise<BatchOutcome> {
    this.#window.flush();
    await this.#lanes.settled();
    if (this.#defect !== undefined) throw this.#defect.error;
    if (this.#outcome !== "done") {
      for (const read of this.#reads) if (read.finished > 0) this.#tellBatch(read);
      this.#reads.length = 0;
      this.#tellInHand();
    }
    return this.#outcome;
  }

  /** Starts no further record. Resolves when those in hand are finished. */
  async leaveOff(): Promise<Exclude<BatchOutcome, "done">> {
    this.#end("drained");
    const outcome = await this.settled();
    if (outcome === "recordFailed" || outcome === "processorFailed") return outcome;
    return this.#lease.isHeld ? "drained" : "lost";
  }

  /** Lets go of everything. */
  async close(): Promise<void> {
    this.#until.abort();
    await this.#lanes.settled();
    this.#until[Symbol.dispose]();
    this.budget[Symbol.dispose]();
  }

  /** Tells the processor that every record of the closed shard was processed. */
  async shardEnded(): Promise<BatchOutcome> {
    invariant(this.#progress.unfinished === 0, "the end of a shard comes after its records");
    let ready = this.#processor.use();
    while (ready instanceof Promise) ready = await ready ?? this.#processor.use();
    if (typeof ready === "string") return ready;
    const [user, lease, { until }, { emit }] = [this.#user, this.#lease, this, this.#deps];
    const { millisBehindLatest } = this.#latest;
    const turn = { user, lease, until, emit, drain: this.#drain, millisBehindLatest };
    const outcome = await tellShardEnded(ready, turn);
    return this.#lease.isHeld ? outcome : "lost";
  }

  /** Has a lane process what is next in its queue; gives whether it goes on. */
  async #work(lane: number, queue: StretchQueue): Promise<boolean> {
    // No wait between this and the first record: what it says would be old.
    const ready = this.#processor.use();
    if (ready instanceof Promise) {
      const failure = await ready;
      return failure === undefined || this.#end(failure);
    }
    if (typeof ready === "string") return this.#end(ready);
    const isTogether = ready.processor.processBatch !== undefined;
    this.budget.mayComeInParts = takesParts(ready.processor);
    if (isTogether && this.#room === undefined && !this.#window.isOver(queue)) {
      await ready.use.done();
      await this.#window.look(queue, this.until);
      return true;
    }
    try {
      const outcome = isTogether
        ? await this.#processTogether(queue, ready)
        : await this.#process(queue, ready, lane);
      // Before the old processor is disposed: no other lane is to go on meanwhile, least of all with these records.
      if (outcome !== "done") return this.#end(outcome);
      // A run that failed at its first record has let nobody else run.
      const pause = this.#user.letOthersRun(this.#user.now());
      if (pause !== undefined) await pause;
      return true;
    } finally {
      await ready.use.done();
    }
  }

  /** One record after the other, up to one that failed. */
  async #process(
    queue: StretchQueue,
    { use, processor }: Ready,
    lane: number,
  ): Promise<BatchOutcome> {
    const isAlone = this.#isShared && !isRunProcessor(processor);
    const stretch = queue.take((read) => isAlone ? 1 : this.#shareOf(read));
    if (stretch === undefined) return "done";
    let told = 0;
    const run = {
      user: this.#user,
      lease: this.#lease,
      emit: this.#deps.emit,
      processor,
      attempt: 1,
      millisBehindLatest: stretch.read.millisBehindLatest,
      lane,
      until: this.until,
      retired: use.retired,
    };
    const { finished, outcome } = await processRecords(stretch.records, run, (finished) => {
      this.#finish(stretch, told, finished);
      told = Math.max(told, finished);
    });
    if (outcome === "done") queue.putBack(stretch.cut(finished));
    return outcome;
  }

  /** A batch, as a whole. */
  async #processTogether(queue: StretchQueue, { processor }: Ready): Promise<BatchOutcome> {
    const { batchSize, bisectBatchOnError } = this.#deps;
    const taken = this.#window.isOpen
      ? queue.takeAcross(batchSize)
      : Array.of(queue.take((read) => Math.min(batchSize, this.#shareOf(read))));
    const stretches = taken.filter((stretch) => stretch !== undefined);
    const last = stretches.at(-1);
    if (last === undefined) return "done";
    const records = stretches.length === 1
      ? last.records
      : stretches.flatMap(({ records }) => records);
    const run = {
      user: this.#user,
      lease: this.#lease,
      emit: this.#deps.emit,
      processor,
      millisBehindLatest: last.read.millisBehindLatest,
      until: this.until,
      bisectBatchOnError,
    };
    return await processBatch(records, run, (from, until) => {
      for (const part of parted(stretches, from, until)) this.#finish(...part);
    });
  }

  /** Whether all lanes take from one queue. */
  get #isShared(): boolean {
    return this.#deps.orderBy === "none" && this.#deps.concurrency > 1;
  }

  /** How many records of a read a lane takes at once, if it takes many. */
  #shareOf({ size }: Read): number {
    return this.#isShared ? Math.ceil(size / this.#deps.concurrency) : size;
  }

  /** Records of a stretch are finished, from an index on and before another one. */
  #finish({ read, records, numbers }: Stretch, from: number, until: number): void {
    if (until <= from) return;
    let hasMoved = false;
    for (let i = from; i < until; i++) {
      hasMoved = this.#progress.finish(numbers[i] ?? NaN) || hasMoved;
      read.finishedBytes += records[i]?.payload.byteLength ?? 0;
    }
    read.finished += until - from;
    this.#noteFinished(read, hasMoved);
  }

  #leaveOut(read: Read, numbers: readonly number[]): void {
    let hasMoved = false;
    for (const number of numbers) hasMoved = this.#progress.finish(number) || hasMoved;
    read.finished += numbers.length;
    this.#noteFinished(read, hasMoved);
  }

  /** @param hasMoved Whether the position did before which everything is finished. */
  #noteFinished(read: Read, hasMoved: boolean): void {
    if (read.finished === read.size) {
      this.#reads.splice(this.#reads.indexOf(read), 1);
      this.#tellInHand();
      this.budget.finished(read.heldBytes);
      this.#tellBatch(read);
    }
    const { position } = this.#progress;
    if (hasMoved && position !== undefined) {
      this.#lease.delivered(position);
      const [{ millisBehindLatest } = this.#latest] = this.#reads;
      if (this.#deps.checkpointMode === "auto") this.#lease.finished(position, millisBehindLatest);
    }
    this.#wake();
  }

  /** Of the empty batches at the tip of the shard only the first one is worth telling. */
  #tellBatch(read: Read): void {
    const { finished, filtered, finishedBytes, millisBehindLatest, takenAt } = read;
    const isTip = finished === 0 && millisBehindLatest === 0;
    if (isTip && this.#reads.length === 0 && this.#lease.isAllFinished) this.#lease.caughtUp();
    if (isTip && this.#isTipTold) return;
    this.#isTipTold = isTip;
    this.#deps.emit({
      type: "batch_processed",
      shardId: this.#lease.shardId,
      records: finished - filtered,
      bytes: finishedBytes,
      filtered,
      millisBehindLatest,
      processMs: this.#deps.clock.monotonic() - takenAt,
    });
  }

  #tellInHand(): void {
    this.#lease.inHandSince = this.#reads[0]?.takenAt;
  }

  /** Ends all lanes, each after the record in hand. */
  #end(outcome: Exclude<BatchOutcome, "done">): false {
    if (OUTCOMES.indexOf(outcome) > OUTCOMES.indexOf(this.#outcome)) this.#outcome = outcome;
    this.#until.abort();
    this.#wake();
    return false;
  }

  #wake(): void {
    if (!this.#hasRoom()) return;
    this.#room?.resolve();
    this.#room = undefined;
  }

  /** Half of what a read may bring: with the next one and the one that is fetched ahead, about two reads are in memory. */
  #hasRoom(): boolean {
    const { unfinished, span } = this.#progress;
    const { concurrency, batchSize } = this.#deps;
    const collected = this.#window.isOpen ? (this.#isShared ? 1 : concurrency) * batchSize : 0;
    const least = concurrency * (this.#isShared || collected > 0 ? 1 : LANE_RECORDS);
    const enough = Math.max(least, this.#largestRead / 2) + collected;
    return this.until.aborted || unfinished <= enough && span <= SPAN_MAX;
  }
}
