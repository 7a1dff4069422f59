// The dashboard of real workers on the local stack: a handover is seen in time, orders are obeyed, and looking costs next to nothing.
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { LocalStack } from "../../src/cli/local_stack.ts";
import { RecordPutter } from "../../src/cli/record_putter.ts";
import { connectAws } from "../../src/adapters/aws_calls.ts";
import type { CliProcess } from "../cli/cli_testing.ts";
import { runWorker, startStack, type WorkerProcess } from "../cli/worker_testing.ts";
import { CHROMIUM, keepPicture, sleep, TestBrowser, TOKEN } from "./dashboard_testing.ts";

const PROCESSOR = "data:text/javascript,export default { process() {} };";

function worker(stack: LocalStack, workerId: string, more: readonly string[] = []): WorkerProcess {
  const flags = ["--heartbeat=500ms", "--heartbeat-timeout=5s", "--empty-receive-delay=200ms"];
  const env = { KINESIX_HTTP_TOKEN: TOKEN };
  return runWorker(stack, PROCESSOR, [`--worker-id=${workerId}`, ...flags, ...more], { env });
}

async function urlOf(process: CliProcess): Promise<string> {
  for (let waited = 0; waited < 20_000; waited += 50) {
    const url = process.stderr.map((line) => /^listening on (\S+): /.exec(line)?.[1]).find(Boolean);
    if (url !== undefined) return url;
    await sleep(50);
  }
  throw new Error(`It does not listen:\n${process.stderr.join("\n")}`);
}

/** The processor time that a process has used, in seconds. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`      ${line}\n`));
}

Deno.test({
  name: "worker: a handover that is ordered in the page is seen in it within 2 seconds",
  ignore: CHROMIUM === undefined,
  async fn() {
    await using stack = await startStack(4);
    await using first = worker(stack, "w1", ["--http=127.0.0.1:0"]);
    await using second = worker(stack, "w2");
    await second.untilTold("shard_claimed", 2);
    await using browser = await TestBrowser.open();
    const page = await browser.look(await urlOf(first));
    const own = `[data-key="worker w1"] button.tile`;
    await page.waitForFunction(`document.querySelectorAll('${own}').length === 2`);
    const shardId = String(await page.evaluate(`document.querySelector('${own}').dataset.shard`));
    await page.click(own);
    await page.waitForSelector("#details[open]");
    const orders = await page.$$("#details .orders button");
    const label = await orders[2]?.evaluate((button) => button.textContent);
    assertEquals(label, "Hand over to");
    await page.select("#details select", "w2");
    await orders[2]?.click();
    await page.waitForSelector("#token-dialog[open]");
    await page.type("#token-input", TOKEN);
    await page.keyboard.press("Enter");
    await first.until((lines) =>
      lines.some((line) => line.includes('"shard_handed_over"') && line.includes(shardId))
    );
    const since = performance.now();
    await page.waitForSelector(`[data-key="worker w2"] [data-shard="${shardId}"]`, {
      timeout: 2_000,
    });
    say(`shown ${Math.round(performance.now() - since)} ms after the worker told it`);
    assertMatch(
      String(await page.evaluate(`document.getElementById("toast").textContent`)),
      /order to hand over to "w2" is given/,
    );
    await keepPicture(page, "worker-handover");
    const audit = `ordered in the dashboard: handover ${shardId} to w2`;
    assertEquals(first.stderr.filter((line) => line.startsWith("ordered")), [audit]);
    assertEquals(browser.complaints, []);
    // The page does not hold up the end of the worker.
    await first.stop();
    await page.waitForSelector("#connection[data-state=lost]");
  },
});

Deno.test({
  name: "worker: an open page costs less than 2 % of a core",
  ignore: CHROMIUM === undefined || Deno.build.os !== "linux",
  async fn() {
    await using stack = await startStack(4);
    await using process = worker(stack, "w1", ["--http=127.0.0.1:0"]);
    const url = await urlOf(process);
    const stopping = new AbortController();
    const putting = put(stack, stopping.signal);
    await using browser = await TestBrowser.open();
    const windowMs = 4_000;
    const costs = { shut: 0, open: 0 };
    const rounds = 3;
    await sleep(3_000);
    // In turns, so that whatever else the machine does falls on both.
    for (let round = 0; round < rounds; round++) {
      for (const kind of ["shut", "open"] as const) {
        const page = kind === "open" ? await browser.look(url) : undefined;
        await sleep(1_000);
        const before = await cpuSeconds(process.pid);
        const at = performance.now();
        await sleep(windowMs);
        const share = (await cpuSeconds(process.pid) - before) / ((performance.now() - at) / 1_000);
        costs[kind] += share / rounds;
        await page?.close();
      }
    }
    stopping.abort();
    await putting;
    const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
    const cost = costs.open - costs.shut;
    say(`of a core: ${percent(costs.shut)} without a page, ${percent(costs.open)} with one`);
    assert(cost < 0.02, `an open page costs ${percent(cost)} of a core`);
    assertEquals(browser.complaints, []);
  },
});

/** Puts records at an even pace. */
async function put(stack: LocalStack, signal: AbortSignal): Promise<void> {
  const clients = connectAws({
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
    kinesisEndpoint: stack.kinesisEndpoint,
  });
  try {
    const putter = new RecordPutter({
      kinesis: await clients.kinesis(),
      streamName: "S",
      onProgress: () => {},
      signal: new AbortController().signal,
    });
    const data = new TextEncoder().encode("a record of the usual kind");
    for (let i = 0; !signal.aborted; i++) {
      for (let k = 0; k < 100; k++) await putter.add({ partitionKey: `key-${i * 100 + k}`, data });
      await putter.flush();
      await sleep(200);
    }
  } finally {
    clients.close();
  }
}
