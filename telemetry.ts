/**
 * What a worker does as numbers, and the ways out of the process: OpenTelemetry, Prometheus, and CloudWatch.
 *
 * @example
 * ```ts
 * import { ReactoKinesixApp } from "@reacto/kinesix";
 * import { exportToOpenTelemetry, observe, PrometheusMetrics } from "@reacto/kinesix/telemetry";
 * import { MemoryLeaseStore, MemoryStream } from "@reacto/kinesix/testing";
 *
 * await using app = await ReactoKinesixApp.createNew({
 *   appName: "TestApp",
 *   streamName: "TestStream",
 *   processor: { process: () => {} },
 *   ports: { store: new MemoryLeaseStore(), source: new MemoryStream({ shards: 4 }) },
 * });
 * const metrics = observe(app);
 * exportToOpenTelemetry(metrics); // Deno exports it with OTEL_DENO=true
 * const prometheus = new PrometheusMetrics(metrics);
 * const answer = new Response(await prometheus.text(), {
 *   headers: { "Content-Type": prometheus.contentType },
 * });
 * console.log((await answer.text()).includes("kinesix_shards")); // true
 * ```
 *
 * @module
 */

export { AppMetrics, observe } from "./src/telemetry/app_metrics.ts";
export { ClusterHealth } from "./src/telemetry/cluster_health.ts";
export { EmfMetrics } from "./src/telemetry/emf.ts";
export { exportToOpenTelemetry } from "./src/telemetry/open_telemetry.ts";
export { PrometheusMetrics } from "./src/telemetry/prometheus.ts";

export type {
  BatchDone,
  Counts,
  Failure,
  LeaseChange,
  ObservedApp,
  ShardNumbers,
  Vitals,
} from "./src/telemetry/app_metrics.ts";
export type {
  HealthLimits,
  HealthProblem,
  HealthProblemKind,
} from "./src/telemetry/cluster_health.ts";
export type { EmfOptions } from "./src/telemetry/emf.ts";
