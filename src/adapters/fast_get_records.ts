/**
 * Owns: reading the answers of GetRecords in a third of the SDK's time: the records by what the platform has built in, all else by
 * the SDK.
 * Must not: give anything that the SDK would not give for the same answer.
 * Called by: `aws_calls.ts`, for the clients that are made there.
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
  const readBySdk = protocol.deserializeResponse.bind(protocol);
  protocol.deserializeResponse = async (operation, context, response) => {
    const { body } = response;
    const isUsual = operation?.name === "GetRecords" && response.statusCode === 200 &&
      response.headers?.["content-type"] === JSON_TYPE && isByteStream(body);
    if (!isUsual) return await readBySdk(operation, context, response);
    const text = await readText(body);
    const { rest, records } = takeRecords(text);
    // The SDK takes a whole body as well as a stream.
    response.body = new TextEncoder().encode(rest);
    const output = await readBySdk(operation, context, response);
    return records === undefined ? output : Object.assign(output, { Records: records });
  };
}

/** The records of an answer and the JSON that is left; the whole answer if anything about them is unusual. */
function takeRecords(text: string): { readonly rest: string; readonly records?: _Record[] } {
  try {
    const { Records: encoded, ...others } = JSON.parse(text);
    if (!Array.isArray(encoded)) return { rest: text };
    const records: _Record[] = [];
    for (const item of encoded) {
      const record = toRecord(item);
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
function toRecord(item: Readonly<Record<string, unknown>> | null): _Record | undefined {
  if (item === null) return undefined;
  const { SequenceNumber, Data, ApproximateArrivalTimestamp: seconds, PartitionKey } = item;
  const { EncryptionType, __type } = item;
  if (
    typeof SequenceNumber !== "string" || typeof Data !== "string" ||
    typeof PartitionKey !== "string" || typeof seconds !== "number" || !Number.isFinite(seconds) ||
    // The SDK keeps fields that it does not know beside this one.
    __type !== undefined
  ) return undefined;
  const record: _Record = {
    SequenceNumber,
    Data: Uint8Array.fromBase64(Data),
    ApproximateArrivalTimestamp: new Date(Math.round(seconds * 1_000)),
    PartitionKey,
  };
  // The platform passes over white space and missing padding, which the SDK refuses.
  if (record.Data?.length !== decodedLength(Data)) return undefined;
  if (EncryptionType === "NONE" || EncryptionType === "KMS") record.EncryptionType = EncryptionType;
  else if (EncryptionType !== undefined && EncryptionType !== null) return undefined;
  return record;
}

/** How many bytes base64 of that length stands for, if all of it is base64. */
function decodedLength(base64: string): number {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  return base64.length / 4 * 3 - padding;
}

function isByteStream(body: unknown): body is AsyncIterable<Uint8Array> {
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}

/** Piece by piece: putting megabytes of bytes together first would cost as much again. It fails if the stream ends early. */
async function readText(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let text = "";
  for await (const bytes of body) text += decoder.decode(bytes, { stream: true });
  return text + decoder.decode();
}
