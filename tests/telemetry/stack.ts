// Owns: a local stack with one stream, and worker processes of the command line on it.
// Must not: assert anything.
// Called by: the tests of this folder that need real processes.
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { type LocalKinesis, serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { type CliOptions, CliProcess } from "../cli/cli_testing.ts";

export const APP = "Telemetry";
export const STREAM = "orders";

/** Short times, in the proportions of the defaults. */
const SETTINGS = [
  "--heartbeat=500ms",
  "--heartbeat-timeout=2s",
  "--empty-receive-delay=200ms",
  "--check-unprocessed-shards-frequency=2s",
  "--checkpoint-frequency=200ms",
  "--shutdown-timeout=3s",
];

/** The stack. */
export class Stack implements AsyncDisposable {
  readonly kinesis: LocalKinesis;
  readonly #dynamoDB: string;
  readonly #disposables: AsyncDisposableStack;

  private constructor(kinesis: LocalKinesis, dynamoDB: string, disposables: AsyncDisposableStack) {
    this.kinesis = kinesis;
    this.#dynamoDB = dynamoDB;
    this.#disposables = disposables;
  }

  static async start(shards: number): Promise<Stack> {
    await using disposables = new AsyncDisposableStack();
    const kinesis = disposables.use(serveLocalKinesis({ port: 0 }));
    const dynamoDB = disposables.use(await startLocalDynamoDB({ port: 0 }));
    kinesis.engine.call("CreateStream", { StreamName: STREAM, ShardCount: shards });
    return new Stack(kinesis, dynamoDB.url, disposables.move());
  }

  /** Puts records with these texts. */
  put(texts: readonly string[]): void {
    const Records = texts.map((text, i) => ({ PartitionKey: `key-${i}`, Data: btoa(text) }));
    this.kinesis.engine.call("PutRecords", { StreamName: STREAM, Records });
  }

  /** The flags by which commands find the state table. */
  get tableFlags(): readonly string[] {
    return ["--app", APP, "--stream", STREAM, "--dynamodb-endpoint", this.#dynamoDB];
  }

  /** Starts a worker; the source of its processor is that of a function `process`. */
  worker(
    workerId: string,
    process: string,
    options: Pick<CliOptions, "env" | "program"> & { readonly flags?: readonly string[] } = {},
  ): CliProcess {
    const module = `export default { process: ${process} };`;
    const { flags = [], ...rest } = options;
    return new CliProcess([
      ...["run", "--worker-id", workerId, "--log", "json", ...this.tableFlags, ...SETTINGS],
      ...["--kinesis-endpoint", this.kinesis.url],
      ...["--processor", `data:text/javascript,${encodeURIComponent(module)}`, ...flags],
    ], rest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disposables.disposeAsync();
  }
}

/** Waits until lines hold an event of a type, so many times. */
export function hasTold(type: string, times = 1): (lines: readonly string[]) => boolean {
  return (lines) => lines.filter((line) => line.includes(`"type":"${type}"`)).length >= times;
}

/** Waits until a condition holds; fails with what it last was about. */
export async function eventually<T>(
  look: () => T | Promise<T>,
  isDone: (found: T) => boolean,
  withinMs: number,
): Promise<T> {
  const start = performance.now();
  while (true) {
    const found = await look();
    if (isDone(found)) return found;
    if (performance.now() - start > withinMs) {
      throw new Error(`Waited ${withinMs} ms in vain; at last: ${JSON.stringify(found)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
