/**
 * Owns: directed cases of workers that come and go: the two worked examples of the original's documentation, and clusters of
 * more than ten workers, in which few look after many.
 * Must not: draw what happens; that is `simulation.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { watchEvery } from "../../src/core/duty.ts";
import { MESSAGES_MS, MINUTE, play, SECOND, type Stage } from "./stage.ts";
import type { SimProcess } from "./sim_process.ts";

const MANY = { shards: 36, recordsPerSecond: 4, seeds: [1, 2] };
/** How long after the heartbeats, which go in step in workers that start together, in milliseconds. */
const PHASES = [2 * SECOND, 12 * SECOND, 22 * SECOND];

/** The original's page on distributed processing, example 1: a third worker joins two. */
Deno.test("example 1: a worker joins two, which have 5 and 4 shards: 3, 3 and 3", async () => {
  await play({ shards: 9 }, async (stage) => {
    await stage.assemble(2);
    assertEquals(stage.shares(), [5, 4]);
    stage.putRecords();
    await stage.advance(10 * SECOND);
    const claims = stage.facts("shard_claimed").length;
    stage.fleet.start();
    await stage.until("it runs", () => stage.fleet.live.length === 3, MINUTE);
    const { loadBalanceFrequency, heartbeat } = stage.config;
    await stage.untilBalanced(loadBalanceFrequency + heartbeat);
    assertEquals(stage.shares(), [3, 3, 3]);
    await stage.settle();
    assertEquals(stage.shares(), [3, 3, 3]);
    assertEquals(stage.facts("shard_claimed").length - claims, 3, "no shard moves in vain");
    assertEquals(stage.duplicates(), 0);
  });
});

/** Example 2: two workers join two. "One with 3 shards and the rest 2 each", whoever asks first. */
Deno.test("example 2: two workers join two, which have 5 and 4 shards: 3, 2, 2 and 2", async () => {
  for (const secondAfterMs of [0, 20, 2_000, 40_000]) {
    await play({ shards: 9 }, async (stage) => {
      await stage.assemble(2);
      assertEquals(stage.shares(), [5, 4]);
      stage.putRecords();
      await stage.advance(10 * SECOND);
      const { loadBalanceFrequency, heartbeat } = stage.config;
      stage.fleet.start();
      await stage.advance(secondAfterMs);
      stage.fleet.start();
      await stage.until("both run", () => stage.fleet.live.length === 4, MINUTE);
      // Both ask at once by what they see; what is declined is asked for in the next round.
      await stage.untilBalanced(2 * loadBalanceFrequency + heartbeat);
      assertEquals(stage.shares(), [3, 2, 2, 2]);
      await stage.settle();
      assertEquals(stage.shares(), [3, 2, 2, 2]);
      assertEquals(stage.duplicates(), 0);
    });
  }
});

Deno.test("many: fourteen workers that start together hold all shards soon, and share them", async () => {
  await play(MANY, async (stage) => {
    const { heartbeat, loadBalanceFrequency } = stage.config;
    // The first ones find all shards free, the last ones none.
    for (let i = 0; i < 14; i++) {
      stage.fleet.start();
      await stage.advance(100);
    }
    stage.putRecords();
    await stage.untilHeld(heartbeat);
    await stage.untilBalanced(2 * loadBalanceFrequency + heartbeat);
    await stage.settle();
    assertEquals(stage.duplicates(), 0);
  });
});

for (const victims of [1, 5]) {
  Deno.test(`many: ${victims} of fourteen workers crash; their shards wait no longer than the bound`, async () => {
    await play(MANY, async (stage) => {
      const workers = await stage.assemble(14);
      stage.putRecords();
      await stage.advance(5 * MINUTE);
      for (const worker of workers.slice(2, 2 + victims)) stage.fleet.crash(worker);
      await stage.untilHeld(stage.crashBoundMs);
      await stage.settle();
    });
  });
}

