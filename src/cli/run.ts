/**
 * Owns: `kinesix run`: one worker from its start to its clean stop.
 * Must not: know how records are read or shards are shared.
 * Called by: `commands/worker_commands.ts`; `replay.ts` uses its parts.
 *
 * @module
 */

import { type AppOptions, ReactoKinesixApp } from "../app.ts";
import { checkOnFailure, type OnFailure } from "../adapters/failure_destination.ts";
import type { ReactoKinesixConfig } from "../core/config.ts";
import { messageOf, toUserError } from "../errors.ts";
import type { AppFact } from "../events.ts";
import { connection } from "./connection.ts";
import { type EventLog, openJsonLog, openPrettyLog } from "./event_log.ts";
import { healthLimits } from "./http/health_flags.ts";
import { httpAddress, isLoopbackAddress } from "./http/http_flags.ts";
import type { WorkerServer, WorkerServerOptions } from "./http/worker_server.ts";
import { LeftBehind } from "./left_behind.ts";
import { fetchGraph } from "./load_processor/graph.ts";
import { type LoadedProcessor, startProcessor } from "./load_processor/load_processor.ts";
import type { ModuleGraph } from "./load_processor/module_graph.ts";
import { checkForNewVersion } from "./load_processor/new_version.ts";
import { LOAD_LIMITS, type LoadOptions } from "./load_processor/options.ts";
import { filterOf } from "./pattern_filter.ts";
import { patiently } from "./patience.ts";
import { loadOptions, watchInterval } from "./processor_flags.ts";
import { logLevel } from "./log_level.ts";
import { sendConsoleToStderr } from "./processor_output.ts";
import { startInThreads } from "./processor_threads.ts";
import {
  aborted,
  listenForReload,
  listenForStop,
  type ReloadSignals,
  stopsAtHangup,
  type StopSignals,
} from "./stop_signals.ts";
import { printable, sayError, type Terminal } from "./terminal.ts";
import { planThreads } from "./thread_flags.ts";
import { openTelemetryOutputs, type TelemetryOutputs } from "./telemetry_outputs.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";
import { loadedFact, ProcessorWatch } from "./watch_processor.ts";

/** Runs a worker until a signal, or until it cannot go on. */
export async function run(values: Values, terminal: Terminal): Promise<number> {
  const isJson = values.need("log") === "json";
  const onFailure = onFailureOf(values);
  if (isJson) sendConsoleToStderr();
  const isHangup = watchInterval(values) === undefined && stopsAtHangup();
  using signals = listenForStop(() => {}, isHangup ? ["SIGHUP"] : []);
  // From the start on: one that comes while the processor is loaded must not end the process.
  using reloads = isHangup ? undefined : listenForReload();
  signals.signal.addEventListener("abort", () => {
    if (terminal.isStderrInteractive) {
      terminal.say(`${signals.signal.reason}: stopping cleanly; once more to stop at once`);
    }
  });
  const filter = filterOf(values);
  using leftBehind = new LeftBehind(navigator.hardwareConcurrency);
  const onLeftBehind = (): void => leftBehind.add();
  const processing = await startProcessing(values, terminal, {
    signal: signals.signal,
    onLeftBehind,
    isConsoleOnStderr: isJson,
  });
  if (processing === undefined) return 0;
  try {
    const level = logLevel(values);
    const lines = isJson ? openJsonLog(terminal, level) : await openPrettyLog(terminal, level);
    const telemetry = await openTelemetryOutputs(values, terminal);
    const log = telemetry.listening(lines);
    const workerId = values.text("worker-id");
    try {
      const http = {
        address: httpAddress(values),
        token: values.text("http-token"),
        limits: healthLimits(values),
        metrics: telemetry.metrics,
      };
      const own = {
        ...{ signals, reloads, log, leftBehind, values, terminal, processing, http, telemetry },
      };
      return await runWorker(own, {
        ...connection(values, terminal, ["kinesis", "dynamodb"]),
        ...workerId !== undefined && { workerId },
        appName: values.need("app"),
        streamName: values.need("stream"),
        processor: processing.first.source,
        ...filter !== undefined && { filter },
        ...onFailure !== undefined && { onFailure },
        config: processing.config,
        onEvent(event) {
          leftBehind.observe(event);
          log.onEvent(event);
        },
      });
    } finally {
      await log.close();
    }
  } finally {
    await processing.first.dispose();
  }
}

/** Where records go that are given up, if anywhere. */
export function onFailureOf(values: Values): OnFailure | undefined {
  const onFailure = values.text("on-failure") as OnFailure | undefined;
  try {
    checkOnFailure(onFailure, values.need("stream"));
    return onFailure;
  } catch (error) {
    throw new UsageError(messageOf(error).replace("onFailure", "--on-failure"), { cause: error });
  }
}

/** The processor, and how to go on to the next version of it. */
export interface Processing {
  readonly first: LoadedProcessor;
  readonly options: LoadOptions;
  readonly intervalMs: number | undefined;
  readonly start: (graph: ModuleGraph, signal: AbortSignal) => Promise<LoadedProcessor>;
  /** The settings, with what its threads need. */
  readonly config: ReactoKinesixConfig;
  /** Is told what failed in a thread of its own without anybody waiting for it. */
  tellStray: (error: unknown) => void;
}

