/**
 * Owns: `kinesix local`: a local stack until a signal.
 * Must not: know how the stack works.
 * Called by: `commands/local_commands.ts`.
 *
 * @module
 */

import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { count } from "./event_text.ts";
import { type LocalStack, startLocalStack } from "./local_stack.ts";
import { aborted, listenForStop } from "./stop_signals.ts";
import { type Terminal, wantsColor } from "./terminal.ts";
import type { Values } from "./values.ts";

/** Runs a local stack. */
export async function local(values: Values, terminal: Terminal): Promise<number> {
  using signals = listenForStop();
  await using stack = await startLocalStack({
    kinesis: values.needNumber("kinesis-port"),
    dynamoDB: values.needNumber("dynamodb-port"),
  });
  const streamName = values.text("stream");
  const shards = values.needNumber("shards");
  if (streamName !== undefined) stack.createStream(streamName, shards);
  const { kinesisEndpoint, dynamoDBEndpoint } = stack;
  const text = values.isOn("json")
    ? JSON.stringify({ kinesisEndpoint, dynamoDBEndpoint, streamName, shards })
    : await welcome(stack, terminal, { streamName, shards });
  await terminal.write(`${text}\n`);
  await aborted(signals.signal);
  return 0;
}

async function welcome(
  { kinesisEndpoint, dynamoDBEndpoint }: LocalStack,
  terminal: Terminal,
  { streamName, shards }: { readonly streamName: string | undefined; readonly shards: number },
): Promise<string> {
  const { Ansis } = await import("ansis");
  const paint = new Ansis(wantsColor(terminal, terminal.isStdoutInteractive) ? 1 : 0);
  const stream = streamName ?? "TestStream";
  return [
    `${paint.bold("Kinesis")}   ${paint.cyan(kinesisEndpoint)}`,
    `${paint.bold("DynamoDB")}  ${paint.cyan(dynamoDBEndpoint)}`,
    ...streamName === undefined
      ? []
      : [`${paint.bold("Stream")}    ${streamName}, ${count(shards, "shard")}`],
    "",
    "Any credentials and any region will do. In another terminal, for every AWS SDK and for kinesix:",
    "",
    "  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_REGION=us-east-1",
    `  export AWS_ENDPOINT_URL_KINESIS=${kinesisEndpoint}`,
    `  export AWS_ENDPOINT_URL_DYNAMODB=${dynamoDBEndpoint}`,
    "",
    "Then, for example:",
    "",
    ...streamName === undefined ? [`  aws kinesis create-stream --stream-name ${stream}`] : [],
    `  seq 1000 | ${programName()} put --stream ${stream}`,
    `  ${programName()} run --app TestApp --stream ${stream} --processor ./processor.ts`,
    "",
    paint.gray("Everything is in memory and gone when this stops: Ctrl-C"),
  ].join("\n");
}

/** How a person calls this program: its own name once it is compiled or installed, else through Deno. */
function programName(): string {
  return Deno.build.standalone || !Deno.mainModule.startsWith("file:")
    ? "kinesix"
    : `deno run -A ${relative(Deno.cwd(), fileURLToPath(Deno.mainModule))}`;
}
