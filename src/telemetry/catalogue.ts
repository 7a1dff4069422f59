/**
 * Owns: the table of metrics: names, units, what they mean, and where in the numbers they stand.
 * Must not: know how they leave the process.
 * Called by: the ways out in this folder; `docs/operating.md` lists it.
 *
 * @module
 */

import type { AppMetrics } from "./app_metrics.ts";

/** A value, and what tells it apart from others of the same metric. */
export interface Point {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** A metric that is read when somebody asks. */
export interface Metric {
  /** In words with `_` between them; each way out has its own way to write it. */
  readonly name: string;
  readonly kind: "counter" | "gauge";
  readonly unit: "count" | "bytes" | "seconds";
  readonly help: string;
  /** What tells its points apart. */
  readonly labels: readonly string[];
  readonly read: (metrics: AppMetrics) => readonly Point[];
}

/** The one metric of which each batch is a value. */
export const PROCESS_TIME = {
  name: "process_time",
  help: "How long the processor took for a batch, with all attempts",
  /** In seconds. */
  buckets: [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
} as const;

const alone = (value: number | null | undefined): readonly Point[] =>
  value === null || value === undefined ? [] : [{ value, labels: {} }];

function byKey(label: string, counts: ReadonlyMap<string, number>): readonly Point[] {
  return Array.from(counts, ([key, value]) => ({ value, labels: { [label]: key } }));
}

function byShard(
  metrics: AppMetrics,
  valueOf: (shard: ReturnType<AppMetrics["shards"]["get"]> & object) => number | null,
): readonly Point[] {
  return [...metrics.shards].flatMap(([shard, numbers]) => {
    const value = valueOf(numbers);
    return value === null ? [] : [{ value, labels: { shard } }];
  });
}

const seconds = (ms: number | null | undefined): number | null =>
  ms === null || ms === undefined ? null : ms / 1_000;

function counter(
  name: string,
  help: string,
  read: Metric["read"],
  options: { readonly unit?: Metric["unit"]; readonly labels?: readonly string[] } = {},
): Metric {
  return { name, kind: "counter", help, read, unit: "count", labels: [], ...options };
}

function gauge(
  name: string,
  help: string,
  read: Metric["read"],
  options: { readonly unit?: Metric["unit"]; readonly labels?: readonly string[] } = {},
): Metric {
  return { name, kind: "gauge", help, read, unit: "count", labels: [], ...options };
}

const BYTES = { unit: "bytes" } as const;
const SECONDS = { unit: "seconds" } as const;
const SHARD = { labels: ["shard"] } as const;

/** Every metric but {@linkcode PROCESS_TIME}. */
export const METRICS: readonly Metric[] = [
  counter("records", "Records that were finished", ({ counts }) => alone(counts.records)),
  counter("bytes", "Payload of the records", ({ counts }) => alone(counts.bytes), BYTES),
  counter("batches", "Batches that were finished", ({ counts }) => alone(counts.batches)),
  counter(
    "failures",
    "Attempts to process a record that failed",
    ({ counts }) => alone(counts.failures),
  ),
  counter("skips", "Records that were given up", ({ counts }) => alone(counts.skips)),
  counter(
    "checkpoints",
    "Checkpoints that were written",
    ({ counts }) => alone(counts.checkpoints),
  ),
  counter(
    "lease_changes",
    "Shards that were claimed, handed_over, released, lost or ended here",
    ({ counts }) => byKey("change", counts.leases),
    { labels: ["change"] },
  ),
  counter(
    "throttles",
    "Calls that AWS asked to make later",
    ({ counts }) => byKey("operation", counts.throttles),
    { labels: ["operation"] },
  ),
  counter(
    "events",
    "Everything that the worker told, by the type of the event",
    ({ counts }) => byKey("type", counts.events),
    { labels: ["type"] },
  ),
  gauge("shards", "Shards that the worker has", ({ shards }) => alone(shards.size)),
  gauge(
    "max_lag",
    "How far the shard that is furthest behind is behind",
    (metrics) => alone(seconds(metrics.maxMillisBehind())),
    SECONDS,
  ),
  gauge(
    "in_hand",
    "For how long the oldest batch has been in the processor's hands",
    (metrics) => alone(seconds(metrics.vitals()?.inHandMs)),
    SECONDS,
  ),
  gauge(
    "buffered",
    "Memory that is held for records that are not finished",
    (metrics) => alone(metrics.vitals()?.bufferedBytes),
    BYTES,
  ),
  gauge(
    "heartbeat_age",
    "How long ago the last heartbeat was sent that was acknowledged",
    (metrics) => alone(seconds(metrics.vitals()?.heartbeatAgeMs)),
    SECONDS,
  ),
  gauge(
    "fenced",
    "1 while nothing is processed because no heartbeat was acknowledged",
    (metrics) => {
      const isFenced = metrics.vitals()?.isFenced;
      return alone(isFenced === undefined ? null : Number(isFenced));
    },
  ),
  counter(
    "shard_records",
    "Records of a shard that were finished since the worker took it",
    (metrics) => byShard(metrics, ({ records }) => records),
    SHARD,
  ),
  counter(
    "shard_bytes",
    "Payload of the records of a shard",
    (metrics) => byShard(metrics, ({ bytes }) => bytes),
    { ...SHARD, ...BYTES },
  ),
  gauge(
    "shard_lag",
    "How far a shard is behind its tip",
    (metrics) => byShard(metrics, ({ millisBehindLatest }) => seconds(millisBehindLatest)),
    { ...SHARD, ...SECONDS },
  ),
];

/** The name of a metric with its unit and kind, as Prometheus wants it. */
export function prometheusName(
  { name, kind, unit }: Pick<Metric, "name" | "kind" | "unit">,
): string {
  // Where the name is the unit already it is not said twice.
  const suffix = unit === "count" || name.endsWith(unit) ? "" : `_${unit}`;
  return `kinesix_${name}${suffix}${kind === "counter" ? "_total" : ""}`;
}

/** The name of a metric as OpenTelemetry wants it. */
export function openTelemetryName(name: string): string {
  return `kinesix.${name.replace(/^shard_/, "shard.")}`;
}
