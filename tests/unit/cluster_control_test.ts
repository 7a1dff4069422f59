// ClusterControl: what an operator may order, what is refused and changes nothing, and what a rewind does to whoever works.
import { assertEquals, assertObjectMatch, assertRejects } from "@std/assert";
import { ReactoKinesixApp } from "../../mod.ts";
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";
import type { ShardRow } from "../../src/core/lease.ts";
import type { ClusterControl } from "../../src/runtime/cluster_control.ts";
import { VirtualClock } from "../virtual_clock.ts";
import { shardRow } from "./arbitraries.ts";

const SHARD = "shardId-000000000000";
const CLUSTER = { appName: "App", streamName: "Stream" };

/** A cluster with one shard, on a clock that the test moves. */
function build() {
  const clock = new VirtualClock();
  const store = new MemoryLeaseStore();
  const source = new MemoryStream({ shards: 1, clock });
  let drawn = 0;
  const random = { next: () => 0.5, uuid: () => `uuid-${drawn++}` };
  const ports = { store, source, clock, random };
  const { signal } = new AbortController();
  const row = async (): Promise<ShardRow | null> => await store.read("shard", SHARD, signal);
  return { clock, store, source, ports, signal, row };
}

async function start(bench: ReturnType<typeof build>, workerId: string) {
  const seen: string[] = [];
  const app = await bench.clock.until(
    ReactoKinesixApp.createNew({
      ...CLUSTER,
      workerId,
      processor: { process: (record) => void seen.push(record.text()) },
      ports: bench.ports,
    }),
    10_000,
  );
  return { app, seen };
}

async function steer(bench: ReturnType<typeof build>): Promise<ClusterControl> {
  return await ReactoKinesixApp.control({ ...CLUSTER, ports: bench.ports });
}

Deno.test("control: what cannot be is refused, by name, and changes nothing", async () => {
  const { store, ports, signal } = build();
  const put = (row: ShardRow) => {
    const { kind, id, ...set } = row;
    return store.write<ShardRow>({ kind, id, expect: "no row", set }, signal);
  };
  await put(shardRow("ended", { checkpoint: { kind: "shardEnd" } }));
  await put(shardRow("free"));
  await put(shardRow("held", { owner: "A", holder: "A-1", stoppedBy: ["B"] }));
  await put(shardRow("stopped", { order: { kind: "stop", id: "1", at: 0 } }));
  for (const [id, isDraining] of [["A", false], ["B", false], ["L", true]] as const) {
    await store.write({
      kind: "worker",
      id,
      expect: "no row",
      set: {
        incarnation: `${id}-1`,
        beat: 1,
        beatAt: ports.clock.now(),
        heartbeatTimeout: 1_000,
        shards: 0,
        isDraining,
        version: "1",
      },
    }, signal);
  }
  await using control = await ReactoKinesixApp.control({ ...CLUSTER, ports });
  const before = (await store.list("shard", signal)).rows;
  const refused: readonly (readonly [() => Promise<unknown>, string])[] = [
    [() => control.stop("none"), 'Cannot stop shard "none": the state table has no shard'],
    [() => control.stop("ended"), 'Cannot stop shard "ended": every record of it is finished'],
    [() => control.start("ended"), "every record of it is finished"],
    [() => control.handOver("held", "none"), "there is no worker of that name"],
    [() => control.handOver("held", "L"), "it is stopping"],
    [() => control.handOver("held", "B"), "it has stopped that shard; start it first"],
    [() => control.handOver("stopped", "A"), "it is stopped; start it first"],
    [() => control.release("stopped"), "it is stopped; start it first"],
    [() => control.release("free"), "nobody has it"],
    [() => control.release("held"), "there is no other worker that would take it"],
    [() => control.setCheckpoint("none", { kind: "trimHorizon" }), "has no shard of that name"],
    [() => control.setCheckpoint("held", { kind: "trimHorizon" }), 'worker "A" has it; stop'],
  ];
  for (const [act, words] of refused) await assertRejects(act, RangeError, words);
  assertEquals((await store.list("shard", signal)).rows, before);
  await control.stop("stopped");
  await control.start("free");
  assertEquals((await store.list("shard", signal)).rows, before, "it is so already");
});

Deno.test("control: a free shard is given at once, and an owner is asked", async () => {
  const bench = build();
  const a = await start(bench, "A");
  const b = await start(bench, "B");
  await using control = await steer(bench);
  await control.handOver(SHARD, "B");
  assertObjectMatch((await bench.row())?.handover ?? {}, { to: "B", isOrder: true });
  await bench.clock.advance(60_000);
  assertEquals([a.app.shards().length, b.app.shards().length], [0, 1]);
  assertEquals(await control.release(SHARD), "A");
  await bench.clock.advance(60_000);
  assertEquals([a.app.shards().length, b.app.shards().length], [1, 0]);
  await bench.clock.until(Promise.all([a.app.stop(), b.app.stop()]), 60_000);
  const c = await start(bench, "C");
  await control.stop(SHARD);
  await bench.clock.advance(60_000);
  assertEquals((await bench.row())?.owner, null);
  await assertRejects(() => c.app.startProcessing(SHARD), RangeError, "for the whole cluster");
  await control.start(SHARD);
  await bench.clock.advance(60_000);
  assertEquals(c.app.shards().map(({ shardId }) => shardId), [SHARD]);
  await bench.clock.until(c.app.stop(), 60_000);
});

Deno.test("control: a checkpoint that is set back is where the next turn begins", async () => {
  const bench = build();
  for (const text of ["1", "2", "3"]) bench.source.put("key", text);
  const first = await start(bench, "A");
  await bench.clock.advance(10_000);
  assertEquals(first.seen, ["1", "2", "3"]);
  await using control = await steer(bench);
  await control.stop(SHARD);
  await bench.clock.advance(60_000);
  await control.setCheckpoint(SHARD, { kind: "sequence", sequenceNumber: "1" });
  await control.start(SHARD);
  await bench.clock.advance(60_000);
  assertEquals(first.seen, ["1", "2", "3", "2", "3"]);
  await bench.clock.until(first.app.stop(), 60_000);
});

Deno.test("control: a checkpoint that is set by force fences whoever works, and is not overwritten", async () => {
  const bench = build();
  for (const text of ["1", "2", "3"]) bench.source.put("key", text);
  const { app, seen } = await start(bench, "A");
  await bench.clock.advance(10_000);
  const lost: string[] = [];
  app.addEventListener("lease_lost", ({ shardId }) => lost.push(shardId));
  await using control = await steer(bench);
  await control.setCheckpoint(SHARD, { kind: "trimHorizon" }, { isForced: true });
  bench.source.put("key", "4");
  await bench.clock.advance(200_000);
  assertEquals(lost, [SHARD]);
  // The fourth is delivered before the worker learns of it, and again after.
  assertEquals(seen, ["1", "2", "3", "4", "1", "2", "3", "4"]);
  await bench.clock.until(app.stop(), 60_000);
});
