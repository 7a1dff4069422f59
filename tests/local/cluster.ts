/**
 * Owns: a cluster of real worker processes on the local stack, and the books on what was put and what was processed.
 * Called by: the tests of this folder.
 */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { TextLineStream } from "../text_lines.ts";
import { type AppEvent, type ClusterStatus, ReactoKinesixApp } from "../../mod.ts";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { type LocalKinesis, serveLocalKinesis } from "../../src/local/kinesis_server.ts";

/** A heartbeat of one second, and the rest in proportion. Times are in milliseconds. */
export const SETTINGS = {
  heartbeat: 1_000,
  heartbeatTimeout: 3_000,
  emptyReceiveDelay: 200,
  checkStreamChangesFrequency: 1_000,
  checkUnprocessedShardsFrequency: 2_000,
  loadBalanceFrequency: 3_000,
  handoverRequestExpiry: 6_000,
  checkPendingHandoverRequestFrequency: 1_000,
  checkpointFrequency: 200,
  shutdownTimeout: 5_000,
} as const;

export interface Processed {
  readonly key: string;
  readonly index: number;
  readonly shardId: string;
  readonly sequenceNumber: string;
  readonly term: number;
  readonly workerId: string;
  readonly pid: number;
  /** Milliseconds since the epoch, with a fraction; every process is on this machine. */
  readonly at: number;
}

/** A worker process. */
export interface WorkerProcess {
  readonly workerId: string;
  readonly pid: number;
  readonly events: readonly AppEvent[];
  /** What it wrote to stderr. */
  readonly stderr: readonly string[];
  readonly status: Promise<Deno.CommandStatus>;
  kill(signal: Deno.Signal): void;
}

/** A record as it was put. */
export interface PutRecord {
  readonly key: string;
  readonly index: number;
  readonly shardId: string;
  readonly sequenceNumber: string;
}

/** How a worker process is started. */
export interface SpawnOptions {
  /** Where it finds the services, if not directly. */
  readonly kinesisEndpoint?: string;
  readonly dynamoDBEndpoint?: string;
  /** Is told each event when it arrives here. */
  readonly onEvent?: (event: AppEvent) => void;
  /** One record of so many takes longer to process. */
  readonly slow?: { readonly every: number; readonly ms: number };
  /** The most records of one shard at the same time. */
  readonly concurrency?: number;
  /** How it reads the stream. */
  readonly retrieval?: "polling" | "fan-out";
  /** The module of its processor, if it is not the one that keeps the ledger. */
  readonly processor?: URL;
  /** What its environment has beside that. */
  readonly env?: Readonly<Record<string, string>>;
}

/** How a cluster is started. */
export interface ClusterStart {
  readonly shards: number;
  /** Is told each record that is put. */
  readonly onPut?: (record: PutRecord) => void;
}

const APP = "ClusterTest";
const STREAM = "ClusterStream";
const CREDENTIALS = { accessKeyId: "local", secretAccessKey: "local" };
const REGION = "us-east-1";

/** The stack, the workers and the books. */
export class Cluster implements AsyncDisposable {
  readonly kinesis: LocalKinesis;
  readonly options: Parameters<typeof ReactoKinesixApp.clusterStatus>[0];
  readonly #stack: AsyncDisposableStack;
  readonly #onPut: (record: PutRecord) => void;
  readonly #folder: string;
  readonly #workers: WorkerProcess[] = [];
  readonly #nextIndex = new Map<string, number>();
  readonly #writes: { count: number };
  #put = 0;

  private constructor(
    stack: AsyncDisposableStack,
    kinesis: LocalKinesis,
    dynamoDBEndpoint: string,
    folder: string,
    writes: { count: number },
    onPut: (record: PutRecord) => void,
  ) {
    this.#stack = stack;
    this.#onPut = onPut;
    this.kinesis = kinesis;
    this.#folder = folder;
    this.#writes = writes;
    this.options = {
      appName: APP,
      streamName: STREAM,
      region: REGION,
      credentials: CREDENTIALS,
      kinesisEndpoint: kinesis.url,
      dynamoDBEndpoint,
    };
  }

