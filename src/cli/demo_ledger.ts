/**
 * Owns: the demo's books: what was put, what was processed by whom, and what that says about loss, duplicates and order.
 * Must not: trust the workers' own counts.
 * Called by: `demo.ts`.
 *
 * @module
 */

/** A record that a worker says it has processed. */
export interface ProcessedRecord {
  readonly workerId: string;
  readonly shardId: string;
  /** The term in which the worker had the shard. */
  readonly term: number;
  readonly partitionKey: string;
  /** Which record of its partition key it is, from 0, in the order in which they were put. */
  readonly index: number;
}

/** What a worker did. */
export interface WorkerSummary {
  readonly workerId: string;
  /** The records that it processed. */
  readonly records: number;
  /** The shards that it processed records of. */
  readonly shards: number;
}

/** The outcome of a demo. */
export interface DemoSummary {
  readonly put: number;
  /** The different records that were processed. */
  readonly processed: number;
  /** How often a record was processed again. */
  readonly duplicates: number;
  /** How often a record was first processed after a later one of its partition key. */
  readonly outOfOrder: number;
  readonly workers: readonly WorkerSummary[];
  readonly seconds: number;
}

/** The books of a demo. */
export class DemoLedger {
  /** In the order in which each worker reported them. */
  readonly #processed: ProcessedRecord[] = [];
  readonly #seen = new Set<string>();

  /** How many different records were processed. */
  get processed(): number {
    return this.#seen.size;
  }

  /** Enters a processed record. */
  enter(record: ProcessedRecord): void {
    this.#processed.push(record);
    this.#seen.add(nameOf(record));
  }

  /** Draws up the outcome. */
  summarize(workerIds: readonly string[], put: number, seconds: number): DemoSummary {
    return {
      put,
      processed: this.#seen.size,
      duplicates: this.#processed.length - this.#seen.size,
      outOfOrder: this.#countOutOfOrder(),
      workers: workerIds.map((workerId) => {
        const own = this.#processed.filter((record) => record.workerId === workerId);
        const shards = new Set(own.map((record) => record.shardId)).size;
        return { workerId, records: own.length, shards };
      }),
      seconds,
    };
  }

  #countOutOfOrder(): number {
    // Reports of two workers may arrive in another order than they were made; the terms of a shard tell who came first.
    // The sort is stable, so that within a term the order is that of the one worker that had it.
    const inOrder = this.#processed.toSorted((a, b) => a.term - b.term);
    const firstTimes = new Set<string>();
    const lastIndex = new Map<string, number>();
    let outOfOrder = 0;
    for (const record of inOrder) {
      // What is processed again is a duplicate, which is counted by itself.
      if (firstTimes.has(nameOf(record))) continue;
      firstTimes.add(nameOf(record));
      const last = lastIndex.get(record.partitionKey) ?? -1;
      if (record.index < last) outOfOrder++;
      lastIndex.set(record.partitionKey, Math.max(last, record.index));
    }
    return outOfOrder;
  }
}

function nameOf(record: ProcessedRecord): string {
  return `${record.partitionKey} ${record.index}`;
}
