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
import { Dashboard } from "../dashboard/dashboard.ts";
import { type HttpServer, type HttpServerOptions, serveHttp } from "./server.ts";

/** Which worker answers where. */
export interface WorkerServerOptions extends Omit<HttpServerOptions, "routes"> {
  readonly app: ReactoKinesixApp;
  /** What the worker was started with. */
  readonly cluster: AppOptions;
  /** Looks for a new version of the processor; undefined if nobody does. */
  readonly lookForProcessor: (() => void) | undefined;
  /** Is told each order that somebody gave over HTTP. */
  readonly onOrder: (order: string) => void;
}

/** The HTTP server of a worker that runs. */
export class WorkerServer implements AsyncDisposable {
  /** Where it is. */
  readonly url: string;
  readonly #dashboard: Dashboard;
  readonly #server: HttpServer;

  /** @throws {Error} If the address cannot be had. */
  constructor(options: WorkerServerOptions) {
    const { app, cluster, token, lookForProcessor, onOrder } = options;
    const { appName, streamName } = cluster;
    this.#dashboard = new Dashboard({
      ...{ appName, streamName, lookForProcessor, onOrder },
      workerId: app.workerId,
      version: manifest.version,
      status: () => app.status(),
      control: () => ReactoKinesixApp.control(cluster),
      takesOrders: token !== undefined,
    });
    this.#server = serveHttp({ ...options, routes: this.#dashboard.routes });
    this.url = this.#server.url;
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
