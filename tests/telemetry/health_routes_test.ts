import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { ClusterStatus } from "../../src/core/status.ts";
import { healthRoutes, type HealthRoutesOptions } from "../../src/cli/http/health.ts";
import type { WorkerHealth } from "../../src/runtime/worker.ts";

const SOUND: WorkerHealth = {
  phase: "running",
  heartbeatAgeMs: 1_234.5,
  isFenced: false,
  loops: ["heartbeat", "fence", "survey", "shard sync"],
};

/** The routes of a worker that a test makes ill, and how often they read the state table. */
function routes(
  changes: Partial<WorkerHealth> | "not joined" = {},
  status?: () => Promise<ClusterStatus>,
) {
  let reads = 0;
  let nowMs = 0;
  const worker = { workerId: "w", alive: true, shards: 0, lastHeartbeatAt: "", version: "1" };
  const app = {
    workerId: "w",
    health: () => ({ ...SOUND, ...changes !== "not joined" && changes }),
    shards: () => [],
    status: () => {
      reads += 1;
      return status?.() ?? Promise.resolve({ workers: [worker], shards: [] });
    },
  };
  const options: HealthRoutesOptions = {
    app: () => changes === "not joined" ? undefined : app,
    limits: { maxStallMs: 1_000, maxUnownedMs: 1_000 },
    prometheus: { text: () => Promise.resolve("x 1\n"), contentType: "text/plain" },
    nowMs: () => nowMs,
  };
  const all = healthRoutes(options);
  const get = async (path: string) => {
    const url = new URL(path, "http://127.0.0.1");
    const route = all.find((route) => route.path === url.pathname);
    assert(route?.method === "GET");
    const response = await route.handle({ url, headers: new Headers(), body: {} });
    return { code: response.status, body: await response.json() };
  };
  return { get, reads: () => reads, advance: (ms: number) => void (nowMs += ms) };
}

Deno.test("health routes: what a probe is told of a worker in each state", async () => {
  const seen: unknown[] = [];
  for (
    const state of [
      {},
      { phase: "starting" },
      { phase: "stopping" },
      { phase: "stopped" },
      { isFenced: true },
      { loops: ["heartbeat", "fence", "survey"] },
    ] as const
  ) {
    const { get } = routes(state);
    const [health, ready] = [await get("/healthz"), await get("/readyz")];
    seen.push([health.code, ready.code, ready.body.problems.map(({ kind }: Kinded) => kind)]);
  }
  assertEquals(seen, [
    [200, 200, []],
    [200, 503, ["notRunning"]],
    [200, 503, ["notRunning"]],
    [503, 503, ["notRunning"]],
    [200, 503, ["fenced"]],
    [503, 503, ["loopEnded"]],
  ]);
});

Deno.test("health routes: a worker that has not joined its cluster yet lives, and is not ready", async () => {
  const { get, reads } = routes("not joined");
  const body = { workerId: null, phase: "starting", heartbeatAgeMs: null, shards: 0 };
  const health = await get("/healthz");
  assertEquals(health, { code: 200, body: { status: "ok", ...body, problems: [] } });
  for (const path of ["/readyz", "/healthz?scope=cluster"]) {
    const { code, body: { problems, status, ...rest } } = await get(path);
    assertEquals([code, status, rest], [503, "failing", body], path);
    assertEquals(problems, [
      { kind: "notRunning", shardId: null, reason: "the worker is starting" },
    ]);
  }
  assertEquals(reads(), 0);
});

Deno.test("health routes: however often they are asked, the state table is read once in five seconds", async () => {
  const { get, reads, advance } = routes();
  await Promise.all(Array.from({ length: 50 }, () => get("/healthz?scope=cluster")));
  advance(4_999);
  await get("/healthz?scope=cluster");
  assertEquals(reads(), 1);
  advance(1);
  assertEquals((await get("/healthz?scope=cluster")).code, 200);
  assertEquals(reads(), 2);
  await get("/healthz");
  await get("/readyz");
  assertEquals(reads(), 2, "the health of the worker reads nothing");
});

Deno.test("health routes: a look that takes longer than five seconds is shared, and not begun again beside it", async () => {
  const gates: PromiseWithResolvers<ClusterStatus>[] = [];
  const { get, reads, advance } = routes({}, () => {
    const gate = Promise.withResolvers<ClusterStatus>();
    gates.push(gate);
    return gate.promise;
  });
  const asked = [get("/healthz?scope=cluster")];
  for (let i = 0; i < 3; i++) {
    advance(6_000);
    asked.push(get("/healthz?scope=cluster"));
  }
  assertEquals(reads(), 1);
  const worker = { workerId: "w", alive: true, shards: 0, lastHeartbeatAt: "", version: "1" };
  gates[0]?.resolve({ workers: [worker], shards: [] });
  assertEquals((await Promise.all(asked)).map(({ code }) => code), [200, 200, 200, 200]);
  const next = get("/healthz?scope=cluster");
  assertEquals(reads(), 2, "what was seen 18 seconds ago is old");
  gates[1]?.reject(new Error("no"));
  assertEquals((await next).code, 503);
});

Deno.test("health routes: a state table that cannot be read is a failure, and not an error", async () => {
  const { get } = routes({}, () => Promise.reject(new Error("Cannot read the state table: no")));
  const { code, body } = await get("/healthz?scope=cluster");
  assertEquals([code, body.problems[0].kind, body.status], [503, "unreadable", "failing"]);
  assertStringIncludes(body.problems[0].reason, "state table");
});

interface Kinded {
  readonly kind: string;
}
