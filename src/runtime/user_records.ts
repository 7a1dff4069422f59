/**
 * Owns: handing out what was read: aggregates of the Kinesis Producer Library taken apart, no more at once than may be, and what is
 * told of it.
 * Must not: drop a record.
 * Called by: `runtime/record_runner.ts`.
 *
 * The KCL drops a whole aggregate if one of its records belongs to another shard, because the KPL puts such records again. Others
 * do not, and the KPL not those beside them: they would be lost. Here they are delivered, and told of.
 *
 * @module
 */

import { hash } from "node:crypto";
import { heldBytes, heldBytesOf } from "../core/byte_size.ts";
import type { Checkpoint } from "../core/checkpoint.ts";
import { isLikeAggregate, readAggregate, type UserRecord } from "../core/deaggregate.ts";
import type { ShardRow } from "../core/lease.ts";
import type { EventSink } from "../events.ts";
import type { SourceRecord } from "../ports.ts";

/** What handing out records needs to know. */
export interface UserRecordsOptions {
  readonly shardId: string;
  readonly hashKeyRange: ShardRow["hashKeyRange"];
  /** Whether aggregates are taken apart. */
  readonly deaggregate: boolean;
  /** The most records that are given at once. */
  readonly maxBatchSize: number;
  /** How many bytes may be held on top of what arrived. */
  readonly room: () => number;
  readonly emit: EventSink;
}

/** Records that are handed out at once. */
export class Part {
  readonly records: readonly SourceRecord[];
  /** What is not needed any more when they are finished, in bytes, counted as `heldBytes` counts. */
  readonly heldBytes: number;
  /** Of this, what was not there when the read arrived. */
  readonly addedBytes: number;

  constructor(records: readonly SourceRecord[], heldBytes: number, addedBytes = 0) {
    this.records = records;
    this.heldBytes = heldBytes;
    this.addedBytes = addedBytes;
  }
}

/** What is wrong with the aggregates of a read: the first one, and how many. */
interface Findings {
  malformed: { sequenceNumber: string; reason: string; aggregates: number } | undefined;
  misplaced: { sequenceNumber: string; aggregates: number } | undefined;
}

const HASH_KEY = /^\d{1,39}$/;
/** The MD5 of a key costs twice as much as all else with its record. When the shards have changed, every second key tells. */
const KEYS_CHECKED_MAX = 4;

/** However little room there is, so many records may be given at once: what each part costs by itself is to be spread. */
const PART_RECORDS_MIN = 100;

/** A part that grows. */
class PartInMaking {
  readonly #records = Array.of<SourceRecord>();
  #arrivedBytes = 0;
  #addedBytes = 0;
  readonly #recordsMax: number;
  readonly #addedBytesMax: number;

  constructor({ maxBatchSize, room }: Pick<UserRecordsOptions, "maxBatchSize" | "room">) {
    this.#recordsMax = maxBatchSize;
    this.#addedBytesMax = room();
  }

  get isFull(): boolean {
    const { length } = this.#records;
    return length >= this.#recordsMax ||
      length >= PART_RECORDS_MIN && this.#addedBytes >= this.#addedBytesMax;
  }

  /** @param addedBytes What it takes beside what arrived. */
  add(record: SourceRecord, addedBytes: number): void {
    this.#records.push(record);
    this.#addedBytes += addedBytes;
  }

  /** All that came of a record that arrived is in it, or in the parts before. */
  arrived(record: SourceRecord): void {
    this.#arrivedBytes += heldBytes(record);
  }

  end(): Part {
    return new Part(this.#records, this.#arrivedBytes + this.#addedBytes, this.#addedBytes);
  }
}

/** A record that was in an aggregate. */
class UserSourceRecord implements SourceRecord {
  readonly sequenceNumber: string;
  readonly subSequenceNumber: number;
  readonly isLastOfAggregate: boolean;
  readonly partitionKey: string;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly approximateArrivalTimestamp: number;

  constructor(
    aggregate: SourceRecord,
    { partitionKey, data }: UserRecord,
    place: Required<Pick<SourceRecord, "subSequenceNumber" | "isLastOfAggregate">>,
  ) {
    this.sequenceNumber = aggregate.sequenceNumber;
    this.subSequenceNumber = place.subSequenceNumber;
    this.isLastOfAggregate = place.isLastOfAggregate;
    this.partitionKey = partitionKey;
    this.data = data;
    this.approximateArrivalTimestamp = aggregate.approximateArrivalTimestamp;
  }
}

/** Hands out what is read of one shard. */
export class UserRecords {
  readonly #options: UserRecordsOptions;
  /** The first and the last hash key of the shard. */
  readonly #range: readonly [bigint, bigint] | undefined;

