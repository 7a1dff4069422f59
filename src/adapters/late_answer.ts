/**
 * Owns: answers of GetRecords that stay as they came until their records are wanted, all of them or a part at a time.
 * Must not: give anything that the SDK would not give for the same answer.
 * Called by: `lean_get_records.ts` makes them, `shard_reader.ts` asks them.
 *
 * A record that waits for its turn takes objects of the engine, which looks at them again and again, moves them to where it looks
 * seldom, and keeps them there for long after they are needed. As bytes of an answer they take only their own length, and are given
 * back at once.
 *
 * @module
 */

import type { GetRecordsCommand, GetRecordsOutput } from "@aws-sdk/client-kinesis";
import { HttpResponse } from "@smithy/core/protocols";
import {
  type Base64Decoder,
  isUsualRest,
  readAnswer,
  type ReadRecord,
  takeRecords,
} from "./fast_get_records.ts";

/** To whoever else it comes, it is a command as any other: a client of the user's may look closely. */
const LATE = new WeakSet<GetRecordsCommand>();

/** A call whose answer may come as a {@linkcode LateAnswer}, if it is made the lean way. */
export function late<T extends GetRecordsCommand>(command: T): T {
  LATE.add(command);
  return command;
}

/** Whether the answer may come late. */
export function isLate(command: GetRecordsCommand): boolean {
  return LATE.has(command);
}

/** What reads an answer that is unusual. */
export type ReadBySdk = (response: HttpResponse) => Promise<GetRecordsOutput>;

/** What an answer is read with. */
export interface AnswerTools {
  readonly decoder: Base64Decoder;
  readonly readBySdk: ReadBySdk;
}

/** An answer without an error. */
export class LateAnswer {
  readonly #response: HttpResponse;
  readonly #tools: AnswerTools;

  constructor(response: HttpResponse, tools: AnswerTools) {
    this.#response = response;
    this.#tools = tools;
  }

  /** How long it is. */
  get bytes(): number {
    return this.#response.body.byteLength;
  }

  /**
   * All of it. It can be had once, as a whole or in parts.
   *
   * @throws Whatever the SDK throws, for an answer that it does not understand.
   */
  async whole(): Promise<GetRecordsOutput> {
    return readAnswer(this.#response, this.#tools.decoder) ??
      await this.#tools.readBySdk(this.#response);
  }

  /** Its parts; undefined if it has none, is the last one of its shard, or is unusual. Then it is as it was. */
  inParts(): AnswerParts | undefined {
    const frame = frameOf(this.#response.body);
    return frame && new AnswerParts(this.#response, frame, this.#tools);
  }
}

const RECORDS = '"Records":[';
/** Before the records and behind them there is little, and in a record before its payload. */
const EDGE_BYTES = 4_096;
const UTF_8 = new TextDecoder("utf-8", { ignoreBOM: true });
/** With what is behind it, so that it is all there. */
const ARRIVAL = /"ApproximateArrivalTimestamp":([-+.\dEe]+)[,}]/;
/** Of which each character is a byte. */
const ASCII = /^[ -~]*$/;
/** Names of fields begin with one. */
const LETTER = /[A-Za-z]/;
const [COMMA, OPENING, CLOSING, QUOTE] = [0x2c, 0x7b, 0x7d, 0x22];

/** What is around the records of an answer. */
interface Frame {
  readonly nextShardIterator: string;
  readonly millisBehindLatest: number | undefined;
  /** Where the first record begins. */
  readonly start: number;
  /** Where the last record ends. */
  readonly end: number;
}

function frameOf(body: Uint8Array): Frame | undefined {
  const before = UTF_8.decode(body.subarray(0, EDGE_BYTES));
  const start = before.indexOf(RECORDS) + RECORDS.length;
  const edge = Math.max(start, body.length - EDGE_BYTES);
  const behind = UTF_8.decode(body.subarray(edge));
  const last = behind.lastIndexOf("}]");
  const [head, tail] = [before.slice(0, start), behind.slice(last + 1)];
  if (start < RECORDS.length || last === -1 || !ASCII.test(head + tail)) return undefined;
  const { Records, ...rest } = parsed(head + tail) ?? {};
  const { NextShardIterator, MillisBehindLatest } = rest;
  const isUsual = Array.isArray(Records) && Records.length === 0 && isUsualRest(rest) &&
    typeof NextShardIterator === "string";
  return isUsual
    ? {
      nextShardIterator: NextShardIterator,
      millisBehindLatest: MillisBehindLatest as number | undefined,
      start,
      end: body.length - tail.length,
    }
    : undefined;
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(text);
  } catch {
    // No JSON, or not cut where the records are: whoever reads the whole answer sees what it is.
    return undefined;
  }
}

/** An answer that is taken apart from its beginning on. */
export class AnswerParts {
  readonly nextShardIterator: string;
  readonly millisBehindLatest: number;
  readonly #response: HttpResponse;
  readonly #body: Uint8Array;
  readonly #end: number;
  readonly #tools: AnswerTools;
  #at: number;
  /** Of the last record, once it was asked for. */
  #lastArrival: number | undefined;

