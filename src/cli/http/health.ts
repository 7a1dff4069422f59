/**
 * Owns: what the server answers about the health of this worker and of the cluster, and the metrics for Prometheus.
 * Must not: decide what is healthy in a cluster; that is `telemetry/cluster_health.ts`.
 * Called by: `worker_server.ts`.
 *
 * @module
 */

import type { ReactoKinesixApp } from "../../app.ts";
import { roundDuration } from "../../core/duration.ts";
import { messageOf } from "../../errors.ts";
import {
  ClusterHealth,
  type HealthLimits,
  type HealthProblem,
} from "../../telemetry/cluster_health.ts";
import type { PrometheusMetrics } from "../../telemetry/prometheus.ts";
import type { WorkerHealth } from "../../runtime/worker.ts";
import type { Route } from "./router.ts";

/** What is asked of a worker. */
export type HealthyApp = Pick<ReactoKinesixApp, "health" | "status" | "shards" | "workerId">;

/** What the answers are made of. */
export interface HealthRoutesOptions {
  /** Undefined until the worker has joined its cluster. */
  readonly app: () => HealthyApp | undefined;
  readonly limits: HealthLimits;
  readonly prometheus: Pick<PrometheusMetrics, "text" | "contentType">;
  /** A clock that only goes forward, in milliseconds. */
  readonly nowMs: () => number;
}

/** What is wrong with this worker, or with the cluster as it sees it. */
type Problem = HealthProblem | {
  readonly kind: "fenced" | "loopEnded" | "notRunning" | "unreadable";
  readonly shardId: null;
  readonly reason: string;
};

/** However often it is asked for, the state table is read no more often. */
const CACHED_MS = 5_000;
/** The loops without which a worker is none. */
const LOOPS = ["heartbeat", "fence", "survey", "shard sync"];

/** `/healthz`, `/readyz` and `/metrics`. */
export function healthRoutes(options: HealthRoutesOptions): readonly Route[] {
  const { prometheus } = options;
  const cluster = new CachedHealth(options);
  return [
    {
      path: "/healthz",
      method: "GET",
      handle: async ({ url }) => {
        const scope = url.searchParams.get("scope") ?? "worker";
        const app = options.app();
        if (scope === "worker") return answer(app, workerProblems(app));
        if (scope === "cluster") {
          return answer(app, app ? await cluster.problems(app) : passingProblems(app));
        }
        const error = 'Cannot tell the health: scope must be "worker" or "cluster"';
        return Response.json({ error }, { status: 400 });
      },
    },
    {
      path: "/readyz",
      method: "GET",
      handle: () => {
        const app = options.app();
        return answer(app, [...passingProblems(app), ...workerProblems(app)]);
      },
    },
    {
      path: "/metrics",
      method: "GET",
      handle: async () =>
        new Response(await prometheus.text(), {
          headers: { "Content-Type": prometheus.contentType },
        }),
    },
  ];
}

/** What each of the answers about health is. */
export interface HealthAnswer {
  readonly status: "ok" | "failing";
  /** Null until the worker has joined its cluster. */
  readonly workerId: string | null;
  readonly phase: WorkerHealth["phase"];
  /** The age of the last acknowledged heartbeat in milliseconds; null before the first one. */
  readonly heartbeatAgeMs: number | null;
  /** How many shards this worker has. */
  readonly shards: number;
  readonly problems: readonly Problem[];
}

function answer(app: HealthyApp | undefined, problems: readonly Problem[]): Response {
  const { phase, heartbeatAgeMs = null } = app?.health() ?? { phase: "starting" };
  const body: HealthAnswer = {
    status: problems.length === 0 ? "ok" : "failing",
    workerId: app?.workerId ?? null,
    phase,
    heartbeatAgeMs: heartbeatAgeMs === null ? null : Math.round(heartbeatAgeMs),
    shards: app?.shards().length ?? 0,
    problems,
  };
  return Response.json(body, { status: problems.length === 0 ? 200 : 503 });
}

/** What does not pass by itself. */
function workerProblems(app: HealthyApp | undefined): readonly Problem[] {
  if (app === undefined) return [];
  const { phase, loops } = app.health();
  const problems: Problem[] = [];
  if (phase === "stopped") {
    problems.push({ kind: "notRunning", shardId: null, reason: "the worker has stopped" });
  }
  const ended = phase === "running" ? LOOPS.filter((loop) => !loops.includes(loop)) : [];
  for (const loop of ended) {
    problems.push({ kind: "loopEnded", shardId: null, reason: `the ${loop} of it has ended` });
  }
  return problems;
}

/** What passes: a new process would be no better off, least of all while the state table cannot be reached. */
function passingProblems(app: HealthyApp | undefined): readonly Problem[] {
  const { phase, isFenced } = app?.health() ?? { phase: "starting", isFenced: false };
  const problems: Problem[] = [];
  if (phase === "starting" || phase === "stopping") {
    problems.push({ kind: "notRunning", shardId: null, reason: `the worker is ${phase}` });
  }
  if (isFenced) {
    const reason = "no heartbeat was acknowledged for so long that others may have its shards; " +
      "it processes nothing until one is";
    problems.push({ kind: "fenced", shardId: null, reason });
  }
  return problems;
}

/** The health of the cluster, looked at when somebody asks and the last look is old. */
class CachedHealth {
  readonly #options: HealthRoutesOptions;
  readonly #health: ClusterHealth;
  #last: { readonly at: number; readonly problems: Promise<readonly Problem[]> } | undefined;
  /** Two looks at the same time would read twice, and the older one could be judged after the newer one. */
  #isLooking = false;

  constructor(options: HealthRoutesOptions) {
    this.#options = options;
    this.#health = new ClusterHealth(options.limits);
  }

  problems(app: HealthyApp): Promise<readonly Problem[]> {
    const at = this.#options.nowMs();
    const isOld = this.#last === undefined || at - this.#last.at >= CACHED_MS;
    if (this.#last !== undefined && (this.#isLooking || !isOld)) return this.#last.problems;
    this.#isLooking = true;
    const problems = this.#look(app).finally(() => {
      this.#isLooking = false;
    });
    this.#last = { at, problems };
    return problems;
  }

  async #look(app: HealthyApp): Promise<readonly Problem[]> {
    try {
      const problems = this.#health.judge(await app.status(), this.#options.nowMs());
      const known = new Set(problems.map(({ shardId }) => shardId));
      return [...problems, ...this.#stuckHere(app).filter(({ shardId }) => !known.has(shardId))];
    } catch (error) {
      return [{ kind: "unreadable", shardId: null, reason: messageOf(error) }];
    }
  }

  /** The state table does not show a record at the tip that is never finished. */
  #stuckHere(app: HealthyApp): readonly HealthProblem[] {
    const { limits } = this.#options;
    return app.shards().filter(({ inHandMs }) => inHandMs >= limits.maxStallMs)
      .map(({ shardId, inHandMs }) => ({
        kind: "stalled",
        shardId,
        reason: `a batch has been in the processor's hands for ${
          roundDuration(inHandMs)
        }; worker ${app.workerId} has it`,
      }));
  }
}
