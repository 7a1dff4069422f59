/**
 * Owns: a cluster of real worker processes on the local stack, and the books on what was put and what was processed.
 * Called by: the tests of this folder.
 */

import { KinesisClient, PutRecordsCommand } from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { assert, assertEquals } from "@std/assert";
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
} as const;

export interface Processed {
  readonly key: string;
  readonly index: number;
  readonly shardId: string;
  readonly sequenceNumber: string;
  readonly term: number;
  readonly workerId: string;
  /** Milliseconds since the epoch, with a fraction; every process is on this machine. */
  readonly at: number;
}

/** A worker process. */
export interface WorkerProcess {
  readonly workerId: string;
  readonly events: readonly AppEvent[];
  readonly status: Promise<Deno.CommandStatus>;
  kill(signal: Deno.Signal): void;
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
  readonly #client: KinesisClient;
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
  ) {
    this.#stack = stack;
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
    this.#client = new KinesisClient({
      region: REGION,
      credentials: CREDENTIALS,
      endpoint: kinesis.url,
      requestHandler: new NodeHttpHandler(),
    });
    stack.defer(() => this.#client.destroy());
  }

  static async start(options: { readonly shards: number }): Promise<Cluster> {
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
    return new Cluster(stack.move(), kinesis, dynamoDB.url, folder, writes);
  }

  /** Item writes that the DynamoDB endpoint has seen. */
  get itemWrites(): number {
    return this.#writes.count;
  }

  /** How many records were put. */
  get put(): number {
    return this.#put;
  }

  /** Starts a worker process and waits until it runs. */
  async worker(workerId: string): Promise<WorkerProcess> {
    const { kinesisEndpoint = "", dynamoDBEndpoint = "" } = this.options;
    const cli = new URL("../../cli.ts", import.meta.url).pathname;
    const processor = new URL("./recording_processor.ts", import.meta.url).pathname;
    const flags = {
      "app": APP,
      "stream": STREAM,
      "worker-id": workerId,
      processor,
      "kinesis-endpoint": kinesisEndpoint,
      "dynamodb-endpoint": dynamoDBEndpoint,
      "log": "json",
    };
    const settings = Object.entries(SETTINGS).map(([name, value]) =>
      `--${name.replaceAll(/[A-Z]/g, (letter) => "-" + letter.toLowerCase())}=${value}ms`
    );
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--quiet", cli, "run", ...settings].concat(
        Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
      ),
      env: { RECORDING_PATH: `${this.#folder}/${workerId}.jsonl` },
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const events: AppEvent[] = [];
    const status = Promise.all([child.status, collect(child.stdout, events)]).then(([status]) =>
      status
    );
    const worker: WorkerProcess = {
      workerId,
      events,
      status,
      kill: (signal) => child.kill(signal),
    };
    this.#workers.push(worker);
    await waitFor(() => events.some((event) => event.type === "worker_started"), {
      what: `${workerId} to start`,
      within: 20_000,
    });
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
        return { PartitionKey: key, Data: new TextEncoder().encode(`${key} ${index}`) };
      });
      for (let waiting = records; waiting.length > 0;) {
        const reply = await this.#client.send(
          new PutRecordsCommand({ StreamName: STREAM, Records: waiting }),
        );
        const refused = waiting.filter((_, i) => reply.Records?.[i]?.ErrorCode !== undefined);
        if (refused.length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
        waiting = refused;
      }
      this.#put += records.length;
    }
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

  /** What was processed so far, in the order of time. */
  async processed(): Promise<readonly Processed[]> {
    const lines: Processed[] = [];
    for await (const { name } of Deno.readDir(this.#folder)) {
      const text = await Deno.readTextFile(`${this.#folder}/${name}`);
      for (const line of text.split("\n")) {
        // A line may be cut where a worker was killed: that record was not processed.
        if (line.endsWith("}")) lines.push(JSON.parse(line));
      }
    }
    return lines.sort((a, b) => a.at - b.at);
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
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return performance.now() - start;
}

async function collect(stdout: ReadableStream<Uint8Array>, events: AppEvent[]): Promise<void> {
  const lines = stdout.pipeThrough(new TextDecoderStream() as never).pipeThrough(
    new TextLineStream(),
  );
  for await (const line of lines) events.push(JSON.parse(line));
}

function nameOf(record: Processed): string {
  return `${record.key} ${record.index}`;
}

/** Prints a figure under the name of the test. */
export function tell(figure: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`      ${figure}\n`));
}
