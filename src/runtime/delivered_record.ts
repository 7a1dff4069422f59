/**
 * Owns: a record as the user's processor gets it.
 * Must not: copy the payload before somebody asks for it.
 * Called by: `runtime/record_runner.ts`.
 *
 * @module
 */

import type { Checkpoint } from "../core/checkpoint.ts";
import type { SourceRecord } from "../ports.ts";
import type { KinesisRecord } from "../processor.ts";

// One decoder for all: a decoder without `stream` keeps no state between two calls.
const UTF_8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/** A record with its shard; the payload is decoded, or copied out of a buffer that others share, when it is asked for. */
export class DeliveredRecord implements KinesisRecord {
  readonly shardId: string;
  readonly sequenceNumber: string;
  readonly subSequenceNumber: number | undefined;
  readonly partitionKey: string;
  readonly approximateArrivalTimestamp: Date;
  #payload: Uint8Array<ArrayBuffer>;
  readonly #isLastOfAggregate: boolean;

  /** @param source The record as the stream gave it. */
  constructor(shardId: string, source: SourceRecord) {
    this.shardId = shardId;
    this.sequenceNumber = source.sequenceNumber;
    this.subSequenceNumber = source.subSequenceNumber;
    this.partitionKey = source.partitionKey;
    this.approximateArrivalTimestamp = new Date(source.approximateArrivalTimestamp);
    this.#payload = source.data;
    this.#isLastOfAggregate = source.isLastOfAggregate ?? false;
  }

  get data(): Uint8Array<ArrayBuffer> {
    const { byteLength, buffer } = this.#payload;
    if (byteLength !== buffer.byteLength) this.#payload = new Uint8Array(this.#payload);
    return this.#payload;
  }

  /** As {@linkcode payloadOf} gives it. */
  get payload(): Uint8Array<ArrayBuffer> {
    return this.#payload;
  }

  /** As the function of that name gives it. */
  get isLastOfAggregate(): boolean {
    return this.#isLastOfAggregate;
  }

  text(): string {
    try {
      return UTF_8.decode(this.#payload);
    } catch (error) {
      throw new TypeError(`Cannot read ${this.#name()} as text: it is not valid UTF-8`, {
        cause: error,
      });
    }
  }

  json<T = unknown>(): T {
    const text = this.text();
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      // What the parser says quotes the payload, which has no place in an event.
      throw new SyntaxError(`Cannot read ${this.#name()} as JSON: it is not valid JSON`, {
        cause: error,
      });
    }
  }

  #name(): string {
    const { sequenceNumber, subSequenceNumber, shardId } = this;
    const place = subSequenceNumber === undefined ? "" : `:${subSequenceNumber}`;
    return `record ${sequenceNumber}${place} of ${shardId}`;
  }
}

// The payload is no field, and a record prints with it all the same.
Object.defineProperty(DeliveredRecord.prototype, Symbol.for("Deno.customInspect"), {
  value(
    this: DeliveredRecord,
    inspect: (value: unknown, options: unknown) => string,
    options: unknown,
  ) {
    return `KinesisRecord ${inspect({ ...this, data: this.data }, options)}`;
  },
});

/** The payload of a record, maybe in a buffer that others share: for those who read it and keep nothing. */
export function payloadOf(record: KinesisRecord): Uint8Array<ArrayBuffer> {
  return record instanceof DeliveredRecord ? record.payload : record.data;
}

/** Where a record is, as events say it. */
export function placeOf(
  { shardId, sequenceNumber, subSequenceNumber }: Pick<
    KinesisRecord,
    "shardId" | "sequenceNumber" | "subSequenceNumber"
  >,
): {
  readonly shardId: string;
  readonly sequenceNumber: string;
  readonly subSequenceNumber?: number;
} {
  const place = { shardId, sequenceNumber };
  return subSequenceNumber === undefined ? place : { ...place, subSequenceNumber };
}

/** Whether the whole record of the stream is finished with this one: it need not be read again. */
export function isLastOfAggregate(record: SourceRecord | KinesisRecord): boolean {
  return "isLastOfAggregate" in record && record.isLastOfAggregate === true;
}

/** The position after a record. */
export function positionAfter(record: SourceRecord | KinesisRecord): Checkpoint {
  const { sequenceNumber, subSequenceNumber } = record;
  return subSequenceNumber === undefined || isLastOfAggregate(record)
    ? { kind: "sequence", sequenceNumber }
    : { kind: "sequence", sequenceNumber, subSequenceNumber };
}
