/**
 * Owns: a failure record as text: one line of JSON, in ASCII, that says of which format it is.
 * Must not: write or read it anywhere.
 * Called by: `failure_destination.ts`, `failure_stream.ts`, `kinesix redrive`; users' own failure destinations, through `mod.ts`.
 *
 * @module
 */

import { parseTime } from "../core/setting.ts";
import { type EventError, toEventError } from "../errors.ts";
import type { FailedRecord } from "../ports.ts";

/** Goes up when a reader of the format before would get something wrong. */
const FORMAT = 1;

// Long enough to see what went wrong; a payload that an error quotes must not double the record.
const NAME_LENGTH_MAX = 200;
const MESSAGE_LENGTH_MAX = 2_000;
const STACK_LENGTH_MAX = 8_000;

/** A failure record as it was read: what redriving needs. */
export interface StoredFailure extends
  Pick<
    FailedRecord,
    "appName" | "streamName" | "shardId" | "sequenceNumber" | "partitionKey" | "data" | "time"
  > {
  readonly subSequenceNumber: number | undefined;
  readonly error: EventError;
}

/**
 * A failed record as one line of JSON: what `file:` and `kinesis:` destinations write and `kinesix redrive` reads. It is plain ASCII
 * without a line break. Name, message and stack of the error are cut to 200, 2,000 and 8,000 characters.
 *
 * @example
 * ```ts
 * import { type AppOptions, formatFailure } from "@reacto/kinesix";
 *
 * const onFailure: AppOptions["onFailure"] = async (failure, signal) => {
 *   const body = formatFailure(failure);
 *   const response = await fetch("https://failures.example.com/orders", { method: "POST", body, signal });
 *   // Without a throw the record counts as safe, and is not kept any more.
 *   if (!response.ok) throw new Error(`the answer is ${response.status}`);
 * };
 * ```
 */
export function formatFailure(failure: FailedRecord): string {
  const { data, error, ...rest } = failure;
  const { approximateArrivalTimestamp, attempts, mode, workerId, time, ...place } = rest;
  const head = {
    kinesixFailure: FORMAT,
    ...place,
    approximateArrivalTimestamp: approximateArrivalTimestamp.toISOString(),
    error: describe(error),
    attempts,
    mode: { kind: mode.kind, retries: mode.retries },
    workerId,
    time: time.toISOString(),
  };
  // The payload comes last, so that the eye meets it last; it needs no escapes.
  return `${asciiOf(JSON.stringify(head)).slice(0, -1)},"data":"${data.toBase64()}"}`;
}

/**
 * Reads a line.
 *
 * @returns Why not, as a text, if it is none.
 * @throws {RangeError} If it was made by a version of this software that knows a later format.
 */
export function parseFailure(line: string): StoredFailure | string {
  const fields = parseObject(line);
  if (fields === undefined) return "it is not one object of JSON";
  const format = fields.kinesixFailure;
  if (typeof format !== "number") {
    return 'it has no "kinesixFailure", which every failure record has';
  }
  if (format > FORMAT) {
    throw new RangeError(
      `Cannot read a failure record of format ${format}: this version knows ${FORMAT}; use a later one`,
    );
  }
  const texts = ["appName", "streamName", "shardId", "sequenceNumber", "partitionKey"] as const;
  for (const name of [...texts, "data", "time"]) {
    if (typeof fields[name] !== "string") return `it has no "${name}"`;
  }
  const data = bytesOf(String(fields.data));
  if (data === undefined) return 'its "data" is not base64';
  const time = new Date(parseTime(String(fields.time)));
  if (Number.isNaN(time.getTime())) return 'its "time" is not a time';
  const sub = fields.subSequenceNumber;
  const { name, message } = Object(fields.error) as { name?: unknown; message?: unknown };
  return {
    appName: String(fields.appName),
    streamName: String(fields.streamName),
    shardId: String(fields.shardId),
    sequenceNumber: String(fields.sequenceNumber),
    subSequenceNumber: typeof sub === "number" ? sub : undefined,
    partitionKey: String(fields.partitionKey),
    data,
    time,
    error: { name: String(name), message: String(message) },
  };
}

function describe(error: unknown): EventError & { readonly stack?: string } {
  const { name, message } = toEventError(error);
  const stack = stackOf(error);
  return {
    name: name.slice(0, NAME_LENGTH_MAX),
    message: message.slice(0, MESSAGE_LENGTH_MAX),
    ...stack !== undefined && { stack: stack.slice(0, STACK_LENGTH_MAX) },
  };
}

function stackOf(error: unknown): string | undefined {
  try {
    const stack: unknown = error instanceof Error ? error.stack : undefined;
    return typeof stack === "string" ? stack : undefined;
  } catch {
    // A proxy or a getter may throw at anything; the name and the message are there all the same.
    return undefined;
  }
}

function asciiOf(json: string): string {
  return json.replaceAll(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function parseObject(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null
      ? value as Readonly<Record<string, unknown>>
      : undefined;
  } catch {
    // A line that was cut off where a disk was full or a process was killed.
    return undefined;
  }
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" });
  } catch {
    return undefined;
  }
}
