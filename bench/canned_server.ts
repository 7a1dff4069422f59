/**
 * Owns: a Kinesis that has nothing to think about: GetRecords of streams that consist of their name, over HTTP/1.1.
 * Must not: cost as much as what is measured against it: an answer is made once and sent many times.
 * Called by: the areas, as a process of its own.
 */

import { aggregate } from "../tests/kpl.ts";
import { answer, type ChildProcess, denoChild, serveJobs } from "./child.ts";

/** What a stream of the canned server has in it. Every shard has the same records. */
export interface StreamShape {
  readonly shards: number;
  readonly recordsPerShard: number;
  /** The payload of each record. */
  readonly recordBytes: number;
  /** The most records that an answer has, whatever limit is asked for. */
  readonly answerRecords: number;
  /**
   * So many records of `recordBytes` are in each record, as the Kinesis Producer Library packs them; 1 is a record as it is.
   *
   * @default {1}
   */
  readonly packed?: number;
}

/** The canned server in a process of its own. */
export interface CannedServer extends AsyncDisposable {
  /** The endpoint to give to an SDK, as "http://127.0.0.1:4567". */
  readonly url: string;
}

/** Starts the canned server in a process of its own. */
export async function startCannedServer(): Promise<CannedServer> {
  const child: ChildProcess = denoChild("canned_server.ts");
  const { url } = await child.next<{ url: string }>();
  return { url, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() };
}

/** The name of a stream of such a shape: all that the server needs to know. */
export function streamNameOf(shape: StreamShape): string {
  const { shards, recordsPerShard, recordBytes, answerRecords, packed = 1 } = shape;
  return ["canned", shards, recordsPerShard, recordBytes, answerRecords, packed].join("-");
}

/** The id of a shard. */
export function shardIdOf(index: number): string {
  return `shardId-${String(index).padStart(12, "0")}`;
}

interface Call {
  readonly StreamName?: string;
  readonly ShardIterator?: string;
  readonly ShardIteratorType?: string;
  readonly StartingSequenceNumber?: string;
  readonly Limit?: number;
  readonly NextToken?: string;
}

