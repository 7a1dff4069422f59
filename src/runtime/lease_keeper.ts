/**
 * Owns: the turn of this worker on a shard: moving its checkpoint on, giving it up. The only place that writes a row as its owner.
 * Must not: take a shard (`take_shard.ts` does), or decide when to give it up.
 * Called by: `runtime/shard_roster.ts` gives up; `runtime/record_runner.ts` reports what is finished.
 *
 * All writes of a turn go through one queue, so that none of them can overtake another. `held_row.ts` sends each of them.
 *
 * @module
 */

import { type Checkpoint, compareCheckpoints, formatCheckpoint } from "../core/checkpoint.ts";
import {
  advance,
  end,
  give,
  isHalted,
  type LeaseChange,
  type PartingOptions,
  type Progress,
  release,
  type ShardRow,
} from "../core/lease.ts";
import { invariant, LeaseLostError } from "../errors.ts";
import type { Transaction } from "../ports.ts";
import { HeldRow, type HeldRowDeps } from "./held_row.ts";
import { ShardState } from "./shard_state.ts";
import { Bell, SerialQueue, type TaskGroup } from "./tasks.ts";

/** What a lease needs of the worker. */
export interface LeaseDeps extends HeldRowDeps {
  readonly tasks: TaskGroup;
  /** Least time between two checkpoint writes, in milliseconds. */
  readonly checkpointFrequency: number;
  /** Is called when the row says that somebody wants something of the shard. */
  readonly onRowNews: () => void;
}

/** How a turn ended that this worker wanted to end; `lost` if it was over already, `withdrawn` if it goes on. */
export type Parting = "done" | "lost" | "withdrawn";

/** A row that shows less is not written again only because the shard has caught up. */
const LAG_KEPT_MS = 10_000;

/** One turn of this worker on a shard. */
export class Lease {
  readonly shardId: string;
  /** The fencing token of this turn. */
  readonly term: number;
  readonly #deps: LeaseDeps;
  readonly #queue = new SerialQueue();
  readonly #due = new Bell();
  readonly #moved = new Bell();
  readonly #hurry = new Bell();
  #isHurried = false;
  /** Aborts when nothing that the processor does counts any more. */
  readonly #inVain = new AbortController();
  /** Aborts when this worker does not write for the shard any more. */
  readonly #over = new AbortController();
  readonly #row: HeldRow;
  #finished: Checkpoint;
  #readTo: Checkpoint;
  #millisBehindLatest: number;
  /** Monotonic time of the last checkpoint write. */
  #wroteAt = -Infinity;
  /** The last position that was written together with items. */
  #transacted: Checkpoint | undefined;
  #waiting: PromiseWithResolvers<void> | undefined;
  #isParting = false;
  /** Whether the state has to be written although the position may not have moved. */
  #isStateDue = false;
  /** What the processor keeps for the shard. */
  readonly state: ShardState;
  /** The last position that the processor was given: what a filter leaves out it cannot finish. */
  given: Checkpoint;
  /** Since when the oldest read that is not finished is in hand, on the monotonic clock. */
  inHandSince: number | undefined;

