/**
 * Owns: directed cases of who has which shard: the defects of the original about ownership, by name.
 * Must not: draw what happens; that is `simulation.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { Sent } from "./sim_network.ts";
import { MESSAGES_MS, MINUTE, play, SECOND } from "./stage.ts";

Deno.test("B1: a stop drains: the record in hand is finished, and no record comes twice", async () => {
  const processor = { behaviour: { workMs: () => 5 * SECOND } };
  await play({ shards: 2, processor }, async (stage) => {
    const [leaver] = await stage.assemble(2);
    assert(leaver !== undefined);
    const shard = stage.shardsOf(leaver)[0];
    assert(shard !== undefined);
    const records = stage.put(shard, 5);
    await stage.until("it has the second record in hand", () => isDelivered(records[1]), MINUTE);
    stage.fleet.stop(leaver);
    await stage.until("it has stopped", () => leaver.state === "stopped", 6 * SECOND);
    assert(records[1]?.isFinished);
    assert(!isDelivered(records[2]), "no further record is begun");
    await stage.settle();
    assertEquals(stage.duplicates(), 0);
  });
});

Deno.test("B3: who loses the race for a shard has no turn, and stops in time", async () => {
  await play({ shards: 4 }, async (stage) => {
    const claims: (() => void)[] = [];
    stage.direct = (call) => isClaim(call) ? { hold: (look) => void claims.push(look) } : undefined;
    // Each sees one worker more than the one before; their shares overlap.
    for (let i = 0; i < 4; i++) {
      stage.fleet.start();
      await stage.advance(400);
    }
    stage.direct = undefined;
    for (const look of claims.toReversed()) look();
    const refused = stage.writes.filter(({ change, isAccepted }) =>
      change.kind === "shard" && !isAccepted
    );
    assert(refused.length >= 4, "there was a race");
    stage.putRecords();
    await stage.untilBalanced(5 * MINUTE);
    assertEquals(stage.shares(), [1, 1, 1, 1]);
    const { live } = stage.fleet;
    for (const worker of live) stage.fleet.stop(worker);
    const { shutdownTimeout } = stage.config;
    const isStopped = (): boolean => live.every(({ state }) => state === "stopped");
    await stage.until("all stopped", isStopped, shutdownTimeout);
    assertEquals(stage.rows().map(({ holder }) => holder), [null, null, null, null]);
  });
});

Deno.test("B11: a worker that is cut off from the table stops delivering before another takes its shards", async () => {
  await play({ shards: 4, isGentle: false }, async (stage) => {
    const [lonely] = await stage.assemble(2);
    assert(lonely !== undefined);
    stage.putRecords();
    await stage.advance(MINUTE);
    const theirs = stage.shardsOf(lonely).map(({ id }) => id);
    const cutAt = stage.now;
    stage.direct = (call) =>
      call.host === lonely && isToTable(call) ? { fate: "request lost" } : undefined;
    await stage.until(
      "the other one has them",
      () => theirs.every((id) => ![undefined, lonely].includes(stage.holderOf(id))),
      stage.crashBoundMs,
    );
    const claims = stage.facts("shard_claimed").filter(({ at }) => at > cutAt);
    const firstClaimAt = Math.min(...claims.map(({ at }) => at));
    const lastAt = Math.max(
      ...stage.deliveries.filter(({ process }) => process === lonely).map(({ at }) => at),
    );
    assert(lastAt > cutAt + MINUTE, "it goes on as long as it is safe");
    assert(lastAt < firstClaimAt, "it is silent before anybody acts");
    await stage.settle();
  });
});

Deno.test("B11: a claim that was on its way while the fence was down does not count: whoever found its sender dead may have one, too", async () => {
  await play({ shards: 1, isGentle: false }, async (stage) => {
    const shard = stage.open(0);
    const sleeper = stage.fleet.start();
    let isSilent = true;
    let isThrottled = true;
    const late: (() => void)[] = [];
    stage.direct = (call) => {
      const isClaiming = isClaim(call);
      if (call.host !== sleeper) {
        return isClaiming ? { hold: (look) => void late.push(look) } : undefined;
      }
      if (isSilent && call.change?.kind === "worker" && stage.row(shard.id)?.term === 1) {
        return { fate: "request lost" };
      }
      if (!isClaiming || !isThrottled) return undefined;
      return { fate: stage.row(shard.id)?.term === 0 ? "reply lost" : "throttled" };
    };
    await stage.until("its claim is written", () => stage.row(shard.id)?.term === 1, MINUTE);
    const other = stage.fleet.start();
    await stage.until("the other one claims it, too", () => late.length > 0, stage.crashBoundMs);
    isSilent = false;
    const since = stage.writes.length;
    const hasWritten = (kind: string, isAccepted: boolean): boolean =>
      stage.writes.slice(since).some((write) =>
        write.by === sleeper.name && write.change.kind === kind && write.isAccepted === isAccepted
      );
    await stage.until("its fence is up again", () => hasWritten("worker", true), MINUTE);
    await stage.advance(SECOND);
    isThrottled = false;
    stage.put(shard, 3);
    await stage.until("its claim is answered", () => hasWritten("shard", false), 10 * SECOND);
    await stage.advance(SECOND);
    late.splice(0).forEach((look) => look());
    await stage.settle();
    assertEquals([stage.holderOf(shard.id), stage.row(shard.id)?.term], [sleeper, 2]);
    assertEquals(other.state, "running");
    assertEquals(stage.duplicates(), 0);
  });
});

Deno.test("B11: who registers again is not removed with what it showed before, however late that removal arrives", async () => {
  await play({ shards: 2, isGentle: false }, async (stage) => {
    const [other] = await stage.assemble(1);
    assert(other !== undefined);
    const { id } = stage.open(0);
    stage.fleet.stopShard(other, id);
    await stage.until("a shard is free", () => stage.row(id)?.owner === null, 10 * SECOND);
    const newcomer = stage.fleet.start();
    const removals: (() => void)[] = [];
    let state: "new" | "in doubt" | "found dead" | "registered" = "new";
    stage.direct = ({ host, change }) => {
      if (change?.kind !== "worker" || change.id !== newcomer.workerId) return undefined;
      if (host !== newcomer) {
        const isHeld = change.set === "delete" && state !== "registered";
        return isHeld ? { hold: (look) => void removals.push(look) } : undefined;
      }
      if (state === "found dead") return undefined;
      // Once it is registered its beats stay away: whoever misses its row acts before it does.
      if (state === "registered") return { fate: "request lost" };
      if (state === "in doubt") return { fate: "throttled" };
      state = "in doubt";
      return { fate: "reply lost" };
    };
    stage.onWrite = ({ by, change, isAccepted }) => {
      if (by !== newcomer.name || change.kind !== "worker" || state !== "found dead") return;
      // Between the answer that there is a row already and its look at that row, it goes.
      if (isAccepted) state = "registered";
      else removals.shift()?.();
    };
    await stage.until("its removal is sent twice", () => removals.length > 1, stage.crashBoundMs);
    state = "found dead";
    await stage.until("it has the shard", () => stage.holderOf(id) === newcomer, 10 * SECOND);
    for (const look of removals.splice(0)) look();
    await stage.advance(90 * SECOND);
    assertEquals(stage.holderOf(id), newcomer);
    assertEquals(stage.facts("worker_fenced").length, 0);
    await stage.settle();
  });
});

Deno.test("B12: a shard that one worker cannot read for its heartbeatTimeout goes to another, though it is alive", async () => {
  await play({ shards: 4, isGentle: false }, async (stage) => {
    const [blind] = await stage.assemble(2);
    assert(blind !== undefined);
    const shard = stage.shardsOf(blind)[0];
    assert(shard !== undefined);
    stage.direct = ({ host, task }) =>
      host === blind && task === `read ${shard.id}` ? { fate: "5xx before" } : undefined;
    await stage.advance(MESSAGES_MS);
    const records = stage.put(shard, 3);
    const { heartbeatTimeout, heartbeat } = stage.config;
    await stage.until(
      "its records are finished",
      () => records.every(({ isFinished }) => isFinished),
      heartbeatTimeout + 2 * heartbeat,
    );
    assert(stage.holderOf(shard.id) !== blind);
    assertEquals(blind.state, "running");
    await stage.settle();
  });
});

Deno.test("B13: clocks that are hours apart and run unevenly cost no live worker its shards, and save no dead one", async () => {
  const HOUR = 60 * MINUTE;
  await play({ shards: 6, driftMax: 0.03 }, async (stage) => {
    const clocks = [[-12, 0.97], [0, 1], [12, 1.03]] as const;
    const workers = clocks.map(([hours, rate]) =>
      stage.startWith({ offsetMs: hours * HOUR, rate })
    );
    await stage.untilBalanced(8 * MINUTE);
    stage.putRecords();
    await stage.advance(20 * MINUTE);
    assertEquals(stage.facts("worker_lost").length, 0);
    assertEquals(stage.facts("lease_lost").length, 0);
    const before = stage.rows().map(({ term }) => term);
    await stage.advance(20 * MINUTE);
    assertEquals(stage.rows().map(({ term }) => term), before);
    assert(workers[0] !== undefined);
    stage.fleet.crash(workers[0]);
    await stage.untilHeld(stage.crashBoundMs * 1.03);
    await stage.settle();
  });
});

Deno.test("B14: a late write of an earlier incarnation is refused, though owner and checkpoint are the same again", async () => {
  await play({ shards: 1, isGentle: false }, async (stage) => {
    const [older] = await stage.assemble(1);
    assert(older !== undefined);
    const late: (() => void)[] = [];
    const hold = (look: () => void): void => void late.push(look);
    stage.direct = (call) => {
      if (!isAdvance(call)) return undefined;
      // The checkpoint of the next one stays away, or the row would show another one.
      return call.host === older ? { hold } : { fate: "request lost" };
    };
    stage.put(stage.open(0), 1);
    await stage.until("its checkpoint is on its way", () => late.length > 0, MINUTE);
    stage.fleet.crash(older);
    const newer = stage.fleet.start(older.workerId);
    const id = stage.open(0).id;
    await stage.until("the next one has the shard", () => stage.holderOf(id) === newer, MINUTE);
    const checkpoint = stage.row(id)?.checkpoint;
    assertEquals(checkpoint?.kind, "trimHorizon");
    for (const look of late.splice(0)) look();
    assertEquals(stage.row(id)?.checkpoint, checkpoint, "the late write changed nothing");
    await stage.settle();
  });
});

Deno.test("B14: of two live namesakes the later one goes on, the other one stops", async () => {
  await play({ shards: 3, isGentle: false }, async (stage) => {
    const [older] = await stage.assemble(1);
    assert(older !== undefined);
    stage.putRecords();
    await stage.advance(MINUTE);
    const newer = stage.fleet.start(older.workerId);
    const { heartbeat } = stage.config;
    await stage.until(
      "the older one ends",
      () => older.state === "stopped",
      heartbeat + 5 * SECOND,
    );
    assertEquals(stage.facts("worker_stopped").at(-1)?.fact.error?.name, "WorkerReplacedError");
    await stage.until(
      "the newer one has all",
      () => stage.shares()[0] === 3,
      heartbeat + MESSAGES_MS,
    );
    assertEquals(stage.fleet.live, [newer]);
    await stage.settle();
  });
});

Deno.test("B15: a turn begins at the checkpoint that the claim found, not at the one that was read before", async () => {
  await play({ shards: 1 }, async (stage) => {
    const [dying] = await stage.assemble(1);
    assert(dying !== undefined);
    const heir = stage.fleet.start();
    await stage.advance(MINUTE);
    const late: (() => void)[] = [];
    stage.direct = (call) =>
      isAdvance(call) && call.host === dying ? { hold: (look) => void late.push(look) } : undefined;
    const [record] = stage.put(stage.open(0), 1);
    await stage.until("its checkpoint is on its way", () => late.length > 0, MINUTE);
    stage.fleet.crash(dying);
    stage.direct = (call) => {
      // Between the look of the next owner and the arrival of its claim.
      if (isClaim(call)) late.splice(0).forEach((look) => look());
      return undefined;
    };
    await stage.until(
      "it is taken",
      () => stage.holderOf(stage.open(0).id) === heir,
      stage.crashBoundMs,
    );
    assertEquals(late.length, 0);
    await stage.settle();
    assertEquals(record?.deliveries, 1);
  });
});

Deno.test("B15: a claim whose reply is lost is no loss: the shard is worked on in that very term", async () => {
  await play({ shards: 4, isGentle: false }, async (stage) => {
    const lost = new Set<string>();
    stage.direct = (call) => {
      if (!isClaim(call) || lost.has(call.task)) return undefined;
      lost.add(call.task);
      return { fate: "reply lost" };
    };
    await stage.assemble(1);
    assertEquals(lost.size, 4);
    stage.putRecords();
    await stage.advance(MINUTE);
    await stage.settle();
    assertEquals(stage.rows().map(({ term }) => term), [1, 1, 1, 1]);
    assertEquals(stage.duplicates(), 0);
  });
});

Deno.test("B16: a request that arrives when the shard has another owner asks nobody for anything", async () => {
  await play({ shards: 6 }, async (stage) => {
    const workers = await stage.assemble(2);
    const late: { readonly look: () => void; readonly id: string }[] = [];
    stage.direct = ({ change }) =>
      change?.kind === "shard" && isRequest(change.set)
        ? { hold: (look) => void late.push({ look, id: change.id }) }
        : undefined;
    const joining = stage.fleet.start();
    await stage.until("it asks", () => late.length > 0, MINUTE);
    const donor = workers.find((worker) => stage.holderOf(late[0]?.id ?? "") === worker);
    assert(donor !== undefined);
    stage.fleet.stop(donor);
    await stage.until("the donor has left", () => donor.state === "stopped", MINUTE);
    await stage.untilHeld(MINUTE);
    const moved = late.filter(({ id }) => stage.holderOf(id) !== joining);
    stage.direct = undefined;
    const writes = stage.writes.length;
    for (const { look } of late) look();
    assert(moved.length > 0);
    const stale = stage.writes.slice(writes).filter(({ before }) =>
      before?.kind === "shard" && before.previousOwner === donor.workerId
    );
    assert(stale.length > 0);
    assertEquals(stale.filter(({ isAccepted }) => isAccepted), []);
    await stage.settle();
    assertEquals(stage.shares(), [3, 3]);
  });
});

function isDelivered(record: { readonly deliveries: number } | undefined): boolean {
  return record !== undefined && record.deliveries > 0;
}

function isClaim({ change }: Sent): boolean {
  return change?.kind === "shard" && change.set !== "delete" && "holder" in change.set &&
    change.set.holder !== null;
}

function isAdvance({ change }: Sent): boolean {
  return change?.kind === "shard" && change.set !== "delete" && "checkpoint" in change.set &&
    !("term" in change.set);
}

function isRequest(set: unknown): boolean {
  return set instanceof Object && "handover" in set && set.handover !== null;
}

/** Whether the call goes to the table, not to the stream. */
function isToTable({ task }: Sent): boolean {
  return task !== "list shards" && !task.startsWith("read shardId");
}
