// Owns: one shard: its place in the key space, its records in order, its limits.
// Must not: know other shards, requests, or what time it is.
// Called by: stream.ts and resharding.ts (make and close shards), the operations (write and read).
import type { HashKeyRange } from "./hash_ranges.ts";
import { formatSequenceNumber, ORDINAL_END } from "./sequence_numbers.ts";
import { RateWindow, type ShardLimits } from "./shard_limits.ts";

/** A record as it is kept. */
export interface StoredRecord {
  readonly sequenceNumber: string;
  readonly partitionKey: string;
  /** The payload in base64, as it came and as it will be answered: it is never decoded here. */
  readonly data: string;
  /** Payload and partition key, decoded: what limits count. */
  readonly payloadBytes: number;
  readonly arrivedMs: number;
}

export interface NewRecord {
  readonly partitionKey: string;
  readonly data: string;
  readonly payloadBytes: number;
}

export interface ShardOrigin {
  readonly index: number;
  readonly range: HashKeyRange;
  /** None, the shard that was split, or the two that were merged. */
  readonly parents: readonly Shard[];
  readonly createdMs: number;
  readonly limits: ShardLimits;
}

export function shardIdOf(index: number): string {
  return `shardId-${String(index).padStart(12, "0")}`;
}

/** Positions in a shard are ordinals: that of the next record to be read, 1 for the first ever. */
export class Shard {
  readonly index: number;
  readonly shardId: string;
  readonly range: HashKeyRange;
  readonly parentIds: readonly string[];
  readonly createdMs: number;
  readonly createdSeconds: number;
  readonly reads: RateWindow;
  readonly writes: RateWindow;
  readonly childIds: string[] = [];
  /** Called when there is a new record, and when the shard is closed. */
  readonly watchers: Set<() => void> = new Set();
  #records: StoredRecord[] = [];
  /** Ordinal of the first record in `#records`, expired or not. */
  #firstOrdinal = 1;
  #horizonOrdinal = 1;
  #closedMs: number | undefined;

  constructor(origin: ShardOrigin) {
    this.index = origin.index;
    this.shardId = shardIdOf(origin.index);
    this.range = origin.range;
    this.parentIds = origin.parents.map((parent) => parent.shardId);
    this.createdMs = origin.createdMs;
    // The seconds lead the sequence number, so one more than the parents' keeps children above them
    // even when a shard is split within the second that made it.
    this.createdSeconds = Math.max(
      Math.floor(origin.createdMs / 1000),
      ...origin.parents.map((parent) => parent.createdSeconds + 1),
    );
    this.reads = new RateWindow(origin.limits.readsPerSecond, origin.limits.readBytesPerSecond);
    this.writes = new RateWindow(
      origin.limits.writeRecordsPerSecond,
      origin.limits.writeBytesPerSecond,
    );
  }

  /** When it was split or merged, in milliseconds of the epoch; `undefined` while it is open. */
  get closedMs(): number | undefined {
    return this.#closedMs;
  }

  get startingSequenceNumber(): string {
    return this.#sequenceNumber(0n, this.createdMs);
  }

  get endingSequenceNumber(): string | undefined {
    return this.#closedMs === undefined
      ? undefined
      : this.#sequenceNumber(ORDINAL_END, this.#closedMs);
  }

  /** The position of the oldest record that has not expired. */
  get horizonOrdinal(): number {
    return this.#horizonOrdinal;
  }

  /** The position behind the newest record. */
  get tipOrdinal(): number {
    return this.#firstOrdinal + this.#records.length;
  }

  append(record: NewRecord, nowMs: number): StoredRecord {
    // A clock that steps back must not put arrival times out of order: searches rely on it.
    const arrivedMs = Math.max(nowMs, this.#records.at(-1)?.arrivedMs ?? 0);
    const stored: StoredRecord = {
      sequenceNumber: this.#sequenceNumber(BigInt(this.tipOrdinal), arrivedMs),
      partitionKey: record.partitionKey,
      data: record.data,
      payloadBytes: record.payloadBytes,
      arrivedMs,
    };
    this.#records.push(stored);
    this.wakeReaders();
    return stored;
  }

  close(nowMs: number): void {
    this.#closedMs = nowMs;
    this.wakeReaders();
  }

  /** Tells whoever waits for records to look again. */
  wakeReaders(): void {
    for (const wake of this.watchers) wake();
  }

  /** The sequence number of the position before the given one: what to read on after. */
  sequenceNumberBefore(ordinal: number): string {
    return this.#records[ordinal - 1 - this.#firstOrdinal]?.sequenceNumber ??
      this.#sequenceNumber(BigInt(ordinal - 1), this.createdMs);
  }

  /** The records from a position on, up to a number of records and of bytes. */
  read(
    ordinal: number,
    max: { readonly records: number; readonly payloadBytes: number },
  ): readonly StoredRecord[] {
    const start = ordinal - this.#firstOrdinal;
    let end = start;
    let payloadBytes = 0;
    while (end < this.#records.length && end - start < max.records) {
      payloadBytes += this.#records[end]?.payloadBytes ?? 0;
      if (payloadBytes > max.payloadBytes) break;
      end++;
    }
    return this.#records.slice(start, end);
  }

  /** When the record at a position arrived; `undefined` at the tip. */
  arrivedMsAt(ordinal: number): number | undefined {
    return this.#records[ordinal - this.#firstOrdinal]?.arrivedMs;
  }

  /** The position of the first record that arrived then or later. */
  ordinalAtTime(timestampMs: number): number {
    let low = 0;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#records[middle]?.arrivedMs ?? Infinity) < timestampMs) low = middle + 1;
      else high = middle;
    }
    return Math.max(this.#firstOrdinal + low, this.#horizonOrdinal);
  }

  /** Hides the records that arrived before `horizonMs`, and frees them once they are the greater half. */
  trim(horizonMs: number): void {
    const oldestMs = this.arrivedMsAt(this.#horizonOrdinal);
    if (oldestMs === undefined || oldestMs >= horizonMs) return;
    this.#horizonOrdinal = this.ordinalAtTime(horizonMs);
    const expired = this.#horizonOrdinal - this.#firstOrdinal;
    if (expired * 2 < this.#records.length) return;
    this.#records = this.#records.slice(expired);
    this.#firstOrdinal = this.#horizonOrdinal;
  }

  #sequenceNumber(ordinal: bigint, arrivedMs: number): string {
    return formatSequenceNumber({
      shardCreatedSeconds: this.createdSeconds,
      shardIndex: this.index,
      ordinal,
      arrivedSeconds: Math.floor(arrivedMs / 1000),
    });
  }
}
