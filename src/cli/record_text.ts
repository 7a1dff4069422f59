/**
 * Owns: a record of the stream as a line of text, as a line of JSON, and whether a person asked for it.
 * Must not: read or write anything.
 * Called by: `tail.ts`.
 *
 * @module
 */

import type { Ansis } from "ansis";
import type { KinesisRecord } from "../processor.ts";
import { patternFilter } from "./pattern_filter.ts";
import type { FollowedRecord } from "./stream_follower.ts";
import { harmlessJson, printable } from "./terminal.ts";
import { shortShard } from "./words.ts";

/** What a payload is. */
type Payload =
  /** `text` is the JSON as it came, on one line: parsed and written again it could lose digits of its numbers. */
  | { readonly encoding: "json"; readonly text: string }
  | { readonly encoding: "text"; readonly text: string }
  | { readonly encoding: "base64"; readonly text: string };

const UTF_8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Such as line ends within a payload: a record is one line. */
const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A record as a line for people: when it arrived, its shard, its key, its payload. */
export function recordLine(record: FollowedRecord, paint: Ansis): string {
  const { approximateArrivalTimestamp, shardId, partitionKey, data } = record;
  const { encoding, text } = payloadOf(data);
  const shown = encoding === "base64" ? `base64:${text}` : oneLine(text);
  return [
    paint.dim(new Date(approximateArrivalTimestamp).toISOString()),
    colorOf(shardId, paint)(oneLine(shortShard(shardId))),
    colorOf(partitionKey, paint)(oneLine(partitionKey)),
    shown,
  ].join("  ") + "\n";
}

/** A record as a line of JSON. */
export function recordJson(record: FollowedRecord): string {
  const { encoding, text } = payloadOf(record.data);
  const head = {
    shardId: record.shardId,
    sequenceNumber: record.sequenceNumber,
    ...record.subSequenceNumber !== undefined && { subSequenceNumber: record.subSequenceNumber },
    partitionKey: record.partitionKey,
    approximateArrivalTimestamp: new Date(record.approximateArrivalTimestamp).toISOString(),
    encoding,
  };
  const data = encoding === "json" ? text : JSON.stringify(text);
  return harmlessJson(`${JSON.stringify(head).slice(0, -1)},"data":${data}}\n`);
}

/**
 * Which records are asked for: those that match an event pattern, as of `kinesix run --filter`, if the text begins as one; else
 * those with the text in their payload or partition key.
 *
 * @throws {UsageError} If it is a pattern that is wrong.
 */
export function recordFilter(text: string): (record: FollowedRecord) => boolean {
  if (!text.trimStart().startsWith("{")) {
    return ({ partitionKey, data }) =>
      partitionKey.includes(text) || new TextDecoder().decode(data).includes(text);
  }
  const matches = patternFilter(text);
  return (record) => matches(toKinesisRecord(record));
}

function toKinesisRecord(record: FollowedRecord): KinesisRecord {
  const text = (): string => UTF_8.decode(record.data);
  return {
    ...record,
    subSequenceNumber: record.subSequenceNumber,
    approximateArrivalTimestamp: new Date(record.approximateArrivalTimestamp),
    text,
    json: () => JSON.parse(text()),
  };
}

function payloadOf(data: Uint8Array<ArrayBuffer>): Payload {
  let text: string;
  try {
    text = UTF_8.decode(data);
  } catch {
    return { encoding: "base64", text: data.toBase64() }; // It is no text.
  }
  try {
    JSON.parse(text);
    // Within a text JSON has no line ends; those that it has are between its parts.
    return { encoding: "json", text: text.trim().replaceAll(/[\r\n]+/g, " ") };
  } catch {
    return { encoding: "text", text }; // It is no JSON.
  }
}

function oneLine(text: string): string {
  return printable(text.replaceAll(/[\n\r\t]/g, (character) => ESCAPES[character] ?? ""));
}

/** Always the same colour for the same name. */
function colorOf(name: string, paint: Ansis): (text: string) => string {
  const colors = [paint.cyan, paint.green, paint.yellow, paint.magenta, paint.blue, paint.red];
  let sum = 0;
  for (let i = 0; i < name.length; i++) sum = (sum * 31 + name.charCodeAt(i)) % 65_521;
  return colors[sum % colors.length] ?? paint.cyan;
}
