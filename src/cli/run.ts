/**
 * Owns: `kinesix run`: one worker from its start to its clean stop.
 * Must not: know how records are read or shards are shared.
 * Called by: `main.ts`.
 *
 * @module
 */

import { type AppOptions, ReactoKinesixApp } from "../app.ts";
import { messageOf, toEventError } from "../errors.ts";
import type { AppEvent } from "../events.ts";
import { connection } from "./connection.ts";
import { type EventLog, openJsonLog, openPrettyLog } from "./event_log.ts";
import { fetchGraph } from "./load_processor/graph.ts";
import { type LoadedProcessor, startProcessor } from "./load_processor/load_processor.ts";
import { planThreads, startInThreads } from "./processor_threads.ts";
import { sendConsoleToStderr } from "./processor_output.ts";
import { aborted, listenForStop, type StopSignals } from "./stop_signals.ts";
import { sayError, type Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

/** Runs a worker until a signal, or until it cannot go on. */
export async function run(values: Values, terminal: Terminal): Promise<number> {
  const isJson = values.need("log") === "json";
  if (isJson) sendConsoleToStderr();
  using signals = listenForStop();
  signals.signal.addEventListener("abort", () => {
    if (terminal.isStderrInteractive) {
      terminal.say(`${signals.signal.reason}: stopping cleanly; once more to stop at once`);
    }
  });
  const plan = planThreads(values);
  const graph = await fetchGraph(values.need("processor"));
  const log = isJson ? openJsonLog(terminal) : await openPrettyLog(terminal);
  const workerId = values.text("worker-id");
  let processor: LoadedProcessor | undefined;
  try {
    processor = plan === undefined
      ? await startProcessor(graph)
      : await startInThreads(graph, plan, {
        isConsoleOnStderr: isJson,
        onStray: (error) => log.onEvent(strayEvent(error, workerId ?? "")),
      });
    return await runWorker({ signals, log, terminal }, {
      ...connection(values, terminal, ["kinesis", "dynamodb"]),
      ...workerId !== undefined && { workerId },
      appName: values.need("app"),
      streamName: values.need("stream"),
      processor: processor.source,
      config: plan?.config ?? values.config,
      onEvent: log.onEvent,
    });
  } finally {
    await processor?.dispose();
    await log.close();
  }
}

/** The worker goes on: what is not waited for in a thread of its own harms nothing else. */
function strayEvent(error: unknown, workerId: string): AppEvent {
  const time = new Date().toISOString();
  const told = { shardId: null, operation: "background", error: toEventError(error) } as const;
  return { type: "processor_failed", ...told, time, workerId };
}

/** What a worker runs with. */
interface Surroundings {
  readonly signals: StopSignals;
  readonly log: EventLog;
  readonly terminal: Terminal;
}

async function runWorker(
  { signals, log, terminal }: Surroundings,
  options: AppOptions,
): Promise<number> {
  using strays = catchStrays();
  await using app = await startUnless(signals.signal, options);
  if (app === undefined) return 0;
  const trouble = await Promise.race([
    aborted(signals.signal).then(() => undefined),
    app.finished.then(() => undefined),
    log.failed,
    strays.first,
  ]);
  if (trouble !== undefined) {
    sayError(trouble, terminal);
    terminal.say("stopping cleanly");
  }
  await app.stop();
  // A failure while stopping is a failure of the run.
  await app.finished;
  return trouble === undefined ? 0 : 1;
}

/** Starts the worker; undefined if it was told to stop before it ran. */
async function startUnless(
  signal: AbortSignal,
  options: AppOptions,
): Promise<ReactoKinesixApp | undefined> {
  try {
    return await ReactoKinesixApp.createNew({ ...options, signal });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/**
 * Catches what would end the process in the middle of a batch: a promise of the processor that fails unseen. The worker
 * stops cleanly instead, so that others go on at once with the right checkpoint.
 */
function catchStrays(): Disposable & { readonly first: Promise<Error> } {
  const { promise, resolve } = Promise.withResolvers<Error>();
  const tell = (cause: unknown) =>
    resolve(new Error(`Cannot go on: a failure was not handled: ${messageOf(cause)}`, { cause }));
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    tell(event.reason);
  };
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    tell(event.error);
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  globalThis.addEventListener("error", onError);
  return {
    first: promise,
    [Symbol.dispose]() {
      globalThis.removeEventListener("unhandledrejection", onRejection);
      globalThis.removeEventListener("error", onError);
    },
  };
}
