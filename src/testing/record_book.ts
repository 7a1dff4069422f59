/**
 * Owns: what was put, delivered and finished in a simulation, and whether that is as it should be.
 * Must not: know workers.
 * Called by: `testing/simulate.ts`.
 *
 * @module
 */

import type { AppEvent } from "../events.ts";
import type { KinesisRecord } from "../processor.ts";

/** What one partition key stands for. */
interface KeyRecords {
  readonly put: string[];
  /** How many of them, from the first one on, are finished. */
  finished: number;
}

/** The books of one simulation. A record is known by its sequence number, which no other one of the stream has. */
export class RecordBook {
  readonly #isOrdered: boolean;
  readonly #keys = new Map<string, KeyRecords>();
  readonly #finished = new Set<string>();
  #failure: Error | undefined;

  /** @param options.isOrdered Whether the records of a partition key are processed in their order. */
  constructor(options: { readonly isOrdered: boolean }) {
    this.#isOrdered = options.isOrdered;
  }

  /** A record was put. */
  put(partitionKey: string, sequenceNumber: string): void {
    const key = this.#keys.get(partitionKey) ?? { put: [], finished: 0 };
    key.put.push(sequenceNumber);
    this.#keys.set(partitionKey, key);
  }

  /** Records are in the hands of the processor. */
  delivered(records: readonly KinesisRecord[]): void {
    if (!this.#isOrdered) return;
    const before = new Set<string>();
    for (const { partitionKey, sequenceNumber, shardId } of records) {
      const missing = this.#firstMissing(partitionKey, sequenceNumber, before);
      if (missing !== undefined) {
        this.#failure ??= new Error(
          `record ${sequenceNumber} of key "${partitionKey}" was delivered from ${shardId} before ` +
            `record ${missing} of the same key was finished`,
        );
      }
      before.add(sequenceNumber);
    }
  }

  /** Records are processed or given up. */
  finished(records: readonly KinesisRecord[]): void {
    for (const { partitionKey, sequenceNumber } of records) {
      this.#finished.add(sequenceNumber);
      const key = this.#keys.get(partitionKey);
      while (key !== undefined && this.#finished.has(key.put[key.finished] ?? "")) {
        key.finished += 1;
      }
    }
  }

  /** Throws what is wrong so far. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Throws if any record is not finished; `events` may tell why. */
  checkAll(events: readonly AppEvent[]): void {
    this.check();
    for (const [key, { put, finished }] of this.#keys) {
      const missing = put[finished];
      if (missing === undefined) continue;
      const errors = events.flatMap((event) =>
        event.type === "record_failed" && event.sequenceNumber === missing
          ? [event.error.message]
          : []
      );
      const why = errors.length === 0 ? "" : `: it failed with "${errors.at(-1)}"`;
      throw new Error(`record ${missing} of key "${key}" was never finished${why}`);
    }
  }

  /** The first record of a key that is to be finished before this one, and is not. */
  #firstMissing(
    partitionKey: string,
    sequenceNumber: string,
    before: ReadonlySet<string>,
  ): string | undefined {
    if (this.#finished.has(sequenceNumber)) return undefined; // It comes again.
    const key = this.#keys.get(partitionKey);
    for (let i = key?.finished ?? 0; i < (key?.put.length ?? 0); i++) {
      const earlier = key?.put[i];
      if (earlier === sequenceNumber) return undefined;
      if (earlier !== undefined && !this.#finished.has(earlier) && !before.has(earlier)) {
        return earlier;
      }
    }
    return undefined;
  }
}
