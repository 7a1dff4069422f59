/**
 * Owns: what was put, and what the processors wrote down about it, in the order in which it happened.
 * Must not: judge; `checkers.ts` does.
 * Called by: the checkers and `arena.ts`.
 *
 * @module
 */

import type { Processed, PutRecord } from "../local/cluster.ts";

/** A promise to the users is broken. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
  constructor(promise: string, story: string) {
    super(`${promise}: ${story}`);
  }
}

/** A record of the stream. */
export interface BookRecord extends PutRecord {
  /** How often it was processed. */
  times: number;
  /** When it was processed last: in which term, and how long that turn had worked until then. */
  term: number;
  workedMs: number;
}

/** What a worker did with a shard in one term, as far as it is in the ledger. */
export interface Turn {
  readonly term: number;
  readonly pid: number;
  readonly workerId: string;
  /** The place of its first record, and of the one that comes next. */
  readonly first: number;
  next: number;
  /** Time between records; what is longer than a second counts as a second, since the process may have been stopped. */
  workedMs: number;
  lastAt: number;
  /** How many records were processed after the first one of a later term. */
  late: number;
}

/** A shard of the stream. */
export interface BookShard {
  readonly id: string;
  parents: readonly string[];
  readonly records: BookRecord[];
  readonly places: Map<string, number>;
  readonly turns: Map<number, Turn>;
  /** The highest term in which a record was processed. */
  term: number;
  /** The place of the first record that was never processed. */
  unprocessed: number;
}

/** A line of the ledger, and what is known about it. */
export interface Entry {
  readonly line: Processed;
  readonly shard: BookShard;
  readonly record: BookRecord;
  readonly place: number;
  readonly turn: Turn;
  readonly isFirstOfTurn: boolean;
  readonly isLate: boolean;
}

/** The most that a pause between two records counts. */
const GAP_MS_MAX = 1_000;

/** The books. */
export class Books {
  readonly shards: Map<string, BookShard> = new Map();
  put = 0;

  /** Notes that a record was put. */
  onPut(put: PutRecord): void {
    const shard = this.shard(put.shardId);
    shard.places.set(put.sequenceNumber, shard.records.length);
    shard.records.push({ ...put, times: 0, term: 0, workedMs: 0 });
    this.put += 1;
  }

  /** A shard, which is empty when nothing is known of it. */
  shard(id: string): BookShard {
    const known = this.shards.get(id);
    if (known !== undefined) return known;
    const shard: BookShard = {
      id,
      parents: [],
      records: [],
      places: new Map(),
      turns: new Map(),
      term: 0,
      unprocessed: 0,
    };
    this.shards.set(id, shard);
    return shard;
  }

  /** Finds out what a line of the ledger is about. Until `note`, the books are as they were before it. */
  look(line: Processed): Entry {
    const shard = this.shard(line.shardId);
    const place = shard.places.get(line.sequenceNumber) ?? -1;
    const record = shard.records[place];
    if (record === undefined || record.key !== line.key || record.index !== line.index) {
      throw new BrokenPromise("no invention", `nobody put ${JSON.stringify(line)}`);
    }
    const known = shard.turns.get(line.term);
    const turn = known ?? {
      term: line.term,
      pid: line.pid,
      workerId: line.workerId,
      first: place,
      next: place,
      workedMs: 0,
      lastAt: line.at,
      late: 0,
    };
    const isLate = line.term < shard.term;
    return { line, shard, record, place, turn, isFirstOfTurn: known === undefined, isLate };
  }

  /** Notes what a line of the ledger tells. */
  note({ line, shard, record, place, turn, isLate }: Entry): void {
    shard.turns.set(turn.term, turn);
    shard.term = Math.max(shard.term, turn.term);
    turn.next = place + 1;
    turn.workedMs += Math.min(GAP_MS_MAX, Math.max(0, line.at - turn.lastAt));
    turn.lastAt = line.at;
    if (isLate) turn.late += 1;
    record.times += 1;
    record.term = turn.term;
    record.workedMs = turn.workedMs;
    while ((shard.records[shard.unprocessed]?.times ?? 0) > 0) shard.unprocessed += 1;
  }

  /** The place of the first record after a checkpoint. */
  placeAfter(shardId: string, checkpoint: string): number {
    if (checkpoint === "TRIM_HORIZON") return 0;
    const shard = this.shard(shardId);
    if (checkpoint === "SHARD_END") return shard.records.length;
    const place = shard.places.get(checkpoint);
    if (place !== undefined) return place + 1;
    throw new BrokenPromise("no invention", `no record of ${shardId} has number ${checkpoint}`);
  }

  /** How many records each shard has now: all of them are processed when `hasProcessed` says so. */
  sizes(): ReadonlyMap<string, number> {
    return new Map([...this.shards].map(([id, { records }]) => [id, records.length]));
  }

  /** Whether the turn of a shard is past everything that any turn processed: nothing is left that could be processed again. */
  isPastAll(shardId: string, term: number, checkpoint: string): boolean {
    const { turns } = this.shard(shardId);
    const furthest = Math.max(0, ...[...turns.values()].map(({ next }) => next));
    const next = turns.get(term)?.next ?? this.placeAfter(shardId, checkpoint);
    return next >= furthest;
  }

  hasProcessed(sizes: ReadonlyMap<string, number>): boolean {
    return [...sizes].every(([id, size]) => this.shard(id).unprocessed >= size);
  }
}
