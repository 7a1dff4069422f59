/**
 * Owns: the ways to consume a stream that are compared: this library, the SDK, and the least that any consumer must do.
 * Must not: share a process with another one: what one leaves behind in the engine would slow down or speed up the next.
 * Called by: `throughput.ts`, as a process: `consumers.ts WAY ENDPOINT` reads a stream of each shape that it is told.
 */

import process from "node:process";
import { GetRecordsCommand, GetShardIteratorCommand, KinesisClient } from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { connectAws } from "../src/adapters/aws_calls.ts";
import { MemoryLeaseStore } from "../src/adapters/memory.ts";
import { ReactoKinesixApp, type RecordProcessor } from "../mod.ts";
import type { StreamSource } from "../src/ports.ts";
import { shardIdOf, streamNameOf, type StreamShape } from "./canned_server.ts";
import { serveJobs } from "./child.ts";
import { unhurriedSource } from "./unhurried.ts";

/** A way to consume a stream. */
export type Way = "default" | "sdk" | "floor" | "record" | "batch";

/** What it took to read a stream once, from the first read to the last record. */
export interface ConsumeResult {
  readonly records: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Of all threads of the consumer's process. */
  readonly cpuSeconds: number;
}

/** Counts, and notices the end. */
class Tally {
  readonly #target: number;
  readonly #packed: number;
  readonly #ended = Promise.withResolvers<ConsumeResult>();
  #startedAt = NaN;
  #cpu: { user: number; system: number } = { user: 0, system: 0 };
  #records = 0;
  #bytes = 0;

  constructor({ shards, recordsPerShard, packed = 1 }: StreamShape) {
    this.#target = shards * recordsPerShard * packed;
    this.#packed = packed;
  }

  get ended(): Promise<ConsumeResult> {
    return this.#ended.promise;
  }

