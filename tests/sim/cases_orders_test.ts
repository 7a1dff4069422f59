/**
 * Owns: directed cases of an operator's orders to the whole cluster: what follows, and how soon.
 * Must not: draw what happens; that is `simulation.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { MESSAGES_MS, MINUTE, play } from "./stage.ts";

const SHARD = "shardId-0000";

Deno.test("orders: a shard that is stopped is given up within a heartbeat, stays so whoever starts, and goes on after its start", async () => {
  await play({ shards: 4 }, async (stage) => {
    const { heartbeat, heartbeatTimeout } = stage.config;
    const workers = await stage.assemble(2);
    stage.putRecords();
    await stage.advance(MINUTE);
    stage.fleet.order("stop", SHARD);
    await stage.until(
      "it is free",
      () => stage.row(SHARD)?.owner === null,
      heartbeat + MESSAGES_MS,
    );
    await stage.advance(MESSAGES_MS);
    const stopped = stage.facts("shard_stopped").filter(({ fact }) => fact.shardId === SHARD);
    assertEquals(stopped.map(({ fact }) => fact.reason), ["halted"]);
    // Whoever comes and goes does not take it.
    const [first] = workers;
    assert(first !== undefined);
    stage.fleet.stop(first);
    stage.fleet.start();
    stage.fleet.start();
    await stage.advance(2 * heartbeatTimeout);
    assertEquals(stage.row(SHARD)?.owner, null);
    assertEquals(stage.facts("shard_stopped_everywhere"), []);
    stage.fleet.order("start", SHARD);
    await stage.until("it is held", () => stage.holderOf(SHARD) !== undefined, 2 * heartbeat);
    assertEquals(stage.duplicates(), 0);
    await stage.settle();
  });
});

Deno.test("orders: of more than ten workers, too, one that is told takes the shard that is started", async () => {
  await play({ shards: 14, seeds: [1, 2] }, async (stage) => {
    const { heartbeat } = stage.config;
    await stage.assemble(14);
    stage.fleet.order("stop", SHARD);
    await stage.until(
      "it is free",
      () => stage.row(SHARD)?.owner === null,
      heartbeat + MESSAGES_MS,
    );
    stage.fleet.order("start", SHARD);
    const withinMs = 2 * heartbeat + MESSAGES_MS;
    await stage.until("it is held", () => stage.holderOf(SHARD) !== undefined, withinMs);
    await stage.settle();
  });
});

Deno.test("orders: a shard that stopped on every worker for a record that fails goes on everywhere after one order", async () => {
  let isMended = false;
  const processor = {
    mode: { kind: "retryAndStop", retries: 0 },
    behaviour: { fails: () => !isMended },
  } as const;
  await play({ shards: 2, processor, isGentle: false }, async (stage) => {
    isMended = false;
    const { heartbeat } = stage.config;
    await stage.assemble(2);
    stage.put(stage.open(0), 1);
    const isToldOnce = (): boolean => stage.facts("shard_stopped_everywhere").length > 0;
    await stage.until("it is stopped everywhere", isToldOnce, 5 * MINUTE);
    isMended = true;
    stage.fleet.order("start", SHARD);
    await stage.until("it is held", () => stage.holderOf(SHARD) !== undefined, 2 * heartbeat);
    await stage.settle();
    assertEquals(stage.row(SHARD)?.stoppedBy, []);
  });
});

Deno.test("orders: a shard is handed over to whom the operator says, within a heartbeat of each, and nothing comes twice", async () => {
  await play({ shards: 4 }, async (stage) => {
    const { heartbeat } = stage.config;
    const [, second] = await stage.assemble(2);
    assert(second !== undefined);
    stage.putRecords();
    await stage.advance(MINUTE);
    // Two more than the other would never be granted to a worker that asks by itself.
    const wanted = stage.stream.open.filter(({ id }) => stage.holderOf(id) !== second);
    assertEquals(wanted.length, 2);
    for (const { id } of wanted) stage.fleet.orderHandover(id, second.workerId);
    const isDone = (): boolean => stage.shardsOf(second).length === 4;
    await stage.until("it has all", isDone, 2 * heartbeat + MESSAGES_MS);
    assertEquals(stage.duplicates(), 0);
    await stage.settle();
  });
});

Deno.test("orders: one that a holder obeys is taken back before it does: it goes on, and gives nothing up", async () => {
  const processor = { behaviour: { workMs: () => 5_000 } };
  await play({ shards: 1, processor }, async (stage) => {
    const { heartbeat } = stage.config;
    const [only] = await stage.assemble(1);
    stage.put(stage.open(0), 3);
    const { term } = stage.row(SHARD) ?? {};
    await stage.until("a record is in hand", () => only?.recordsInHand === 1, 2 * MINUTE);
    stage.fleet.order("stop", SHARD);
    await stage.advance(1_000);
    stage.fleet.order("start", SHARD);
    await stage.advance(2 * heartbeat);
    assertEquals([stage.row(SHARD)?.term, stage.holderOf(SHARD)], [term, only]);
    assertEquals(stage.duplicates(), 0);
    await stage.settle();
  });
});
