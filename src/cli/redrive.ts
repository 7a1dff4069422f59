/**
 * Owns: `kinesix redrive`: which failure records are put back into their stream, and what is told about it.
 * Must not: know how they are read, sent or remembered.
 * Called by: `commands/stream_commands.ts`.
 *
 * @module
 */

import type { KinesisClient } from "@aws-sdk/client-kinesis";
import { connectAws } from "../adapters/aws_calls.ts";
import type { StoredFailure } from "../adapters/failure_format.ts";
import { type FailurePlace, parseFailurePlace } from "../core/failure_place.ts";
import { parseTime } from "../core/setting.ts";
import { invariant, messageOf } from "../errors.ts";
import { connection } from "./connection.ts";
import { count, errorText, shortPosition } from "./event_text.ts";
import { type FailureSource, openFailures } from "./failure_source.ts";
import { openProgress, type ProgressBoard } from "./progress.ts";
import { type OutgoingRecord, RecordPutter } from "./record_putter.ts";
import { RedriveMarks } from "./redrive_marks.ts";
import { listenForStop } from "./stop_signals.ts";
import { printable, type Terminal } from "./terminal.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

/** What became of the failure records. */
interface Counts {
  read: number;
  put: number;
  putBefore: number;
  fromOtherStreams: number;
  notAskedFor: number;
  unreadable: number;
}

