/**
 * Owns: the numbers as OpenTelemetry metrics, and a span for each batch.
 * Must not: export them: that is what the runtime (`OTEL_DENO=true`) or an SDK is for.
 * Called by: `cli/telemetry_outputs.ts`, and users.
 *
 * @module
 */

import {
  type Meter,
  metrics as globalMetrics,
  type ObservableResult,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { AppMetrics, BatchDone } from "./app_metrics.ts";
import { type Metric, METRICS, openTelemetryName, PROCESS_TIME } from "./catalogue.ts";

const SCOPE = "kinesix";
const UNITS: { readonly [U in Metric["unit"]]: string } = {
  count: "1",
  bytes: "By",
  seconds: "s",
};

/**
 * Has OpenTelemetry read the numbers whenever it exports, and gives it a span for each batch with records, with an event for each
 * failed attempt and each skipped record. Spans are made when a batch is finished: spans of the processor's own are not below them.
 *
 * It is told to the global providers; without one, as in Deno without `OTEL_DENO=true`, it does nothing. The providers keep the
 * numbers in memory, and export them, until the result is disposed. What was counted since the last export is lost then: a process
 * that ends with its app leaves it, for the export at its end.
 */
export function exportToOpenTelemetry(metrics: AppMetrics): Disposable {
  const meter = globalMetrics.getMeter(SCOPE);
  const tracer = trace.getTracer(SCOPE);
  const common = { "kinesix.app": metrics.appName, "aws.kinesis.stream_name": metrics.streamName };
  const exported = new DisposableStack();
  for (const metric of METRICS) exported.use(show(metric, { metrics, common, meter }));
  const time = meter.createHistogram(openTelemetryName(PROCESS_TIME.name), {
    description: PROCESS_TIME.help,
    unit: "s",
    advice: { explicitBucketBoundaries: [...PROCESS_TIME.buckets] },
  });
  exported.use(metrics.onBatch((batch) => {
    time.record(batch.processMs / 1_000, common);
    trail(tracer, batch, common);
  }));
  return exported;
}

function show(
  metric: Metric,
  { metrics, common, meter }: {
    readonly metrics: AppMetrics;
    readonly common: Readonly<Record<string, string>>;
    readonly meter: Meter;
  },
): Disposable {
  const name = openTelemetryName(metric.name);
  const options = { description: metric.help, unit: UNITS[metric.unit] };
  const instrument = metric.kind === "counter"
    ? meter.createObservableCounter(name, options)
    : meter.createObservableGauge(name, options);
  const read = (result: ObservableResult): void => {
    for (const { labels, value } of metric.read(metrics)) {
      result.observe(value, { ...common, ...labels });
    }
  };
  instrument.addCallback(read);
  return { [Symbol.dispose]: () => instrument.removeCallback(read) };
}

/** Makes the span of a batch after the fact. */
function trail(
  tracer: Tracer,
  batch: BatchDone,
  common: { readonly "aws.kinesis.stream_name": string },
): void {
  const { shardId, records, bytes, millisBehindLatest, endedAt, processMs } = batch;
  const stream = common["aws.kinesis.stream_name"];
  const span = tracer.startSpan(`process ${stream}`, {
    kind: SpanKind.CONSUMER,
    startTime: endedAt - processMs,
    attributes: {
      ...common,
      "messaging.system": "aws.kinesis",
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.destination.name": stream,
      "messaging.destination.partition.id": shardId,
      "messaging.batch.message_count": records,
      "kinesix.batch.bytes": bytes,
      "kinesix.batch.lag": millisBehindLatest / 1_000,
      "kinesix.batch.failures": batch.failureCount,
    },
  });
  for (const { kind, at, sequenceNumber, attempt, error } of batch.failures) {
    span.addEvent(kind, {
      "messaging.message.id": sequenceNumber,
      "kinesix.attempt": attempt,
      ...error !== undefined && {
        "exception.type": error.name,
        "exception.message": error.message,
      },
    }, at);
  }
  const isLossy = batch.failures.some(({ kind }) => kind === "record_skipped");
  if (isLossy) span.setStatus({ code: SpanStatusCode.ERROR, message: "records were skipped" });
  span.end(endedAt);
}