/** Loads the processor; undefined if the process was told to stop in the meantime. */
export async function startProcessing(
  values: Values,
  terminal: Terminal,
  { signal, onLeftBehind, isConsoleOnStderr }: {
    readonly signal: AbortSignal;
    readonly onLeftBehind: () => void;
    readonly isConsoleOnStderr: boolean;
  },
): Promise<Processing | undefined> {
  const options = { ...loadOptions(values), signal };
  const intervalMs = watchInterval(values);
  const plan = planThreads(values);
  const strays = { tellStray: (error: unknown): void => sayError(error, terminal) };
  const start = (graph: ModuleGraph, signal: AbortSignal): Promise<LoadedProcessor> =>
    plan === undefined
      ? startProcessor(graph, { ...options, signal })
      : startInThreads(graph, plan, {
        isConsoleOnStderr,
        loadTimeoutMs: options.limits?.timeoutMs ?? LOAD_LIMITS.timeoutMs,
        signal,
        onStray: (error) => strays.tellStray(error),
        onLeftBehind,
      });
  try {
    const first = await start(await fetchGraph(values.need("processor"), options), signal);
    const config = plan?.config ?? values.config;
    return Object.assign(strays, { first, options, intervalMs, start, config });
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/** What a worker runs with. */
interface Surroundings {
  readonly signals: StopSignals;
  /** Undefined if such a signal is a wish to stop. */
  readonly reloads: ReloadSignals | undefined;
  readonly log: EventLog;
  readonly leftBehind: LeftBehind;
  readonly values: Values;
  readonly terminal: Terminal;
  readonly processing: Processing;
  readonly http: Http;
  readonly telemetry: TelemetryOutputs;
}

/** Where HTTP is answered, if anywhere, and the token of those who may change something. */
type Http = Pick<WorkerServerOptions, "token" | "limits" | "metrics"> & {
  readonly address: WorkerServerOptions["address"] | undefined;
};

async function runWorker(
  { signals, reloads, log, leftBehind, values, terminal, processing, http, telemetry }:
    Surroundings,
  options: AppOptions,
): Promise<number> {
  using strays = catchStrays();
  const look = { now: (): void => {} };
  await using server = await openServer({ http, options, processing, terminal, look });
  await using app = await patiently(startUnless(signals.signal, options), {
    ...{ values, terminal, services: ["kinesis", "dynamodb"] },
  });
  if (app === undefined) return 0;
  server?.join(app);
  const { workerId } = app;
  using _measured = telemetry.measure(app, log);
  const tell = (fact: AppFact): void => {
    const event = { ...fact, time: new Date().toISOString(), workerId };
    log.onEvent(event);
    server?.onEvent(event);
  };
  processing.tellStray = (error) => {
    const told = toUserError(error);
    tell({ type: "processor_failed", shardId: null, operation: "background", error: told });
  };
  await using watch = watchUnlessNever(app, processing, tell);
  tell(loadedFact(processing.first));
  look.now = () => watch?.lookNow();
  reloads?.follow(look.now);
  const trouble = await Promise.race([
    aborted(signals.signal).then(() => undefined),
    app.finished.then(() => undefined),
    log.failed,
    leftBehind.tooMany,
    strays.first,
  ]);
  if (trouble !== undefined) {
    sayError(trouble, terminal);
    terminal.say("stopping cleanly");
  }
  watch?.stop();
  await app.stop();
  // A failure while stopping is a failure of the run.
  await app.finished;
  return trouble === undefined ? 0 : 1;
}

/** Answers HTTP, if it is to be answered anywhere. */
async function openServer({ http, options, processing, terminal, look }: {
  readonly http: Http;
  readonly options: AppOptions;
  readonly processing: Processing;
  readonly terminal: Terminal;
  /** What looks for a new version of the processor, as soon as there is something. */
  readonly look: { readonly now: () => void };
}): Promise<WorkerServer | undefined> {
  if (http.address === undefined) return undefined;
  const { WorkerServer } = await import("./http/worker_server.ts");
  const server = new WorkerServer({
    ...http,
    cluster: options,
    address: http.address,
    lookForProcessor: processing.intervalMs === undefined ? undefined : () => look.now(),
    onOrder: (order) => terminal.say(printable(`ordered in the dashboard: ${order}`)),
    onError: (error) => sayError(error, terminal),
  });
  terminal.say(`listening on ${server.url}: the dashboard, /metrics, /healthz, /readyz`);
  if (!isLoopbackAddress(http.address)) {
    terminal.say(
      "note: other machines reach this address too; everything but changes is open to them",
    );
  }
  return server;
}

function watchUnlessNever(
  app: ReactoKinesixApp,
  { first, intervalMs, options, start }: Processing,
  tell: (fact: AppFact) => void,
): ProcessorWatch | undefined {
  if (intervalMs === undefined) return undefined;
  return new ProcessorWatch({
    app,
    first,
    intervalMs,
    check: (current, signal) => checkForNewVersion(current, { ...options, signal }),
    start,
    tell,
  });
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
export function catchStrays(): Disposable & { readonly first: Promise<Error> } {
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
