/**
 * Owns: the numbers of a worker of the command line, and where they go besides `/metrics`: OpenTelemetry, CloudWatch.
 * Must not: load what nobody asked for.
 * Called by: `run.ts`.
 *
 * @module
 */

import type { ReactoKinesixApp } from "../app.ts";
import { AppMetrics } from "../telemetry/app_metrics.ts";
import type { EventLog } from "./event_log.ts";
import { type Flag, oneOf } from "./flags.ts";
import { isTelemetryExported } from "./leave.ts";
import type { Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

/** `--metrics`. */
export const METRICS_FLAG: Flag = {
  name: "metrics",
  placeholder: "FORMAT",
  doc:
    "emf: once a minute a line on stdout that CloudWatch makes metrics of, where it reads stdout",
  accepts: oneOf("emf"),
  isInEnvironment: true,
};

const EMF_EVERY_MS = 60_000;

/** The numbers of a worker, and where they go. */
export interface TelemetryOutputs {
  readonly metrics: AppMetrics;
  /** A log whose events are counted too. */
  listening(log: EventLog): EventLog;
  /** Measures the app from now on, and writes lines for CloudWatch into the log until the result is disposed. */
  measure(app: ReactoKinesixApp, log: EventLog): Disposable;
}

/** Opens the ways out that were asked for: `--metrics emf`, and OpenTelemetry with `OTEL_DENO=true`. */
export async function openTelemetryOutputs(
  values: Values,
  terminal: Terminal,
): Promise<TelemetryOutputs> {
  const metrics = new AppMetrics({
    appName: values.need("app"),
    streamName: values.need("stream"),
  });
  if (isTelemetryExported()) {
    const { exportToOpenTelemetry } = await import("../telemetry/open_telemetry.ts");
    // For as long as the process runs: the last export comes after the worker has stopped.
    exportToOpenTelemetry(metrics);
  } else if (terminal.env("OTEL_DENO") === "true") {
    terminal.say(
      "note: OTEL_DENO has no effect, since this executable was compiled without it; " +
        "read /metrics of --http, or use --metrics emf",
    );
  }
  const emf = values.text("metrics") === "emf"
    ? new (await import("../telemetry/emf.ts")).EmfMetrics(metrics)
    : undefined;
  return {
    metrics,
    listening: (log) => ({
      ...log,
      onEvent(event) {
        log.onEvent(event);
        metrics.add(event);
      },
    }),
    measure(app, log) {
      metrics.measure(app);
      if (emf === undefined) return { [Symbol.dispose]: () => {} };
      const write = (): void => log.onLine(emf.line(Date.now(), app.workerId));
      const timer = setInterval(write, EMF_EVERY_MS);
      return {
        [Symbol.dispose]() {
          clearInterval(timer);
          write();
        },
      };
    },
  };
}
