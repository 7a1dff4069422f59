import { assert, assertEquals, assertStringIncludes } from "@std/assert";
// @ts-types="./parse_prometheus.d.ts"
import parsePrometheus from "parse-prometheus-text-format";
import { CliProcess, sourceProgram } from "../cli/cli_testing.ts";
import { eventually, hasTold, Stack } from "./stack.ts";

interface Health {
  readonly code: number;
  readonly status: string;
  readonly workerId: string;
  readonly phase: string;
  readonly heartbeatAgeMs: number;
  readonly shards: number;
  readonly problems: readonly {
    readonly kind: string;
    readonly shardId: string | null;
    readonly reason: string;
  }[];
}

const HTTP = ["--http", "127.0.0.1:0"];

/** Where a worker listens that has joined its cluster. */
async function urlOf(worker: CliProcess): Promise<string> {
  const line = await eventually(
    () => worker.stderr.find((line) => line.startsWith("listening on ")),
    (line) => line !== undefined,
    20_000,
  );
  const url = /^listening on (\S+): /.exec(line ?? "")?.[1] ?? "";
  await eventually(() => healthAt(`${url}/readyz`), ({ phase }) => phase !== "starting", 20_000);
  return url;
}

async function healthAt(url: string): Promise<Health> {
  const response = await fetch(url);
  return { ...await response.json(), code: response.status };
}

/** Waits for a problem of a kind. */
async function problem(url: string, kind: string): Promise<Health["problems"][number]> {
  const found = await eventually(
    () => healthAt(`${url}/healthz?scope=cluster`),
    ({ problems }) => problems.some((problem) => problem.kind === kind),
    25_000,
  );
  assertEquals([found.code, found.status], [503, "failing"]);
  const [first] = found.problems.filter((problem) => problem.kind === kind);
  assert(first !== undefined);
  return first;
}

Deno.test("health: a sound worker says so, and shows its metrics", async () => {
  await using stack = await Stack.start(2);
  await using worker = stack.worker("w1", "() => {}", { flags: HTTP });
  await worker.until(hasTold("shard_claimed", 2));
  const url = await urlOf(worker);
  stack.put(["secret-1", "secret-2"]);
  for (const path of ["/healthz", "/readyz", "/healthz?scope=worker", "/healthz?scope=cluster"]) {
    const { code, status, workerId, phase, heartbeatAgeMs, shards, problems } = await healthAt(
      url + path,
    );
    assertEquals([code, status, workerId, phase, shards], [200, "ok", "w1", "running", 2], path);
    assertEquals(problems, []);
    assert(heartbeatAgeMs >= 0 && heartbeatAgeMs < 2_000, `${heartbeatAgeMs} ms`);
  }
  const wrong = await fetch(`${url}/healthz?scope=galaxy`);
  assertEquals(wrong.status, 400);
  assertStringIncludes((await wrong.json()).error, '"worker" or "cluster"');
  const text = await eventually(
    async () => await (await fetch(`${url}/metrics`)).text(),
    (text) => text.includes('kinesix_records_total{app="Telemetry",stream="orders"} 2'),
    10_000,
  );
  assert(!text.includes("secret"));
  assert(parsePrometheus(text).some(({ name }) => name === "kinesix_shard_lag_seconds"));
  worker.kill("SIGTERM");
  assertEquals(await worker.ended(), 0);
  assert(!worker.stderr.some((line) => line.includes("Deno.serve")), worker.stderr.join("\n"));
});

Deno.test("health: the cluster fails while an operator has stopped a shard, and is sound again after", async () => {
  await using stack = await Stack.start(2);
  await using worker = stack.worker("w1", "() => {}", { flags: HTTP });
  const url = await urlOf(worker);
  await using stop = new CliProcess(["shard", "stop", "1", ...stack.tableFlags]);
  assertEquals(await stop.ended(), 0);
  const { shardId, reason } = await problem(url, "stopped");
  assertEquals([shardId, reason], [
    "shardId-000000000001",
    "an operator has stopped it; start it again",
  ]);
  assertEquals((await healthAt(`${url}/healthz`)).code, 200, "the worker itself is sound");
  await using start = new CliProcess(["shard", "start", "1", ...stack.tableFlags]);
  assertEquals(await start.ended(), 0);
  await eventually(
    () => healthAt(`${url}/healthz?scope=cluster`),
    ({ code }) => code === 200,
    25_000,
  );
});

