/**
 * Owns: a dashboard of a made-up cluster, and a real browser that looks at it.
 * Called by: the tests of this folder.
 */

import puppeteer, { type Browser, type Page } from "puppeteer-core";
import type { ClusterStatus, ShardStatus, WorkerStatus } from "../../src/core/status.ts";
import type { AppFact } from "../../src/events.ts";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { newShardRow, type WorkerRow } from "../../src/core/lease.ts";
import { ROW_BYTES } from "../../src/core/sizing.ts";
import type { ClusterControl } from "../../src/runtime/cluster_control.ts";
import type { DashboardWorker, RowReader } from "../../src/cli/dashboard/cluster_looks.ts";
import { Dashboard, type DashboardOptions } from "../../src/cli/dashboard/dashboard.ts";
import { type HttpServer, serveHttp } from "../../src/cli/http/server.ts";

/** What the tests leave for people to look at. */
const OUTPUT: URL = new URL("../output/", import.meta.url);

export const TOKEN = "test-token";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Where a Chromium is; undefined if there is none, which is said loudly. */
export const CHROMIUM: string | undefined = [
  Deno.env.get("KINESIX_CHROMIUM"),
  ...PLACES,
].find((path) => path !== undefined && isFile(path));

if (CHROMIUM === undefined) {
  const line =
    "SKIPPED: the dashboard in a browser: there is no Chromium; KINESIX_CHROMIUM names one\n";
  Deno.stderr.writeSync(new TextEncoder().encode(line));
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    // It is not there.
    return false;
  }
}

/** A cluster whose every row a test can change. */
export class FakeCluster {
  readonly workers: WorkerStatus[] = [];
  readonly shards: ShardStatus[] = [];
  /** How often every row was read. */
  looks = 0;
  /** What that and the reads of single rows came to. */
  readUnits = 0;
  readonly #attention = new Map<string, number>();

  constructor(workers: number, shards: number) {
    for (let i = 1; i <= workers; i++) {
      this.workers.push({
        workerId: `worker-${i}`,
        alive: true,
        shards: 0,
        lastHeartbeatAt: new Date().toISOString(),
        version: "0.1.0",
      });
    }
    for (let i = 0; i < shards; i++) {
      this.shards.push({
        shardId: `shardId-${String(i).padStart(12, "0")}`,
        state: "processing",
        owner: `worker-${1 + i % workers}`,
        term: 1 + i % 5,
        checkpoint: `4968048628779695141514925873${String(i).padStart(28, "0")}`,
        checkpointAt: new Date(Date.now() - i % 900).toISOString(),
        millisBehindLatest: i % 4 === 0 ? i * 37 : 0,
        stoppedAt: null,
        handoverTo: null,
        parents: [],
      });
    }
  }

  change(index: number, change: Partial<ShardStatus>): void {
    const shard = this.shards[index];
    if (shard !== undefined) this.shards[index] = { ...shard, ...change };
  }

  /** Gets the attention of a worker, as whoever moves a shard does. */
  nudge(workerId: string): void {
    this.#attention.set(workerId, (this.#attention.get(workerId) ?? 0) + 1);
  }

