/**
 * Owns: the promises that hold at every moment, whatever goes wrong: those of the simulator, as far as real processes show them.
 * Must not: know what was done to the workers.
 * Called by: `arena.ts`.
 *
 * The checkers of the simulator see each write and each call as it happens. Here there is less to see, and some of it is
 * lost with a process that is killed: lines of the ledger, in their true order; events, in the order of their worker;
 * rows, now and then. So these are checkers of their own.
 *
 * @module
 */

import type { ShardStatus } from "../../mod.ts";
import type { AppEvent } from "../../src/events.ts";
import { type Books, type BookShard, BrokenPromise, type Entry, type Turn } from "./books.ts";

/** An event, and the process that told it. */
export interface Told {
  readonly pid: number;
  readonly event: AppEvent;
}

/** What a checker may be told; it throws a {@linkcode BrokenPromise}. */
export interface Checker {
  /** A line of the ledger, before it is noted in the books. */
  onEntry?(entry: Entry): void;
  /** An event; whatever was processed before it was told is in the books. */
  onEvent?(told: Told): void;
  /** The row of a shard; whatever was processed before it was read is in the books. */
  onRow?(row: ShardStatus): void;
}

/** Within a term one process has the records in order and without a gap, from right after the checkpoint that it claimed. */
export class Order implements Checker {
  readonly #books: Books;
  readonly #claims = new Map<string, { readonly pid: number; readonly place: number }>();

  constructor(books: Books) {
    this.#books = books;
  }

  onEntry({ line, shard, place, turn, isFirstOfTurn }: Entry): void {
    if (line.pid !== turn.pid) {
      const both = `${nameOf(line)} and ${nameOf(turn)}`;
      throw new BrokenPromise("one at a time", `${both} have ${shard.id} in term ${turn.term}`);
    }
    if (isFirstOfTurn) return this.#checkStart(shard, turn);
    if (place === turn.next) return;
    throw new BrokenPromise(
      "order",
      `${nameOf(line)} got record ${place} of ${shard.id} in term ${turn.term}, ` +
        `but ${turn.next} comes next`,
    );
  }

  onEvent({ pid, event }: Told): void {
    if (event.type !== "shard_claimed") return;
    const { shardId, term, checkpoint } = event;
    const key = `${shardId} ${term}`;
    if (this.#claims.has(key)) {
      throw new BrokenPromise("terms go up", `${shardId} was claimed twice in term ${term}`);
    }
    this.#claims.set(key, { pid, place: this.#books.placeAfter(shardId, checkpoint) });
    const shard = this.#books.shard(shardId);
    const turn = shard.turns.get(term);
    if (turn !== undefined) this.#checkStart(shard, turn);
  }

  #checkStart(shard: BookShard, turn: Turn): void {
    const claim = this.#claims.get(`${shard.id} ${turn.term}`);
    if (claim === undefined) return; // It is told later, or was lost with its worker.
    if (claim.pid === turn.pid && claim.place === turn.first) return;
    throw new BrokenPromise(
      "order",
      `${nameOf(turn)} began with record ${turn.first} of ${shard.id} in term ${turn.term}, but ` +
        `process ${claim.pid} claimed it, and from record ${claim.place} on`,
    );
  }
}

/** The records of a key are processed in the order in which they were put, apart from repetitions; children after parents. */
export class OrderOfKeys implements Checker {
  readonly #books: Books;
  readonly #next = new Map<string, number>();

  constructor(books: Books) {
    this.#books = books;
  }

  onEntry({ line, shard, record, isFirstOfTurn }: Entry): void {
    if (isFirstOfTurn) this.#checkParents(shard, nameOf(line));
    if (record.times > 0) return;
    const next = this.#next.get(record.key) ?? 0;
    if (record.index !== next) {
      throw new BrokenPromise(
        "order of a key",
        `${nameOf(line)} got ${record.key} ${record.index} of ${shard.id} before ${next}`,
      );
    }
    this.#next.set(record.key, next + 1);
  }

  #checkParents(shard: BookShard, who: string): void {
    for (const id of shard.parents) {
      const parent = this.#books.shard(id);
      if (parent.unprocessed >= parent.records.length) continue;
      throw new BrokenPromise(
        "lineage",
        `${who} got a record of ${shard.id} before record ${parent.unprocessed} of its parent ${id}`,
      );
    }
  }
}

/**
 * Once a worker has processed a record of a shard, one whose term is over has at most the record that it had in hand. Of two
 * processes with one worker id, the older one learns of the newer one with its next heartbeat or checkpoint.
 */
export class Fencing implements Checker {
  readonly #namesakeMs: number;
  /** How long a turn had worked when the first record was processed in a later one. */
  readonly #overSince = new WeakMap<Turn, number>();

  /** @param namesakeMs For how long a worker may go on after its worker id was taken by another process. */
  constructor(namesakeMs: number) {
    this.#namesakeMs = namesakeMs;
  }

  onEntry({ line, shard, turn, isLate }: Entry): void {
    if (!isLate) return;
    const since = this.#overSince.get(turn) ?? turn.workedMs;
    this.#overSince.set(turn, since);
    const later = [...shard.turns.values()].filter((other) => other.term > turn.term);
    const isNamesake = later.some((other) => other.workerId === turn.workerId);
    if (isNamesake ? turn.workedMs - since <= this.#namesakeMs : turn.late === 0) return;
    throw new BrokenPromise(
      "fencing",
      `${nameOf(line)} got record ${turn.late + 1} of ${shard.id} in term ${turn.term}, ` +
        `after the first one of term ${shard.term}`,
    );
  }
}

/** What is processed again was processed shortly before a turn ended; what a clean parting wrote down is not. */
export class BoundedRepetitions implements Checker {
  readonly #boundMs: number;
  /** What was processed again since the last time that somebody looked. */
  #repeated: Entry[] = [];
  count = 0;

