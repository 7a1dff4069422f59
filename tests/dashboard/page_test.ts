// The page in a real Chromium: how it looks, that all can use it, and that nothing that it shows becomes code.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import axe from "axe-core";
import type { Page } from "puppeteer-core";
import {
  CHROMIUM,
  FakeCluster,
  keepPicture,
  serveDashboard,
  type ServedDashboard,
  showAs,
  sleep,
  TestBrowser,
  TOKEN,
} from "./dashboard_testing.ts";

const ignore = CHROMIUM === undefined;

/** A cluster in which something of everything can be seen. */
function varied(shards: number): FakeCluster {
  const cluster = new FakeCluster(shards > 100 ? 12 : 3, shards);
  cluster.change(1, { state: "handingOver", handoverTo: "worker-1" });
  cluster.change(2, { millisBehindLatest: 94_000 });
  cluster.change(3, { millisBehindLatest: 12_000 });
  if (shards < 100) return cluster;
  const [stopped, free] = [10, 77];
  cluster.change(stopped, { state: "stopped", owner: null, stoppedAt: new Date().toISOString() });
  cluster.change(free, { state: "unowned", owner: null });
  cluster.change(400, { millisBehindLatest: 8_000_000 });
  cluster.change(5, { millisBehindLatest: 700_000 });
  for (let i = 900; i < 920; i++) cluster.change(i, { state: "closed", owner: null });
  return cluster;
}

function tellSomething({ tell }: ServedDashboard): void {
  const shardId = "shardId-000000000000";
  tell({ type: "worker_started", version: "0.1.0", streamName: "orders" });
  tell({ type: "shard_claimed", shardId, term: 2, from: "worker-2", checkpoint: "TRIM_HORIZON" });
  tell({
    type: "batch_processed",
    processMs: 1,
    shardId,
    filtered: 0,
    records: 400,
    bytes: 80_000,
    millisBehindLatest: 0,
  });
  const error = { name: "TypeError", message: "Cannot read total of undefined" };
  tell({ type: "record_failed", shardId, sequenceNumber: "4968048628779695", attempt: 2, error });
  tell({ type: "shard_stopped", shardId, reason: "recordFailed" });
}