Deno.test("health: the cluster fails when records are stuck", async () => {
  await using stack = await Stack.start(1);
  // At the tip when it got stuck: the state table shows nothing of it.
  await using worker = stack.worker("w1", "() => new Promise(() => {})", {
    flags: [...HTTP, "--max-stall", "2s"],
  });
  const url = await urlOf(worker);
  await worker.until(hasTold("shard_claimed"));
  stack.put(["a"]);
  const { shardId, reason } = await problem(url, "stalled");
  assertEquals(shardId, "shardId-000000000000");
  assertStringIncludes(reason, "in the processor's hands");
  assertStringIncludes(reason, "worker w1");
});

Deno.test("health: the cluster fails while a shard is further behind than it may be", async () => {
  await using stack = await Stack.start(1);
  stack.put(Array.from({ length: 100 }, (_, i) => String(i)));
  // Behind by what has been in the stream for longer than it may be, before anybody reads it.
  await new Promise((resolve) => setTimeout(resolve, 11_000));
  const slow = "() => new Promise((resolve) => setTimeout(resolve, 300))";
  await using worker = stack.worker("w1", slow, {
    flags: [...HTTP, "--max-lag", "10s", "--max-batch-size", "5"],
  });
  const url = await urlOf(worker);
  const { shardId, reason } = await problem(url, "lagging");
  assertEquals(shardId, "shardId-000000000000");
  assertStringIncludes(reason, "more than 10s; worker w1 has it");
  assertEquals((await healthAt(`${url}/readyz`)).code, 200);
});

Deno.test("health: the cluster fails when an owner dies, and nobody else may take its shard", async () => {
  await using stack = await Stack.start(1);
  const stops = "() => { throw new Error('no'); }, getErrorHandlingMode: () => " +
    "({ kind: 'retryAndStop', retries: 0 })";
  await using watcher = stack.worker("w1", stops, { flags: HTTP });
  const url = await urlOf(watcher);
  stack.put(["bad"]);
  await watcher.until(hasTold("shard_stopped"));
  await using other = stack.worker("w2", "() => {}");
  await other.until(hasTold("checkpoint_written"));
  await eventually(
    () => healthAt(`${url}/healthz?scope=cluster`),
    ({ code }) => code === 200,
    25_000,
  );
  other.kill("SIGKILL");
  await other.ended();
  const found = await eventually(
    () => healthAt(`${url}/healthz?scope=cluster`),
    ({ code }) => code === 503,
    25_000,
  );
  const [{ kind, shardId } = { kind: "", shardId: "" }] = found.problems;
  assertEquals(shardId, "shardId-000000000000");
  assert(["unowned", "stopped"].includes(kind), kind);
});

Deno.test("metrics: a line for CloudWatch stands among the events on stdout, the last one at the stop", async () => {
  await using stack = await Stack.start(1);
  await using worker = stack.worker("w1", "() => {}", { flags: ["--metrics", "emf"] });
  await worker.until(hasTold("shard_claimed"));
  stack.put(["a", "b"]);
  await worker.until(hasTold("checkpoint_written"));
  worker.kill("SIGTERM");
  assertEquals(await worker.ended(), 0);
  const lines = worker.stdout.map((line) => JSON.parse(line));
  const emf = lines.filter((line) => "_aws" in line);
  assertEquals(emf.map(({ App, Stream, Records }) => [App, Stream, Records]), [
    ["Telemetry", "orders", 2],
  ]);
  assert(lines.every((line) => "_aws" in line || "type" in line));
});

Deno.test("health: whoever opens it to other machines is told so", async () => {
  await using stack = await Stack.start(1);
  await using worker = stack.worker("w1", "() => {}", {
    flags: ["--http", "0.0.0.0:0"],
    program: sourceProgram(["--allow-all"]),
  });
  await urlOf(worker);
  const note = await eventually(
    () => worker.stderr.find((line) => line.startsWith("note: other machines")),
    (line) => line !== undefined,
    5_000,
  );
  assertStringIncludes(note ?? "", "open to them");
});
