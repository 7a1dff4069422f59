/**
 * Owns: what a KPL aggregate is, and the user records in it.
 * Must not: hash by itself, or decide what becomes of a payload that is no aggregate after all.
 * Called by: `runtime/user_records.ts`.
 *
 * The format: https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md. It is walked twice: first to
 * check all of it, so that what was begun never turns out to be broken; then from record to record, so that a few bytes that
 * stand for many records take no memory before somebody asks for them. A library (protobufjs) is as fast, but makes all at once.
 *
 * @module
 */

/** One of the records that a producer packed into one record of the stream. */
export interface UserRecord {
  readonly partitionKey: string;
  /** A decimal number that decides the shard instead of the partition key. */
  readonly explicitHashKey: string | undefined;
  /** A part of the aggregate's buffer. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** What a payload is, whose first bytes say that it is an aggregate. */
export type AggregateReading =
  | { readonly kind: "aggregate"; readonly aggregate: Aggregate }
  | { readonly kind: "malformed"; readonly reason: string };

const MAGIC_BYTES = 4;
const MD5_BYTES = 16;

/** Tags of protocol buffers: the number of a field and the type of what follows. */
const PARTITION_KEY = 0x0a;
const EXPLICIT_HASH_KEY = 0x12;
const RECORD = 0x1a;
const PARTITION_KEY_INDEX = 0x08;
const EXPLICIT_HASH_KEY_INDEX = 0x10;
const DATA = 0x1a;

// A key is text as it is, whatever it begins with.
const UTF_8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Whether a payload begins as an aggregate does. One of four thousand million others does too. */
export function isLikeAggregate(data: Uint8Array): boolean {
  return data[0] === 0xf3 && data[1] === 0x89 && data[2] === 0x9a && data[3] === 0xc2;
}

/**
 * Checks a payload that begins as an aggregate does.
 *
 * @param md5 The MD5 of bytes, as hexadecimal digits.
 */
export function readAggregate(
  data: Uint8Array<ArrayBuffer>,
  md5: (bytes: Uint8Array) => string,
): AggregateReading {
  const end = data.length - MD5_BYTES;
  if (end < MAGIC_BYTES) return { kind: "malformed", reason: "it ends before its checksum" };
  const message = data.subarray(MAGIC_BYTES, end);
  if (md5(message) !== data.subarray(end).toHex()) {
    return { kind: "malformed", reason: "its checksum is that of other bytes" };
  }
  try {
    return { kind: "aggregate", aggregate: new Aggregate(message) };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return { kind: "malformed", reason: error.message };
  }
}

/** An aggregate that was checked. */
export class Aggregate {
  /** How many user records it holds; at least one. */
  readonly size: number;
  readonly #message: Uint8Array<ArrayBuffer>;
  readonly #partitionKeys: string[] = [];
  readonly #explicitHashKeys: string[] = [];

  /** @throws {WireError} If it is malformed. */
  constructor(message: Uint8Array<ArrayBuffer>) {
    this.#message = message;
    const wire = new Wire(message);
    const entry = new Entry();
    let size = 0;
    let lastPartitionKey = -1;
    let lastExplicitHashKey = -1;
    while (wire.hasMore) {
      const tag = wire.varint();
      if (tag === RECORD) {
        entry.read(wire);
        size += 1;
        lastPartitionKey = Math.max(lastPartitionKey, entry.partitionKey);
        lastExplicitHashKey = Math.max(lastExplicitHashKey, entry.explicitHashKey);
      } else if (tag === PARTITION_KEY) this.#partitionKeys.push(wire.text());
      else if (tag === EXPLICIT_HASH_KEY) this.#explicitHashKeys.push(wire.text());
      else wire.skip(tag);
    }
    if (size === 0) throw new WireError("it holds no record");
    // The tables may come after the records.
    const isKnown = lastPartitionKey < this.#partitionKeys.length &&
      lastExplicitHashKey < this.#explicitHashKeys.length;
    if (!isKnown) throw new WireError("a record names a key that is not in the table");
    this.size = size;
  }

  /** The user records from a place on, in order. */
  *recordsFrom(first: number): Generator<UserRecord, void> {
    const wire = new Wire(this.#message);
    const entry = new Entry();
    for (let place = 0; place < this.size;) {
      const tag = wire.varint();
      if (tag !== RECORD) {
        wire.skip(tag);
        continue;
      }
      entry.read(wire);
      place += 1;
      if (place <= first) continue;
      yield {
        partitionKey: this.#partitionKeys[entry.partitionKey] ?? "",
        explicitHashKey: this.#explicitHashKeys[entry.explicitHashKey],
        data: this.#message.subarray(entry.dataFrom, entry.dataUntil),
      };
    }
  }
}

/** Where the parts of one record are. */
class Entry {
  /** The place in the table; -1 if there is none. */
  partitionKey = -1;
  explicitHashKey = -1;
  dataFrom = -1;
  dataUntil = -1;

  read(wire: Wire): void {
    this.partitionKey = this.explicitHashKey = this.dataFrom = -1;
    const length = wire.length();
    const end = wire.at + length;
    while (wire.at < end) {
      const tag = wire.varint();
      if (tag === PARTITION_KEY_INDEX) this.partitionKey = wire.varint();
      else if (tag === EXPLICIT_HASH_KEY_INDEX) this.explicitHashKey = wire.varint();
      else if (tag === DATA) {
        const bytes = wire.length();
        this.dataFrom = wire.at;
        this.dataUntil = this.dataFrom + bytes;
        wire.pass(bytes);
      } else wire.skip(tag);
    }
    if (wire.at !== end) throw new WireError("a part of a record is longer than the record");
    if (this.partitionKey === -1) throw new WireError("a record has no partition key");
    if (this.dataFrom === -1) throw new WireError("a record has no data");
  }
}

/** A message of protocol buffers is not as it must be. */
class WireError extends Error {
  override readonly name = "WireError";
}

/** A message of protocol buffers, from value to value: https://protobuf.dev/programming-guides/encoding. */
class Wire {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get hasMore(): boolean {
    return this.at < this.#bytes.length;
  }

  /** A number of 7 bits a byte. Beyond 2^53 it is not exact, which is too large for whatever it may count. */
  varint(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 70; factor *= 128) {
      const byte = this.#bytes[this.at];
      if (byte === undefined) throw new WireError("it is cut off");
      this.at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw new WireError("a number has more than 10 bytes");
  }

  /** The length of what follows, which is there. */
  length(): number {
    const length = this.varint();
    if (length > this.#bytes.length - this.at) throw new WireError("it is cut off");
    return length;
  }

  text(): string {
    const length = this.length();
    const from = this.at;
    this.pass(length);
    return UTF_8.decode(this.#bytes.subarray(from, this.at));
  }

  /** Passes over a field that is not known here. */
  skip(tag: number): void {
    const type = tag % 8;
    if (tag < 8 || tag > 0xffff_ffff) throw new WireError("a field has no number that may be");
    if (type === 0) this.varint();
    else if (type === 1) this.pass(8);
    else if (type === 2) this.pass(this.length());
    else if (type === 5) this.pass(4);
    else throw new WireError(`a field is of the unknown type ${type}`);
  }

  /** Passes over bytes. */
  pass(bytes: number): void {
    if (bytes > this.#bytes.length - this.at) throw new WireError("it is cut off");
    this.at += bytes;
  }
}
