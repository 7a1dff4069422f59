// Owns: what the rows mean to a person.
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { SHARD_END } from "../../src/core/checkpoint.ts";
import type { ShardRow } from "../../src/core/lease.ts";
import { clusterStatus, isStoppedEverywhere, type ShardState } from "../../src/core/status.ts";
import { shardRow, workerRow } from "./arbitraries.ts";

const ALIVE = workerRow("A", { beatAt: 1_700_000_000_000, version: "1.2.3" });
const DEAD = workerRow("Z");

function stateOf(fields: Partial<ShardRow>, others: readonly ShardRow[] = []): ShardState {
  const row = shardRow("s", fields);
  const { shards } = clusterStatus([ALIVE, DEAD], [row, ...others], ({ id }) => id === "A");
  const status = shards.find((shard) => shard.shardId === "s");
  return status?.state ?? "closed";
}

Deno.test("status: the state of a shard", () => {
  const handover = { to: "B", id: "1" };
  const open = shardRow("p");
  const ended = shardRow("p", { checkpoint: SHARD_END });
  assertEquals(stateOf({ owner: "A", holder: "A-1" }), "processing");
  assertEquals(stateOf({ owner: "A", holder: "A-1", handover }), "handingOver");
  assertEquals(stateOf({ owner: "A" }), "handingOver");
  assertEquals(stateOf({}), "unowned");
  assertEquals(stateOf({ owner: "Z", holder: "Z-1" }), "unowned");
  assertEquals(stateOf({ stoppedBy: ["A"] }), "stopped");
  assertEquals(stateOf({ stoppedBy: ["Z"] }), "unowned");
  const order = { kind: "stop", id: "1", at: 0 } as const;
  assertEquals(stateOf({ order }), "stopped");
  assertEquals(stateOf({ order, owner: "A", holder: "A-1" }), "processing", "its record in hand");
  assertEquals(stateOf({ order, owner: "A" }), "stopped");
  assertEquals(stateOf({ order: { ...order, kind: "start" } }), "unowned");
  assertEquals(stateOf({ parents: ["p"] }, [open]), "waitingForParents");
  assertEquals(stateOf({ parents: ["p"] }, [ended]), "unowned");
  assertEquals(stateOf({ parents: ["gone"] }), "unowned");
  assertEquals(stateOf({ checkpoint: SHARD_END }), "closed");
  assertEquals(stateOf({ checkpoint: SHARD_END, parents: ["p"] }, [open]), "closed");
});

Deno.test("status: every field of a worker and a shard", () => {
  const row = shardRow("s-2", {
    owner: "A",
    holder: "A-1",
    term: 4,
    checkpoint: { kind: "sequence", sequenceNumber: "17" },
    checkpointAt: 1_700_000_000_000,
    millisBehindLatest: 12,
    handover: { to: "B", id: "1" },
    parents: ["gone"],
  });
  const ended = shardRow("s-1", { owner: "A", checkpoint: SHARD_END });
  const status = clusterStatus([DEAD, ALIVE], [row, ended], ({ id }) => id === "A");
  assertEquals(status.workers, [
    {
      workerId: "A",
      alive: true,
      shards: 1,
      lastHeartbeatAt: "2023-11-14T22:13:20.000Z",
      version: "1.2.3",
    },
    {
      workerId: "Z",
      alive: false,
      shards: 0,
      lastHeartbeatAt: "1970-01-01T00:00:00.000Z",
      version: "test",
    },
  ]);
  assertEquals(status.shards.map(({ shardId }) => shardId), ["s-1", "s-2"]);
  assertEquals(status.shards[1], {
    shardId: "s-2",
    state: "handingOver",
    owner: "A",
    term: 4,
    checkpoint: "17",
    checkpointAt: "2023-11-14T22:13:20.000Z",
    millisBehindLatest: 12,
    stoppedAt: null,
    handoverTo: "B",
    parents: ["gone"],
  });
});

Deno.test("status: a shard that was given away and not taken yet names who is to have it", () => {
  const { shards } = clusterStatus([ALIVE], [shardRow("s", { owner: "A" })], () => true);
  assertEquals(shards[0]?.handoverTo, "A");
});

Deno.test("status: stopped everywhere means that every live worker refuses, and there is one", () => {
  const names = ["A", "B", "C"];
  fc.assert(
    fc.property(
      fc.subarray(names),
      fc.subarray(names),
      fc.boolean(),
      (stoppedBy, live, isOwned) => {
        const row = shardRow("s", { stoppedBy, owner: isOwned ? "A" : null });
        const refuses = live.length > 0 && live.every((name) => stoppedBy.includes(name));
        assertEquals(isStoppedEverywhere(row, new Set(live)), refuses && !isOwned);
      },
    ),
  );
});
