/**
 * Owns: directed cases of streams that are split, merged and trimmed: the defects of the original about them, by name, and the
 * lists that are no snapshot.
 * Must not: draw what happens; that is `simulation.ts`.
 * Called by: `deno test`.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { isEnded } from "../../src/core/lease.ts";
import type { Delivery } from "./checker.ts";
import { MESSAGES_MS, MINUTE, play, SECOND, type Stage } from "./stage.ts";

Deno.test("B5: after splits, merges and trims the rows are those of the stream, and no shard was begun twice", async () => {
  await play({ shards: 3 }, async (stage) => {
    await stage.assemble(1);
    stage.putRecords();
    for (let round = 0; round < 4; round++) {
      stage.stream.split(stage.open(round % 3));
      await stage.advance(2 * MINUTE);
      stage.stream.merge(inOrder(stage)[round] ?? stage.open(0));
      await stage.advance(2 * MINUTE);
      stage.trim(5 * MINUTE);
    }
    await stage.advance(6 * MINUTE);
    stage.trim(5 * MINUTE);
    const { checkStreamChangesFrequency } = stage.config;
    await stage.advance(3 * checkStreamChangesFrequency);
    const listed = stage.stream.shards.filter(({ isGone }) => !isGone).map(({ id }) => id);
    assert(listed.length < stage.stream.shards.length, "some have left the stream");
    assertEquals(stage.rows().map(({ id }) => id), listed);
    const claimed = stage.facts("shard_claimed").map(({ fact }) => fact.shardId);
    assertEquals(claimed.toSorted(), stage.stream.shards.map(({ id }) => id).toSorted());
    await stage.settle();
  });
});

Deno.test("B6: the last records of a closed shard are finished once, and its children follow at once", async () => {
  await play({ shards: 2, processor: { behaviour: { workMs: () => 100 } } }, async (stage) => {
    await stage.assemble(2);
    const parent = stage.open(0);
    const records = stage.put(parent, 20);
    stage.stream.split(parent);
    const children = parent.children ?? [];
    for (const child of children) stage.put(child, 5);
    const isOver = (): boolean => records.every(({ isFinished }) => isFinished);
    await stage.until("the records of the parent are finished", isOver, 10 * SECOND);
    await stage.until(
      "both children are held",
      () => children.every(({ id }) => stage.holderOf(id) !== undefined),
      MESSAGES_MS,
    );
    const row = stage.row(parent.id);
    assert(row !== null && isEnded(row));
    await stage.settle();
    assertEquals(stage.duplicates(), 0);
  });
});

Deno.test("B17: a child waits for the backlog of both its parents, whoever has them", async () => {
  const workMs = ({ records }: Delivery): number =>
    records[0]?.shard.parents.length === 0 ? 500 : 5;
  await play({ shards: 2, processor: { behaviour: { workMs } } }, async (stage) => {
    await stage.assemble(2);
    const [left, right] = inOrder(stage);
    assert(left !== undefined && right !== undefined);
    const backlogs = [...stage.put(left, 10), ...stage.put(right, 60)];
    assert(stage.holderOf(left.id) !== stage.holderOf(right.id));
    assert(stage.stream.merge(left));
    const child = stage.open(0);
    stage.put(child, 5);
    await stage.until("the child begins", () => begun(stage, child.id), 2 * MINUTE);
    assert(backlogs.every(({ isFinished }) => isFinished));
    await stage.settle();
    assertEquals(stage.duplicates(), 0);
  });
});

Deno.test("a child has a row before its other parent: the child of two waits until both have one", async () => {
  const workMs = ({ shardId }: Delivery): number => shardId === "shardId-0001" ? SECOND : 5;
  await play({ shards: 2, processor: { behaviour: { workMs } } }, async (stage) => {
    await stage.assemble(1);
    const [left, right] = inOrder(stage);
    assert(left !== undefined && right !== undefined);
    // The right one is closed but far from its end: its children have no row yet.
    stage.put(right, 50);
    stage.stream.split(right);
    const [other] = right.children ?? [];
    assert(other !== undefined);
    stage.put(other, 3);
    assert(stage.stream.merge(left));
    const child = left.children?.[0];
    assert(child !== undefined && child.parents.includes(other));
    stage.put(child, 3);
    assertEquals(stage.row(other.id), null);
    await stage.until("the child has a row", () => stage.row(child.id) !== null, 20 * SECOND);
    assert(stage.row(other.id) !== null);
    await stage.until("the child begins", () => begun(stage, child.id), 3 * MINUTE);
    assert([...right.records, ...other.records].every(({ isFinished }) => isFinished));
    await stage.settle();
  });
});

Deno.test("a parent that was not listed is gone: a list that is torn between parent and child shows the child alone", async () => {
  const workMs = ({ shardId }: Delivery): number => shardId === "shardId-0002" ? SECOND : 5;
  const options = {
    shards: 2,
    isGentle: false,
    hasChildren: false,
    callTimeoutMs: 10 * SECOND,
    processor: { behaviour: { workMs } },
  };
  await play(options, async (stage) => {
    const [creator, torn] = await stage.assemble(2);
    assert(creator !== undefined && torn !== undefined);
    const grandparent = stage.open(0);
    stage.stream.split(grandparent);
    const parent = grandparent.children?.[0];
    assert(parent?.id === "shardId-0002");
    stage.put(parent, 60);
    stage.stream.split(parent);
    const children = parent.children ?? [];
    for (const child of children) stage.put(child, 3);
    let create: (() => void)[] = [];
    let list: (() => void)[] = [];
    stage.direct = ({ host, task, change }) => {
      if (host === torn && task === "list shards") return { fate: "request lost" };
      if (host === creator && change?.id === parent.id && change.expect === "no row") {
        return { hold: (look) => void create.push(look) };
      }
      // The first part of the list is read before there is a row of the parent, the second one after that of the child.
      if (host !== torn || task !== "list shard rows" || create.length === 0) return undefined;
      let looks = 0;
      return {
        hold: (look) => {
          if (looks++ > 0) return void list.push(look);
          look();
          create.splice(0).forEach((look) => look());
        },
      };
    };
    await stage.until("the rows are created", () => create.length > 0, 3 * MINUTE);
    torn.store.tornAt = "shardId-0003";
    // It looks at the rows at once.
    stage.fleet.startShard(torn, "shardId-0001");
    await stage.until(
      "the rows of the children are there",
      () => children.every(({ id }) => stage.row(id) !== null) && list.length > 0,
      5 * SECOND,
    );
    stage.direct = undefined;
    list.splice(0).forEach((look) => look());
    await stage.advance(5 * SECOND);
    torn.store.tornAt = undefined;
    create = [];
    list = [];
    const row = stage.row(parent.id);
    assert(row !== null && !isEnded(row), "the parent has not ended");
    assertEquals(children.map(({ id }) => stage.row(id)?.holder), [null, null]);
    await stage.settle();
  });
});

Deno.test("a shard that two old lists do not show has not left the stream: its row stays", async () => {
  const workMs = ({ shardId }: Delivery): number => shardId === "shardId-0001" ? SECOND : 5;
  const processor = { behaviour: { workMs } };
  await play({ shards: 4, isGentle: false, callTimeoutMs: MINUTE, processor }, async (stage) => {
    await stage.assemble(2);
    const [left, right, ...rest] = inOrder(stage);
    assert(left !== undefined && right !== undefined);
    const looker = stage.holderOf(left.id);
    const parent = rest.find(({ id }) => stage.holderOf(id) !== looker);
    assert(parent !== undefined);
    const late: (() => void)[] = [];
    let listings = 0;
    // Between its list of the shards and that of the rows the looker has to wait.
    stage.direct = ({ host, task }) => {
      if (host !== looker) return task === "list shards" ? { fate: "request lost" } : undefined;
      if (task === "list shards") listings += 1;
      const isHeld = listings > 0 && task === "list shard rows";
      return isHeld ? { hold: (look) => void late.push(look) } : undefined;
    };
    const { checkStreamChangesFrequency } = stage.config;
    await stage.until("it looks", () => late.length > 0, checkStreamChangesFrequency + SECOND);
    // It looks again at once: the shard that it ends has a child with another parent, which has no row yet.
    stage.put(right, 50);
    stage.stream.split(right);
    assert(stage.stream.merge(left));
    await stage.until("it looks again", () => listings > 1, 10 * SECOND);
    await stage.advance(MESSAGES_MS);
    stage.stream.split(parent);
    const [child] = parent.children ?? [];
    assert(child !== undefined);
    const records = stage.put(child, 3);
    stage.stream.split(child);
    const isOver = (): boolean => {
      const row = stage.row(child.id);
      return row !== null && isEnded(row);
    };
    await stage.until("a child comes and ends meanwhile", isOver, 30 * SECOND);
    stage.direct = undefined;
    for (const look of late.splice(0)) {
      look();
      await stage.advance(SECOND);
    }
    await stage.advance(2 * checkStreamChangesFrequency);
    assertEquals(stage.facts("shard_forgotten").length, 0);
    assert(isOver() && records.every(({ deliveries }) => deliveries === 1));
    await stage.settle();
  });
});

/** The open shards by their hash keys. */
function inOrder(stage: Stage): readonly ReturnType<Stage["open"]>[] {
  return stage.stream.open.toSorted((a, b) => a.start - b.start);
}

/** Whether a record of the shard was handed out. */
function begun(stage: Stage, shardId: string): boolean {
  return stage.deliveries.some((delivery) => delivery.shardId === shardId);
}
