// kinesix cost: the arithmetic by hand, from flags, from prices in a file, and from a cluster on the local stack.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { main } from "../../src/cli/main.ts";
import { CliProcess, fakeTerminal } from "./cli_testing.ts";
import { Clinic, shardRow, workerRow } from "./doctor_testing.ts";
import { ownTemporaryFolder } from "./temporary_folder.ts";

async function cli(...args: readonly string[]) {
  const terminal = fakeTerminal();
  const code = await main(["cost", ...args], terminal);
  return { code, stdout: terminal.stdout(), stderr: terminal.stderr() };
}

async function bill(...args: readonly string[]) {
  const { code, stdout, stderr } = await cli(...args, "--json");
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout);
}

/** The amounts of the lines by name, in cents. */
async function amounts(...args: readonly string[]): Promise<Readonly<Record<string, number>>> {
  const { lines } = await bill(...args);
  return Object.fromEntries(
    lines.map(({ item, perMonth }: { item: string; perMonth: number }) => [
      item,
      Math.round(100 * perMonth),
    ]),
  );
}

Deno.test("cost: a provisioned stream and table, by hand; the JSON has the documented shape", async () => {
  await using call = new CliProcess([
    ...["cost", "--shards=10", "--workers=3", "--records-per-second=1000", "--record-bytes=26000"],
    "--json",
  ]);
  assertEquals(await call.ended(), 0, call.stderr.join("\n"));
  const bill = JSON.parse(call.stdout.join(""));
  assertEquals(Object.keys(bill), ["prices", "usage", "tableNeed", "lines", "perMonth"]);
  assertEquals(bill.usage, {
    shards: 10,
    workers: 3,
    recordsPerSecond: 1000,
    recordBytes: 26000,
    streamMode: "provisioned",
    retrieval: "polling",
    table: { billing: "PROVISIONED", readUnits: 10, writeUnits: 10 },
  });
  assertEquals(bill.lines[1], {
    item: "put payload units",
    causedBy: "stream",
    arithmetic: "2628 million records x 2 units x $0.014",
    perMonth: 73.584,
  });
  assertEquals(bill.tableNeed.writesPerSecondAtRest, 0.1);
  assertEquals(bill.tableNeed.writesPerSecond, 10.1);
  // 10 x 730 x 0.015 + 73.584; 10 x 730 x (0.00065 + 0.00013).
  assertEquals(bill.perMonth, { stream: 183.08, app: 5.69, total: 188.77 });
});

Deno.test("cost: what fan-out, on-demand streams and tables, and settings change", async () => {
  const load = ["--shards=10", "--records-per-second=1024", "--record-bytes=1024"];
  const fanOut = await amounts(...load, "--retrieval=fan-out");
  // 1 MiB a second for 730 h is 2566.40625 GB.
  assertEquals([fanOut["fan-out, shards"], fanOut["fan-out, data"]], [10950, 3336]);
  const onDemand = await amounts(...load, "--stream-mode=on-demand");
  assertEquals([onDemand["stream, on demand"], onDemand["data in"], onDemand["data out"]], [
    ...[2920, 20531, 10266],
  ]);
  const both = await amounts(...load, "--stream-mode=on-demand", "--retrieval=fan-out");
  assertEquals([both["fan-out, shards"], both["fan-out, data"]], [undefined, 12832]);
  const perRequest = ["--billing-mode=PAY_PER_REQUEST", ...load];
  assertEquals((await amounts(...perRequest))["state table, checkpoints"], 1643);
  const seldom = await amounts(...perRequest, "--checkpoint-frequency=10s");
  assertEquals(seldom["state table, checkpoints"], 164);
  const beats = await amounts(...perRequest, "--heartbeat=1s", "--workers=10");
  assertEquals(beats["state table, heartbeats"], 1643);
});

Deno.test("cost: prices from a file, and a file that cannot be used", async () => {
  await using folder = await ownTemporaryFolder();
  const path = `${folder.path}/prices.json`;
  const price = async (text: string) => {
    await Deno.writeTextFile(path, text);
    return await cli("--shards=1", `--prices=${path}`, "--json");
  };
  const { stdout } = await price('{"shardHour": 1}');
  assertEquals(JSON.parse(stdout).lines[0].perMonth, 730);
  assertStringIncludes(JSON.parse(stdout).prices, path);
  for (
    const [text, message] of [
      ['{"shardHours": 1}', "there is no such price; did you mean shardHour?"],
      ['{"shardHour": "1"}', "a price is a number from 0 on"],
      ["[1]", "it must hold a JSON object"],
      ["{", "Cannot read prices from"],
    ] as const
  ) {
    const { code, stdout, stderr } = await price(text);
    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, message);
  }
});

Deno.test("cost: of a cluster that is there; what is given counts more", async () => {
  await using clinic = await Clinic.start({ shards: 3 });
  await clinic.rows(workerRow(), ...[0, 1, 2].map((i) => shardRow(i)));
  const live = ["--app=A", "--stream=S", ...clinic.endpoints];
  const { usage } = await bill(...live);
  assertEquals([usage.shards, usage.workers, usage.streamMode], [3, 1, "provisioned"]);
  assertEquals(usage.table, { billing: "PROVISIONED", readUnits: 10, writeUnits: 10 });
  const asked = await bill(...live, "--shards=30", "--stream-mode=on-demand");
  assertEquals([asked.usage.shards, asked.usage.streamMode], [30, "on-demand"]);
});

Deno.test("cost: for people, and what is called in a wrong way", async () => {
  const { stdout } = await cli("--shards=20", "--records-per-second=5000");
  assertMatch(stdout, /shards +│ 20 shards x 730 h x \$0.015 +│ 219.00/);
  assertMatch(stdout, /total .* 408.65/);
  assertStringIncludes(stdout, "That is more than its units");
  assertStringIncludes(stdout, "Kinesis as of March 2026");
  for (
    const [args, message] of [
      [[], "Cannot run without --shards N"],
      [["--shards=0"], "it must be a whole number from 1"],
      [["--app=A"], "give both, or none"],
      [["--shards=1", "--retrieval=pigeon"], "it must be polling or fan-out"],
    ] as const
  ) {
    const { code, stdout, stderr } = await cli(...args);
    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, message);
  }
  await using clinic = await Clinic.start();
  const missing = await cli("--app=A", "--stream=S", ...clinic.endpoints);
  assertEquals(missing.code, 1);
  assertStringIncludes(missing.stderr, 'Cannot read state table "AKinesisState"');
});