  /** @param boundMs How much work of a turn may have to be done again. */
  constructor(boundMs: number) {
    this.#boundMs = boundMs;
  }

  onEntry(entry: Entry): void {
    const { record, shard, line } = entry;
    if (record.times === 0) return;
    this.#repeated.push(entry);
    this.count += 1;
    const before = shard.turns.get(record.term);
    const lostMs = (before?.workedMs ?? 0) - record.workedMs;
    if (lostMs <= this.#boundMs) return;
    throw new BrokenPromise(
      "few repetitions",
      `${
        nameOf(line)
      } got record ${entry.place} of ${shard.id} again, though term ${record.term} ` +
        `went on for ${Math.round(lostMs)} ms after it`,
    );
  }

  /** What was processed again since the last call. */
  take(): readonly Entry[] {
    const repeated = this.#repeated;
    this.#repeated = [];
    return repeated;
  }
}

/** A checkpoint never goes back, nor past what is processed; whoever parts from a shard writes down all that it did. */
export class Checkpoints implements Checker {
  readonly #books: Books;
  /** For each shard, what was told in each term. */
  readonly #told = new Map<string, Map<number, { least: number; most: number }>>();
  readonly #rows = new Map<string, { readonly term: number; readonly place: number }>();
  /** Where a turn ended, by shard and term. */
  readonly #parted = new Map<string, number>();

  constructor(books: Books) {
    this.#books = books;
  }

  onEntry({ line, shard, turn, place }: Entry): void {
    const parted = this.#parted.get(`${shard.id} ${turn.term}`);
    if (parted === undefined || place < parted) return;
    throw new BrokenPromise(
      "no repetitions at parting",
      `${nameOf(line)} got record ${place} of ${shard.id} in term ${turn.term}, ` +
        `after it had given the shard up before record ${parted}`,
    );
  }

  onEvent({ event }: Told): void {
    switch (event.type) {
      case "shard_claimed":
      case "checkpoint_written":
        return this.#check(event.shardId, event.term, event.checkpoint);
      case "shard_handed_over":
      case "shard_released": {
        this.#check(event.shardId, event.term, event.checkpoint);
        return this.#part(event);
      }
      case "shard_ended":
        return this.#check(event.shardId, event.term, "SHARD_END");
    }
  }

  onRow({ shardId, term, checkpoint }: ShardStatus): void {
    const place = this.#books.placeAfter(shardId, checkpoint);
    const before = this.#rows.get(shardId);
    if (before !== undefined && (term < before.term || place < before.place)) {
      throw new BrokenPromise(
        "checkpoint never back",
        `the row of ${shardId} went from record ${before.place} in term ${before.term} to record ` +
          `${place} in term ${term}`,
      );
    }
    this.#rows.set(shardId, { term, place });
    this.#checkProcessed(shardId, place, `its row says so in term ${term}`);
  }

  #check(shardId: string, term: number, checkpoint: string): void {
    const place = this.#books.placeAfter(shardId, checkpoint);
    const terms = this.#told.get(shardId) ?? new Map<number, { least: number; most: number }>();
    this.#told.set(shardId, terms);
    const same = terms.get(term);
    for (const [other, { least, most }] of terms) {
      if (other <= term ? most <= place : least >= place) continue;
      throw new BrokenPromise(
        "checkpoint never back",
        `${shardId} was at record ${place} in term ${term}, but at ${
          other <= term ? most : least
        } ` +
          `in term ${other}`,
      );
    }
    terms.set(term, { least: Math.min(place, same?.least ?? place), most: place });
    this.#checkProcessed(shardId, place, `it was told so in term ${term}`);
  }

  #checkProcessed(shardId: string, place: number, why: string): void {
    const { unprocessed } = this.#books.shard(shardId);
    if (unprocessed >= place) return;
    throw new BrokenPromise(
      "no loss",
      `everything before record ${place} of ${shardId} counts as finished (${why}), ` +
        `but nobody processed ${unprocessed}`,
    );
  }

  #part(event: {
    readonly shardId: string;
    readonly term: number;
    readonly checkpoint: string;
    readonly workerId: string;
  }): void {
    const { shardId, term, checkpoint, workerId } = event;
    const place = this.#books.placeAfter(shardId, checkpoint);
    this.#parted.set(`${shardId} ${term}`, place);
    const done = this.#books.shard(shardId).turns.get(term)?.next ?? place;
    if (done <= place) return;
    throw new BrokenPromise(
      "no repetitions at parting",
      `${workerId} gave up ${shardId} in term ${term} before record ${place}, ` +
        `but had processed everything before ${done}`,
    );
  }
}

/** Nothing is told that cannot be: the processors never fail, and no record leaves the stream. */
export class Sanity implements Checker {
  onEvent({ event }: Told): void {
    const isStrange = event.type === "record_failed" || event.type === "record_skipped" ||
      event.type === "processor_failed" || event.type === "row_malformed" ||
      event.type === "listener_failed" || (event.type === "shard_ended" && event.wasTrimmed) ||
      (event.type === "shard_stopped" && event.reason !== "unreadable") ||
      (event.type === "shard_claimed" && event.checkpoint === "SHARD_END") ||
      JSON.stringify(event).includes("Invariant broken");
    if (isStrange) throw new BrokenPromise("sanity", JSON.stringify(event));
  }
}

function nameOf({ workerId, pid }: { readonly workerId: string; readonly pid: number }): string {
  return `${workerId} (process ${pid})`;
}