  /** @param row The row as the claim returned it. */
  constructor(row: ShardRow, deps: LeaseDeps) {
    this.shardId = row.id;
    this.term = row.term;
    const { signal } = this.#over;
    this.#row = new HeldRow(row, { deps, signal, lose: (reason) => this.lose(reason) });
    this.#deps = deps;
    this.state = new ShardState(row, deps);
    this.#finished = row.checkpoint;
    this.#readTo = this.given = row.checkpoint;
    this.#millisBehindLatest = row.millisBehindLatest ?? 0;
    deps.tasks.start(`checkpoint ${row.id}`, () => this.#writeWhenDue());
  }

  /** The row as it was last acknowledged. */
  get row(): ShardRow {
    return this.#row.current;
  }

  /** What is finished, written or not yet. */
  get position(): Checkpoint {
    return this.#finished;
  }

  /** Where to read on in this turn: in the manual mode further than what is finished. */
  get readTo(): Checkpoint {
    return this.#readTo;
  }

  /** Says that everything up to a position was given to the processor, which did not fail. */
  delivered(position: Checkpoint): void {
    this.#readTo = position;
  }

  /** Aborts when this turn is over for the processor, for whatever reason. */
  get signal(): AbortSignal {
    return this.#inVain.signal;
  }

  /** Whether records may be delivered. False as soon as others may take over, whether anybody noticed or not. */
  get isHeld(): boolean {
    return !this.#inVain.signal.aborted && this.#deps.fence.isUp;
  }

  /** As {@linkcode isHeld}, for a caller that has just read the monotonic clock. */
  isHeldAt(monotonic: number): boolean {
    return !this.#inVain.signal.aborted && this.#deps.fence.isUpAt(monotonic);
  }

  /** Whether the write that ends this turn is under way. */
  get isParting(): boolean {
    return this.#isParting;
  }

  /** Says that everything up to a position is finished. It is written when the next checkpoint is due. */
  finished(position: Checkpoint, millisBehindLatest: number): void {
    if (this.#inVain.signal.aborted) return;
    invariant(
      compareCheckpoints(position, this.#finished) >= 0,
      "a checkpoint never goes back",
    );
    this.#finished = position;
    this.#millisBehindLatest = millisBehindLatest;
    this.#due.ring();
    this.#moved.ring();
  }

  /** Nothing is after what is finished, in hand or not checkpointed by hand. A row that shows a lag would worry people for ever. */
  caughtUp(): void {
    this.#millisBehindLatest = 0;
    if (!this.#isWritten()) this.#due.ring();
  }

  /** What the processor keeps has changed, and no record has. */
  stateChanged(): void {
    this.#isStateDue = true;
    this.#due.ring();
  }

  /** As {@linkcode stateChanged}, but now; resolves or rejects as {@linkcode checkpointed} does. */
  stateWritten(): Promise<void> {
    this.stateChanged();
    this.#hurry.ring();
    return this.checkpointed();
  }

  /** Whether everything that was given to the processor is finished. In the manual mode that is for the user to say. */
  get isAllFinished(): boolean {
    return compareCheckpoints(this.#finished, this.given) >= 0;
  }

  /** Resolves when everything that was given to the processor is finished; rejects with the signal's reason. */
  async allFinished(signal: AbortSignal): Promise<void> {
    while (!this.isAllFinished) {
      await this.#moved.wait(this.#deps.clock, Number.MAX_SAFE_INTEGER, signal);
    }
  }

  /** Writes checkpoints as soon as there are any, from now on: the turn is about to end, and somebody may wait for one. */
  hurry(): void {
    this.#isHurried = true;
    this.#hurry.ring();
  }

  /** Writes checkpoints when they are due again: the turn goes on, after what was written with items, finished or not. */
  calm(): void {
    this.#isHurried = false;
    const written = this.#transacted;
    if (written === undefined || compareCheckpoints(written, this.#finished) <= 0) return;
    this.delivered(written);
    this.finished(written, this.row.millisBehindLatest ?? 0);
  }

  /** Says what others wrote into the row of this turn, as a look at it shows. */
  saw(row: ShardRow): void {
    this.#row.saw(row);
  }

  /** Resolves when what is finished now is written. Rejects with {@linkcode LeaseLostError} if the turn ends before. */
  checkpointed(): Promise<void> {
    const isOver = this.signal.aborted;
    if (!isOver && this.#isWritten()) return Promise.resolve();
    const waiting = this.#waiting ?? Promise.withResolvers<void>();
    if (isOver) waiting.reject(this.signal.reason);
    else this.#waiting = waiting;
    // Whoever does not wait for it learns of a lost lease from the signal.
    waiting.promise.catch(() => {});
    return waiting.promise;
  }

  /**
   * Writes items together with the checkpoint after a position, all or nothing; nothing if that is done already. What is before the
   * position has to be finished.
   *
   * @throws {LeaseLostError} If the turn ended before, `until` aborted before DynamoDB took them, or `patience` when a try had failed.
   * @throws What {@linkcode HeldRow.transact} throws.
   */
  transact(
    items: Transaction["items"],
    at: { readonly position: Checkpoint; readonly millisBehindLatest: number },
    until: AbortSignal,
    patience: AbortSignal = until,
  ): Promise<void> {
    return this.#queue.run(async () => {
      try {
        await this.#transact(items, at, { until, patience });
      } catch (error) {
        // Nobody waited for it. An attempt whose time is over has failed, and its record is tried again or given up.
        const isPassed = compareCheckpoints(at.position, this.#finished) <= 0;
        const isTimedOut = until.aborted && !this.signal.aborted;
        if (error instanceof LeaseLostError && isPassed && !isTimedOut) {
          this.lose("it counts records as finished whose items were not written");
        }
        throw error;
      }
    });
  }

  async #transact(
    items: Transaction["items"],
    { position, ...rest }: { readonly position: Checkpoint; readonly millisBehindLatest: number },
    options: { readonly until: AbortSignal; readonly patience: AbortSignal },
  ): Promise<void> {
    this.signal.throwIfAborted();
    const done = this.#transacted;
    if (done !== undefined && compareCheckpoints(position, done) <= 0) return;
    // A processor that transacts keeps no state: this one was another's.
    const old = this.row.state !== null && { state: null };
    const checkpointAt = this.#deps.clock.now();
    const progress = { checkpoint: position, checkpointAt, ...rest, ...old };
    await this.#row.transact(progress, items, { signal: this.signal, ...options });
    this.#transacted = position;
    this.#wroteAt = this.#deps.clock.monotonic();
    this.#tellWritten();
  }

  /** Writes what is finished, and gives the shard to another worker. */
  async give(to: string, options?: PartingOptions): Promise<Parting> {
    const { answers } = options ?? {};
    const parting = await this.#part((row) =>
      answers !== undefined && row.handover?.id !== answers.id
        ? null
        : give(row, to, this.#progress(), options)
    );
    if (parting === "done") this.#tellParting({ type: "shard_handed_over", to });
    return parting;
  }

  /** Writes what is finished, and frees the shard. */
  async release(options?: PartingOptions): Promise<Parting> {
    const { obeys } = options ?? {};
    const parting = await this.#part((row) =>
      obeys !== undefined && row.order?.id !== obeys.id
        ? null
        : release(row, this.#progress(), options)
    );
    if (parting === "done") this.#tellParting({ type: "shard_released" });
    return parting;
  }

  /** Marks the shard as finished for good. */
  async end(children: readonly string[], wasTrimmed: boolean): Promise<Parting> {
    const { shardId, term } = this;
    const parting = await this.#part((row) => end(row, this.#progress()));
    if (parting === "done") {
      this.#deps.emit({ type: "shard_ended", shardId, term, children, wasTrimmed });
    }
    return parting;
  }

  /**
   * Tells whoever still has a record in hand that it will not count. The shard is given up at what is finished now: told only
   * when that is written, the next owner could be at work before.
   */
  abandon(reason: string): void {
    this.#inVain.abort(new LeaseLostError(this.shardId, reason));
  }

  /** Whether the turn was cut short here, and its end is being written. */
  get isAbandoned(): boolean {
    return this.#inVain.signal.aborted && !this.#over.signal.aborted;
  }

  /** Ends the turn without a write: somebody else has the shard, or may have it soon. */
  lose(reason: string): "lost" {
    if (this.#over.signal.aborted) return "lost";
    this.#deps.emit({ type: "lease_lost", shardId: this.shardId, term: this.term, reason });
    this.#finish(new LeaseLostError(this.shardId, reason));
    return "lost";
  }

  /** Checkpoints are written here, at most one per `checkpointFrequency`, until the turn is over. */
  async #writeWhenDue(): Promise<void> {
    const { clock, checkpointFrequency } = this.#deps;
    const { signal } = this.#over;
    try {
      while (true) {
        await this.#due.wait(clock, Number.MAX_SAFE_INTEGER, signal);
        const wait = this.#wroteAt + checkpointFrequency - clock.monotonic();
        if (wait > 0 && !this.#isHurried) await this.#hurry.wait(clock, wait, signal);
        await this.#queue.run(() => this.#advance());
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #advance(): Promise<void> {
    if (this.#over.signal.aborted || this.#isWritten()) return;
    this.#wroteAt = this.#deps.clock.monotonic();
    this.#isStateDue = false;
    const outcome = await this.#row.write((row) => advance(row, this.#progress()));
    if (outcome === "written") this.#tellWritten();
  }

  #tellWritten(): void {
    const { shardId, term, row: { checkpoint, millisBehindLatest } } = this;
    this.#deps.emit({
      type: "checkpoint_written",
      shardId,
      term,
      checkpoint: formatCheckpoint(checkpoint),
      millisBehindLatest: millisBehindLatest ?? 0,
    });
    if (!this.#tellWaiting()) this.#due.ring();
    if (this.row.handover !== null || isHalted(this.row)) this.#deps.onRowNews();
  }

  /** Ends the turn with a write. `makeChange` gives null when there is no reason to any more. */
  #part(makeChange: (row: ShardRow) => LeaseChange | null): Promise<Parting> {
    return this.#queue.run(async () => {
      if (this.#over.signal.aborted) return "lost";
      this.#isParting = true;
      const outcome = await this.#row.write(makeChange);
      this.#isParting = false;
      if (outcome !== "written") return outcome;
      this.#isStateDue = false;
      this.#tellWaiting();
      this.#finish(new LeaseLostError(this.shardId, "this worker gave it up"));
      return "done";
    });
  }

  /** Tells those who wait that everything is written, if it is; or that a state cannot be, which only another record changes. */
  #tellWaiting(): boolean {
    if (!this.#isWritten() && !this.state.isUnfit) return false;
    this.#waiting?.resolve();
    this.#waiting = undefined;
    return true;
  }

  #tellParting(fact: { type: "shard_handed_over"; to: string } | { type: "shard_released" }): void {
    const checkpoint = formatCheckpoint(this.row.checkpoint);
    this.#deps.emit({ ...fact, shardId: this.shardId, term: this.term, checkpoint });
  }

  #finish(reason: LeaseLostError): void {
    this.#inVain.abort(reason);
    this.#over.abort(reason);
    this.#waiting?.reject(reason);
    this.#waiting = undefined;
  }

  #isWritten(): boolean {
    // The end of the shard is beyond everything that is finished.
    return compareCheckpoints(this.row.checkpoint, this.#finished) >= 0 && !this.#isStateDue &&
      (this.#millisBehindLatest > 0 || (this.row.millisBehindLatest ?? 0) < LAG_KEPT_MS);
  }

  #progress(): Progress {
    const written = this.row.checkpoint;
    // Further than what is finished with a transaction that nobody knew the end of.
    const position = compareCheckpoints(written, this.#finished) > 0 ? written : this.#finished;
    const { checkpoint, state } = this.state.at(position, this.row);
    return {
      checkpoint,
      ...state !== this.row.state && { state },
      checkpointAt: this.#deps.clock.now(),
      millisBehindLatest: this.#millisBehindLatest,
    };
  }
}
