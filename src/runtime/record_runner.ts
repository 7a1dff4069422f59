/**
 * Owns: the records of one turn on a shard, from the read to "finished": which run at the same time, what follows a failure, how far
 * the shard is finished.
 * Must not: read the stream or write the state table.
 * Called by: `runtime/shard_runner.ts`.
 *
 * @module
 */

import { abortable } from "@std/async/abortable";
import { type Checkpoint, formatCheckpoint } from "../core/checkpoint.ts";
import type { ErrorHandlingMode } from "../core/policy.ts";
import { ShardProgress } from "../core/progress.ts";
import { invariant } from "../errors.ts";
import type { Batch } from "../ports.ts";
import type { RecordProcessor } from "../processor.ts";
import type { BufferBudget, ShardBudget } from "./buffer_budget.ts";
import { DeliveredRecord, positionAfter } from "./delivered_record.ts";
import { cut, Lanes, type Read, type Stretch, type StretchQueue } from "./lanes.ts";
import type { Lease } from "./lease_keeper.ts";
import type { Slot, Use } from "./processors.ts";
import { type BatchOutcome, processRecords } from "./record_attempts.ts";
import { isRunProcessor } from "./record_run.ts";
import { Scope } from "./tasks.ts";
import { UserCode, type UserCodeDeps } from "./user_code.ts";
import { type Part, UserRecords } from "./user_records.ts";

/** What the record runner needs of the worker. */
export interface RecordRunnerDeps extends UserCodeDeps {
  /** The most runs of one shard at the same time. */
  readonly concurrency: number;
  readonly orderBy: "partitionKey" | "shard" | "none";
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
const FACTORY_ATTEMPTS_MAX = 3;
const SHARD_ENDED_MODE: ErrorHandlingMode = { kind: "retryAndStop", retries: 2 };
/** While one record fails again and again, so many others may be finished after it; all of them would come again after a crash. */
const SPAN_MAX = 100_000;

/** A processor to call, until `use.done()`. */
interface Ready {
  readonly use: Use;
  readonly processor: RecordProcessor;
}

/** Why there is no processor to call. */
type Unready = Exclude<BatchOutcome, "done" | "recordFailed">;

/** Runs the records of one shard through its processor. */
export class RecordRunner {
  readonly #deps: RecordRunnerDeps;
  readonly #lease: Lease;
  readonly #slot: Slot;
  readonly #drain: AbortSignal;
  readonly #until: Scope;
  readonly #user: UserCode;
  readonly #lanes: Lanes;
  readonly #progress = new ShardProgress();
  /** What this turn holds in memory: until a read is finished, since its records are kept together. */
  readonly budget: ShardBudget;
  /** The reads with records that are not finished, in order. */
  readonly #reads = new Set<Read>();
  /** The factory at work. */
  #making: Promise<Unready | undefined> | undefined;
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
    this.#slot = slot;
    this.#drain = drain;
    this.#readTo = lease.readTo;
    this.budget = deps.budget.open();
    const { shardId, row: { hashKeyRange } } = lease;
    const room = (): number => this.budget.room;
    this.#userRecords = new UserRecords({ ...deps, shardId, hashKeyRange, room });
    this.#until = new Scope(lease.signal, drain);
    this.#user = new UserCode(deps, lease, this.until);
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

  /** Takes a batch in hand. Resolves when there is room for the next one: with one lane, when it is finished. */
  async run({ records, millisBehindLatest }: Batch): Promise<BatchOutcome> {
    for (const part of this.#userRecords.of(records, this.#readTo)) {
      this.budget.added(part.addedBytes);
      const outcome = await this.#run(part, millisBehindLatest);
      if (outcome !== "done") return outcome;
    }
    return "done";
  }

