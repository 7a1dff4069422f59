/**
 * Owns: stream "S" of a local stack, and workers of app "A" on it, each a process of the command line: what they log.
 * Must not: assert.
 * Called by: the tests that need whole workers.
 *
 * @module
 */

import { type LocalStack, startLocalStack } from "../../src/cli/local_stack.ts";
import type { AppEvent } from "../../src/events.ts";
import { type CliOptions, CliProcess } from "./cli_testing.ts";

/** Settings at which a cluster finds its balance in seconds. */
export const QUICK: readonly string[] = [
  "--heartbeat=500ms",
  "--heartbeat-timeout=5s",
  "--empty-receive-delay=200ms",
  "--check-stream-changes-frequency=2s",
  "--check-unprocessed-shards-frequency=500ms",
  "--load-balance-frequency=1s",
  "--handover-request-expiry=6s",
  "--check-pending-handover-request-frequency=1s",
];

/** Where the services are. */
export type Endpoints = Pick<LocalStack, "kinesisEndpoint" | "dynamoDBEndpoint">;

/** The flags that say where the services are. */
export function endpointFlags({ kinesisEndpoint, dynamoDBEndpoint }: Endpoints): readonly string[] {
  return [`--kinesis-endpoint=${kinesisEndpoint}`, `--dynamodb-endpoint=${dynamoDBEndpoint}`];
}

/** A local stack whose stream "S" has some lines in it. */
export async function startStack(
  shards: number,
  lines: readonly string[] = [],
): Promise<LocalStack> {
  const stack = await startLocalStack({ kinesis: 0, dynamoDB: 0 });
  stack.createStream("S", shards);
  if (lines.length > 0) await putLines(stack, lines);
  return stack;
}

/** Puts lines into stream "S"; gives what `put` says of it. */
export async function putLines(
  { kinesisEndpoint }: Pick<Endpoints, "kinesisEndpoint">,
  lines: readonly string[],
  options: CliOptions = {},
): Promise<unknown> {
  await using put = new CliProcess(
    ["put", "--stream=S", `--endpoint-url=${kinesisEndpoint}`, "--json"],
    { ...options, stdin: lines.map((line) => `${line}\n`).join("") },
  );
  const code = await put.ended();
  if (code !== 0) throw new Error(`put ended with ${code}:\n${put.stderr.join("\n")}`);
  return JSON.parse(put.stdout.join(""));
}

/** Starts a worker whose processor is at a place. */
export function runWorker(
  endpoints: Endpoints,
  place: string,
  flags: readonly string[] = [],
  options: CliOptions = {},
): WorkerProcess {
  return new WorkerProcess([
    ...["run", "--app=A", "--stream=S", "--log=json", `--processor=${place}`],
    ...endpointFlags(endpoints),
    ...flags,
  ], options);
}

/** A worker whose events are read. */
export class WorkerProcess extends CliProcess {
  get events(): readonly AppEvent[] {
    return this.stdout.map((line) => JSON.parse(line));
  }

  /** The events of a type so far. */
  told<T extends AppEvent["type"]>(type: T): readonly Extract<AppEvent, { type: T }>[] {
    return this.stdout.filter((line) => line.startsWith(`{"type":"${type}"`))
      .map((line) => JSON.parse(line));
  }

  /** Waits for so many events of a type. */
  async untilTold(type: AppEvent["type"], times = 1): Promise<void> {
    await this.until(() => this.told(type).length >= times);
  }

  /** How many records were processed. */
  get processed(): number {
    return this.told("batch_processed").reduce((sum, { records }) => sum + records, 0);
  }

  /** Waits until so many records were processed. */
  async untilProcessed(records: number): Promise<void> {
    await this.until(() => this.processed >= records);
  }

  /** Stops it, which has to be a clean end. */
  async stop(): Promise<void> {
    this.kill("SIGTERM");
    const code = await this.ended();
    if (code !== 0) throw new Error(`The worker ended with ${code}:\n${this.stderr.join("\n")}`);
  }
}
