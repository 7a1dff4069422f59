/**
 * Owns: `kinesix put`: lines of stdin become records.
 * Must not: know how records are sent.
 * Called by: `commands/stream_commands.ts`.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import { connectAws } from "../adapters/aws_calls.ts";
import { connection } from "./connection.ts";
import { count } from "./event_text.ts";
import { openProgress } from "./progress.ts";
import { RecordPutter } from "./record_putter.ts";
import { aborted, listenForStop } from "./stop_signals.ts";
import type { Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

/** How long a line waits for others to go with it. */
const LINGER_MS = 50;

/** Puts the lines of stdin into a stream. */
export async function put(values: Values, terminal: Terminal): Promise<number> {
  const startedMs = performance.now();
  const isJson = values.isOn("json");
  const streamName = values.need("stream");
  using signals = listenForStop();
  const clients = connectAws(connection(values, terminal, ["kinesis"]));
  const kinesis = await clients.kinesis();
  // What counts would stand in the line that somebody types.
  const isTyped = terminal.isStdinInteractive;
  if (isTyped && !isJson) {
    terminal.say("note: each line that you type becomes a record; Ctrl-D ends");
  }
  const board = await openProgress(terminal, { isHidden: isJson || isTyped });
  const progress = board.add("put");
  // It is not given the signal: a signal ends the reading, the records in hand are still put.
  const putter = new RecordPutter({
    kinesis,
    streamName,
    onProgress: (records) => progress.update(records),
  });
  try {
    const partitionKey = values.text("partition-key");
    await putLines(terminal.readLines(), { putter, partitionKey, signal: signals.signal });
  } catch (error) {
    if (putter.records > 0) {
      terminal.say(`note: ${count(putter.records, "record")} of stdin went into the stream before`);
    }
    throw error;
  } finally {
    board[Symbol.dispose]();
    clients.close();
  }
  const { records } = putter;
  const seconds = Math.round(performance.now() - startedMs) / 1_000;
  await terminal.write(
    isJson
      ? `${JSON.stringify({ streamName, records, seconds })}\n`
      : `put ${count(records, "record")} into stream ${streamName} in ${seconds.toFixed(1)}s\n`,
  );
  if (!signals.signal.aborted) return 0;
  terminal.say(`error: Cannot put the rest of stdin: stopped by ${signals.signal.reason}`);
  return 1;
}

async function putLines(
  lines: AsyncIterable<readonly Uint8Array[]>,
  options: {
    readonly putter: RecordPutter;
    readonly partitionKey: string | undefined;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { putter, partitionKey, signal } = options;
  const stopped = aborted(signal);
  const iterator = lines[Symbol.asyncIterator]();
  while (!signal.aborted) {
    const next = iterator.next();
    // Lines that somebody types, or that a program writes now and then, go at once; those of a file go together.
    const isQuiet = await Promise.race([next.then(() => false), delay(LINGER_MS).then(() => true)]);
    if (isQuiet) await putter.flush();
    const result = await Promise.race([next, stopped]);
    if (!result || result.done) break;
    for (const line of result.value) {
      if (signal.aborted) break;
      const key = partitionKey ?? crypto.randomUUID();
      await putter.add({ partitionKey: key, data: line });
    }
  }
  await putter.flush();
}
