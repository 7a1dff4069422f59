/**
 * Owns: records as one buffer that changes hands between two threads without being copied.
 * Must not: know what the records are for.
 * Called by: `sandbox/remote_processor.ts` packs, `sandbox/thread_side.ts` unpacks.
 *
 * The buffer, in the byte order of the machine: the number of records as 8 bytes; a row for each; the sequence numbers and
 * partition keys as UTF-16, which holds whatever a string can; the payloads.
 *
 * @module
 */

import type { SourceRecord } from "../ports.ts";
import type { KinesisRecord } from "../processor.ts";

const HEAD_BYTES = 8;
/** A row is two numbers of 8 bytes, arrival time and sub-sequence number, and three of 4: the lengths; and 4 bytes unused. */
const ROW_BYTES = 32;
const NO_SUB_SEQUENCE = -1;

/** The columns of a table of records. */
interface Table {
  readonly arrivals: (i: number) => number;
  readonly subSequences: (i: number) => number;
  readonly lengths: (i: number) => readonly [sequenceNumber: number, key: number, payload: number];
}

/** Puts records into a buffer of their own. */
export function packRecords(records: readonly KinesisRecord[]): ArrayBuffer {
  let textUnits = 0;
  let payloadBytes = 0;
  for (const { sequenceNumber, partitionKey, data } of records) {
    textUnits += sequenceNumber.length + partitionKey.length;
    payloadBytes += data.byteLength;
  }
  const textAt = HEAD_BYTES + records.length * ROW_BYTES;
  const payloadAt = textAt + 2 * textUnits;
  const buffer = new ArrayBuffer(payloadAt + payloadBytes);
  const numbers = new Float64Array(buffer, 0, textAt / 8);
  const lengths = new Uint32Array(buffer, 0, textAt / 4);
  const text = new Uint16Array(buffer, textAt, textUnits);
  const payload = new Uint8Array(buffer, payloadAt);
  numbers[0] = records.length;
  let unit = 0;
  let byte = 0;
  for (const [i, record] of records.entries()) {
    const { sequenceNumber, partitionKey, data } = record;
    const row = HEAD_BYTES + i * ROW_BYTES;
    numbers[row / 8] = record.approximateArrivalTimestamp.getTime();
    numbers[row / 8 + 1] = record.subSequenceNumber ?? NO_SUB_SEQUENCE;
    lengths.set([sequenceNumber.length, partitionKey.length, data.byteLength], row / 4 + 4);
    unit = putText(text, unit, sequenceNumber);
    unit = putText(text, unit, partitionKey);
    payload.set(data, byte);
    byte += data.byteLength;
  }
  return buffer;
}

/** Takes the records out of a buffer, one when it is asked for. */
export function* unpackRecords(buffer: ArrayBuffer): Generator<SourceRecord, void> {
  const [count = 0] = new Float64Array(buffer, 0, 1);
  const table = readTable(buffer, count);
  let textAt = HEAD_BYTES + count * ROW_BYTES;
  let payloadAt = textAt;
  for (let i = 0; i < count; i++) {
    const [sequenceUnits, keyUnits] = table.lengths(i);
    payloadAt += 2 * (sequenceUnits + keyUnits);
  }
  for (let i = 0; i < count; i++) {
    const [sequenceUnits, keyUnits, payloadBytes] = table.lengths(i);
    const keyAt = textAt + 2 * sequenceUnits;
    const subSequenceNumber = table.subSequences(i);
    yield {
      sequenceNumber: takeText(buffer, textAt, sequenceUnits),
      partitionKey: takeText(buffer, keyAt, keyUnits),
      ...subSequenceNumber !== NO_SUB_SEQUENCE && { subSequenceNumber },
      approximateArrivalTimestamp: table.arrivals(i),
      // A record owns its buffer; and one that is kept must not keep all the others.
      data: new Uint8Array(buffer.slice(payloadAt, payloadAt + payloadBytes)),
    };
    textAt = keyAt + 2 * keyUnits;
    payloadAt += payloadBytes;
  }
}

function readTable(buffer: ArrayBuffer, count: number): Table {
  const numbers = new Float64Array(buffer, HEAD_BYTES, count * ROW_BYTES / 8);
  const lengths = new Uint32Array(buffer, HEAD_BYTES, count * ROW_BYTES / 4);
  return {
    arrivals: (i) => numbers[4 * i] ?? 0,
    subSequences: (i) => numbers[4 * i + 1] ?? NO_SUB_SEQUENCE,
    lengths: (i) => [lengths[8 * i + 4] ?? 0, lengths[8 * i + 5] ?? 0, lengths[8 * i + 6] ?? 0],
  };
}

function putText(units: Uint16Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) units[at + i] = text.charCodeAt(i);
  return at + text.length;
}

function takeText(buffer: ArrayBuffer, at: number, units: number): string {
  return String.fromCharCode(...new Uint16Array(buffer, at, units));
}
