/**
 * Owns: what a processor is given, made by hand, to call its methods directly.
 * Must not: run anything.
 * Called by: users, as `@reacto/kinesix/testing`; `testing/test_kit.ts`.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { KinesisRecord, ProcessContext } from "../processor.ts";
import { DeliveredRecord } from "../runtime/delivered_record.ts";

/** A payload: bytes, a text that becomes UTF-8, or any other object, which becomes JSON. */
export type Payload = Uint8Array | string | object;

/** What {@linkcode record} takes; all of it is optional. */
export interface RecordOptions {
  /**
   * The payload.
   *
   * @default {""}
   */
  readonly data?: Payload;
  /**
   * The key that decides the shard.
   *
   * @default {"key"}
   */
  readonly partitionKey?: string;
  /**
   * The position in the shard: a decimal number.
   *
   * @default {"1"}
   */
  readonly sequenceNumber?: string;
  /** The position within a KPL aggregate, from 0; a record that stands alone has none. */
  readonly subSequenceNumber?: number;
  /**
   * The shard that it was read from.
   *
   * @default {"shardId-000000000000"}
   */
  readonly shardId?: string;
  /**
   * When the stream received it.
   *
   * @default {the beginning of 2026}
   */
  readonly approximateArrivalTimestamp?: Date;
}

const FIRST_SHARD = "shardId-000000000000";

/**
 * A record as a processor gets it.
 *
 * @example
 * ```ts
 * import type { RecordProcessor } from "@reacto/kinesix";
 * import { processContext, record } from "@reacto/kinesix/testing";
 *
 * const texts: string[] = [];
 * const processor: RecordProcessor = { process: (record) => void texts.push(record.text()) };
 * processor.process?.(record({ partitionKey: "customer-1", data: { total: 3 } }), processContext());
 * if (texts[0] !== '{"total":3}') throw new Error("an object is put as JSON");
 * ```
 */
export function record(options: RecordOptions = {}): KinesisRecord {
  const {
    data = "",
    partitionKey = "key",
    sequenceNumber = "1",
    subSequenceNumber,
    shardId = FIRST_SHARD,
    approximateArrivalTimestamp = new Date(Date.UTC(2026, 0, 1)),
  } = options;
  return new DeliveredRecord(shardId, {
    sequenceNumber,
    ...subSequenceNumber !== undefined && { subSequenceNumber },
    partitionKey,
    data: bytesOf(data),
    approximateArrivalTimestamp: approximateArrivalTimestamp.getTime(),
  });
}

/**
 * A context as a processor gets it: the first attempt, at the tip of the shard, with a signal that never aborts and a `checkpoint()`
 * and a `transact()` that do nothing.
 *
 * @param parts What is to be different.
 */
export function processContext(parts: Partial<ProcessContext> = {}): ProcessContext {
  return {
    shardId: FIRST_SHARD,
    workerId: "worker-1",
    streamName: "stream",
    attempt: 1,
    millisBehindLatest: 0,
    term: 1,
    signal: new AbortController().signal,
    checkpoint: () => Promise.resolve(),
    transact: () => Promise.resolve(),
    ...parts,
  };
}

/** A payload as bytes, in a buffer of its own. */
export function bytesOf(data: Payload): Uint8Array<ArrayBuffer> {
  if (data instanceof Uint8Array) return new Uint8Array(data);
  return new TextEncoder().encode(typeof data === "string" ? data : JSON.stringify(data));
}

/** A record for {@linkcode aggregate}. */
export interface AggregatedRecord {
  /** Its partition key. */
  readonly partitionKey: string;
  /** Its explicit hash key, a decimal number; most have none. */
  readonly explicitHashKey?: string;
  /** Its payload. */
  readonly data: Payload;
}

// https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
const MAGIC = [0xf3, 0x89, 0x9a, 0xc2];
/** Protocol Buffers: the number of the field, and that its length comes before it. */
const lengthDelimited = (field: number): number => field << 3 | 2;
const varint = (field: number): number => field << 3;

/**
 * Records packed into one, as the Kinesis Producer Library does: the payload of a record to put. A worker takes it apart.
 *
 * @example
 * ```ts
 * import { aggregate, testKit } from "@reacto/kinesix/testing";
 *
 * await using kit = await testKit({ processor: { process: () => {} } });
 * kit.put("any", aggregate([{ partitionKey: "a", data: "1" }, { partitionKey: "b", data: "2" }]));
 * await kit.runUntilIdle();
 * if (kit.processed.length !== 2) throw new Error("both were processed");
 * ```
 */
export function aggregate(records: readonly AggregatedRecord[]): Uint8Array<ArrayBuffer> {
  const keys = [...new Set(records.map(({ partitionKey }) => partitionKey))];
  const hashKeys = [...new Set(records.flatMap(({ explicitHashKey }) => explicitHashKey ?? []))];
  const message = [
    ...keys.flatMap((key) => field(1, bytesOf(key))),
    ...hashKeys.flatMap((key) => field(2, bytesOf(key))),
    ...records.flatMap(({ partitionKey, explicitHashKey, data }) =>
      field(3, [
        ...[varint(1), ...number(keys.indexOf(partitionKey))],
        ...explicitHashKey === undefined
          ? []
          : [varint(2), ...number(hashKeys.indexOf(explicitHashKey))],
        ...field(3, bytesOf(data)),
      ])
    ),
  ];
  const digest = createHash("md5").update(Uint8Array.from(message)).digest();
  return Uint8Array.from([...MAGIC, ...message, ...digest]);
}

function field(id: number, bytes: Uint8Array | readonly number[]): readonly number[] {
  return [lengthDelimited(id), ...number(bytes.length), ...bytes];
}

/** A number as Protocol Buffers write it: seven bits a byte, the lowest ones first. */
function number(value: number): readonly number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, ...number(value >>> 7)];
}
