// Owns: `kinesix run` as a process of its own on the local stack, and what it logs.
// Must not: assert anything.
// Called by: the tests of threads and sandbox that need a whole worker.
import { type LocalStack, startLocalStack } from "../../src/cli/local_stack.ts";
import { type CliOptions, CliProcess } from "../cli/cli_testing.ts";

/** A worker with a processor, given as the text of its module. */
export function runWorker(
  stack: LocalStack,
  processor: string,
  flags: readonly string[],
  options: CliOptions = {},
): CliProcess {
  return new CliProcess([
    "run",
    "--app=A",
    "--stream=S",
    "--log=json",
    "--worker-id=w",
    "--empty-receive-delay=200ms",
    `--processor=data:text/javascript,${encodeURIComponent(processor)}`,
    `--kinesis-endpoint=${stack.kinesisEndpoint}`,
    `--dynamodb-endpoint=${stack.dynamoDBEndpoint}`,
    ...flags,
  ], options);
}

/** A local stack whose stream of two shards has some lines in it. */
export async function startStack(lines: readonly string[]): Promise<LocalStack> {
  const stack = await startLocalStack({ kinesis: 0, dynamoDB: 0 });
  stack.createStream("S", 2);
  await using put = new CliProcess(
    ["put", "--stream=S", `--endpoint-url=${stack.kinesisEndpoint}`],
    { stdin: lines.map((line) => `${line}\n`).join("") },
  );
  if (await put.ended() !== 0) throw new Error(put.stderr.join("\n"));
  return stack;
}

/** An event as it is logged. */
export interface LoggedEvent {
  readonly type: string;
  readonly records?: number;
  readonly operation?: string;
  readonly shardId?: string;
  readonly sequenceNumber?: string;
  readonly attempt?: number;
  readonly workerId?: string;
  readonly error?: { readonly name: string; readonly message: string };
}

/** The events of a log. */
export function eventsOf(lines: readonly string[]): readonly LoggedEvent[] {
  return lines.map((line) => JSON.parse(line));
}

/** How many records are finished. */
export function processed(lines: readonly string[]): number {
  return eventsOf(lines).reduce((sum, { records = 0 }) => sum + records, 0);
}
