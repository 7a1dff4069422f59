/**
 * Owns: reading the answers of GetRecords for less than half of what the SDK takes: the records by what the platform has built in,
 * all else by the SDK.
 * Must not: give anything that the SDK would not give for the same answer.
 * Called by: `aws_calls.ts`, for the clients that are made there; `fast_events.ts` takes records out of events.
 *
 * The SDK walks its schema for each field of each record, checks base64 by a regular expression, and decodes it in JavaScript. Here
 * the records are taken out of the answer, and the SDK reads what is left; an answer that is unusual in any way it reads whole.
 *
 * @module
 */

import type { _Record, KinesisClient } from "@aws-sdk/client-kinesis";
import { Readable } from "node:stream";
import { finished } from "node:stream/promises";

/** What the SDK hands the answers to; the part of it that is replaced here. */
interface Protocol {
  deserializeResponse(
    operation: { readonly name?: string } | undefined,
    context: unknown,
    response: Response,
  ): Promise<object>;
}

/** An answer, as the SDK's connections give it; nothing of it is sure. */
interface Response {
  readonly statusCode?: number;
  readonly headers?: Readonly<Record<string, string>>;
  body?: unknown;
}

const JSON_TYPE = "application/x-amz-json-1.1";

/** Has a client read the answers of GetRecords the fast way. If the SDK is not built as is expected here, nothing changes. */
export function readRecordsFast(client: KinesisClient): void {
  // Its type knows no operation: the SDK has one for all services.
  const protocol: Partial<Protocol> | undefined = client.config.protocol;
  if (typeof protocol?.deserializeResponse !== "function") return;
  const decoder = new Base64Decoder();
  const readBySdk = protocol.deserializeResponse.bind(protocol);
  protocol.deserializeResponse = async (operation, context, response) => {
    const { body } = response;
    const isUsual = operation?.name === "GetRecords" && response.statusCode === 200 &&
      response.headers?.["content-type"] === JSON_TYPE && body instanceof Readable;
    if (!isUsual) return await readBySdk(operation, context, response);
    const text = await readText(body);
    const { rest, records } = takeRecords(text, decoder);
    // The SDK takes a whole body as well as a stream.
    response.body = new TextEncoder().encode(rest);
    const output = await readBySdk(operation, context, response);
    return records === undefined ? output : Object.assign(output, { Records: records });
  };
}

/** The records of an answer and the JSON that is left; the whole answer if anything about them is unusual. */
export function takeRecords(
  text: string,
  decoder: Base64Decoder,
): { readonly rest: string; readonly records?: _Record[] } {
  try {
    const { Records: encoded, ...others } = JSON.parse(text);
    if (!Array.isArray(encoded)) return { rest: text };
    const records: _Record[] = [];
    for (const item of encoded) {
      const record = toRecord(item, decoder);
      if (record === undefined) return { rest: text };
      records.push(record);
    }
    return { rest: JSON.stringify(others), records };
  } catch {
    // It is no JSON, or no base64: the SDK says so in its own words.
    return { rest: text };
  }
}

/**
 * One record; undefined if it is not as every record is.
 *
 * @throws {SyntaxError} If the payload is not base64.
 */
function toRecord(
  item: Readonly<Record<string, unknown>> | null,
  decoder: Base64Decoder,
): _Record | undefined {
  if (item === null) return undefined;
  const { SequenceNumber, Data: base64, ApproximateArrivalTimestamp: seconds, PartitionKey } = item;
  const { EncryptionType, __type } = item;
  if (
    typeof SequenceNumber !== "string" || typeof base64 !== "string" ||
    typeof PartitionKey !== "string" || typeof seconds !== "number" || !Number.isFinite(seconds) ||
    // The SDK keeps fields that it does not know beside this one.
    __type !== undefined
  ) return undefined;
  const Data = decoder.decode(base64);
  if (Data === undefined) return undefined;
  const ApproximateArrivalTimestamp = new Date(Math.round(seconds * 1_000));
  const record: _Record = { SequenceNumber, Data, ApproximateArrivalTimestamp, PartitionKey };
  if (EncryptionType === "NONE" || EncryptionType === "KMS") record.EncryptionType = EncryptionType;
  else if (EncryptionType !== undefined && EncryptionType !== null) return undefined;
  return record;
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
  decode(base64: string): Uint8Array | undefined {
    const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
    const length = base64.length / 4 * 3 - padding;
    if (!Number.isInteger(length) || length < 0) return undefined;
    const bytes = this.#room(length);
    const { read, written } = bytes.setFromBase64(base64);
    return read === base64.length && written === length ? bytes : undefined;
  }

  #room(length: number): Uint8Array {
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

/**
 * Piece by piece: putting megabytes of bytes together first would cost as much again; and by events, since each step of an
 * iterator has its price too.
 *
 * @throws What broke the stream, if it ends early.
 */
async function readText(body: Readable): Promise<string> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let text = "";
  body.on("data", (bytes: Uint8Array) => {
    text += decoder.decode(bytes, { stream: true });
  });
  await finished(body);
  return text + decoder.decode();
}
