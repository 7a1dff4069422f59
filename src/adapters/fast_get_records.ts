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
      response.headers?.["content-type"] === JSON_TYPE && body instanceof Uint8Array;
    if (!isUsual) return await readBySdk(operation, context, response);
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(body);
    // Many megabytes that would else stay until the engine cares to collect them.
    if (body.buffer instanceof ArrayBuffer) body.buffer.transfer(0);
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
    const { skeleton, payloads } = cutPayloads(text);
    const { Records: encoded, ...others } = JSON.parse(skeleton);
    // As many payloads as records, and one was cut out of each: so they belong together.
    if (!Array.isArray(encoded) || encoded.length !== payloads.length) return { rest: text };
    const records: _Record[] = [];
    for (const [i, item] of encoded.entries()) {
      const record = toRecord(item, payloads[i], decoder);
      if (record === undefined) return { rest: text };
      records.push(record);
    }
    return { rest: JSON.stringify(others), records };
  } catch {
    // It is no JSON, or no base64: the SDK says so in its own words.
    return { rest: text };
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
  payload: string | undefined,
  decoder: Base64Decoder,
): _Record | undefined {
  if (item === null) return undefined;
  const { SequenceNumber, Data: cut, ApproximateArrivalTimestamp: seconds, PartitionKey } = item;
  const { EncryptionType, __type } = item;
  if (
    typeof SequenceNumber !== "string" || cut !== CUT || payload === undefined ||
    typeof PartitionKey !== "string" || typeof seconds !== "number" || !Number.isFinite(seconds) ||
    // The SDK keeps fields that it does not know beside this one.
    __type !== undefined
  ) return undefined;
  const Data = decoder.decode(payload);
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