  /** The first read begins. Any further call changes nothing. */
  begin(): void {
    if (!Number.isNaN(this.#startedAt)) return;
    this.#cpu = process.cpuUsage();
    this.#startedAt = performance.now();
  }

  /** Records of the stream, with all that is packed into each. */
  addWhole(data: { readonly byteLength: number }): void {
    this.#count(this.#packed, data.byteLength);
  }

  /** Records that nobody looked into. */
  pass(records: number): void {
    this.#count(records, 0);
  }

  #count(records: number, bytes: number): void {
    this.#records += records;
    this.#bytes += bytes;
    if (this.#records !== this.#target) return;
    const { user, system } = process.cpuUsage(this.#cpu as never);
    this.#ended.resolve({
      records: this.#records,
      bytes: this.#bytes,
      seconds: (performance.now() - this.#startedAt) / 1_000,
      cpuSeconds: (user + system) / 1e6,
    });
  }
}

const AWS = {
  region: "us-east-1",
  credentials: { accessKeyId: "canned", secretAccessKey: "canned" },
} as const;
const SOCKETS_MAX = 10_000;

/** The loop of the SDK's documentation, for all shards at once. */
async function readBySdk(client: KinesisClient, shape: StreamShape, tally: Tally): Promise<void> {
  const readShard = async (index: number): Promise<void> => {
    const { ShardIterator: first } = await client.send(
      new GetShardIteratorCommand({
        StreamName: streamNameOf(shape),
        ShardId: shardIdOf(index),
        ShardIteratorType: "TRIM_HORIZON",
      }),
    );
    let iterator = first;
    for (let read = 0; read < shape.recordsPerShard;) {
      const reply = await client.send(
        new GetRecordsCommand({ ShardIterator: iterator, Limit: 10_000 }),
      );
      const records = reply.Records ?? [];
      for (const { Data } of records) tally.addWhole(Data ?? new Uint8Array());
      read += records.length;
      iterator = reply.NextShardIterator;
    }
  };
  tally.begin();
  await Promise.all(Array.from({ length: shape.shards }, (_, i) => readShard(i)));
}

/** What no consumer in JavaScript can do without: fetch, JSON and base64, all native. No signature, no check, no retry. */
async function readByFetch(
  endpoint: string,
  shape: StreamShape,
  tally: Tally,
): Promise<void> {
  const call = async (operation: string, body: unknown) => {
    const reply = await fetch(endpoint, {
      method: "POST",
      headers: {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": `Kinesis_20131202.${operation}`,
      },
      body: JSON.stringify(body),
    });
    return await reply.json();
  };
  const readShard = async (index: number): Promise<void> => {
    let { ShardIterator } = await call("GetShardIterator", {
      StreamName: streamNameOf(shape),
      ShardId: shardIdOf(index),
      ShardIteratorType: "TRIM_HORIZON",
    });
    for (let read = 0; read < shape.recordsPerShard;) {
      const { Records, NextShardIterator } = await call("GetRecords", {
        ShardIterator,
        Limit: 10_000,
      });
      for (const { Data } of Records) tally.addWhole(Uint8Array.fromBase64(Data));
      read += Records.length;
      ShardIterator = NextShardIterator;
    }
  };
  tally.begin();
  await Promise.all(Array.from({ length: shape.shards }, (_, i) => readShard(i)));
}

/** The client that a worker makes for itself. */
function connectLibrary(endpoint: string): Promise<KinesisClient> {
  return connectAws({ ...AWS, kinesisEndpoint: endpoint }).kinesis();
}

/** A whole worker with all its parts, but for DynamoDB: its rows are in memory. */
async function readByLibrary(
  client: KinesisClient,
  shape: StreamShape,
  { tally, processor }: { readonly tally: Tally; readonly processor: RecordProcessor },
): Promise<void> {
  const streamName = streamNameOf(shape);
  const polling = unhurriedSource(client, streamName);
  const allOpen = Promise.withResolvers<void>();
  let waiting = shape.shards;
  const source: StreamSource = {
    listShards: (signal) => polling.listShards(signal),
    async *open(...where) {
      // Taking shards is not reading them: the time begins when it has them all.
      if (--waiting === 0) {
        tally.begin();
        allOpen.resolve();
      }
      await allOpen.promise;
      yield* polling.open(...where);
    },
  };
  await using _app = await ReactoKinesixApp.createNew({
    appName: "Bench",
    streamName,
    workerId: "bench",
    processor,
    ports: { store: new MemoryLeaseStore(), source },
  });
  await tally.ended;
}

type Consume = (shape: StreamShape, tally: Tally) => Promise<void>;

/** Each way, ready to begin: connections are kept from job to job, as in a worker that has run for a while. */
const WAYS: Readonly<Record<Way, (endpoint: string) => Promise<Consume> | Consume>> = {
  default(endpoint) {
    const client = new KinesisClient({ ...AWS, endpoint });
    return (shape, tally) => readBySdk(client, shape, tally);
  },
  sdk(endpoint) {
    const httpAgent = { keepAlive: true, maxSockets: SOCKETS_MAX };
    const requestHandler = new NodeHttpHandler({ httpAgent });
    const client = new KinesisClient({ ...AWS, endpoint, requestHandler });
    return (shape, tally) => readBySdk(client, shape, tally);
  },
  floor: (endpoint) => (shape, tally) => readByFetch(endpoint, shape, tally),
  async record(endpoint) {
    const kinesis = await connectLibrary(endpoint);
    return (shape, tally) =>
      readByLibrary(kinesis, shape, {
        tally,
        processor: { process: () => tally.pass(1) },
      });
  },
  async batch(endpoint) {
    const kinesis = await connectLibrary(endpoint);
    return (shape, tally) => {
      const processor: RecordProcessor = {
        processBatch: (records) => tally.pass(records.length),
      };
      return readByLibrary(kinesis, shape, { tally, processor });
    };
  },
};

if (import.meta.main) {
  const [way, endpoint = ""] = Deno.args;
  const consume = await WAYS[way as Way](endpoint);
  await serveJobs(async (shape: StreamShape) => {
    const tally = new Tally(shape);
    await consume(shape, tally);
    return await tally.ended;
  });
}
