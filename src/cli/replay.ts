/**
 * Owns: `kinesix replay`: a range of a stream through a processor, once: what is run, when it is done, and what is told of it.
 * Must not: touch a state table, or process records in another way than a worker does.
 * Called by: `commands/watch_commands.ts`.
 *
 * @module
 */

import { connectAws } from "../adapters/aws_calls.ts";
import { KinesisPollingSource } from "../adapters/kinesis_polling.ts";
import { MemoryLeaseStore } from "../adapters/memory.ts";
import { systemClock } from "../adapters/system.ts";
import { type AppOptions, ReactoKinesixApp } from "../app.ts";
import { resolveConfig } from "../core/config.ts";
import { StoreError } from "../errors.ts";
import { formatDuration } from "../core/duration.ts";
import { parsePosition } from "./checkpoints/position.ts";
import { StreamBounds } from "./checkpoints/stream_bounds.ts";
import { connection } from "./connection.ts";
import { count } from "./event_text.ts";
import { LeftBehind } from "./left_behind.ts";
import { filterOf } from "./pattern_filter.ts";
import { sendConsoleToStderr } from "./processor_output.ts";
import { openProgress } from "./progress.ts";
import { RangeSource } from "./range_source.ts";
import { type ReplayResult, ReplayWatch } from "./replay_watch.ts";
import { catchStrays, onFailureOf, type Processing, startProcessing } from "./run.ts";
import { aborted, listenForStop } from "./stop_signals.ts";
import { printable, sayError, type Terminal } from "./terminal.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

/** So many shards are named to a person that are not done. */
const SHARDS_TOLD_MAX = 20;
const WORKER_ID = "replay";

/** A part of a stream, by time: milliseconds since the epoch. */
interface Range {
  /** Undefined is the oldest record. */
  readonly from: number | undefined;
  readonly to: number;
}

/** Runs a range of a stream through a processor. */
export async function replay(values: Values, terminal: Terminal): Promise<number> {
  const startedMs = performance.now();
  const range = rangeOf(values, systemClock.now());
  const onFailure = onFailureOf(values);
  const filter = filterOf(values);
  const isJson = values.isOn("json");
  if (isJson) sendConsoleToStderr();
  using signals = listenForStop();
  using leftBehind = new LeftBehind(navigator.hardwareConcurrency);
  const processing = await startProcessing(values, terminal, {
    signal: signals.signal,
    onLeftBehind: () => leftBehind.add(),
    isConsoleOnStderr: isJson,
  });
  try {
    if (processing === undefined) throw signals.signal.reason;
    if ("isTransacting" in processing.first.source) throw new UsageError(NO_TRANSACTIONS);
    const outcome = await replayRange(range, {
      appName: WORKER_ID,
      streamName: values.need("stream"),
      workerId: WORKER_ID,
      processor: processing.first.source,
      ...onFailure !== undefined && { onFailure },
      ...filter !== undefined && { filter },
    }, { values, terminal, signal: signals.signal, leftBehind, processing });
    const seconds = Math.round(performance.now() - startedMs) / 1_000;
    return await tell(outcome, { ...range, values, seconds, terminal, signal: signals.signal });
  } catch (error) {
    // A failure while it stops is a failure.
    if (!signals.signal.aborted || error !== signals.signal.reason) throw error;
    terminal.say(`error: Cannot replay: stopped by ${signals.signal.reason} before it began`);
    return 1;
  } finally {
    await processing?.first.dispose();
  }
}

/** How a replay went. */
interface Outcome {
  readonly result: ReplayResult;
  /** Whether it was ended by something that is no failure of a record. */
  readonly isTroubled: boolean;
}

/** The checkpoints of a replay are in memory: no transaction with the tables of items holds them. */
function refuseItems(): never {
  throw new StoreError(NO_TRANSACTIONS, { kind: "invalid" });
}

const NO_TRANSACTIONS =
  "Cannot write items with the checkpoint in a replay, which has no checkpoints in DynamoDB; replay through a processor that " +
  "writes by itself, so that nothing changes when it writes twice";

/** What a replay runs with. */
interface Means {
  readonly values: Values;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  readonly leftBehind: LeftBehind;
  readonly processing: Processing;
}

async function replayRange(
  range: Range,
  options: Omit<AppOptions, "config" | "onEvent" | "ports">,
  means: Means,
): Promise<Outcome> {
  const { values, terminal, signal, leftBehind, processing } = means;
  const { streamName } = options;
  const clients = connectAws(connection(values, terminal, ["kinesis"]));
  const isJson = values.isOn("json");
  const board = await openProgress(terminal, { isHidden: isJson });
  try {
    const client = await clients.kinesis();
    await checkRange(range, new StreamBounds(client, streamName, signal));
    const config = {
      ...processing.config,
      initialPosition: range.from ?? "TRIM_HORIZON",
      retrieval: "polling",
      // It may stand in the file of --config. What is replayed is old.
      maxRecordAge: 0,
    } as const;
    const told: { watch?: ReplayWatch } = {};
    const polling = new KinesisPollingSource({
      ...{ client, streamName, clock: systemClock },
      config: resolveConfig(config),
      emit: (fact) => told.watch?.observe(fact),
    });
    const source = new RangeSource({ source: polling, ...range, now: () => systemClock.now() });
    const store = new MemoryLeaseStore({ refuse: refuseItems });
    using watch = new ReplayWatch({
      ...{ source, store, shards: await source.listShards(signal) },
      ...{ progress: board.add("replay", 1), terminal },
      say: (line) => isJson ? terminal.say(line) : board.say(line),
    });
    told.watch = watch;
    const onEvent: AppOptions["onEvent"] = (event) => {
      leftBehind.observe(event);
      watch.observe(event);
    };
    const trouble = await runApp({ ...options, config, onEvent, ports: { store, source } }, {
      ...{ signal, leftBehind, processing, watch, refused: source.refused },
    });
    if (trouble !== undefined) sayError(trouble, terminal);
    return { result: await watch.result(), isTroubled: trouble !== undefined };
  } finally {
    board[Symbol.dispose]();
    clients.close();
  }
}

