/**
 * Owns: where the executable is that the tests of this folder are about, and workers of it.
 * Called by: the tests of this folder.
 */

import type { LocalStack } from "../../src/cli/local_stack.ts";
import { CliProcess, type Program } from "../cli/cli_testing.ts";

/** The executable, from `KINESIX_BINARY`. */
export const BINARY: string | undefined = Deno.env.get("KINESIX_BINARY") || undefined;

/**
 * A test on the executable.
 *
 * @param isPossible Whether this machine has what the test needs.
 */
export function binaryTest(
  name: string,
  test: (binary: string) => Promise<void>,
  isPossible: boolean = true,
): void {
  Deno.test({ name, ignore: BINARY === undefined || !isPossible, fn: () => test(BINARY ?? "") });
}

/** Whether a program is there and succeeds. */
export function works(command: string, ...args: readonly string[]): boolean {
  try {
    return new Deno.Command(command, { args: [...args], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Settings at which a cluster finds its balance in seconds. */
const QUICK = [
  "--heartbeat=500ms",
  "--heartbeat-timeout=5s",
  "--empty-receive-delay=200ms",
  "--check-stream-changes-frequency=2s",
  "--check-unprocessed-shards-frequency=500ms",
  "--load-balance-frequency=1s",
  "--handover-request-expiry=6s",
  "--check-pending-handover-request-frequency=1s",
];

/** How a worker is started. */
export interface WorkerOptions {
  readonly stack: Pick<LocalStack, "kinesisEndpoint" | "dynamoDBEndpoint">;
  readonly processor: string;
  readonly flags?: readonly string[];
  /** All that is in its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** The executable, or another program that starts it. */
  readonly program: Program;
}

/** Starts a worker that finds nothing in its environment, reads stream "S", and prints its events as JSON. */
export function startWorker(options: WorkerOptions): CliProcess {
  const { stack, processor, flags = [], env = {}, program } = options;
  return new CliProcess([
    ...["run", "--app=A", "--stream=S", `--processor=${processor}`, "--log=json"],
    `--kinesis-endpoint=${stack.kinesisEndpoint}`,
    `--dynamodb-endpoint=${stack.dynamoDBEndpoint}`,
    ...QUICK,
    ...flags,
  ], { program, env, clearEnv: true });
}

/** The records that a worker processed, by its events. */
export function processedBy(worker: CliProcess): number {
  return worker.stdout.reduce((sum, line) => sum + (JSON.parse(line).records ?? 0), 0);
}

/** Puts lines into stream "S". */
export async function putLines(
  stack: Pick<LocalStack, "kinesisEndpoint">,
  lines: readonly string[],
  program: Program,
): Promise<void> {
  await using put = new CliProcess(
    ["put", "--stream=S", `--endpoint-url=${stack.kinesisEndpoint}`, "--json"],
    { stdin: lines.map((line) => `${line}\n`).join(""), program, clearEnv: true },
  );
  const code = await put.ended();
  if (code !== 0) throw new Error(`put ended with ${code}: ${put.stderr.join("\n")}`);
}
