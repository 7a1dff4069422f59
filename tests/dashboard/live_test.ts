// What goes over the wire: everything first, then what changes, not too often, and to nobody who does not read.
import { assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { CLIENTS_MAX, LiveClients } from "../../src/cli/dashboard/live_clients.ts";
import { Listener } from "./listener.ts";
import { FakeCluster, serveDashboard, sleep, TOKEN } from "./dashboard_testing.ts";

Deno.test("live: everything first, then what changes", async () => {
  const cluster = new FakeCluster(2, 4);
  await using served = serveDashboard(cluster);
  const shardId = "shardId-000000000000";
  served.tell({ type: "worker_started", version: "0.1.0", streamName: "orders" });
  await using first = new Listener(served.url);
  await first.until(() => first.updates.some(({ shards }) => shards !== undefined));
  const [snapshot] = first.snapshots;
  assertEquals([snapshot?.appName, snapshot?.workerId], ["orders-billing", "worker-1"]);
  assertEquals(snapshot?.events.map(({ type }) => type), ["worker_started"]);
  assertEquals(first.updates.flatMap(({ shards = [] }) => shards).length, 4);

  // Of another worker: seen at the next look.
  cluster.change(2, { owner: "worker-2", term: 8 });
  await first.until(() => first.updates.some(({ shards }) => shards?.[0]?.term === 8));
  assertEquals(first.updates.find(({ shards }) => shards?.[0]?.term === 8)?.shards?.length, 1);

  // Of this worker: told, and shown without waiting for a look; an older row does not undo it.
  served.tell({
    type: "shard_handed_over",
    shardId,
    term: 50,
    to: "worker-2",
    checkpoint: "LATEST",
  });
  await first.until(() =>
    first.updates.some(({ shards }) => shards?.[0]?.owner === "worker-2" && shards[0].term === 50)
  );
  await sleep(1_500);
  assertEquals(first.updates.flatMap(({ shards = [] }) => shards).at(-1)?.term, 50);

  await using second = new Listener(served.url);
  await second.until(() => second.snapshots.length === 1);
  assertEquals(second.snapshots[0]?.shards.find(({ id }) => id === shardId)?.owner, "worker-2");
  assertEquals(second.snapshots[0]?.events.at(-1)?.type, "shard_handed_over");
});

Deno.test("live: at most two updates a second, however much happens", async () => {
  await using served = serveDashboard(new FakeCluster(1, 50));
  await using page = new Listener(served.url);
  await page.until(() => page.updates.length > 0);
  const before = page.ids.length;
  const startedAt = performance.now();
  while (performance.now() - startedAt < 3_000) {
    for (let i = 0; i < 50; i++) {
      const shardId = `shardId-${String(i).padStart(12, "0")}`;
      served.tell({
        type: "batch_processed",
        processMs: 1,
        shardId,
        filtered: 0,
        records: 1,
        bytes: 1,
        millisBehindLatest: i,
      });
    }
    await sleep(10);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  assertLessOrEqual(page.ids.length - before, 2 * seconds + 1);
});

Deno.test("live: nothing is read while nobody looks", async () => {
  const cluster = new FakeCluster(1, 4);
  await using served = serveDashboard(cluster);
  await sleep(1_200);
  assertEquals(cluster.looks, 0);
  {
    await using page = new Listener(served.url);
    await page.until(() => page.updates.length > 0);
    assertGreater(cluster.looks, 0);
  }
  await sleep(700);
  const { looks } = cluster;
  await sleep(2_500);
  assertEquals(cluster.looks, looks);
});

Deno.test("live: a state table that cannot be read is said, and what is known stays", async () => {
  const cluster = new FakeCluster(1, 4);
  let isBroken = false;
  await using served = serveDashboard(cluster, {
    status: () =>
      isBroken ? Promise.reject(new Error("no table")) : Promise.resolve(cluster.status()),
  });
  await using page = new Listener(served.url);
  await page.until(() => page.updates.some(({ look }) => look?.at));
  isBroken = true;
  await page.until(() => page.updates.some(({ look }) => look?.error === "no table"));
  assertEquals(page.updates.some(({ goneShards }) => goneShards !== undefined), false);
  isBroken = false;
  await page.until(() => page.updates.at(-1)?.look?.error === null);
});

Deno.test("live: a page too many is refused, and there is room again when one is gone", async () => {
  await using served = serveDashboard(new FakeCluster(1, 1));
  const pages = Array.from({ length: CLIENTS_MAX }, () => new Listener(served.url));
  await Promise.all(pages.map((page) => page.until(() => page.snapshots.length > 0)));
  const refused = await fetch(`${served.url}/dashboard/live`);
  assertEquals(refused.status, 503);
  await refused.body?.cancel();
  await pages[0]?.[Symbol.asyncDispose]();
  await sleep(700);
  await using last = new Listener(served.url);
  await last.until(() => last.snapshots.length === 1);
  for (const page of pages) await page[Symbol.asyncDispose]();
});

Deno.test("live: a page that does not read is dropped, and does not fill the memory", async () => {
  let changes = 0;
  const clients = new LiveClients(() => changes++);
  const slow = clients.open({})?.getReader();
  const quick = clients.open({})?.getReader();
  assertEquals(clients.count, 2);
  const text = "x".repeat(100_000);
  // The time to come back, and the snapshot.
  for (let i = 0; i < 2; i++) await quick?.read();
  let read = 0;
  for (let i = 0; i < 30 && clients.count === 2; i++) {
    clients.send("update", text);
    read += (await quick?.read())?.value?.length ?? 0;
  }
  assertEquals(clients.count, 1, "the slow one is gone");
  assertGreater(read, 500_000);
  const failed = await slow?.closed.then(() => "closed", (error) => String(error));
  assertEquals(failed, "Error: The page does not read what it is sent");
  await quick?.cancel();
  assertEquals([clients.count, changes], [0, 4]);
});

Deno.test("live: orders need the token, are checked, and their refusals are told", async () => {
  let looked = 0;
  const given: string[] = [];
  const control = {
    stop: (id: string) => Promise.resolve(given.push(`stop ${id}`)),
    start: () => Promise.reject(new RangeError("Cannot start: it is finished")),
    handOver: (id: string, to: string) => Promise.resolve(given.push(`${id} to ${to}`)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  await using served = serveDashboard(new FakeCluster(1, 1), {
    control: () => Promise.resolve(control as never),
    lookForProcessor: () => looked++,
  });
  async function post(path: string, body: unknown, token = TOKEN): Promise<[number, string]> {
    const response = await fetch(`${served.url}/dashboard/${path}`, {
      method: "POST",
      headers: { "Authorization": `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const { message, error } = await response.json();
    return [response.status, message ?? error];
  }
  assertEquals((await post("shards/stop", { shardId: "s" }, "wrong"))[0], 401);
  assertEquals(given, []);
  assertEquals((await post("shards/stop", { shardId: "s" }))[0], 200);
  assertEquals((await post("shards/handover", { shardId: "s", to: "w" }))[0], 200);
  assertEquals(given, ["stop s", "s to w"]);
  assertEquals(await post("shards/start", { shardId: "s" }), [409, "Cannot start: it is finished"]);
  assertEquals((await post("shards/handover", { shardId: "s" }))[0], 409);
  for (const shardId of [undefined, 1, "", "x".repeat(300), null]) {
    assertEquals((await post("shards/stop", { shardId }))[0], 400);
  }
  assertEquals((await post("processor/look", {}))[0], 200);
  assertEquals(looked, 1);
});
