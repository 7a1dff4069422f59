/**
 * Owns: the numbers as lines in the embedded metric format, which Amazon CloudWatch makes metrics of.
 * Must not: write the lines anywhere, or read a clock.
 * Called by: `cli/telemetry_outputs.ts`, and users.
 *
 * @module
 */

import type { AppMetrics } from "./app_metrics.ts";
import { type Metric, METRICS, PROCESS_TIME } from "./catalogue.ts";

/** An array of values in a line has no more: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html */
const VALUES_MAX = 100;

const UNITS: { readonly [U in Metric["unit"]]: string } = {
  count: "Count",
  bytes: "Bytes",
  seconds: "Seconds",
};

/** Without those of single shards and events: CloudWatch takes money for each metric. */
const SHOWN: readonly Metric[] = METRICS.filter(({ labels }) =>
  !labels.includes("shard") && !labels.includes("type")
);

/** How the lines are made. */
export interface EmfOptions {
  /**
   * The namespace of the metrics in CloudWatch.
   *
   * @default {"Kinesix"}
   */
  readonly namespace?: string;
}

/** The numbers of a worker as lines for CloudWatch. The dimensions are `App` and `Stream`, so that it adds the workers up. */
export class EmfMetrics {
  readonly #metrics: AppMetrics;
  readonly #namespace: string;
  readonly #before = new Map<string, number>();
  /** Evenly spread over the batches since the last line. */
  #times: number[] = [];
  /** Every how many batches one is noted. */
  #stride = 1;
  #batches = 0;

  /** Counts from now on. */
  constructor(metrics: AppMetrics, options: EmfOptions = {}) {
    this.#metrics = metrics;
    this.#namespace = options.namespace ?? "Kinesix";
    metrics.onBatch(({ processMs }) => this.#note(processMs / 1_000));
  }

  /**
   * One line, without its end, of what happened since the one before.
   *
   * @param now Milliseconds since the epoch.
   * @param workerId Noted beside the metrics, not as a dimension.
   */
  line(now: number, workerId: string): string {
    const values = new Map<string, number | readonly number[]>();
    const described: { readonly Name: string; readonly Unit: string }[] = [];
    for (const metric of SHOWN) {
      const value = this.#valueOf(metric);
      if (value === undefined) continue;
      values.set(nameOf(metric), value);
      described.push({ Name: nameOf(metric), Unit: UNITS[metric.unit] });
    }
    if (this.#times.length > 0) {
      values.set(nameOf(PROCESS_TIME), this.#times);
      described.push({ Name: nameOf(PROCESS_TIME), Unit: "Seconds" });
    }
    this.#times = [];
    this.#stride = 1;
    this.#batches = 0;
    const directive = {
      Namespace: this.#namespace,
      Dimensions: [["App", "Stream"]],
      Metrics: described,
    };
    return JSON.stringify({
      _aws: { Timestamp: now, CloudWatchMetrics: [directive] },
      App: this.#metrics.appName,
      Stream: this.#metrics.streamName,
      WorkerId: workerId,
      ...Object.fromEntries(values),
    });
  }

  #valueOf(metric: Metric): number | undefined {
    const points = metric.read(this.#metrics);
    const sum = points.reduce((sum, { value }) => sum + value, 0);
    if (metric.kind === "gauge") return points.length === 0 ? undefined : sum;
    const before = this.#before.get(metric.name) ?? 0;
    this.#before.set(metric.name, sum);
    return sum - before;
  }

  #note(seconds: number): void {
    if (this.#batches++ % this.#stride !== 0) return;
    if (this.#times.length === VALUES_MAX) {
      this.#times = this.#times.filter((_, i) => i % 2 === 0);
      this.#stride *= 2;
      // The one in hand is the next of the wider stride only if it falls on it.
      if ((this.#batches - 1) % this.#stride !== 0) return;
    }
    this.#times.push(seconds);
  }
}

/** `max_lag` is `MaxLag` in CloudWatch. */
function nameOf({ name }: { readonly name: string }): string {
  return name.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
