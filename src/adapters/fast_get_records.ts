/**
 * Owns: reading the answers of GetRecords for less than half of what the SDK takes, by what the platform has built in.
 * Must not: give anything that the SDK would not give for the same answer.
 * Called by: `lean_get_records.ts`, `late_answer.ts`; `fast_events.ts` takes records out of events.
 *
 * The SDK walks its schema for each field of each record, checks base64 by a regular expression, and decodes it in JavaScript. It
 * still reads each answer that is unusual in any way.
 *
 * @module
 */

import type { _Record, GetRecordsOutput } from "@aws-sdk/client-kinesis";
import type { HttpResponse } from "@smithy/core/protocols";
import type { SourceRecord } from "../ports.ts";

const JSON_TYPE = "application/x-amz-json-1.1";

/** Whether an answer is no error, and JSON as far as it says. */
export function isUsualAnswer({ body, headers, statusCode }: HttpResponse): boolean {
  return statusCode === 200 && headers["content-type"] === JSON_TYPE && body instanceof Uint8Array;
}

/** Reads a usual answer; undefined if what it says is unusual in any way. Then it is as it was, to be read by somebody else. */
export function readAnswer(
  response: HttpResponse,
  decoder: Base64Decoder,
): ReadOutput | undefined {
  const { body, headers, statusCode } = response;
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(body);
  // Many megabytes that would else stay until the engine cares to collect them.
  if (body.buffer instanceof ArrayBuffer) body.buffer.transfer(0);
  const taken = takeRecords(text, decoder);
  if (taken !== undefined && isUsualRest(taken.rest)) {
    return new ReadOutput(taken.records, {
      ...taken.rest,
      $metadata: {
        httpStatusCode: statusCode,
        requestId: headers["x-amzn-requestid"],
        extendedRequestId: undefined,
        cfId: undefined,
      },
    });
  }
  response.body = new TextEncoder().encode(text);
  return undefined;
}

/** An answer, as the SDK would give it. */
export class ReadOutput implements GetRecordsOutput {
  declare readonly NextShardIterator?: string;
  declare readonly MillisBehindLatest?: number;
  declare readonly $metadata: object;
  /** Whoever takes them out leaves none behind: promises that gave this may hold it for long. */
  Records: ReadRecord[];

  constructor(records: ReadRecord[], { NextShardIterator, MillisBehindLatest, $metadata }: Rest) {
    this.Records = records;
    if (typeof NextShardIterator === "string") Object.assign(this, { NextShardIterator });
    if (typeof MillisBehindLatest === "number") Object.assign(this, { MillisBehindLatest });
    Object.assign(this, { $metadata });
  }
}

/** Whether what is left of an answer is as the SDK would give it; the end of a shard is for the SDK. */
export function isUsualRest(
  { NextShardIterator, MillisBehindLatest, ChildShards, __type }: Rest,
): boolean {
  return typeof (NextShardIterator ?? "") === "string" &&
    Number.isFinite(MillisBehindLatest ?? 0) &&
    (ChildShards ?? undefined) === undefined && __type === undefined;
}

/** What an answer has beside records; nothing of it is sure. */
type Rest = Readonly<Record<string, unknown>>;

/**
 * The records of an answer and what else it says; undefined if anything about it is unusual.
 *
 * @param around What is to be thought before the text and behind it.
 */
export function takeRecords(
  text: string,
  decoder: Base64Decoder,
  around: { readonly before: string; readonly behind: string } = { before: "", behind: "" },
): { readonly rest: Rest; readonly records: ReadRecord[] } | undefined {
  try {
    const { skeleton, payloads } = cutPayloads(text);
    const { Records: encoded, ...rest } = JSON.parse(around.before + skeleton + around.behind);
    // As many payloads as records, and one was cut out of each: so they belong together.
    if (!Array.isArray(encoded) || encoded.length !== payloads.length) return undefined;
    const records = payloads.map((payload, i) => toRecord(encoded[i], payload, decoder));
    return records.every((record) => record !== undefined) ? { rest, records } : undefined;
  } catch {
    // It is no JSON, or no base64: the SDK says so in its own words.
    return undefined;
  }
}

const BEFORE_PAYLOAD = '"Data":"';
/** Stands where a payload was. It is no base64, so that it cannot be one that was left. */
const CUT = "#";

