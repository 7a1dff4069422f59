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

/** Whether the runtime has put itself where OpenTelemetry looks for whoever exports; in an executable that is decided at its making. */
function isExported(): boolean {
  return Reflect.has(globalThis, Symbol.for("opentelemetry.js.api.1"));
}

const EMF_EVERY_MS = 60_000;

/** The numbers of a worker, and where they go. */
export interface TelemetryOutputs {
  readonly metrics: AppMetrics;
  /** A log whose events are counted too. */
  listening(log: EventLog): EventLog;
  /** Measures the app from now on, as long as the result is not disposed. */
  measure(app: ReactoKinesixApp): AsyncDisposable;
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
  if (terminal.env("OTEL_DENO") === "true") {
    const { exportToOpenTelemetry } = await import("../telemetry/open_telemetry.ts");
    exportToOpenTelemetry(metrics);
    if (!isExported()) {
      terminal.say(
        "note: OTEL_DENO has no effect, since this executable was compiled without it; " +
          "read /metrics of --http, or use --metrics emf",
      );
    }
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
    measure(app) {
      metrics.measure(app);
      // A reader of stdout that went away is told of by the log.
      const write = async (): Promise<void> => {
        if (emf === undefined) return;
        await terminal.write(emf.line(Date.now(), app.workerId) + "\n").catch(() => {});
      };
      const timer = emf && setInterval(() => void write(), EMF_EVERY_MS);
      return {
        async [Symbol.asyncDispose]() {
          clearInterval(timer);
          await write();
        },
      };
    },
  };
}
