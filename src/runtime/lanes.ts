/**
 * Owns: which lane processes which record: the lanes of a shard, what waits in each, and who is at work.
 * Must not: process anything.
 * Called by: `runtime/record_runner.ts`.
 *
 * A lane does one thing after the other; lanes run at the same time. By partition key each lane has a queue of its own, so that
 * the records of one key stay in order; without an order all lanes share one.
 *
 * @module
 */

import type { DeliveredRecord } from "./delivered_record.ts";
import { TaskGroup } from "./tasks.ts";

/** What came in one read, and how much of it is finished. */
export class Read {
  readonly size: number;
  /** How many were left out by the filter. */
  readonly filtered: number;
  /** What its records count for in memory. */
  readonly heldBytes: number;
  readonly millisBehindLatest: number;
  /** When it was read, by the monotonic clock. */
  readonly readAt: number;
  /** When its records were put into the lanes, by the monotonic clock. */
  readonly takenAt: number;
  /** Those that were left out count. */
  finished = 0;
  finishedBytes = 0;

  constructor(about: Omit<Read, "finished" | "finishedBytes">) {
    this.size = about.size;
    this.filtered = about.filtered;
    this.heldBytes = about.heldBytes;
    this.millisBehindLatest = about.millisBehindLatest;
    this.readAt = about.readAt;
    this.takenAt = about.takenAt;
  }
}

/** Records of one read that a lane processes one after the other. */
export class Stretch {
  readonly read: Read;
  readonly records: readonly DeliveredRecord[];
  /** The number of each record in the order of the shard. */
  readonly numbers: readonly number[];

  constructor(read: Read, records: readonly DeliveredRecord[], numbers: readonly number[]) {
    this.read = read;
    this.records = records;
    this.numbers = numbers;
  }

  /** The records from an index on, and before another one. */
  cut(from: number, until: number = Infinity): Stretch {
    if (from === 0 && until >= this.records.length) return this;
    const { read, records, numbers } = this;
    return new Stretch(read, records.slice(from, until), numbers.slice(from, until));
  }
}

/** Where some records of several stretches are in each of these, given their indexes in all of them. */
export function* parted(
  stretches: readonly Stretch[],
  from: number,
  until: number,
): Generator<[stretch: Stretch, from: number, until: number]> {
  let before = 0;
  for (const stretch of stretches) {
    const { length } = stretch.records;
    yield [stretch, Math.max(0, from - before), Math.min(length, until - before)];
    before += length;
  }
}

/** What waits for a lane, in order. */
export class StretchQueue {
  readonly #stretches: Stretch[] = [];
  /** How many records of the first stretch were taken. */
  #taken = 0;
  #size = 0;

  /** How many records wait. */
  get size(): number {
    return this.#size;
  }

  /** When the first record that waits was read, by the monotonic clock; `Infinity` if none waits. */
  get waitingSince(): number {
    return this.#stretches[0]?.read.readAt ?? Infinity;
  }

  get isEmpty(): boolean {
    return this.#stretches.length === 0;
  }

  add(stretch: Stretch): void {
    if (stretch.records.length === 0) return;
    this.#size += stretch.records.length;
    this.#stretches.push(stretch);
  }

  /** The next records of one read, at most so many; undefined if there are none. */
  take(countOf: (read: Read) => number): Stretch | undefined {
    const [first] = this.#stretches;
    if (first === undefined) return undefined;
    const from = this.#taken;
    const until = Math.min(first.records.length, from + countOf(first.read));
    this.#size -= until - from;
    this.#taken = until;
    if (until >= first.records.length) {
      this.#stretches.shift();
      this.#taken = 0;
    }
    return first.cut(from, until);
  }

  /** The next records of as many reads as it takes, at most so many. */
  takeAcross(max: number): readonly Stretch[] {
    const taken = Array.of<Stretch>();
    for (let left = max; left > 0;) {
      const stretch = this.take(() => left);
      if (stretch === undefined) break;
      taken.push(stretch);
      left -= stretch.records.length;
    }
    return taken;
  }

  /** What was taken and not processed comes next. */
  putBack(rest: Stretch): void {
    if (rest.records.length === 0) return;
    this.#size += rest.records.length;
    const [first] = this.#stretches;
    if (first !== undefined) this.#stretches[0] = first.cut(this.#taken);
    this.#taken = 0;
    this.#stretches.unshift(rest);
  }
}

/** The lanes of one shard. */
export class Lanes {
  readonly #count: number;
  readonly #queues: readonly StretchQueue[];
  /** By lane. */
  readonly #isAtWork: boolean[] = [];
  readonly #tasks: TaskGroup;
  readonly #work: (lane: number, queue: StretchQueue) => Promise<boolean>;

  /** @param work Processes what is next in the queue; gives whether the lane goes on. */
  constructor(
    options: {
      readonly concurrency: number;
      readonly orderBy: "partitionKey" | "shard" | "none";
    },
    work: (lane: number, queue: StretchQueue) => Promise<boolean>,
    onDefect: (error: unknown) => void,
  ) {
    const { concurrency, orderBy } = options;
    this.#count = concurrency;
    const queues = orderBy === "partitionKey" ? concurrency : 1;
    this.#queues = Array.from({ length: queues }, () => new StretchQueue());
    this.#tasks = new TaskGroup((_lane, error) => onDefect(error));
    this.#work = work;
  }

  /** Shares records out, and puts the lanes to work that have any. */
  add(stretch: Stretch): void {
    const [shared] = this.#queues;
    if (this.#queues.length === 1 && shared !== undefined) {
      shared.add(stretch);
      // A lane for each record, as far as there are idle ones.
      let left = stretch.records.length;
      for (let lane = 0; left > 0 && lane < this.#count; lane++) {
        if (this.#start(lane, shared)) left -= 1;
      }
      return;
    }
    for (const [lane, part] of splitByKey(stretch, this.#count)) {
      const queue = this.#queues[lane];
      queue?.add(part);
      if (queue !== undefined) this.#start(lane, queue);
    }
  }

  /** Resolves when no lane is at work. */
  settled(): Promise<void> {
    return this.#tasks.settled();
  }

  #start(lane: number, queue: StretchQueue): boolean {
    if (this.#isAtWork[lane]) return false;
    this.#isAtWork[lane] = true;
    this.#tasks.start(`lane ${lane}`, async () => {
      try {
        // No wait between the last look into the queue and the end: what came meanwhile would be nobody's.
        while (!queue.isEmpty && await this.#work(lane, queue));
      } finally {
        this.#isAtWork[lane] = false;
      }
    });
    return true;
  }
}

function* splitByKey(
  { read, records, numbers }: Stretch,
  count: number,
): Generator<[lane: number, part: Stretch]> {
  const parts = Map.groupBy(
    records.entries(),
    ([_, { partitionKey }]) => laneOf(partitionKey, count),
  );
  for (const [lane, part] of parts) {
    const ofPart = part.map(([_, record]) => record);
    yield [lane, new Stretch(read, ofPart, part.map(([i]) => numbers[i] ?? NaN))];
  }
}

/** The lane of a partition key: FNV-1a, which spreads similar keys well. */
export function laneOf(partitionKey: string, count: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < partitionKey.length; i++) {
    hash = Math.imul(hash ^ partitionKey.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 0) % count;
}
