import { assertEquals } from "@std/assert";
import { Cluster } from "./app_testing.ts";

const LOOPS = ["fence", "heartbeat", "shard sync", "survey"];

Deno.test("health: a worker knows its phase, the age of its heartbeat, its loops and its fence", async () => {
  await using cluster = new Cluster(2);
  const { app } = await cluster.start("a", { process: () => {} });
  await cluster.clock.advance(3_200);
  const running = app.health();
  assertEquals([running.phase, running.isFenced], ["running", false]);
  assertEquals([...running.loops].sort(), LOOPS);
  assertEquals(running.heartbeatAgeMs, 200);
  // Nothing is acknowledged any more.
  cluster.store.fate = ({ kind }) => kind === "worker" ? "request lost" : "made";
  await cluster.clock.advance(4_600);
  assertEquals([app.health().isFenced, app.shards().length], [true, 0]);
  cluster.store.fate = () => "made";
  await cluster.clock.advance(10_000);
  assertEquals([app.health().isFenced, app.shards().length], [false, 2]);
  const stopping = app.stop();
  assertEquals(app.health().phase, "stopping");
  await cluster.clock.until(stopping);
  assertEquals([app.health().phase, app.health().loops], ["stopped", []]);
});

Deno.test("health: a shard tells for how long its batch has been in hand", async () => {
  await using cluster = new Cluster(1);
  const gate = Promise.withResolvers<void>();
  const { app } = await cluster.start("a", { process: () => gate.promise });
  cluster.put(1);
  await cluster.clock.advance(5_000);
  const before = app.shards()[0]?.inHandMs ?? NaN;
  await cluster.clock.advance(7_000);
  assertEquals((app.shards()[0]?.inHandMs ?? NaN) - before, 7_000);
  gate.resolve();
  await cluster.clock.advance(1_000);
  assertEquals(app.shards()[0]?.inHandMs, 0);
});