/** How it is done. */
interface Plan {
  readonly streamName: string;
  readonly isDryRun: boolean;
  readonly isJson: boolean;
  readonly isAnyStream: boolean;
  readonly isAskedFor: (failure: StoredFailure) => boolean;
  readonly marks: RedriveMarks;
  readonly kinesis: KinesisClient;
  readonly board: ProgressBoard;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

const UNREADABLE_TOLD_MAX = 10;

/** Puts records that were given up back into their stream. */
export async function redrive(values: Values, terminal: Terminal): Promise<number> {
  const startedMs = performance.now();
  const place = parseFailurePlace(values.need("from"));
  invariant(place !== undefined, "--from is checked");
  const streamName = values.need("stream");
  if (place.kind === "stream" && place.streamName === streamName) {
    throw new UsageError(`Cannot put records from stream "${streamName}" back into itself`);
  }
  const [isJson, isDryRun] = [values.isOn("json"), values.isOn("dry-run")];
  using signals = listenForStop();
  const { signal } = signals;
  await using marks = await RedriveMarks.open(
    values.text("marks") ?? marksPath(place),
    streamName,
  );
  const clients = connectAws(connection(values, terminal, ["kinesis"]));
  const kinesis = await clients.kinesis();
  const board = await openProgress(terminal, { isHidden: isJson });
  const counts: Counts = {
    ...{ read: 0, put: 0, putBefore: 0, fromOtherStreams: 0, notAskedFor: 0, unreadable: 0 },
  };
  try {
    const source = await openFailures(place, { kinesis, since: timeOf(values, "since") });
    if (!isDryRun) await marks.prepare();
    const isAnyStream = values.isOn("any-stream");
    const plan = { streamName, isDryRun, isJson, isAnyStream, isAskedFor: filterOf(values), marks };
    await putBack(source, { ...plan, kinesis, board, terminal, signal }, counts);
  } catch (error) {
    // As with `| head`: whoever reads has seen enough, and nothing was done.
    if (isDryRun && error instanceof Deno.errors.BrokenPipe) return 0;
    if (counts.put > 0 && !isDryRun) {
      terminal.say(`note: ${count(counts.put, "record")} went back before`);
    }
    throw error;
  } finally {
    board[Symbol.dispose]();
    clients.close();
  }
  const seconds = Math.round(performance.now() - startedMs) / 1_000;
  const from = values.need("from");
  await terminal.write(
    isJson
      ? `${JSON.stringify({ from, streamName, isDryRun, ...counts, seconds })}\n`
      : `${summary(counts, { streamName, isDryRun, seconds })}\n`,
  );
  if (!signal.aborted) return 0;
  terminal.say(`error: Cannot put back the rest: stopped by ${signal.reason}; call it again`);
  return 1;
}

/** Puts back what is asked for. What is in the stream is noted before more is sent, and also when the rest cannot be. */
async function putBack(source: FailureSource, plan: Plan, counts: Counts): Promise<void> {
  const { kinesis, streamName, marks, isDryRun } = plan;
  const names = new Map<OutgoingRecord, string>();
  const done: OutgoingRecord[] = [];
  // It is not given the signal: a signal ends the reading, the records in hand are still put.
  const putter = new RecordPutter({
    kinesis,
    streamName,
    onPut: (records) => done.push(...records),
  });
  const settle = async (): Promise<void> => {
    const put = done.splice(0);
    if (put.length === 0) return;
    await marks.note(put.flatMap((record) => names.get(record) ?? []));
    put.forEach((record) => names.delete(record));
    counts.put += put.length;
  };
  const send = async (failure: StoredFailure, name: string): Promise<void> => {
    names.set(failure, name);
    await putter.add(failure);
    await settle();
  };
  try {
    await readAll(source, plan, counts, send);
    if (!isDryRun) await putter.flush();
  } catch (error) {
    // Of the records that went together some may be in the stream: they must not go there again.
    await settle().catch((cause) => plan.terminal.say(printable(`note: ${messageOf(cause)}`)));
    throw error;
  }
  await settle();
}

/** Reads to the end, or until a signal, and has sent what is to be put back. */
async function readAll(
  source: FailureSource,
  plan: Plan,
  counts: Counts,
  send: (failure: StoredFailure, name: string) => Promise<void>,
): Promise<void> {
  const { board, isDryRun, signal } = plan;
  const progress = board.add(isDryRun ? "read" : "redrive", source.bytes);
  try {
    for await (const { where, failure, bytesRead } of source.read(signal)) {
      if (signal.aborted) break;
      counts.read += 1;
      const name = choose({ where, failure }, plan, counts);
      if (name !== undefined && typeof failure !== "string") {
        if (isDryRun) {
          counts.put += 1;
          await tellDryRun(failure, plan);
        } else {
          await send(failure, name);
        }
      }
      progress.update(bytesRead ?? counts.read, `${counts.put} put back`);
    }
  } catch (error) {
    // A read that is under way when the signal comes ends with it.
    if (!signal.aborted || error !== signal.reason) throw error;
  }
}

/** The name of a record that is to be put back; undefined if it is not. */
function choose(
  { where, failure }: { readonly where: string; readonly failure: StoredFailure | string },
  { isAnyStream, streamName, isAskedFor, marks, terminal }: Plan,
  counts: Counts,
): string | undefined {
  if (typeof failure === "string") {
    counts.unreadable += 1;
    if (counts.unreadable <= UNREADABLE_TOLD_MAX) {
      terminal.say(
        printable(`note: ${where} is no failure record and is passed over: ${failure}`),
      );
    }
    return undefined;
  }
  if (!isAnyStream && failure.streamName !== streamName) {
    counts.fromOtherStreams += 1;
    return undefined;
  }
  if (!isAskedFor(failure)) {
    counts.notAskedFor += 1;
    return undefined;
  }
  const name = marks.take(failure);
  if (name === undefined) counts.putBefore += 1;
  return name;
}

function filterOf(values: Values): (failure: StoredFailure) => boolean {
  const [app, shard, text] = [values.text("app"), values.text("shard"), values.text("error")];
  const [since = -Infinity, until = Infinity] = [timeOf(values, "since"), timeOf(values, "until")];
  return ({ appName, shardId, error, time }) =>
    (app === undefined || appName === app) &&
    (shard === undefined || shardId === shard) &&
    (text === undefined || error.name.includes(text) || error.message.includes(text)) &&
    time.getTime() >= since && time.getTime() < until;
}

function timeOf(values: Values, flag: "since" | "until"): number | undefined {
  const text = values.text(flag);
  return text === undefined ? undefined : parseTime(text);
}

function marksPath(place: FailurePlace): string {
  return `${place.kind === "file" ? place.path : place.streamName}.redriven`;
}

async function tellDryRun(failure: StoredFailure, { isJson, terminal }: Plan): Promise<void> {
  if (isJson) return;
  const { time, shardId, sequenceNumber, partitionKey, error } = failure;
  const where = `${shardId} ${shortPosition(sequenceNumber)} ${JSON.stringify(partitionKey)}`;
  const [line = ""] = printable(`${time.toISOString()} ${where} ${errorText(error)}`).split("\n");
  await terminal.write(`${line}\n`);
}

function summary(
  counts: Counts,
  { streamName, isDryRun, seconds }: {
    readonly streamName: string;
    readonly isDryRun: boolean;
    readonly seconds: number;
  },
): string {
  const others = [
    [counts.putBefore, "were put back before"],
    [counts.notAskedFor, "are not asked for"],
    [counts.fromOtherStreams, "are from other streams (--any-stream)"],
    [counts.unreadable, "are no failure records"],
  ].filter(([amount]) => amount !== 0).map(([amount, what]) => `${amount} ${what}`);
  return `${isDryRun ? "would put" : "put"} ${count(counts.put, "record")} back into stream ` +
    `${streamName} in ${seconds.toFixed(1)}s${others.length === 0 ? "" : `; ${others.join(", ")}`}`;
}
