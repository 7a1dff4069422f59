// A page of a large cluster: a move between two other workers is seen within 2 seconds, and the state table is not read more for it
// than it may be.
import { assert, assertEquals, assertLess } from "@std/assert";
import type { ShardStatus } from "../../src/core/status.ts";
import { FakeCluster, serveDashboard, sleep } from "./dashboard_testing.ts";
import { Listener } from "./listener.ts";

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`      ${line}\n`));
}

/** Changes a shard, and waits until the page is told; gives how long that took. */
async function shownMs(
  page: Listener,
  cluster: FakeCluster,
  index: number,
  change: Partial<ShardStatus>,
): Promise<number> {
  cluster.change(index, change);
  const at = performance.now();
  const wanted = cluster.shards[index];
  await page.until(() => {
    const known = page.updates.flatMap(({ shards = [] }) => shards)
      .findLast(({ id }) => id === wanted?.shardId);
    return known?.state === wanted?.state && known?.owner === wanted?.owner &&
      known?.to === wanted?.handoverTo && known?.term === wanted?.term;
  });
  return performance.now() - at;
}

Deno.test("large cluster: a handover between two others is seen within 2 s, at a bounded cost in reads", async () => {
  const cluster = new FakeCluster(20, 1_000);
  for (const [i, worker] of cluster.workers.entries()) {
    cluster.workers[i] = { ...worker, shards: 50 };
  }
  await using served = serveDashboard(cluster);
  await using page = new Listener(served.url);
  await page.until(() => page.updates.some(({ look }) => look?.at));
  // The first glance has every row read once more: what moved before it was told to nobody.
  await sleep(2_500);
  const rest = { units: cluster.readUnits, looks: cluster.looks, at: performance.now() };
  await sleep(2_000);
  const restPerSecond = (cluster.readUnits - rest.units) * 1_000 / (performance.now() - rest.at);
  assertEquals(cluster.looks, rest.looks, "nothing moves, so that only the workers are read");

  const index = 1; // of worker-2
  const [from, to] = ["worker-2", "worker-3"];
  const times: number[] = [];
  const begun = { units: cluster.readUnits, looks: cluster.looks };
  cluster.nudge(from);
  times.push(await shownMs(page, cluster, index, { state: "handingOver", handoverTo: to }));
  cluster.nudge(to);
  times.push(await shownMs(page, cluster, index, { owner: to, term: 9, handoverTo: to }));
  const taken = { state: "processing", handoverTo: null, term: 10 } as const;
  times.push(await shownMs(page, cluster, index, taken));
  const units = cluster.readUnits - begun.units;
  say(`at rest ${restPerSecond.toFixed(1)} read units a second, one handover ${units} more`);
  say(`requested, given, taken: shown after ${times.map((ms) => Math.round(ms)).join(", ")} ms`);
  for (const ms of times) assertLess(ms, 2_000);
  assertLess(restPerSecond, 5);
  assert(cluster.looks - begun.looks <= 2, "the rows of all shards are read at a nudge only");
  const { look } = page.updates.findLast(({ look }) => look !== undefined) ?? {};
  assert((look?.movesAt ?? 0) > (look?.at ?? 0) && look?.everyMs === 25_500);
});

Deno.test("large cluster: while everything moves for long, all rows are read no more than three times out of turn", async () => {
  const cluster = new FakeCluster(20, 1_000);
  await using served = serveDashboard(cluster);
  await using page = new Listener(served.url);
  await page.until(() => page.updates.some(({ look }) => look?.at));
  for (let round = 0; round < 12; round++) {
    const [from, to] = [`worker-${2 + round % 18}`, `worker-${3 + round % 17}`];
    for (let i = 0; i < 20; i++) {
      cluster.change((round * 20 + i) % 1_000, { state: "handingOver", handoverTo: to });
    }
    cluster.nudge(from);
    await sleep(400);
  }
  assertEquals(cluster.looks, 1 + 3);
  // Of the shards that are known to be on their way a few are followed each second.
  const moved = cluster.readUnits - 4 * 112;
  assert(moved > 0 && moved < 6 * (10 + 2) + 20, `${moved} read units besides`);
});

Deno.test("large cluster: a table that cannot be read is said, and what was missed is read as soon as it can be", async () => {
  const cluster = new FakeCluster(4, 100);
  let isBroken = false;
  const own = cluster.reader();
  const workers = (): ReturnType<typeof own.workers> =>
    isBroken ? Promise.reject(new Error("no table")) : own.workers();
  await using served = serveDashboard({
    status: () => cluster.status(),
    reader: () => ({ ...own, workers }),
  });
  await using page = new Listener(served.url);
  const lookOf = () => page.updates.findLast(({ look }) => look !== undefined)?.look;
  await page.until(() => lookOf()?.movesAt !== lookOf()?.at);
  isBroken = true;
  await page.until(() => lookOf()?.error === "no table");
  const { looks } = cluster;
  isBroken = false;
  await page.until(() => lookOf()?.error === null);
  assertEquals(cluster.looks, looks + 1);
});
