/**
 * Owns: the dashboard of a worker: what it looks at while somebody looks at it, and when the pages are told.
 * Must not: do anything but count while nobody looks.
 * Called by: `http/worker_server.ts`.
 *
 * @module
 */

import type { AppEvent } from "../../events.ts";
import type { ClusterControl } from "../../runtime/cluster_control.ts";
import { problem, type Route } from "../http/router.ts";
import { Activity } from "./activity.ts";
import { ClusterLooks, type DashboardWorker, NO_LOOK } from "./cluster_looks.ts";
import { ClusterView } from "./cluster_view.ts";
import { LiveClients } from "./live_clients.ts";
import { orderRoutes } from "./order_routes.ts";
import { pageRoutes } from "./page_routes.ts";
import type { Look, Snapshot, Update } from "./protocol.ts";

/** What a dashboard shows and steers. */
export interface DashboardOptions {
  readonly appName: string;
  readonly streamName: string;
  /** The worker; undefined until it has joined its cluster. */
  readonly worker: () => DashboardWorker | undefined;
  readonly version: string;
  /** Opens what gives orders to the cluster. */
  readonly control: () => Promise<ClusterControl>;
  /** Whether orders are taken at all. */
  readonly takesOrders: boolean;
  /** Looks for a new version of the processor; undefined if nobody does. */
  readonly lookForProcessor?: (() => void) | undefined;
  /** Is told each order that a page gives, in words. */
  readonly onOrder?: ((order: string) => void) | undefined;
}

/** No page is told more often. */
const TELL_MS = 500;
/** A connection over which nothing goes for longer may be cut on its way. */
const SILENCE_MS_MAX = 15_000;
/** What was seen longer ago is not shown as if it was so. */
const SEEN_MS_MAX = 10_000;
const RATES_EVERY_TICKS = 2;

/** The dashboard of a worker. */
export class Dashboard implements Disposable {
  readonly routes: readonly Route[];
  readonly #options: DashboardOptions;
  readonly #view: ClusterView = new ClusterView();
  readonly #startedAt: number = Date.now() - performance.now();
  readonly #activity: Activity = new Activity(this.#steadyNow());
  readonly #clients: LiveClients = new LiveClients(() => this.#follow());
  readonly #looks: ClusterLooks;
  #look: Look = NO_LOOK;
  #isLookNews = false;
  #lastEventId = 0;
  #lastPointAt = 0;
  #lastSentAt = 0;
  #ticks = 0;
  #isClosed = false;
  /** While somebody looks. */
  #watching: AbortController | null = null;

  constructor(options: DashboardOptions) {
    this.#options = options;
    const { worker, control, lookForProcessor, onOrder = () => {} } = options;
    this.#looks = new ClusterLooks({
      ...{ view: this.#view, worker, reader: control, nowMs: () => this.#steadyNow() },
      onLook: (look) => {
        this.#look = look;
        this.#isLookNews = true;
      },
    });
    this.routes = [
      ...pageRoutes(),
      { path: "/dashboard/live", method: "GET", handle: () => this.#open() },
      ...orderRoutes({
        ...{ control, lookForProcessor, onOrder },
        onOutcome: () => this.#looks.soon(),
      }),
    ];
  }

  /** Is told every event of the worker. */
  readonly onEvent = (event: AppEvent): void => {
    this.#activity.follow(event, this.#steadyNow());
    if (this.#watching !== null) this.#view.follow(event);
  };

  /** Ends the connections of the pages, which come back when there is a worker again. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#clients.close();
  }

  /** A clock that somebody sets back must not stop the charts. */
  #steadyNow(): number {
    return Math.round(this.#startedAt + performance.now());
  }

  #open(): Response {
    const worker = this.#options.worker();
    if (worker === undefined) {
      return problem(503, "Cannot show the cluster yet: the worker is starting", {
        "Retry-After": "1",
      });
    }
    const stream = this.#isClosed ? undefined : this.#clients.open(this.#snapshot(worker));
    if (stream === undefined) {
      return problem(503, "Cannot show more: too many pages look at this worker", {
        "Retry-After": "10",
      });
    }
    return new Response(stream, {
      headers: { "Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform" },
    });
  }

  #snapshot({ workerId }: DashboardWorker): Snapshot {
    const now = Date.now();
    if (this.#watching === null && now - (this.#look.at ?? 0) > SEEN_MS_MAX) {
      this.#view.clear();
      this.#look = NO_LOOK;
    }
    const { appName, streamName, version, takesOrders } = this.#options;
    return {
      ...{ appName, streamName, workerId, version, now, takesOrders },
      takesProcessors: this.#options.lookForProcessor !== undefined,
      look: this.#look,
      workers: this.#view.workers,
      shards: this.#view.shards,
      rates: this.#activity.rates(),
      events: this.#activity.eventsAfter(0, this.#steadyNow()),
      points: this.#activity.pointsAfter(0, this.#steadyNow()),
    };
  }

  /** Looks while there is a page, and not any more when the last one is gone. */
  #follow(): void {
    if (this.#clients.count === 0) {
      this.#watching?.abort();
      this.#watching = null;
    } else if (this.#watching === null) {
      this.#watching = new AbortController();
      const { signal } = this.#watching;
      this.#view.takeChanges();
      this.#markTold();
      void this.#looks.keepLooking(signal);
      const timer = setInterval(() => this.#tell(), TELL_MS);
      signal.addEventListener("abort", () => clearInterval(timer));
    }
  }

  /** Tells the pages what changed, if anything did. */
  #tell(): void {
    const now = this.#steadyNow();
    this.#ticks++;
    const isRatesTurn = this.#ticks % RATES_EVERY_TICKS === 0;
    const rates = isRatesTurn ? this.#activity.takeRates(now) : [];
    const events = this.#activity.eventsAfter(this.#lastEventId, now);
    const points = this.#activity.pointsAfter(this.#lastPointAt, now);
    const update: Update = {
      now: Date.now(),
      ...this.#view.takeChanges(),
      ...this.#isLookNews && { look: this.#look },
      ...rates.length > 0 && { rates },
      ...events.length > 0 && { events },
      ...points.length > 0 && { points },
    };
    this.#isLookNews = false;
    this.#lastEventId = events.at(-1)?.id ?? this.#lastEventId;
    this.#lastPointAt = points.at(-1)?.at ?? this.#lastPointAt;
    if (Object.keys(update).length > 1) {
      this.#clients.send("update", update);
      this.#lastSentAt = now;
    } else if (now - this.#lastSentAt > SILENCE_MS_MAX) {
      this.#clients.send("still", now);
      this.#lastSentAt = now;
    }
  }

  /** What the first page has got with its snapshot is no news. */
  #markTold(): void {
    const now = this.#steadyNow();
    this.#lastEventId = this.#activity.eventsAfter(0, now).at(-1)?.id ??
      this.#lastEventId;
    this.#lastPointAt = this.#activity.pointsAfter(0, now).at(-1)?.at ??
      this.#lastPointAt;
    this.#lastSentAt = now;
  }
}
