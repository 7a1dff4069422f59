// What the leases of a KCL application mean: one by one, and for the family of shards.
import { assertEquals, assertThrows } from "@std/assert";
import { planKclImport } from "../../src/cli/checkpoints/kcl_import.ts";
import type { KclLease } from "../../src/cli/checkpoints/kcl_table.ts";
import type { Checkpoint } from "../../src/core/checkpoint.ts";

const LATEST: Checkpoint = { kind: "timestamp", timestamp: 2_000 };
const POSITIONS = { latest: LATEST, atTimestamp: undefined };

function lease(shardId: string, checkpoint: string, subSequenceNumber = 0): KclLease {
  return { shardId, checkpoint, subSequenceNumber, owner: null, counter: 1 };
}

function shard(id: string, ...parents: readonly string[]) {
  return { id, parents, hashKeyRange: null, isClosed: false };
}

Deno.test("KCL import: each kind of checkpoint", () => {
  const leases = [
    lease("a", "TRIM_HORIZON"),
    lease("b", "LATEST"),
    lease("c", "SHARD_END"),
    lease("d", "49"),
    lease("e", "50", 3),
  ];
  const { shards } = planKclImport(
    leases,
    ["a", "b", "c", "d", "e"].map((id) => shard(id)),
    POSITIONS,
  );
  assertEquals(shards.map(({ checkpoint }) => checkpoint), [
    { kind: "trimHorizon" },
    LATEST,
    { kind: "shardEnd" },
    { kind: "sequence", sequenceNumber: "49", subSequenceNumber: 0 },
    { kind: "sequence", sequenceNumber: "50", subSequenceNumber: 3 },
  ]);
});

Deno.test("KCL import: AT_TIMESTAMP needs a time", () => {
  const leases = [lease("a", "AT_TIMESTAMP")];
  assertThrows(() => planKclImport(leases, [shard("a")], POSITIONS), RangeError, "--at-timestamp");
  const atTimestamp: Checkpoint = { kind: "timestamp", timestamp: 1_000 };
  const { shards } = planKclImport(leases, [shard("a")], { ...POSITIONS, atTimestamp });
  assertEquals(shards[0]?.checkpoint, atTimestamp);
});

Deno.test("KCL import: a parent whose lease was removed is finished, a shard that nobody began is fresh, parents come first", () => {
  const shards = [
    shard("child", "parent"),
    shard("parent", "grandparent"),
    shard("grandparent"),
    shard("new"),
    shard("new child", "new"),
  ];
  const plan = planKclImport([lease("child", "7")], shards, POSITIONS);
  assertEquals(plan.shards.map(({ id, checkpoint }) => [id, checkpoint.kind]), [
    ["grandparent", "shardEnd"],
    ["parent", "shardEnd"],
    ["child", "sequence"],
  ]);
  assertEquals(plan.fresh, ["new", "new child"]);
});

Deno.test("KCL import: what the stream does not hold any more is told, unless it was finished", () => {
  const plan = planKclImport([lease("gone", "7"), lease("done", "SHARD_END")], [], POSITIONS);
  assertEquals([plan.shards, plan.lost], [[], ["gone"]]);
});
