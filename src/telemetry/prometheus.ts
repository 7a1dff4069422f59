/**
 * Owns: the numbers in the text that Prometheus reads.
 * Must not: serve it.
 * Called by: `cli/http/worker_server.ts`, and users.
 *
 * @module
 */

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { AppMetrics } from "./app_metrics.ts";
import { type Metric, METRICS, PROCESS_TIME, prometheusName } from "./catalogue.ts";

/** The numbers of an app, as Prometheus reads them. */
export class PrometheusMetrics {
  /** The media type of {@linkcode PrometheusMetrics.text}. */
  readonly contentType: string;
  readonly #registry: Registry;

  /** Counts the time of batches from now on. Every series has the labels `app` and `stream`. */
  constructor(metrics: AppMetrics) {
    const registry = this.#registry = new Registry();
    this.contentType = registry.contentType;
    const common = { app: metrics.appName, stream: metrics.streamName };
    for (const metric of METRICS) show(metric, { metrics, common, registry });
    const time = new Histogram({
      name: `kinesix_${PROCESS_TIME.name}_seconds`,
      help: PROCESS_TIME.help,
      labelNames: Object.keys(common),
      buckets: [...PROCESS_TIME.buckets],
      registers: [registry],
    });
    metrics.onBatch(({ processMs }) => time.observe(common, processMs / 1_000));
  }

  /** What `/metrics` answers. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

/** Reads the numbers at each look, so that a shard that left is not shown any more. */
function show(
  metric: Metric,
  { metrics, common, registry }: {
    readonly metrics: AppMetrics;
    readonly common: Readonly<Record<string, string>>;
    readonly registry: Registry;
  },
): void {
  const configuration = {
    name: prometheusName(metric),
    help: metric.help,
    labelNames: [...Object.keys(common), ...metric.labels],
    registers: [registry],
  };
  if (metric.kind === "gauge") {
    new Gauge({
      ...configuration,
      collect() {
        this.reset();
        for (const { labels, value } of metric.read(metrics)) {
          this.set({ ...common, ...labels }, value);
        }
      },
    });
    return;
  }
  new Counter({
    ...configuration,
    collect() {
      this.reset();
      for (const { labels, value } of metric.read(metrics)) {
        this.inc({ ...common, ...labels }, value);
      }
    },
  });
}
