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
import { isLastOfAggregate, payloadOf } from "../runtime/delivered_record.ts";

const HEAD_BYTES = 8;
/** A row is two numbers of 8 bytes, arrival time and sub-sequence number, and four of 4: the lengths, and whether it is the last of an aggregate. */
const ROW_BYTES = 32;
const NO_SUB_SEQUENCE = -1;

/** Puts records into a buffer of their own. */
export function packRecords(records: readonly KinesisRecord[]): ArrayBuffer {
  let textUnits = 0;
  let payloadBytes = 0;
  for (const record of records) {
    textUnits += record.sequenceNumber.length + record.partitionKey.length;
    payloadBytes += payloadOf(record).byteLength;
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
    const { sequenceNumber, partitionKey } = record;
    const data = payloadOf(record);
    const row = HEAD_BYTES + i * ROW_BYTES;
    numbers[row / 8] = record.approximateArrivalTimestamp.getTime();
    numbers[row / 8 + 1] = record.subSequenceNumber ?? NO_SUB_SEQUENCE;
    lengths.set([sequenceNumber.length, partitionKey.length, data.byteLength], row / 4 + 4);
    lengths[row / 4 + 7] = isLastOfAggregate(record) ? 1 : 0;
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
  const textAt = HEAD_BYTES + count * ROW_BYTES;
  const numbers = new Float64Array(buffer, 0, textAt / 8);
  const lengths = new Uint32Array(buffer, 0, textAt / 4);
  const lengthAt = (i: number, column: number): number =>
    lengths[(HEAD_BYTES + i * ROW_BYTES) / 4 + column] ?? 0;
  let units = 0;
  for (let i = 0; i < count; i++) units += lengthAt(i, 4) + lengthAt(i, 5);
  const text = new Uint16Array(buffer, textAt, units);
  const payload = new Uint8Array(buffer, textAt + 2 * units);
  let unit = 0;
  let byte = 0;
  const takeText = (length: number): string => {
    unit += length;
    return Reflect.apply(String.fromCharCode, null, text.subarray(unit - length, unit));
  };
  for (let i = 0; i < count; i++) {
    const row = (HEAD_BYTES + i * ROW_BYTES) / 8;
    const subSequenceNumber = numbers[row + 1] ?? NO_SUB_SEQUENCE;
    const begin = byte;
    byte += lengthAt(i, 6);
    yield {
      sequenceNumber: takeText(lengthAt(i, 4)),
      partitionKey: takeText(lengthAt(i, 5)),
      ...subSequenceNumber !== NO_SUB_SEQUENCE && {
        subSequenceNumber,
        isLastOfAggregate: lengthAt(i, 7) === 1,
      },
      approximateArrivalTimestamp: numbers[row] ?? 0,
      // A record owns its buffer; and one that is kept must not keep all the others.
      data: payload.slice(begin, byte),
    };
  }
}

function putText(units: Uint16Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) units[at + i] = text.charCodeAt(i);
  return at + text.length;
}