const HASH_KEYS = 2n ** 128n;
/** 56 digits, as Kinesis has; the last 14 count the records of a shard. */
const SEQUENCE_PREFIX = "49".padEnd(42, "5");
const COUNT_DIGITS = 14;
const KEYS = 1_000;
const LIST_PAGE = 1_000;
/** What answers are kept for another time; more than that is made anew. */
const KEPT_BYTES_MAX = 512 * 1024 * 1024;
const HEADERS = { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": "canned" };
const encoder = new TextEncoder();

/** Answers that were made, by what was asked for. */
const kept = new Map<string, Uint8Array<ArrayBuffer>>();
let keptBytes = 0;

function shapeOf(streamName = ""): StreamShape {
  const [kind, ...numbers] = streamName.split("-");
  const [shards, recordsPerShard = NaN, recordBytes, answerRecords, packed] = numbers.map(Number);
  if (kind !== "canned" || !shards || !recordBytes || !answerRecords || !packed) {
    throw new Error(`Cannot find stream "${streamName}": it must be named by streamNameOf()`);
  }
  return { shards, recordsPerShard, recordBytes, answerRecords, packed };
}

function sequenceNumberOf(index: number): string {
  return SEQUENCE_PREFIX + String(index).padStart(COUNT_DIGITS, "0");
}

/** The iterator says which stream it is of, and the index of the next record: the server remembers nothing. */
function firstIndex(call: Call, { recordsPerShard }: StreamShape): number {
  const index = Number(call.StartingSequenceNumber?.slice(-COUNT_DIGITS) ?? 0);
  switch (call.ShardIteratorType) {
    case "AFTER_SEQUENCE_NUMBER":
      return index + 1;
    case "LATEST":
      return recordsPerShard;
    default:
      return index;
  }
}

function getRecords({ ShardIterator = "", Limit = Infinity }: Call): Uint8Array<ArrayBuffer> {
  const [streamName, next] = ShardIterator.split("/");
  const shape = shapeOf(streamName);
  const from = Number(next);
  const count = Math.min(Limit, shape.answerRecords, Math.max(0, shape.recordsPerShard - from));
  const key = `${ShardIterator}/${count}`;
  const found = kept.get(key);
  if (found !== undefined) return found;
  const made = makeAnswer(shape, from, count);
  if (keptBytes + made.length <= KEPT_BYTES_MAX) {
    keptBytes += made.length;
    kept.set(key, made);
  }
  return made;
}

function makeAnswer(shape: StreamShape, from: number, count: number): Uint8Array<ArrayBuffer> {
  const data = payload(shape);
  // A second for each answer, so that who looks at the lag sees it shrink.
  const behindMs = (shape.recordsPerShard - from - count) / shape.answerRecords * 1_000;
  const records = Array.from(
    { length: count },
    (_, i) =>
      `{"SequenceNumber":"${
        sequenceNumberOf(from + i)
      }","ApproximateArrivalTimestamp":1.7E9,"Data":"${data}","PartitionKey":"key-${
        String((from + i) % KEYS).padStart(6, "0")
      }"}`,
  );
  return encoder.encode(
    `{"Records":[${records.join(",")}],"NextShardIterator":"${streamNameOf(shape)}/${
      from + count
    }","MillisBehindLatest":${Math.ceil(behindMs)}}`,
  );
}

const payloads = new Map<string, string>();

function payload({ recordBytes, packed = 1 }: StreamShape): string {
  const key = `${recordBytes} ${packed}`;
  const found = payloads.get(key);
  if (found !== undefined) return found;
  const data = Uint8Array.from({ length: recordBytes }, (_, i) => (i * 2_654_435_761) >>> 13);
  const records = Array.from({ length: packed }, (_, i) => ({ partitionKey: `key-${i}`, data }));
  const made = (packed === 1 ? data : aggregate(records)).toBase64();
  payloads.set(key, made);
  return made;
}

function listShards(call: Call): object {
  const [streamName, first = "0"] = call.NextToken?.split("/") ?? [call.StreamName];
  const { shards } = shapeOf(streamName);
  const from = Number(first);
  const to = Math.min(shards, from + LIST_PAGE);
  const part = (index: number): bigint => HASH_KEYS * BigInt(index) / BigInt(shards);
  return {
    Shards: Array.from({ length: to - from }, (_, i) => ({
      ShardId: shardIdOf(from + i),
      HashKeyRange: {
        StartingHashKey: `${part(from + i)}`,
        EndingHashKey: `${part(from + i + 1) - 1n}`,
      },
      SequenceNumberRange: { StartingSequenceNumber: sequenceNumberOf(0) },
    })),
    ...to < shards && { NextToken: `${streamName}/${to}` },
  };
}

function describe({ StreamName = "" }: Call): object {
  return {
    StreamName,
    StreamARN: `arn:aws:kinesis:us-east-1:000000000000:stream/${StreamName}`,
    StreamStatus: "ACTIVE",
    StreamModeDetails: { StreamMode: "PROVISIONED" },
    RetentionPeriodHours: 24,
    StreamCreationTimestamp: 1.7e9,
    EnhancedMonitoring: [],
    OpenShardCount: shapeOf(StreamName).shards,
  };
}

async function handle(request: Request): Promise<Response> {
  const operation = request.headers.get("x-amz-target")?.split(".").at(-1) ?? "";
  const call: Call = await request.json();
  const reply = (body: unknown) => new Response(JSON.stringify(body), { headers: HEADERS });
  switch (operation) {
    case "GetRecords":
      return new Response(getRecords(call), { headers: HEADERS });
    case "GetShardIterator":
      return reply({
        ShardIterator: `${call.StreamName}/${firstIndex(call, shapeOf(call.StreamName))}`,
      });
    case "ListShards":
      return reply(listShards(call));
    case "DescribeStreamSummary":
      return reply({ StreamDescriptionSummary: describe(call) });
    case "DescribeStream":
      return reply({
        StreamDescription: { ...describe(call), HasMoreShards: false, ...listShards(call) },
      });
    default:
      return new Response(
        JSON.stringify({ __type: "UnknownOperationException", message: operation }),
        { status: 400, headers: HEADERS },
      );
  }
}

if (import.meta.main) {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, handle);
  await answer({ url: `http://127.0.0.1:${server.addr.port}` });
  await serveJobs(() => Promise.resolve({}));
}
