/**
 * Owns: `kinesix consumer list` and `kinesix consumer deregister`: the registered consumers of a stream.
 * Must not: read records.
 * Called by: `commands/stream_commands.ts`.
 *
 * @module
 */

import { connectAws } from "../adapters/aws_calls.ts";
import { type ConsumerInfo, StreamCalls } from "../adapters/stream_calls.ts";
import { resolveConfig } from "../core/config.ts";
import { connection } from "./connection.ts";
import { count } from "./event_text.ts";
import { tableText } from "./table_text.ts";
import { jsonText, printable, type Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

/** Lists the consumers. */
export function listConsumers(values: Values, terminal: Terminal): Promise<number> {
  return withStream(values, terminal, async ({ calls, streamName, streamArn, signal }) => {
    const consumers = await calls.listConsumers(streamArn, signal);
    await terminal.write(
      values.isOn("json")
        ? `${jsonText({ streamName, consumers: consumers.map(toJson) })}\n`
        : await tableOf(consumers, streamName, terminal),
    );
    return 0;
  });
}

/** Deregisters a consumer. */
export function deregisterConsumer(values: Values, terminal: Terminal): Promise<number> {
  const name = values.argument("NAME") ?? "";
  return withStream(values, terminal, async ({ calls, streamName, streamArn, signal }) => {
    const existed = await calls.deregisterConsumer(streamArn, name, signal);
    if (!existed) {
      const names = (await calls.listConsumers(streamArn, signal)).map((consumer) => consumer.name);
      terminal.say(
        `error: Cannot deregister consumer "${name}": stream "${streamName}" has none of that name; ` +
          `it has ${names.map(printable).join(", ") || "no consumers"}`,
      );
      return 1;
    }
    await terminal.write(
      values.isOn("json")
        ? `${jsonText({ streamName, deregistered: name })}\n`
        : `deregistered consumer ${name} of stream ${streamName}\n`,
    );
    return 0;
  });
}

interface StreamAccess {
  readonly calls: StreamCalls;
  readonly streamName: string;
  readonly streamArn: string;
  readonly signal: AbortSignal;
}

async function withStream(
  values: Values,
  terminal: Terminal,
  act: (access: StreamAccess) => Promise<number>,
): Promise<number> {
  const streamName = values.need("stream");
  const { signal } = new AbortController();
  const clients = connectAws(connection(values, terminal, ["kinesis"]));
  try {
    const calls = new StreamCalls({
      client: await clients.kinesis(),
      streamName,
      config: resolveConfig(),
      emit: () => {},
    });
    return await act({ calls, streamName, streamArn: await calls.streamArn(signal), signal });
  } finally {
    clients.close();
  }
}

function toJson({ name, arn, status, createdAt }: ConsumerInfo): object {
  return { name, arn, status, createdAt: new Date(createdAt).toISOString() };
}

async function tableOf(
  consumers: readonly ConsumerInfo[],
  streamName: string,
  terminal: Terminal,
): Promise<string> {
  const head = `${count(consumers.length, "consumer")} of stream ${streamName}\n`;
  if (consumers.length === 0) return head;
  const rows = consumers.map(({ name, status, createdAt, arn }) => [
    ...[name, status, new Date(createdAt).toISOString(), arn],
  ]);
  const table = await tableText(["Consumer", "Status", "Registered", "ARN"], rows, terminal);
  return `${head}${table}\n`;
}
