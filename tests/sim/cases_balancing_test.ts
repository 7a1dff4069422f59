/**
 * Owns: directed cases of how shards are shared and recovered, and what that costs: the defects of the original about it, by name.
 * Must not: draw what happens; that is `simulation.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { MESSAGES_MS, MINUTE, play, SECOND } from "./stage.ts";

Deno.test("B19: a shard that is stopped everywhere does not freeze the balance of the others", async () => {
  const processor = {
    mode: { kind: "retryAndStop", retries: 1 },
    behaviour: { fails: ({ shardId }: { shardId: string }) => shardId === "shardId-0000" },
  } as const;
  await play({ shards: 9, isGentle: false, processor }, async (stage) => {
    await stage.assemble(2);
    stage.put(stage.open(0), 1);
    await stage.until(
      "it is stopped everywhere",
      () => stage.facts("shard_stopped_everywhere").length > 0,
      5 * MINUTE,
    );
    stage.fleet.start();
    await stage.until("it runs", () => stage.fleet.live.length === 3, MINUTE);
    const { loadBalanceFrequency, heartbeat } = stage.config;
    const isEven = (): boolean => stage.shares().join() === "3,3,2";
    await stage.until("the others are shared", isEven, 2 * loadBalanceFrequency + heartbeat);
    await stage.advance(30 * MINUTE);
    assert(isEven());
    assertEquals(stage.row("shardId-0000")?.owner, null);
  });
});

Deno.test("B20: expired requests are never cleared: a request that its owner cannot answer is taken back, and another shard asked for", async () => {
  const HANG_MS = 60 * MINUTE;
  const first = "shardId-0000";
  let asked = 0;
  const processor = {
    behaviour: { workMs: ({ shardId }: { shardId: string }) => shardId === first ? HANG_MS : 5 },
  };
  await play({ shards: 8, processor, seeds: [1, 2, 3, 4, 5, 6] }, async (stage) => {
    const [owner] = await stage.assemble(1);
    assert(owner !== undefined);
    stage.put(stage.open(0), 1);
    await stage.until("it hangs", () => owner.recordsInHand > 0, MINUTE);
    stage.fleet.start();
    await stage.until("it is asked", () => stage.facts("handover_requested").length > 0, MINUTE);
    await stage.advance(MESSAGES_MS);
    const isAsked = stage.row(first)?.handover !== null;
    const { handoverRequestExpiry } = stage.config;
    await stage.until("each has four", () => stage.shares().join() === "4,4", 40 * MINUTE);
    if (!isAsked) return;
    asked += 1;
    const cleared = stage.facts("handover_cleared").filter(({ fact }) => fact.shardId === first);
    assert((cleared[0]?.at ?? Infinity) <= handoverRequestExpiry + 5 * MINUTE);
  });
  assert(asked > 0, "some seed must ask for the shard in question");
});

Deno.test("B21: a worker that joins another one with 100 shards has its half in one round; each shard waits for seconds", async () => {
  await play({ shards: 100, recordsPerSecond: 8, seeds: [1, 2] }, async (stage) => {
    await stage.assemble(1);
    stage.putRecords();
    await stage.advance(MINUTE);
    const since = stage.now;
    stage.fleet.start();
    const { loadBalanceFrequency, heartbeat } = stage.config;
    await stage.until("it runs", () => stage.fleet.live.length === 2, MINUTE);
    await stage.untilBalanced(loadBalanceFrequency + heartbeat);
    await stage.advance(MESSAGES_MS);
    const given = stage.facts("shard_handed_over").filter(({ at }) => at > since);
    assertEquals(given.length, 50);
    for (const { at, fact } of given) {
      const claim = stage.facts("shard_claimed").find((claim) =>
        claim.fact.shardId === fact.shardId && claim.at > at
      );
      assert((claim?.at ?? Infinity) - at <= 6 * SECOND, `${fact.shardId} waits too long`);
    }
    await stage.settle();
    assertEquals(stage.duplicates(), 0);
  });
});

Deno.test("B22: stopped on every worker a shard is stopped, also on those that do not have it, until one starts it", async () => {
  await play({ shards: 4, isGentle: false }, async (stage) => {
    const workers = await stage.assemble(2);
    const { id } = stage.open(0);
    for (const worker of workers) stage.fleet.stopShard(worker, id);
    await stage.advance(5 * SECOND);
    const stoppedAt = stage.now;
    stage.put(stage.open(0), 3);
    await stage.advance(3 * stage.config.heartbeatTimeout);
    assertEquals(stage.row(id)?.owner, null);
    assertEquals(
      stage.deliveries.filter(({ at, shardId }) => at > stoppedAt && shardId === id),
      [],
    );
    const [, other] = workers;
    assert(other !== undefined);
    stage.fleet.startShard(other, id);
    await stage.until("it has the shard", () => stage.holderOf(id) === other, MESSAGES_MS);
    await stage.settle();
  });
});

Deno.test("B23: an idle cluster writes one heartbeat per worker, and reads the shards once per look", async () => {
  await play({ shards: 30 }, async (stage) => {
    await stage.assemble(3);
    for (const shard of stage.stream.open) stage.put(shard, 1);
    await stage.advance(10 * MINUTE);
    const written = stage.writes.length;
    const calls = new Map<string, number>();
    stage.direct = ({ host, task }) => {
      const key = `${host.name} ${task.replace(/ shardId.*/, "")}`;
      calls.set(key, (calls.get(key) ?? 0) + 1);
      return undefined;
    };
    await stage.advance(60 * MINUTE);
    const { heartbeat } = stage.config;
    const beats = Math.ceil(60 * MINUTE / heartbeat);
    const writes = stage.writes.slice(written);
    assertEquals(writes.filter(({ change }) => change.kind !== "worker"), []);
    assert(writes.length <= 3 * beats + 3, `${writes.length} writes`);
    for (const { name } of stage.fleet.live) {
      assert((calls.get(`${name} list worker rows`) ?? 0) <= 2 * beats + 10);
      // Once per minute for what is free, and about once per minute for what is new in the stream.
      assert((calls.get(`${name} list shard rows`) ?? 0) <= 135);
    }
  });
});

Deno.test("a silent worker is news: its shards are taken when it is found, not at the next look at all rows", async () => {
  const config = {
    checkUnprocessedShardsFrequency: 20 * MINUTE,
    checkPendingHandoverRequestFrequency: 20 * MINUTE,
    handoverRequestExpiry: 25 * MINUTE,
  };
  await play({ shards: 6, config }, async (stage) => {
    const [victim] = await stage.assemble(3);
    assert(victim !== undefined);
    stage.putRecords();
    await stage.advance(MINUTE);
    stage.fleet.crash(victim);
    const { heartbeat, heartbeatTimeout } = stage.config;
    await stage.untilHeld(heartbeatTimeout + 2 * heartbeat + MESSAGES_MS);
    await stage.settle();
  });
});