  async #run(part: Part, millisBehindLatest: number): Promise<BatchOutcome> {
    const records = part.records.map((record) => new DeliveredRecord(this.#lease.shardId, record));
    const read = {
      size: records.length,
      heldBytes: part.heldBytes,
      millisBehindLatest,
      takenAt: this.#user.now(),
      finished: 0,
      finishedBytes: 0,
    };
    const last = records.at(-1);
    this.#latest = read;
    if (last === undefined) {
      this.budget.finished(read.heldBytes);
      this.#tellBatch(read);
    } else {
      this.#readTo = positionAfter(last);
      this.#largestRead = Math.max(this.#largestRead, read.size);
      this.#reads.add(read);
      this.#tellInHand();
      const numbers = records.map((record) => this.#progress.add(positionAfter(record)));
      this.#lanes.add({ read, records, numbers });
    }
    if (this.#deps.concurrency === 1) return await this.settled();
    if (!this.#hasRoom()) {
      this.#room = Promise.withResolvers();
      await this.#room.promise;
    }
    return this.until.aborted ? await this.settled() : "done";
  }

  /** Resolves when nothing is in the user's hands any more. */
  async settled(): Promise<BatchOutcome> {
    await this.#lanes.settled();
    if (this.#defect !== undefined) throw this.#defect.error;
    if (this.#outcome !== "done") {
      for (const read of this.#reads) if (read.finished > 0) this.#tellBatch(read);
      this.#reads.clear();
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
    let ready = this.#useProcessor();
    while (ready instanceof Promise) ready = await ready ?? this.#useProcessor();
    if (typeof ready === "string") return ready;
    const { use, processor } = ready;
    let outcome: BatchOutcome = "done";
    const { millisBehindLatest } = this.#latest;
    for (let attempt = 1; processor.shardEnded !== undefined; attempt++) {
      try {
        const call = processor.shardEnded.bind(processor);
        const inHand = { last: undefined, attempt, millisBehindLatest };
        await this.#user.call(processor, inHand, call);
        break;
      } catch (error) {
        this.#user.tellFailed("shardEnded", error);
        const next = await this.#user.afterFailure(attempt, SHARD_ENDED_MODE);
        if (next === "again") continue;
        outcome = next === "skip" || next === "stop" ? "processorFailed" : next;
        break;
      }
    }
    await use.done();
    if (outcome === "done" && !this.#lease.isAllFinished) outcome = await this.#untilFinished();
    return this.#lease.isHeld ? outcome : "lost";
  }

  /** In the manual mode the end of a shard waits for the checkpoint of its last record, or what is after it would be lost. */
  async #untilFinished(): Promise<BatchOutcome> {
    const { shardId } = this.#lease;
    const checkpoint = formatCheckpoint(this.#lease.position);
    this.#deps.emit({ type: "shard_end_waiting", shardId, checkpoint });
    try {
      await this.#lease.allFinished(this.until);
      return "done";
    } catch (error) {
      if (!this.until.aborted) throw error;
      return this.#drain.aborted ? "drained" : "lost";
    }
  }

  /** Has a lane process what is next in its queue; gives whether it goes on. */
  async #work(lane: number, queue: StretchQueue): Promise<boolean> {
    // No wait between this and the first record: what it says would be old.
    const ready = this.#useProcessor();
    if (ready instanceof Promise) {
      const failure = await ready;
      return failure === undefined || this.#end(failure);
    }
    if (typeof ready === "string") return this.#end(ready);
    try {
      const stretch = queue.take((read) => this.#shareOf(read, ready.processor));
      if (stretch === undefined) return true;
      const { finished, outcome } = await this.#process(stretch, ready, lane);
      // Before the old processor is disposed: no other lane is to go on meanwhile, least of all with these records.
      if (outcome !== "done") return this.#end(outcome);
      queue.putBack(cut(stretch, finished));
      // A run that failed at its first record has let nobody else run.
      const pause = this.#user.letOthersRun(this.#user.now());
      if (pause !== undefined) await pause;
      return true;
    } finally {
      await ready.use.done();
    }
  }

  /** How many records of a read a lane takes at once. */
  #shareOf(read: Read, processor: RecordProcessor): number {
    const { orderBy, concurrency } = this.#deps;
    if (orderBy !== "none" || concurrency === 1) return read.size;
    const isTogether = processor.processBatch !== undefined || isRunProcessor(processor);
    return isTogether ? Math.ceil(read.size / concurrency) : 1;
  }

  #process(
    stretch: Stretch,
    { use, processor }: Ready,
    lane: number,
  ): ReturnType<typeof processRecords> {
    let told = 0;
    return processRecords({
      user: this.#user,
      lease: this.#lease,
      processor,
      records: stretch.records,
      attempt: 1,
      millisBehindLatest: stretch.read.millisBehindLatest,
      lane,
      until: this.until,
      retired: use.retired,
      onFinished: (finished) => {
        this.#finish(stretch, told, finished);
        told = Math.max(told, finished);
      },
    }, this.#deps.emit);
  }

  /** The processor for what comes next, or why nothing does; a promise if it is being made: then ask again. */
  #useProcessor(): Ready | Unready | Promise<Unready | undefined> {
    if (!this.#lease.isHeld) return "lost";
    if (this.until.aborted) return "drained";
    if (this.#making !== undefined) return this.#making;
    const use = this.#slot.use();
    if (use.made !== undefined) return { use, processor: use.made };
    this.#making = this.#make(use).finally(() => this.#making = undefined);
    return this.#making;
  }

  /** Has a factory make the processor, once for all lanes; gives why there is none. */
  async #make(first: Use): Promise<Unready | undefined> {
    let use = first;
    for (let attempt = 1;; attempt++) {
      using isOver = new Scope(this.until, use.retired);
      try {
        const made = Promise.resolve(use.processor);
        await abortable(use.keepsTime ? made : this.#user.limited(() => made), isOver.signal);
        return undefined;
      } catch (error) {
        // What it makes for nobody is disposed when it comes.
        if (isOver.signal.aborted) return undefined;
        this.#user.tellFailed("factory", error);
      } finally {
        await use.done();
      }
      const mode = { kind: "retryAndStop", retries: FACTORY_ATTEMPTS_MAX - 1 } as const;
      const next = await this.#user.afterFailure(attempt, mode);
      if (next !== "again") return next === "skip" || next === "stop" ? "processorFailed" : next;
      use = this.#slot.use();
    }
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
    if (read.finished === read.size) {
      this.#reads.delete(read);
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
  #tellBatch({ finished, finishedBytes, millisBehindLatest, takenAt }: Read): void {
    if (finished === 0 && this.#isTipTold) return;
    this.#isTipTold = finished === 0;
    this.#deps.emit({
      type: "batch_processed",
      shardId: this.#lease.shardId,
      records: finished,
      bytes: finishedBytes,
      millisBehindLatest,
      processMs: Math.max(0, this.#user.now() - takenAt),
    });
    if (finished === 0 && millisBehindLatest === 0) this.#lease.caughtUp();
  }

  #tellInHand(): void {
    const [oldest] = this.#reads;
    this.#lease.inHandSince = oldest?.takenAt;
  }

  /** Ends all lanes, each after the record in hand. */
  #end(outcome: Exclude<BatchOutcome, "done">): false {
    if (OUTCOMES.indexOf(outcome) > OUTCOMES.indexOf(this.#outcome)) this.#outcome = outcome;
    this.#until.abort();
    this.#wake();
    return false;
  }

  #wake(): void {
    if (this.#hasRoom()) this.#room?.resolve();
  }

  /** Half of what a read may bring: with the next one and the one that is fetched ahead, about two reads are in memory. */
  #hasRoom(): boolean {
    const { unfinished, span } = this.#progress;
    const enough = Math.max(this.#deps.concurrency, this.#largestRead / 2);
    return this.until.aborted || unfinished <= enough && span <= SPAN_MAX;
  }
}
