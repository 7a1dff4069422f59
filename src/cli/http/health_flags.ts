/**
 * Owns: the flags that say what is too much for the health of a cluster.
 * Must not: judge it.
 * Called by: the table of commands lists them, `run.ts` reads them.
 *
 * @module
 */

import { resolveConfig } from "../../core/config.ts";
import { parseDuration } from "../../core/duration.ts";
import type { HealthLimits } from "../../telemetry/cluster_health.ts";
import { type Flag, timeFrom } from "../flags.ts";
import type { Values } from "../values.ts";

const WEEK_MS = 604_800_000;
/** The state table does not tell of less. */
const LAG_MIN_MS = 10_000;

/** The flags about health. */
export const HEALTH_FLAGS: readonly Flag[] = [
  {
    name: "max-lag",
    placeholder: "TIME",
    doc: "/healthz?scope=cluster fails when a shard is further behind",
    accepts: timeFrom(LAG_MIN_MS, WEEK_MS),
    isInEnvironment: true,
  },
  {
    name: "max-stall",
    placeholder: "TIME",
    doc: "/healthz?scope=cluster fails when a shard that is behind makes no progress for longer",
    accepts: timeFrom(1_000, WEEK_MS),
    defaultValue: "10m",
    isInEnvironment: true,
  },
];

/** What is too much. */
export function healthLimits(values: Values): HealthLimits {
  return {
    maxLagMs: parseDuration(values.text("max-lag") ?? ""),
    maxStallMs: parseDuration(values.need("max-stall")) ?? Infinity,
    // Whoever should take a free shard does so by then, or another worker does.
    maxUnownedMs: resolveConfig(values.config).checkUnprocessedShardsFrequency,
  };
}
