/**
 * Owns: a dashboard of a made-up cluster, and a real browser that looks at it.
 * Called by: the tests of this folder.
 */

import puppeteer, { type Browser, type Page } from "puppeteer-core";
import type { ClusterStatus, ShardStatus, WorkerStatus } from "../../src/core/status.ts";
import type { AppFact } from "../../src/events.ts";
import { Dashboard, type DashboardOptions } from "../../src/cli/dashboard/dashboard.ts";
import { type HttpServer, serveHttp } from "../../src/cli/http/server.ts";

/** What the tests leave for people to look at. */
export const OUTPUT: URL = new URL("../output/", import.meta.url);

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
  looks = 0;

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

  status(): ClusterStatus {
    this.looks++;
    return {
      workers: this.workers.map((worker) =>
        worker.alive ? { ...worker, lastHeartbeatAt: new Date().toISOString() } : worker
      ),
      shards: [...this.shards],
    };
  }
}

/** A dashboard that is served. */
export interface ServedDashboard extends AsyncDisposable {
  readonly url: string;
  /** Tells an event of the worker. */
  tell(fact: AppFact): void;
}

/** Serves the dashboard of `worker-1` of a cluster. */
export function serveDashboard(
  cluster: Pick<FakeCluster, "status">,
  options: Partial<DashboardOptions> & { readonly port?: number } = {},
): ServedDashboard {
  const dashboard = new Dashboard({
    appName: "orders-billing",
    streamName: "orders",
    workerId: "worker-1",
    version: "0.1.0",
    status: () => Promise.resolve(cluster.status()),
    control: () => Promise.reject(new Error("no control")),
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