/** Runs a worker until the range is done, or it has to stop; gives why it had to. */
async function runApp(
  options: AppOptions,
  { signal, leftBehind, processing, watch, refused }: Omit<Means, "values" | "terminal"> & {
    readonly watch: ReplayWatch;
    readonly refused: Promise<unknown>;
  },
): Promise<unknown> {
  using strays = catchStrays();
  await using app = await ReactoKinesixApp.createNew({ ...options, signal });
  watch.follow(() => app.shards());
  const background = Promise.withResolvers<unknown>();
  processing.tellStray = background.resolve;
  const trouble = await Promise.race([
    watch.done,
    refused,
    aborted(signal),
    app.finished,
    leftBehind.tooMany,
    strays.first,
    background.promise,
  ]);
  await app.stop();
  // A failure while stopping is a failure of the replay.
  await app.finished;
  return trouble;
}

/** Prints the outcome; gives the exit code. */
async function tell(
  { result, isTroubled }: Outcome,
  { from, to, values, seconds, terminal, signal }: Range & {
    readonly values: Values;
    readonly seconds: number;
    readonly terminal: Terminal;
    readonly signal: AbortSignal;
  },
): Promise<number> {
  const { records, failed, shards, shardsDone, stopped, unfinished, resumeFrom } = result;
  const streamName = values.need("stream");
  const range = {
    from: from === undefined ? "trim-horizon" : new Date(from).toISOString(),
    to: new Date(to).toISOString(),
  };
  const isComplete = shardsDone === shards;
  const summary = { streamName, ...range, isComplete, ...result, seconds };
  const lines = [
    `replayed ${count(records, "record")} of ${streamName} from ${range.from} to ${range.to}: ` +
    `${shardsDone} of ${count(shards, "shard")} done in ${seconds.toFixed(1)}s`,
    ...failed === 0
      ? []
      : [`${count(failed, "record")} failed and ${failed === 1 ? "was" : "were"} given up`],
    ...stopped.map(({ shardId, reason, checkpoint }) =>
      `${shardId} stopped after ${checkpoint}: ${reason}`
    ),
    ...unfinished.slice(0, SHARDS_TOLD_MAX).map(({ shardId, checkpoint }) =>
      `${shardId} is processed up to ${checkpoint}`
    ),
    ...unfinished.length <= SHARDS_TOLD_MAX
      ? []
      : [`and ${count(unfinished.length - SHARDS_TOLD_MAX, "more shard")}, which --json names`],
  ];
  await terminal.write(
    values.isOn("json") ? `${JSON.stringify(summary)}\n` : printable(`${lines.join("\n")}\n`),
  );
  if (isComplete) return failed === 0 && !isTroubled ? 0 : 1;
  const why = signal.aborted ? `stopped by ${signal.reason}` : "see above";
  terminal.say(
    `error: Cannot replay the rest: ${why}; --from ${
      resumeFrom ?? range.from
    } --to ${range.to} goes on ` +
      "without a gap, and repeats some records",
  );
  return 1;
}

function rangeOf(values: Values, now: number): Range {
  const [from, to] = [values.need("from"), values.need("to")].map((text) =>
    parsePosition(text === "now" ? "latest" : text, now)
  );
  if (to?.kind !== "timestamp" || from === undefined || from.kind === "sequence") {
    throw new UsageError("Cannot replay: --from and --to are times");
  }
  if (to.timestamp > now) {
    throw new UsageError(
      `Cannot replay to ${
        values.need("to")
      }: that is in the future; a worker (kinesix run) waits for what comes`,
    );
  }
  const start = from.kind === "timestamp" ? from.timestamp : undefined;
  if (start !== undefined && start >= to.timestamp) {
    throw new UsageError(
      `Cannot replay from ${values.need("from")} to ${values.need("to")}: that is no time at all`,
    );
  }
  return { from: start, to: to.timestamp };
}

/** @throws {RangeError} If the stream does not hold all of it any more. */
async function checkRange({ from }: Range, bounds: StreamBounds): Promise<void> {
  if (from === undefined) return;
  const retentionMs = await bounds.retentionMs();
  if (from >= systemClock.now() - retentionMs) return;
  throw new RangeError(
    `Cannot replay from ${new Date(from).toISOString()}: the stream holds its records for ` +
      `${formatDuration(retentionMs)}; use --from trim-horizon for the oldest record`,
  );
}
