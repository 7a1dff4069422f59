/**
 * Owns: a local stack with bytes in its streams, workers that give records up, and a folder for what they put aside.
 * Must not: assert.
 * Called by: the tests of failure destinations and of `kinesix redrive`.
 *
 * @module
 */

import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import type { ProtocolOptions } from "../../src/local/kinesis_protocol.ts";
import { type LocalKinesis, serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { CliProcess } from "./cli_testing.ts";
import { dataUrl } from "./module_server.ts";
import { runWorker, type WorkerProcess } from "./worker_testing.ts";

/** A key and a payload. */
export type Put = readonly [key: string, data: Uint8Array];

/** The local stack. */
export class FailureStack implements AsyncDisposable {
  readonly kinesis: LocalKinesis;
  readonly folder: string;
  readonly #dynamoDB: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    stack: AsyncDisposableStack,
    parts: { readonly kinesis: LocalKinesis; readonly dynamoDB: string; readonly folder: string },
  ) {
    this.#stack = stack;
    this.kinesis = parts.kinesis;
    this.#dynamoDB = parts.dynamoDB;
    this.folder = parts.folder;
  }

  /** Starts it, with streams of so many shards. */
  static async start(
    streams: Readonly<Record<string, number>>,
    options: ProtocolOptions = {},
  ): Promise<FailureStack> {
    await using stack = new AsyncDisposableStack();
    const kinesis = stack.use(serveLocalKinesis({ port: 0, ...options }));
    const { url: dynamoDB } = stack.use(await startLocalDynamoDB({ port: 0 }));
    const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "failures-" }));
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    for (const [StreamName, ShardCount] of Object.entries(streams)) {
      kinesis.engine.call("CreateStream", { StreamName, ShardCount });
    }
    return new FailureStack(stack.move(), { kinesis, dynamoDB, folder });
  }

  /** Puts records, one after the other. */
  put(streamName: string, records: readonly Put[]): void {
    for (const [PartitionKey, data] of records) {
      this.kinesis.engine.call("PutRecord", {
        ...{ StreamName: streamName, PartitionKey, Data: data.toBase64() },
      });
    }
  }

  /** All that is in a stream, shard by shard; waits while the stream is read too often. */
  async contents(streamName: string): Promise<readonly Put[]> {
    for (;;) {
      try {
        return this.#contents(streamName);
      } catch (error) {
        const isBusy = error instanceof KinesisError &&
          error.name === "ProvisionedThroughputExceededException";
        if (!isBusy) throw error;
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    }
  }

  #contents(streamName: string): readonly Put[] {
    const call = (operation: string, input: object): unknown =>
      this.kinesis.engine.call(operation, input as never);
    const { Shards } = call("ListShards", { StreamName: streamName }) as {
      readonly Shards: readonly { readonly ShardId: string }[];
    };
    return Shards.flatMap(({ ShardId }) => {
      const { ShardIterator } = call("GetShardIterator", {
        ...{ StreamName: streamName, ShardId, ShardIteratorType: "TRIM_HORIZON" },
      }) as { readonly ShardIterator: string };
      const { Records } = call("GetRecords", { ShardIterator }) as {
        readonly Records: readonly { readonly PartitionKey: string; readonly Data: string }[];
      };
      return Records.map(({ PartitionKey, Data }): Put => [
        PartitionKey,
        Uint8Array.fromBase64(Data),
      ]);
    });
  }

  get flags(): readonly string[] {
    return [
      `--kinesis-endpoint=${this.kinesis.url}`,
      `--region=us-east-1`,
    ];
  }

  /** Starts a worker of the app `A` on the stream `S`. */
  run(processor: string, more: readonly string[] = []): WorkerProcess {
    const endpoints = { kinesisEndpoint: this.kinesis.url, dynamoDBEndpoint: this.#dynamoDB };
    return runWorker(endpoints, dataUrl(processor), [
      ...["--region=us-east-1", "--heartbeat=500ms", "--heartbeat-timeout=2s"],
      ...["--empty-receive-delay=200ms", "--check-unprocessed-shards-frequency=500ms"],
      ...["--check-stream-changes-frequency=500ms", "--handover-request-expiry=6s"],
      ...["--check-pending-handover-request-frequency=1s", ...more],
    ], { cwd: this.folder });
  }

  /** Puts failures back, and gives the summary. */
  async redrive(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
    await using redrive = new CliProcess(
      ["redrive", "--json", ...this.flags, ...args],
      { cwd: this.folder },
    );
    const code = await redrive.ended();
    if (code !== 0) throw new Error(`redrive ended with ${code}: ${redrive.stderr.join("\n")}`);
    const { seconds: _, ...summary } = JSON.parse(redrive.stdout.join(""));
    return summary;
  }

  /** The lines of a file of failure records, parsed; those that were cut off are left out. */
  async failures(name: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const text = await Deno.readTextFile(`${this.folder}/${name}`);
    return text.split("\n").filter((line) => line.endsWith("}")).map((line) => JSON.parse(line));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
