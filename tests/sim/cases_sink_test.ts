/**
 * Owns: directed cases of items that are written together with checkpoints: what must not bring a record into the sink twice, or
 * leave it out. That is for the checkers to see; the cases bring it about.
 * Must not: draw what happens; that is `simulation.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assert } from "@std/assert";
import type { Sent } from "./sim_network.ts";
import { MINUTE, play, SECOND } from "./stage.ts";

const OPTIONS = { shards: 1, isGentle: false, processor: { sinks: true } } as const;

function isTransaction({ task }: Sent): boolean {
  return task.startsWith("transact ");
}

Deno.test("sink: replies that are lost, and a crash while nobody knows", async () => {
  await play(OPTIONS, async (stage) => {
    const [owner] = await stage.assemble(2);
    assert(owner !== undefined);
    const shard = stage.open(0);
    const records = stage.put(shard, 20);
    let sent = 0;
    stage.direct = (call) => {
      if (!isTransaction(call)) return undefined;
      sent += 1;
      return sent % 3 === 0 ? undefined : { fate: "reply lost" };
    };
    await stage.until("some are written", () => records[4]?.isFinished === true, 5 * MINUTE);
    const holder = stage.holderOf(shard.id);
    assert(holder !== undefined);
    stage.fleet.crash(holder);
    stage.direct = undefined;
    stage.put(shard, 5);
    await stage.settle();
    assert(records.every(({ isFinished }) => isFinished));
  });
});

Deno.test("sink: a transaction that arrives when another worker has the shard", async () => {
  await play(OPTIONS, async (stage) => {
    await stage.assemble(2);
    const shard = stage.open(0);
    const records = stage.put(shard, 3);
    const late: (() => void)[] = [];
    stage.direct = (call) =>
      isTransaction(call) && late.length === 0
        ? { hold: (look) => void late.push(look) }
        : undefined;
    await stage.until("one is on its way", () => late.length > 0, MINUTE);
    const holder = stage.holderOf(shard.id);
    assert(holder !== undefined);
    stage.fleet.pause(holder, 20 * MINUTE);
    await stage.until(
      "the other one is at work",
      () => records[1]?.isFinished === true,
      stage.crashBoundMs,
    );
    for (const look of late) look();
    await stage.settle();
    assert(records.every(({ isFinished }) => isFinished));
  });
});

Deno.test("sink: a stop while nobody knows what became of a transaction", async () => {
  await play(OPTIONS, async (stage) => {
    await stage.assemble(2);
    const shard = stage.open(0);
    const records = stage.put(shard, 3);
    const holder = stage.holderOf(shard.id);
    assert(holder !== undefined);
    let sent = 0;
    stage.direct = (call) => {
      if (!isTransaction(call) || call.host !== holder) return undefined;
      sent += 1;
      // The first is done, and its reply is lost; of the others nothing arrives.
      return { fate: sent === 1 ? "reply lost" : "request lost" };
    };
    await stage.until("the first is sent", () => sent > 0, MINUTE);
    stage.fleet.stop(holder);
    await stage.advance(60 * SECOND);
    await stage.settle();
    assert(records.every(({ isFinished }) => isFinished));
  });
});

Deno.test("sink: a stop while DynamoDB takes nothing, whatever the processor makes of it", async () => {
  const mode = { kind: "retryAndSkip", retries: 0 } as const;
  for (const kind of ["record", "batch"] as const) {
    await play({ ...OPTIONS, processor: { sinks: true, kind, mode } }, async (stage) => {
      await stage.assemble(2);
      const shard = stage.open(0);
      const records = stage.put(shard, 3);
      const holder = stage.holderOf(shard.id);
      assert(holder !== undefined);
      let sent = 0;
      stage.direct = (call) => {
        if (!isTransaction(call) || call.host !== holder) return undefined;
        sent += 1;
        return { fate: "throttled" };
      };
      await stage.until("the first is sent", () => sent > 0, MINUTE);
      stage.fleet.stop(holder);
      await stage.advance(60 * SECOND);
      await stage.settle();
      assert(records.every(({ isFinished }) => isFinished));
    });
  }
});
