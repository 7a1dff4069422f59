/**
 * Owns: directed cases of windows: what is kept of a shard, through a crash, a split and a merge.
 * Must not: draw what happens; that is `simulation.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { MINUTE, play, SECOND, type Stage } from "./stage.ts";

const WINDOWS = { windows: 40 * SECOND };

/** The row of a shard shows that its windows are kept. */
function isKept(stage: Stage, shardId: string): boolean {
  return /"open":\[\{/.test(stage.row(shardId)?.state ?? "");
}

Deno.test("windows: what was counted before a crash is in the window that the next owner closes", async () => {
  await play({ shards: 1, processor: WINDOWS }, async (stage) => {
    await stage.assemble(1);
    const shard = stage.open(0);
    stage.put(shard, 20);
    await stage.until("they are written down", () => isKept(stage, shard.id), 20 * SECOND);
    const owner = stage.holderOf(shard.id);
    assert(owner !== undefined);
    stage.fleet.crash(owner);
    await stage.assemble(1);
    stage.put(shard, 20);
    await stage.advance(5 * MINUTE);
    await stage.settle();
  });
});

Deno.test("windows: a child that begins late still finds what its parent left", async () => {
  await play({ shards: 1, isGentle: false, processor: WINDOWS }, async (stage) => {
    await stage.assemble(1);
    const shard = stage.open(0);
    stage.put(shard, 40);
    await stage.until("they are written down", () => isKept(stage, shard.id), 20 * SECOND);
    stage.stream.split(shard);
    const [early, late] = shard.children ?? [];
    assert(early !== undefined && late !== undefined);
    const { checkStreamChangesFrequency } = stage.config;
    // Nobody gets as far as to take the second one.
    stage.direct = ({ change, isWrite }) =>
      isWrite && change?.id === late.id && change.expect !== "no row"
        ? { fate: "request lost" }
        : undefined;
    await stage.advance(3 * checkStreamChangesFrequency);
    assert(stage.row(early.id)?.state, "the first one has begun");
    assertEquals(stage.row(late.id)?.state, null);
    assert(stage.row(shard.id)?.state, "what the other one is to take up is there");
    stage.direct = undefined;
    await stage.advance(4 * checkStreamChangesFrequency);
    assertEquals(stage.row(shard.id)?.state, null, "both have begun");
    await stage.settle();
  });
});

Deno.test("windows: a child whose row comes late still finds what its parent left", async () => {
  await play({ shards: 1, isGentle: false, processor: WINDOWS }, async (stage) => {
    await stage.assemble(1);
    const shard = stage.open(0);
    stage.put(shard, 40);
    await stage.until("they are written down", () => isKept(stage, shard.id), 20 * SECOND);
    stage.stream.split(shard);
    const [early, late] = shard.children ?? [];
    assert(early !== undefined && late !== undefined);
    stage.direct = ({ change, isWrite }) =>
      isWrite && change?.id === late.id ? { fate: "request lost" } : undefined;
    const hasBegun = (): boolean => typeof stage.row(early.id)?.state === "string";
    await stage.until("the other one has begun", hasBegun, 5 * MINUTE);
    assertEquals(stage.row(late.id), null);
    stage.direct = undefined;
    await stage.advance(4 * stage.config.checkStreamChangesFrequency);
    assertEquals(stage.row(shard.id)?.state, null, "both have begun");
    await stage.settle();
  });
});

Deno.test("windows: while one takes too long to close no record is skipped for it", async () => {
  const config = { processTimeout: 500 };
  const processor = { ...WINDOWS, workMsMax: 3 * SECOND };
  await play({ shards: 1, isGentle: false, config, processor }, async (stage) => {
    await stage.assemble(1);
    const shard = stage.open(0);
    for (let i = 0; i < 20; i++) {
      stage.put(shard, 3);
      await stage.advance(10 * SECOND);
    }
    await stage.settle();
  });
});

Deno.test("windows: a record that is filtered out does not pass what the parents left", async () => {
  const options = { shards: 2, isGentle: false, filtered: 0.5, processor: WINDOWS };
  await play(options, async (stage) => {
    await stage.assemble(1);
    const [left, right] = stage.stream.open;
    assert(left !== undefined && right !== undefined);
    for (const shard of [left, right]) stage.put(shard, 10);
    const areKept = (): boolean => isKept(stage, left.id) && isKept(stage, right.id);
    await stage.until("they are written down", areKept, 20 * SECOND);
    assert(stage.stream.merge(left));
    const child = stage.open(0);
    stage.put(child, 10);
    // Until then the child can be read, but not begun.
    const until = stage.now + 3 * MINUTE; // Somebody looks at the stream meanwhile.
    stage.direct = ({ task, isWrite }) =>
      !isWrite && stage.now < until && [left.id, right.id].some((id) => task.endsWith(id)) &&
        stage.row(child.id)?.owner
        ? { fate: "reply lost" }
        : undefined;
    await stage.advance(5 * MINUTE);
    await stage.settle();
  });
});

Deno.test("windows: a write of open windows that arrives again when they are closed changes nothing", async () => {
  await play({ shards: 1, isGentle: false, processor: WINDOWS }, async (stage) => {
    await stage.assemble(1);
    const shard = stage.open(0);
    stage.put(shard, 10);
    await stage.until("they are written down", () => isKept(stage, shard.id), 20 * SECOND);
    stage.stream.split(shard);
    const children = shard.children ?? [];
    const ids = children.map(({ id }) => id);
    const late: (() => void)[] = [];
    const held = new Set<string>();
    stage.direct = ({ change }) => {
      const isState = change?.kind === "shard" && ids.includes(change.id) &&
        change.expect !== "no row" && change.set !== "delete" && "state" in change.set;
      if (!isState || held.has(change.id)) return undefined;
      held.add(change.id);
      return { hold: (arrive) => void late.push(arrive) };
    };
    const areClosed = (): boolean =>
      late.length === 2 && ids.every((id) => stage.row(id)?.state?.endsWith('"open":[]}'));
    await stage.until("they are closed", areClosed, 3 * MINUTE);
    for (const arrive of late) arrive();
    assert(areClosed());
    await stage.settle();
  });
});