async function untilShown(page: Page, shards: number): Promise<void> {
  await page.waitForFunction(
    `document.querySelectorAll("button.tile").length === ${shards}`,
    { timeout: 10_000 },
  );
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/** What a machine finds that keeps people out. */
async function violations(page: Page): Promise<readonly string[]> {
  // The policy of the page lets no script in but its own; the debugger of the browser may.
  await page.evaluate(axe.source);
  const found = await page.evaluate("axe.run()") as { readonly violations: readonly Violation[] };
  return found.violations.map(({ id, nodes }) =>
    `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`
  );
}

for (const shards of [4, 1_000]) {
  Deno.test({
    name: `page: ${shards} shards: looks as it should, for everybody, also when that changes`,
    ignore,
    async fn(t) {
      await using served = serveDashboard(varied(shards), { lookForProcessor: () => {} });
      tellSomething(served);
      await using browser = await TestBrowser.open();
      const page = await browser.look(served.url);
      await untilShown(page, shards);
      // Until the charts have something to show.
      await sleep(2_500);
      for (const scheme of ["light", "dark"] as const) {
        for (const width of [1440, 390]) {
          const name = `${shards}-${scheme}${width === 390 ? "-narrow" : ""}`;
          await t.step(name, async () => {
            await showAs(page, { scheme, width });
            await sleep(400);
            await keepPicture(page, name);
            assertEquals(await page.evaluate("document.documentElement.scrollWidth"), width);
            assertEquals(await violations(page), []);
            await page.click("button.tile");
            await page.waitForSelector("#details[open]");
            await sleep(400);
            await keepPicture(page, `${name}-details`);
            assertEquals(await violations(page), []);
            await page.keyboard.press("Escape");
            await page.waitForSelector("#details:not([open])");
            assertEquals(browser.complaints, []);
          });
        }
      }
    },
  });
}

Deno.test({
  name: "page: names and messages from outside are text, whatever is in them",
  ignore,
  async fn() {
    const hostile = `<img src=x onerror="globalThis.isHacked=true">`;
    const cluster = new FakeCluster(1, 2);
    cluster.workers.push({
      workerId: hostile,
      alive: true,
      shards: 1,
      lastHeartbeatAt: new Date().toISOString(),
      version: `"><script>globalThis.isHacked=true</script>`,
    });
    cluster.change(1, { owner: hostile, handoverTo: `${hostile}2`, state: "handingOver" });
    await using served = serveDashboard(cluster, { streamName: hostile, appName: hostile });
    const error = { name: hostile, message: `</script>${hostile}\u202e\u001b[31m` };
    served.tell({ type: "task_failed", task: hostile, error });
    await using browser = await TestBrowser.open();
    const page = await browser.look(served.url);
    await untilShown(page, 2);
    await page.click("button.tile[data-state=handingOver]");
    await page.waitForSelector("#details[open]");
    await sleep(1_200);
    const text = String(await page.evaluate("document.body.innerText"));
    assertStringIncludes(text, hostile);
    assertEquals(text.includes("\u202e") || text.includes("\u001b"), false);
    assertEquals(await page.evaluate("globalThis.isHacked"), undefined);
    assertEquals(await page.evaluate(`document.querySelectorAll("img").length`), 1);
    assertEquals(browser.complaints, []);
    const { headers } = await fetch(served.url).then(async (response) => {
      await response.body?.cancel();
      return response;
    });
    const policy = headers.get("content-security-policy") ?? "";
    assertStringIncludes(policy, "default-src 'none'");
    assertEquals(policy.includes("unsafe"), false);
  },
});

Deno.test({
  name: "page: it works without a mouse",
  ignore,
  async fn() {
    await using served = serveDashboard(new FakeCluster(2, 8));
    await using browser = await TestBrowser.open();
    const page = await browser.look(served.url);
    await untilShown(page, 8);
    const focused = () =>
      page.evaluate(`document.activeElement.dataset.shard ?? document.activeElement.id`);
    await page.keyboard.press("/");
    assertEquals(await focused(), "search");
    await page.keyboard.type("worker-2 #3");
    await page.waitForFunction(`document.getElementById("shown").textContent === "1 of 8"`);
    assertEquals(await page.evaluate(`document.querySelectorAll(".tile[data-dim]").length`), 7);
    await page.focus("button.tile[tabindex='0']");
    const first = await focused();
    await page.keyboard.press("ArrowRight");
    const second = await focused();
    assert(first !== second, `from ${first} to ${second}`);
    // One stop for the tab key, however many shards there are.
    assertEquals(await page.evaluate(`document.querySelectorAll(".tile[tabindex='0']").length`), 1);
    await page.keyboard.press("Enter");
    await page.waitForSelector("#details[open]");
    await page.keyboard.press("Escape");
    await page.waitForSelector("#details:not([open])");
    assertEquals(await focused(), second, "the focus comes back");
    assertEquals(browser.complaints, []);
  },
});

Deno.test({
  name: "page: an order asks for the token, and again when it was wrong",
  ignore,
  async fn() {
    const given: string[] = [];
    const control = {
      stop: (shardId: string) => Promise.resolve(given.push(shardId)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    await using served = serveDashboard(new FakeCluster(2, 4), {
      control: () => Promise.resolve(control as never),
    });
    await using browser = await TestBrowser.open();
    const page = await browser.look(served.url);
    await untilShown(page, 4);
    const untilSaid = (text: string) =>
      page.waitForFunction(`document.getElementById("toast").textContent.includes("${text}")`);
    await page.click("button.tile");
    for (const [token, said] of [["not-the-token", "not the token"], [TOKEN, "order to stop"]]) {
      await page.click("#details .danger");
      assertEquals(given, [], "one press is not enough");
      await page.click("#details .danger");
      await page.waitForSelector("#token-dialog[open]");
      assertEquals(await violations(page), []);
      await page.type("#token-input", token ?? "");
      await page.keyboard.press("Enter");
      await untilSaid(said ?? "");
    }
    assertEquals(given, ["shardId-000000000000"]);
    // The refusal is in the console of the browser, which writes down each answer of that kind.
    assertEquals(browser.complaints.filter((text) => !text.includes("401")), []);
  },
});

Deno.test({
  name: "page: can be held still, and goes on with all that happened",
  ignore,
  async fn() {
    const cluster = new FakeCluster(2, 4);
    await using served = serveDashboard(cluster);
    await using browser = await TestBrowser.open();
    const page = await browser.look(served.url);
    await untilShown(page, 4);
    await page.click("#pause");
    cluster.change(0, { owner: "worker-2", term: 9 });
    await sleep(2_500);
    const moved = `document.querySelector(
      '[data-key="worker worker-2"] [data-shard="shardId-000000000000"]') !== null`;
    assertEquals(await page.evaluate(moved), false);
    await page.click("#pause");
    await page.waitForFunction(moved);
    assertEquals(browser.complaints, []);
  },
});

Deno.test({
  name: "page: comes back by itself when the worker was away, with all that is new",
  ignore,
  async fn() {
    const cluster = new FakeCluster(2, 4);
    await using browser = await TestBrowser.open();
    const first = serveDashboard(cluster);
    const page = await browser.look(first.url);
    await untilShown(page, 4);
    await first[Symbol.asyncDispose]();
    await page.waitForSelector("#connection[data-state=lost]");
    cluster.change(0, { owner: "worker-2", term: 9 });
    await sleep(3_000);
    await using _second = serveDashboard(cluster, { port: Number(new URL(first.url).port) });
    await page.waitForSelector("#connection[data-state=live]", { timeout: 5_000 });
    await page.waitForSelector(
      `[data-key="worker worker-2"] [data-shard="shardId-000000000000"]`,
      { timeout: 5_000 },
    );
    // That the worker was away is all that the browser has to say.
    const others = browser.complaints.filter((text) => !/net::ERR_/.test(text));
    assertEquals(others, []);
  },
});

Deno.test({
  name: "page: 1,000 shards do not make it stutter while all of them change",
  ignore,
  async fn() {
    const cluster = new FakeCluster(10, 1_000);
    await using served = serveDashboard(cluster);
    await using browser = await TestBrowser.open();
    const page = await browser.look(served.url);
    await untilShown(page, 1_000);
    const own = cluster.shards.map(({ shardId }) => shardId);
    let round = 0;
    const timer = setInterval(() => {
      round++;
      for (const [i, shardId] of own.entries()) {
        const records = (i * 7 + round * 13) % 200;
        const millisBehindLatest = (i * 997 + round * 5_000) % 700_000;
        served.tell({
          type: "batch_processed",
          processMs: 1,
          shardId,
          filtered: 0,
          records,
          bytes: 9_000,
          millisBehindLatest,
        });
      }
      // Twenty at a time move to this worker, and fly there.
      for (let i = 0; i < 20; i++) {
        const shardId = own[(round * 20 + i) % 1_000] ?? "";
        served.tell({
          type: "shard_claimed",
          shardId,
          term: 10 + round,
          from: "w",
          checkpoint: "LATEST",
        });
      }
    }, 500);
    // In processor time: how long a task took says more about what else this machine does.
    const session = await page.createCDPSession();
    await session.send("Performance.enable", { timeDomain: "threadTicks" });
    const taskSeconds = async (): Promise<number> => {
      const { metrics } = await session.send("Performance.getMetrics");
      return metrics.find(({ name }) => name === "TaskDuration")?.value ?? NaN;
    };
    const [before, startedAt] = [await taskSeconds(), performance.now()];
    const frames = await page.evaluate(`new Promise((resolve) => {
      const times = [];
      let last = performance.now();
      const step = (now) => {
        times.push(now - last);
        last = now;
        if (times.reduce((a, b) => a + b, 0) > 5000) resolve(times);
        else requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    })`) as number[];
    const seconds = (performance.now() - startedAt) / 1_000;
    const busy = (await taskSeconds() - before) / seconds;
    clearInterval(timer);
    const sorted = frames.toSorted((a, b) => a - b);
    const at = (part: number) => Math.round(sorted[Math.floor(part * (sorted.length - 1))] ?? 0);
    const line = `      frames: median ${at(0.5)} ms, 95 % ${at(0.95)} ms, worst ${at(1)} ms; ` +
      `main thread busy ${Math.round(busy * 100)} %\n`;
    Deno.stdout.writeSync(new TextEncoder().encode(line));
    await keepPicture(page, "1000-busy");
    // The machine may be busy with others: half of the frames say what the page can do.
    assert(at(0.5) <= 50, line);
    assert(busy < 0.4, line);
    assertEquals(browser.complaints, []);
  },
});
