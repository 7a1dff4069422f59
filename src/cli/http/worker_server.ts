/**
 * Owns: what a worker answers over HTTP, put together.
 * Must not: know how any of it is made.
 * Called by: `run.ts`.
 *
 * @module
 */

import manifest from "../../../deno.json" with { type: "json" };
import { type AppOptions, ReactoKinesixApp } from "../../app.ts";
import type { AppEvent } from "../../events.ts";
import type { AppMetrics } from "../../telemetry/app_metrics.ts";
import type { HealthLimits } from "../../telemetry/cluster_health.ts";
import { PrometheusMetrics } from "../../telemetry/prometheus.ts";
import { Dashboard } from "../dashboard/dashboard.ts";
import { healthRoutes } from "./health.ts";
import { type HttpServer, type HttpServerOptions, serveHttp } from "./server.ts";

/** Which worker answers where. */
export interface WorkerServerOptions extends Omit<HttpServerOptions, "routes"> {
  /** What the worker was started with. */
  readonly cluster: AppOptions;
  /** Looks for a new version of the processor; undefined if nobody does. */
  readonly lookForProcessor: (() => void) | undefined;
  /** What the worker did, in numbers. */
  readonly metrics: AppMetrics;
  /** What is too much for the health of the cluster. */
  readonly limits: HealthLimits;
  /** Is told each order that somebody gave over HTTP. */
  readonly onOrder: (order: string) => void;
}

/**
 * The HTTP server of a worker. It listens before the worker joins its cluster: a start that takes long is no failure to whoever
 * probes, and a port that cannot be had is told before anything is written.
 */
export class WorkerServer implements AsyncDisposable {
  /** Where it is. */
  readonly url: string;
  readonly #dashboard: Dashboard;
  readonly #server: HttpServer;
  #app: ReactoKinesixApp | undefined;

  /** @throws {Error} If the address cannot be had. */
  constructor(options: WorkerServerOptions) {
    const { cluster, token, lookForProcessor, onOrder } = options;
    const { appName, streamName } = cluster;
    const app = (): ReactoKinesixApp | undefined => this.#app;
    this.#dashboard = new Dashboard({
      ...{ appName, streamName, lookForProcessor, onOrder },
      worker: app,
      version: manifest.version,
      control: () => ReactoKinesixApp.control(cluster),
      takesOrders: token !== undefined,
    });
    const prometheus = new PrometheusMetrics(options.metrics);
    const nowMs = (): number => performance.now();
    const health = healthRoutes({ app, limits: options.limits, prometheus, nowMs });
    this.#server = serveHttp({ ...options, routes: [...health, ...this.#dashboard.routes] });
    this.url = this.#server.url;
  }

  /** Answers for a worker that runs; in the same turn in which it does, so that no event of its start is missed. */
  join(app: ReactoKinesixApp): void {
    this.#app = app;
    app.addEventListener("*", this.#dashboard.onEvent);
  }

  /** Is told what the app does not tell: which processor was loaded. */
  onEvent(event: AppEvent): void {
    this.#dashboard.onEvent(event);
  }

  /** Ends the connections, and listens no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#dashboard[Symbol.dispose]();
    await this.#server[Symbol.asyncDispose]();
  }
}