  /** Reads single rows. */
  reader(): RowReader {
    return {
      workers: () => {
        this.readUnits += unitsOf(this.workers.length * ROW_BYTES.worker);
        return Promise.resolve(this.workers.map((worker): WorkerRow => ({
          kind: "worker",
          id: worker.workerId,
          incarnation: worker.workerId,
          beat: 1,
          beatAt: Date.now(),
          heartbeatTimeout: 180_000,
          attention: String(this.#attention.get(worker.workerId) ?? ""),
          shards: worker.shards,
          isDraining: false,
          version: worker.version,
        })));
      },
      shard: (shardId) => {
        this.readUnits += 1;
        const status = this.shards.find((shard) => shard.shardId === shardId);
        if (status === undefined) return Promise.reject(new RangeError(`no shard ${shardId}`));
        const { owner, handoverTo, term } = status;
        const row = newShardRow({ id: shardId, parents: [], hashKeyRange: null }, TRIM_HORIZON);
        const isGiven = handoverTo !== null && handoverTo === owner;
        const handover = handoverTo === null || isGiven
          ? null
          : { to: handoverTo, id: "1", at: Date.now() };
        return Promise.resolve({
          ...{ ...row, owner, term, handover, holder: isGiven ? null : owner },
        });
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  status(): ClusterStatus {
    this.looks++;
    this.readUnits += unitsOf(this.shards.length * ROW_BYTES.shard) +
      unitsOf(this.workers.length * ROW_BYTES.worker);
    return {
      workers: this.workers.map((worker) =>
        worker.alive ? { ...worker, lastHeartbeatAt: new Date().toISOString() } : worker
      ),
      shards: [...this.shards],
    };
  }
}

function unitsOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / 4_096));
}

/** A dashboard that is served. */
export interface ServedDashboard extends AsyncDisposable {
  readonly url: string;
  /** Tells an event of the worker. */
  tell(fact: AppFact): void;
}

/** Serves the dashboard of `worker-1` of a cluster. */
export function serveDashboard(
  cluster: Pick<FakeCluster, "status"> & Partial<Pick<FakeCluster, "reader">>,
  options: Partial<DashboardOptions> & {
    readonly port?: number;
    readonly status?: DashboardWorker["status"];
  } = {},
): ServedDashboard {
  const { status = () => Promise.resolve(cluster.status()) } = options;
  const dashboard = new Dashboard({
    appName: "orders-billing",
    streamName: "orders",
    worker: () => ({ workerId: "worker-1", status }),
    version: "0.1.0",
    control: () =>
      cluster.reader === undefined
        ? Promise.reject(new Error("no control"))
        : Promise.resolve(cluster.reader() as ClusterControl),
    takesOrders: true,
    ...options,
  });
  const server: HttpServer = serveHttp({
    address: { hostname: "127.0.0.1", port: options.port ?? 0 },
    token: TOKEN,
    routes: dashboard.routes,
    onError: (error) => {
      throw error;
    },
  });
  return {
    url: server.url,
    tell: (fact) =>
      dashboard.onEvent({ ...fact, time: new Date().toISOString(), workerId: "worker-1" }),
    async [Symbol.asyncDispose]() {
      dashboard[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** How a page is looked at. */
export interface LookOptions {
  readonly scheme?: "light" | "dark";
  readonly width?: number;
  readonly height?: number;
}

/** A browser, and whatever went wrong in its pages. */
export class TestBrowser implements AsyncDisposable {
  /** What the pages wrote to their console, or threw. */
  readonly complaints: string[] = [];
  readonly #browser: Browser;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async open(): Promise<TestBrowser> {
    const browser = await puppeteer.launch({
      executablePath: CHROMIUM ?? "",
      // As root, which tests often are, Chromium has no sandbox.
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    });
    return new TestBrowser(browser);
  }

  /** Opens a page. */
  async look(url: string, options: LookOptions = {}): Promise<Page> {
    const page = await this.#browser.newPage();
    page.on("console", (message) => this.complaints.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    await showAs(page, options);
    await page.goto(url);
    await page.waitForSelector("#connection[data-state=live]");
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }
}

/** Has a page look otherwise. */
export async function showAs(page: Page, options: LookOptions = {}): Promise<void> {
  const { scheme = "light", width = 1440, height = 900 } = options;
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
}

/** Keeps a picture of a page. */
export async function keepPicture(page: Page, name: string, isWhole = false): Promise<void> {
  await Deno.mkdir(OUTPUT, { recursive: true });
  const path = `${new URL(`dashboard-${name}.png`, OUTPUT).pathname}` as `${string}.png`;
  await page.screenshot({ path, fullPage: isWhole });
}

/** Waits. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