/**
 * Takes the payloads out of the JSON, so that it is not the parser that copies them. Whatever is among them that is no base64, such
 * as an escaped character, is found when they are decoded.
 */
function cutPayloads(
  text: string,
): { readonly skeleton: string; readonly payloads: readonly string[] } {
  const payloads: string[] = [];
  let skeleton = "";
  let end = 0;
  for (let at = text.indexOf(BEFORE_PAYLOAD); at !== -1; at = text.indexOf(BEFORE_PAYLOAD, end)) {
    const start = at + BEFORE_PAYLOAD.length;
    skeleton += text.slice(end, start) + CUT;
    end = text.indexOf('"', start);
    if (end === -1) throw new SyntaxError("a payload has no end");
    payloads.push(text.slice(start, end));
  }
  return { skeleton: skeleton + text.slice(end), payloads };
}

/**
 * One record; undefined if it is not as every record is.
 *
 * @throws {SyntaxError} If the payload is not base64.
 */
function toRecord(
  item: Readonly<Record<string, unknown>> | null,
  payload: string,
  decoder: Base64Decoder,
): ReadRecord | undefined {
  if (item === null) return undefined;
  const { SequenceNumber, Data: cut, ApproximateArrivalTimestamp: seconds, PartitionKey } = item;
  const { EncryptionType, __type } = item;
  if (
    typeof SequenceNumber !== "string" || cut !== CUT || typeof PartitionKey !== "string" ||
    typeof seconds !== "number" || !Number.isFinite(seconds) ||
    // The SDK keeps fields that it does not know beside this one.
    __type !== undefined
  ) return undefined;
  if (EncryptionType !== "NONE" && EncryptionType !== "KMS" && (EncryptionType ?? null) !== null) {
    return undefined;
  }
  const data = decoder.decode(payload);
  const time = Math.round(seconds * 1_000);
  return data && new ReadRecord(SequenceNumber, PartitionKey, data, time);
}

/** A record as the worker knows it; also as the SDK names it. One object less for each record. */
export class ReadRecord implements SourceRecord, Required<Omit<_Record, "EncryptionType">> {
  readonly sequenceNumber: string;
  readonly partitionKey: string;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly approximateArrivalTimestamp: number;

  constructor(
    sequenceNumber: string,
    partitionKey: string,
    data: Uint8Array<ArrayBuffer>,
    approximateArrivalTimestamp: number,
  ) {
    this.sequenceNumber = sequenceNumber;
    this.partitionKey = partitionKey;
    this.data = data;
    this.approximateArrivalTimestamp = approximateArrivalTimestamp;
  }

  get SequenceNumber(): string {
    return this.sequenceNumber;
  }

  get PartitionKey(): string {
    return this.partitionKey;
  }

  get Data(): Uint8Array<ArrayBuffer> {
    return this.data;
  }

  get ApproximateArrivalTimestamp(): Date {
    return new Date(this.approximateArrivalTimestamp);
  }
}

/** Buffers cost more than decoding small payloads does; so many of those share one, as they do in the SDK. */
const SLAB_BYTES = 64 * 1024;
/** Larger payloads have a buffer of their own: of a slab, less than this is left unused. */
const SHARING_BYTES_MAX = SLAB_BYTES / 8;

/** Decodes base64. */
export class Base64Decoder {
  #slab = new ArrayBuffer(0);
  #used = 0;

  /**
   * The bytes; undefined if white space is among the letters or padding is missing, which the platform passes over and the SDK
   * refuses.
   *
   * @throws {SyntaxError} If it is not base64.
   */
  decode(base64: string): Uint8Array<ArrayBuffer> | undefined {
    const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
    const length = base64.length / 4 * 3 - padding;
    if (!Number.isInteger(length) || length < 0) return undefined;
    const bytes = this.#room(length);
    const { read, written } = bytes.setFromBase64(base64);
    return read === base64.length && written === length ? bytes : undefined;
  }

  #room(length: number): Uint8Array<ArrayBuffer> {
    if (length > SHARING_BYTES_MAX) return new Uint8Array(length);
    if (this.#used + length > this.#slab.byteLength) {
      this.#slab = new ArrayBuffer(SLAB_BYTES);
      this.#used = 0;
    }
    const room = new Uint8Array(this.#slab, this.#used, length);
    this.#used += length;
    return room;
  }
}