  static async start(options: ClusterStart): Promise<Cluster> {
    await using stack = new AsyncDisposableStack();
    const writes = { count: 0 };
    const kinesis = stack.use(serveLocalKinesis({ port: 0 }));
    const dynamoDB = stack.use(
      await startLocalDynamoDB({
        port: 0,
        onRequest: (operation) => {
          if (/^(Update|Put|Delete|BatchWrite)/.test(operation)) writes.count += 1;
        },
      }),
    );
    const folder = await Deno.makeTempDir({ prefix: "kinesix-cluster-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    kinesis.engine.call("CreateStream", { StreamName: STREAM, ShardCount: options.shards });
    const onPut = options.onPut ?? (() => {});
    return new Cluster(stack.move(), kinesis, dynamoDB.url, folder, writes, onPut);
  }

  /** Item writes that the DynamoDB endpoint has seen. */
  get itemWrites(): number {
    return this.#writes.count;
  }

  /** How many records were put. */
  get put(): number {
    return this.#put;
  }

  /**
   * The file to which the processors of all workers append a line for each record, before it counts as processed: the order of
   * its lines is the order of the processing, whatever the clocks say.
   */
  get ledger(): string {
    return `${this.#folder}/processed.jsonl`;
  }

  /** Starts a worker process and waits until it runs. */
  async worker(workerId: string, options: SpawnOptions = {}): Promise<WorkerProcess> {
    const worker = this.spawn(workerId, options);
    await waitFor(() => worker.events.some((event) => event.type === "worker_started"), {
      what: `${workerId} to start`,
      within: 60_000,
    });
    return worker;
  }

  /** Starts a worker process. */
  spawn(workerId: string, options: SpawnOptions = {}): WorkerProcess {
    const { kinesisEndpoint = "", dynamoDBEndpoint = "" } = { ...this.options, ...options };
    const { slow, concurrency = 1, retrieval = "polling", onEvent = () => {} } = options;
    const cli = new URL("../../cli.ts", import.meta.url).pathname;
    const recording = new URL("./recording_processor.ts", import.meta.url);
    const processor = (options.processor ?? recording).pathname;
    const flags = {
      "app": APP,
      "stream": STREAM,
      "worker-id": workerId,
      processor,
      "kinesis-endpoint": kinesisEndpoint,
      "dynamodb-endpoint": dynamoDBEndpoint,
      "log": "json",
      concurrency,
      retrieval,
    };
    const settings = Object.entries(SETTINGS).map(([name, value]) =>
      `--${name.replaceAll(/[A-Z]/g, (letter) => "-" + letter.toLowerCase())}=${value}ms`
    );
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", cli, "run", ...settings].concat(
        Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
      ),
      env: {
        RECORDING_PATH: this.ledger,
        ...options.env,
        ...slow && { RECORDING_SLOW_EVERY: `${slow.every}`, RECORDING_SLOW_MS: `${slow.ms}` },
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const events: AppEvent[] = [];
    const stderr: string[] = [];
    const status = Promise.all([
      child.status,
      collect(child.stdout, (line) => {
        const event = parseEvent(line);
        if (event === undefined) {
          stderr.push(`cut off: ${line}`);
          return;
        }
        events.push(event);
        onEvent(event);
      }),
      collect(child.stderr, (line) => stderr.push(line)),
    ]).then(([status]) => status);
    const worker: WorkerProcess = {
      workerId,
      pid: child.pid,
      events,
      stderr,
      status,
      kill: (signal) => child.kill(signal),
    };
    this.#workers.push(worker);
    return worker;
  }

  /** Puts records of so many keys, at most 500; those of one key are numbered in the order in which they are put. */
  async putRecords(count: number, keys: number): Promise<void> {
    // No key twice in one call: what is refused must not be overtaken by a later record of its key.
    for (let done = 0; done < count; done += keys) {
      const records = Array.from({ length: Math.min(keys, count - done) }, (_, i) => {
        const key = `key-${(done + i) % keys}`;
        const index = this.#nextIndex.get(key) ?? 0;
        this.#nextIndex.set(key, index + 1);
        return { key, index };
      });
      for (let waiting = records; waiting.length > 0;) {
        const refused = this.#tryToPut(waiting);
        if (refused.length > 0) await delay(100);
        waiting = refused;
      }
      this.#put += records.length;
    }
  }

  /** Puts records for some seconds, while shard 0 is split, and its second half is merged with shard 1. */
  async reshardUnderLoad(): Promise<void> {
    const call = (operation: string, input: object): unknown =>
      this.kinesis.engine.call(operation, { StreamName: STREAM, ...input });
    const loading = (async () => {
      for (let i = 0; i < 40; i++) {
        await this.putRecords(200, 50);
        await delay(100);
      }
    })();
    await delay(1_000);
    const half = (1n << 126n).toString();
    call("SplitShard", { ShardToSplit: "shardId-000000000000", NewStartingHashKey: half });
    await delay(1_500);
    call("MergeShards", {
      ShardToMerge: "shardId-000000000003",
      AdjacentShardToMerge: "shardId-000000000001",
    });
    await loading;
  }

  /** Puts records, and gives those back that were refused. */
  #tryToPut<R extends Pick<PutRecord, "key" | "index">>(records: readonly R[]): R[] {
    const reply = this.kinesis.engine.call("PutRecords", {
      StreamName: STREAM,
      Records: records.map(({ key, index }) => ({
        PartitionKey: key,
        Data: btoa(`${key} ${index}`),
      })),
    }) as { Records: readonly { readonly ShardId?: string; readonly SequenceNumber?: string }[] };
    return records.filter(({ key, index }, i) => {
      const { ShardId: shardId, SequenceNumber: sequenceNumber } = reply.Records[i] ?? {};
      if (shardId === undefined || sequenceNumber === undefined) return true;
      this.#onPut({ key, index, shardId, sequenceNumber });
      return false;
    });
  }

  async status(): Promise<ClusterStatus> {
    return await ReactoKinesixApp.clusterStatus(this.options);
  }

  /** How many open shards each worker has taken, sorted; undefined while one is free or on its way. */
  async shares(): Promise<readonly number[] | undefined> {
    const { shards } = await this.status();
    const open = shards.filter((shard) => shard.state !== "closed");
    if (open.some((shard) => shard.state !== "processing")) return undefined;
    return [...Map.groupBy(open, (shard) => shard.owner).values()].map((own) => own.length)
      .sort((a, b) => b - a);
  }

  /** Waits until each worker has so many shards, as in `3,3,2`; gives how long that took. */
  async untilShares(shares: string, within: number): Promise<number> {
    return await waitFor(async () => `${await this.shares()}` === shares, { what: shares, within });
  }

  /** What was processed so far, in that order. */
  async processed(): Promise<readonly Processed[]> {
    const text = await Deno.readTextFile(this.ledger);
    // A line may be cut where a worker was killed: that record was not processed.
    return text.split("\n").filter((line) => line.endsWith("}")).map((line) => JSON.parse(line));
  }

  /** Waits until every record that was put was processed, and checks the order of each key. Gives the repetitions. */
  async settle(within: number): Promise<{ readonly repeated: readonly Processed[] }> {
    let processed: readonly Processed[] = [];
    await waitFor(async () => {
      processed = await this.processed();
      return new Set(processed.map(nameOf)).size >= this.#put;
    }, { what: `${this.#put} records to be processed`, within });
    const seen = new Set<string>();
    const repeated: Processed[] = [];
    const expected = new Map<string, number>();
    for (const record of processed) {
      if (seen.has(nameOf(record))) {
        repeated.push(record);
        continue;
      }
      seen.add(nameOf(record));
      assertEquals(record.index, expected.get(record.key) ?? 0, `the order of ${record.key}`);
      expected.set(record.key, record.index + 1);
    }
    assertEquals(seen.size, this.#put, "every record is processed, and none was invented");
    return { repeated };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const worker of this.#workers) {
      try {
        worker.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
      await worker.status;
    }
    await this.#stack.disposeAsync();
  }
}

/** Waits until a condition holds. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  options: { readonly what: string; readonly within: number },
): Promise<number> {
  const start = performance.now();
  while (!await condition()) {
    assert(
      performance.now() - start < options.within,
      `waited ${options.within} ms in vain for ${options.what}`,
    );
    await delay(50);
  }
  return performance.now() - start;
}

async function collect(
  output: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  const lines = output.pipeThrough(new TextDecoderStream() as never).pipeThrough(
    new TextLineStream(),
  );
  for await (const line of lines) onLine(line);
}

/** An event; undefined for a line that was cut off where its worker was killed. */
function parseEvent(line: string): AppEvent | undefined {
  try {
    return JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function nameOf(record: Processed): string {
  return `${record.key} ${record.index}`;
}

/** Prints a figure under the name of the test. */
export function tell(figure: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`      ${figure}\n`));
}