  constructor(response: HttpResponse, frame: Frame, tools: AnswerTools) {
    this.nextShardIterator = frame.nextShardIterator;
    this.millisBehindLatest = frame.millisBehindLatest ?? 0;
    this.#response = response;
    this.#body = response.body;
    this.#at = frame.start;
    this.#end = frame.end;
    this.#tools = tools;
  }

  /** How long what is left is. */
  get bytesLeft(): number {
    return Math.max(0, this.#end - this.#at);
  }

  /** What of the memory is taken: all of it, until nothing is left. */
  get bytesHeld(): number {
    return this.bytesLeft === 0 ? 0 : this.#body.length;
  }

  /** When the last record arrived, in milliseconds since the epoch; undefined if nobody can say. */
  get lastArrival(): number | undefined {
    if (this.bytesLeft === 0) return this.#lastArrival;
    return this.#lastArrival ??= this.#arrivalAt(this.#lastStart(), this.#end);
  }

  /**
   * The records of the next so many bytes: at least one record, and up to the end of the one in which they end.
   *
   * @throws Whatever the SDK throws, for records that it does not understand.
   */
  async next(bytes: number): Promise<GetRecordsOutput["Records"] & object> {
    const until = this.#ending(Math.min(this.#at + bytes, this.#end));
    const records = this.#read(this.#at, until);
    // What comes after an unusual record may be unusual, too.
    const { Records } = records ? { Records: records } : await this.#restBySdk();
    this.#at = records ? until + 1 : this.#end;
    if (this.bytesLeft === 0) {
      // At once, and not when the engine cares to look.
      if (this.#body.buffer instanceof ArrayBuffer) this.#body.buffer.transfer(0);
    }
    return Records ?? [];
  }

  /** The records between two places; undefined if anything about them is unusual. */
  #read(from: number, until: number): ReadRecord[] | undefined {
    const text = UTF_8.decode(this.#body.subarray(from, until));
    const around = { before: `{${RECORDS}`, behind: "]}" };
    const taken = takeRecords(text, this.#tools.decoder, around);
    // Whatever is beside them was behind their end.
    return taken && Object.keys(taken.rest).length === 0 ? taken.records : undefined;
  }

  /** Where the record ends that goes on at a place. */
  #ending(at: number): number {
    const body = this.#body;
    for (let end = body.indexOf(CLOSING, at - 1); end !== -1 && end < this.#end;) {
      end += 1;
      if (this.#isBorder(end)) return end;
      end = body.indexOf(CLOSING, end);
    }
    return this.#end;
  }

  /** Whether an object ends here and another one begins. Within a text the quote would be escaped, or end it: no letter follows then. */
  #isBorder(at: number): boolean {
    const [comma, opening, quote, letter = 0] = this.#body.subarray(at, at + 4);
    return comma === COMMA && opening === OPENING && quote === QUOTE &&
      LETTER.test(String.fromCharCode(letter));
  }

  #lastStart(): number {
    const body = this.#body;
    for (let end = this.#end - 1; end > this.#at;) {
      end = body.lastIndexOf(CLOSING, end - 1);
      if (end === -1) break;
      if (this.#isBorder(end + 1)) return Math.max(this.#at, end + 2);
    }
    return this.#at;
  }

  /** Of the record between two places. */
  #arrivalAt(start: number, end: number): number | undefined {
    // It stands before the payload, mostly.
    for (const until of [Math.min(start + EDGE_BYTES, end), end]) {
      // Within a text the quotes would be escaped.
      const [, seconds] = ARRIVAL.exec(UTF_8.decode(this.#body.subarray(start, until))) ?? [];
      if (seconds !== undefined) return Math.round(Number(seconds) * 1_000);
    }
    return undefined;
  }

  async #restBySdk(): Promise<GetRecordsOutput> {
    const head = new TextEncoder().encode(`{${RECORDS}`);
    const left = this.#body.subarray(this.#at, this.#response.body.length);
    const body = new Uint8Array(head.length + left.length);
    body.set(head);
    body.set(left, head.length);
    return await this.#tools.readBySdk(new HttpResponse({ ...this.#response, body }));
  }
}