Deno.test("many: a silent worker is news: whoever finds it sees to its shards, however seldom all rows are looked at", async () => {
  const config = {
    checkUnprocessedShardsFrequency: 20 * MINUTE,
    checkPendingHandoverRequestFrequency: 20 * MINUTE,
    handoverRequestExpiry: 25 * MINUTE,
  };
  await play({ ...MANY, config }, async (stage) => {
    const workers = await stage.assemble(14);
    stage.putRecords();
    await stage.advance(5 * MINUTE);
    for (const worker of workers.slice(2, 5)) stage.fleet.crash(worker);
    const { heartbeat, heartbeatTimeout } = stage.config;
    const foundAfterMs = heartbeatTimeout + watchEvery(14, stage.config);
    // Whoever is told reads it with its next heartbeat.
    await stage.untilHeld(foundAfterMs + heartbeat + MESSAGES_MS);
    await stage.settle();
  });
});

Deno.test("many: whoever finds a worker dead dies before it acts; the shards wait no longer than the bound", async () => {
  await play(MANY, async (stage) => {
    const workers = await stage.assemble(14);
    stage.putRecords();
    await stage.advance(5 * MINUTE);
    const [victim] = workers;
    assert(victim !== undefined);
    await crashWithFinder(stage, victim);
    await stage.settle();
  });
});

Deno.test("many: three of fourteen workers stop; their shards wait no longer than a heartbeat, nothing comes twice", async () => {
  // A worker with one shard leaves right after it has given that away: its heir must have been told by then.
  for (
    const { shards, phase } of [14, 36].flatMap((shards) =>
      PHASES.map((phase) => ({ shards, phase }))
    )
  ) {
    await play({ ...MANY, shards }, async (stage) => {
      const workers = await stage.assemble(14);
      stage.putRecords();
      await stage.advance(3 * MINUTE + phase);
      for (const worker of workers.slice(0, 3)) stage.fleet.stop(worker);
      await stage.untilHeld(stage.config.heartbeat + MESSAGES_MS);
      await stage.settle();
      assertEquals(stage.duplicates(), 0);
    });
  }
});

Deno.test("many: five workers join twelve; they get their share, nothing comes twice", async () => {
  await play(MANY, async (stage) => {
    await stage.assemble(12);
    stage.putRecords();
    await stage.advance(5 * MINUTE);
    assertEquals(stage.shares().at(-1), 3);
    for (let i = 0; i < 5; i++) stage.fleet.start();
    const { heartbeat, loadBalanceFrequency } = stage.config;
    await stage.until("they run", () => stage.fleet.live.length === 17, MINUTE);
    await stage.untilBalanced(2 * loadBalanceFrequency + heartbeat);
    await stage.settle();
    assertEquals(stage.duplicates(), 0);
  });
});

/** Crashes a worker, and whoever removes its row, at that very moment; its shards must be taken in time all the same. */
async function crashWithFinder(stage: Stage, victim: SimProcess): Promise<void> {
  const waiting = new Set(stage.shardsOf(victim).map(({ id }) => id));
  assert(waiting.size > 0);
  stage.fleet.crash(victim);
  let isFound = false;
  stage.onWrite = ({ change, isAccepted, by, after }) => {
    if (!isAccepted) return;
    // What the finder took before it died waits since then: that is another death.
    if (after?.kind === "shard" && after.holder !== null) waiting.delete(after.id);
    const finder = stage.fleet.live.find(({ name }) => name === by);
    const isFinding = change.kind === "worker" && change.id === victim.workerId && after === null;
    if (!isFinding || isFound || finder === undefined) return;
    isFound = true;
    stage.fleet.crash(finder);
  };
  await stage.until("its shards are taken", () => waiting.size === 0, stage.crashBoundMs);
  assert(isFound);
}

Deno.test("many: a worker that stops before it took what it was given passes it on; nothing waits longer than a heartbeat", async () => {
  // What is given to it when it has left already is seen to by whoever gave it.
  await play({ ...MANY, shards: 60, seeds: [1, 2, 3, 4, 5, 6] }, async (stage) => {
    await stage.assemble(12);
    await stage.advance(3 * MINUTE);
    const hasty = stage.fleet.start();
    const isGiven = (): boolean =>
      stage.rows().some(({ owner, holder }) => owner === hasty.workerId && holder === null);
    await stage.until("it is given a shard", isGiven, 10 * MINUTE);
    stage.fleet.stop(hasty);
    await stage.until("it has stopped", () => hasty.state === "stopped", 5 * SECOND);
    await stage.untilHeld(stage.config.heartbeat + MESSAGES_MS);
    await stage.settle();
    assertEquals(stage.duplicates(), 0);
  });
});
