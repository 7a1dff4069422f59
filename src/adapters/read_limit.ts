/**
 * Owns: how many records a read may ask for, given the room that there is and what was learned about their size.
 * Must not: wait, or read.
 * Called by: `shard_reader.ts`.
 *
 * @module
 */

import { RECORD_OVERHEAD_BYTES } from "../core/byte_size.ts";

/** What a read gives at most: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html */
const READ_BYTES_MAX = 10 * 1024 * 1024;
/** As long as nothing is known, a record may be this large. */
const UNKNOWN_RECORD_BYTES = 1024 * 1024;
/** As long as nothing is known, so much room is worth a read. */
const UNKNOWN_LEAST_BYTES = 64 * 1024;

/** At the tip of a shard no more than this is expected, or twice what the last read brought. */
const TIP_RECORDS = 256;

/** What an answer says of a record, beside its payload and key. */
const ANSWER_OVERHEAD_BYTES = 170;
/** Payloads come in base64. */
const BASE64_FACTOR = 4 / 3;

/** For how many records make a read, those before it count half, and those before them a quarter. */
const BEFORE_SHARE = 1 / 2;

/** While an answer is on its way and taken apart, it takes so much more memory than its records: as bytes, then text, then payloads, two of which are there at a time. */
const DECODING_FACTOR = 3;

/** So many records. */
export interface Amount {
  readonly records: number;
  /** The bytes of their payloads and partition keys. */
  readonly bytes: number;
}

/** How long an answer with such records is, about. */
export function answerBytes({ records, bytes }: Amount): number {
  return bytes * BASE64_FACTOR + records * ANSWER_OVERHEAD_BYTES;
}

/** How large the records of a shard are. */
export class RecordSizes {
  readonly #others: RecordSizes | undefined;
  /** The payload and key of a record; follows larger ones at once, and smaller ones slowly. */
  #bytes: number | undefined;
  /** What the last reads brought: among many small records a large one says little of how many make a read. */
  #recent: Amount = { records: 0, bytes: 0 };
  /** How many records the next read may be expected to bring, at most. */
  #expected = Infinity;

  /** @param others What the other shards learned: the first guess. */
  constructor(others?: RecordSizes) {
    this.#others = others;
  }

  /** Says what a read brought. */
  learn(read: Amount & { readonly millisBehindLatest?: number }): void {
    this.#expected = read.millisBehindLatest === 0
      ? Math.max(TIP_RECORDS, 2 * read.records)
      : Infinity;
    if (read.records === 0) return;
    const bytes = read.bytes / read.records;
    this.#bytes = Math.max(bytes, ((this.#bytes ?? 0) * 3 + bytes) / 4);
    this.#recent = {
      records: this.#recent.records * BEFORE_SHARE + read.records,
      bytes: this.#recent.bytes * BEFORE_SHARE + read.bytes,
    };
    this.#others?.learn(read);
  }

  /** The room that a read of so many records wants, how much is enough for what it is expected to bring, and the least that is of use. */
  room(
    recordsMax: number,
  ): { readonly wanted: number; readonly enough: number; readonly least: number } {
    const known = this.#known;
    const bytes = known ?? UNKNOWN_RECORD_BYTES;
    // Of records of unknown size there may be many small ones, or one large one.
    const records = Math.min(recordsMax, known === undefined ? Infinity : READ_BYTES_MAX / known);
    const payload = Math.min(recordsMax * bytes, READ_BYTES_MAX);
    const wanted = DECODING_FACTOR * (payload + records * RECORD_OVERHEAD_BYTES);
    const least = known === undefined
      ? UNKNOWN_LEAST_BYTES
      : DECODING_FACTOR * (known + RECORD_OVERHEAD_BYTES);
    const expected = DECODING_FACTOR * this.#expected * ((known ?? 0) + RECORD_OVERHEAD_BYTES);
    return {
      wanted: Math.ceil(wanted),
      enough: Math.ceil(Math.min(wanted, Math.max(least, expected))),
      least: Math.ceil(Math.min(wanted, least)),
    };
  }

  /** How many records are as much as there is room for: 1 at least. */
  limit(room: number, recordsMax: number): number {
    if (room >= this.room(recordsMax).wanted) return recordsMax;
    const held = (this.#known ?? UNKNOWN_RECORD_BYTES) + RECORD_OVERHEAD_BYTES;
    return Math.max(1, Math.min(recordsMax, Math.floor(room / DECODING_FACTOR / held)));
  }

  /** How many records make an answer of so many bytes, mostly: 1 at least; undefined as long as nothing is known. */
  inAnswer(bytes: number): number | undefined {
    const { records } = this.#recent;
    if (records === 0) return this.#others?.inAnswer(bytes);
    return Math.max(1, Math.round(bytes * records / answerBytes(this.#recent)));
  }

  /** The bytes of a record, if any was read. */
  get learned(): number | undefined {
    return this.#bytes;
  }

  get #known(): number | undefined {
    return this.#bytes ?? this.#others?.learned;
  }
}