  constructor(options: UserRecordsOptions) {
    this.#options = options;
    const { start = "", end = "" } = options.hashKeyRange ?? {};
    if (HASH_KEY.test(start) && HASH_KEY.test(end)) this.#range = [BigInt(start), BigInt(end)];
  }

  /**
   * The records of a read with the user records of each aggregate in its place, without those that are finished. They come in
   * parts, of which each is made when it is asked for: a few bytes may stand for many records.
   *
   * @param after Where the reading began, or goes on.
   */
  *of(records: readonly SourceRecord[], after: Checkpoint): Generator<Part> {
    const { deaggregate, maxBatchSize } = this.#options;
    const isAggregate = ({ data }: SourceRecord): boolean => deaggregate && isLikeAggregate(data);
    const [first] = records;
    const isWhole = first === undefined || !isFinishedAlone(first, after);
    if (isWhole && records.length <= maxBatchSize && !records.some(isAggregate)) {
      yield new Part(records, heldBytesOf(records));
      return;
    }
    const findings: Findings = { malformed: undefined, misplaced: undefined };
    let part = new PartInMaking(this.#options);
    try {
      for (const record of records) {
        const users = isAggregate(record)
          ? this.#takeApart(record, after, findings)
          : isLikeAggregate(record.data) || !isFinishedAlone(record, after)
          ? [record]
          : [];
        for (const user of users) {
          if (part.isFull) {
            yield part.end();
            part = new PartInMaking(this.#options);
          }
          // A part of an aggregate is held beside the aggregate.
          part.add(user, user === record ? 0 : heldBytes(user));
        }
        part.arrived(record);
      }
      yield part.end();
    } finally {
      this.#tell(findings);
    }
  }

  /** The records in an aggregate that are not finished; it itself, if it is none. */
  *#takeApart(
    record: SourceRecord,
    after: Checkpoint,
    findings: Findings,
  ): Generator<SourceRecord, void> {
    const { sequenceNumber } = record;
    const reading = readAggregate(record.data, md5);
    if (reading.kind === "malformed") {
      const { reason } = reading;
      findings.malformed ??= { sequenceNumber, reason, aggregates: 0 };
      findings.malformed.aggregates += 1;
      if (!isFinishedAlone(record, after)) yield record;
      return;
    }
    const { aggregate } = reading;
    const isBegun = after.kind === "sequence" && after.sequenceNumber === sequenceNumber;
    let place = isBegun ? (after.subSequenceNumber ?? -1) + 1 : 0;
    let isMisplaced = false;
    for (const user of aggregate.recordsFrom(place)) {
      if (!isMisplaced && place < KEYS_CHECKED_MAX && !this.#isOfShard(user)) {
        isMisplaced = true;
        findings.misplaced ??= { sequenceNumber, aggregates: 0 };
        findings.misplaced.aggregates += 1;
      }
      yield new UserSourceRecord(record, user, {
        subSequenceNumber: place,
        isLastOfAggregate: place === aggregate.size - 1,
      });
      place += 1;
    }
  }

  #isOfShard({ partitionKey, explicitHashKey }: UserRecord): boolean {
    if (this.#range === undefined) return true;
    const [first, last] = this.#range;
    if (explicitHashKey !== undefined && !HASH_KEY.test(explicitHashKey)) return false;
    const hashKey = BigInt(explicitHashKey ?? `0x${md5(partitionKey)}`);
    return first <= hashKey && hashKey <= last;
  }

  /** Once for a read: a producer that does it wrong does so with each record. */
  #tell({ malformed, misplaced }: Findings): void {
    const { shardId, emit } = this.#options;
    if (malformed !== undefined) emit({ type: "aggregate_malformed", shardId, ...malformed });
    if (misplaced !== undefined) emit({ type: "aggregate_misplaced", shardId, ...misplaced });
  }
}

/**
 * Whether a record that is no aggregate is finished. Such a checkpoint is of the KCL, which counts from 0 in a record that stands
 * alone too.
 */
function isFinishedAlone({ sequenceNumber }: SourceRecord, after: Checkpoint): boolean {
  return after.kind === "sequence" && after.subSequenceNumber !== undefined &&
    after.sequenceNumber === sequenceNumber;
}

/** Kinesis takes the MD5 of the partition key for its hash key. */
function md5(bytes: Uint8Array | string): string {
  return hash("md5", bytes, "hex");
}
