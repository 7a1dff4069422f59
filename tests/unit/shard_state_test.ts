// What a processor keeps, from a shard to its children: who has begun, and what may be dropped.
import { assert, assertEquals } from "@std/assert";
import { SHARD_END, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { rowsWithoutShard } from "../../src/core/lineage.ts";
import { dropState, hasBegun, rowsWithStateTaken } from "../../src/core/shard_state.ts";
import { shardRow } from "./arbitraries.ts";

const AT_1 = { kind: "sequence", sequenceNumber: "1" } as const;
const PARENT = shardRow("p", { checkpoint: SHARD_END, state: "windows", term: 7 });
const FRESH = shardRow("a", { parents: ["p"] });
const BEGUN = shardRow("b", { parents: ["p"], state: "windows" });

Deno.test("shard state: a shard has begun with a state, or with a record", () => {
  assert(!hasBegun({ state: null, checkpoint: TRIM_HORIZON }));
  assert(!hasBegun({ state: null, checkpoint: { kind: "timestamp", timestamp: 1 } }));
  assert(hasBegun({ state: null, checkpoint: AT_1 }));
  assert(hasBegun({ state: null, checkpoint: SHARD_END }));
  assert(hasBegun({ state: "windows", checkpoint: TRIM_HORIZON }));
});

Deno.test("shard state: what a parent left is there until each child has begun", () => {
  assertEquals(rowsWithStateTaken([PARENT]), [], "no child has a row yet");
  assertEquals(rowsWithStateTaken([PARENT, BEGUN, FRESH]), []);
  const second = shardRow("c", { parents: ["p"], checkpoint: AT_1 });
  assertEquals(rowsWithStateTaken([PARENT, BEGUN, second]), [PARENT]);
  assertEquals(rowsWithStateTaken([{ ...PARENT, state: null }, BEGUN, second]), []);
  assertEquals(rowsWithStateTaken([{ ...PARENT, checkpoint: AT_1 }, BEGUN, second]), []);
});

Deno.test("shard state: a child that has no row yet has not begun, and its part is there until it has", () => {
  const whole = { ...PARENT, hashKeyRange: { start: "10", end: "29" } };
  const lower = { ...BEGUN, hashKeyRange: { start: "10", end: "19" } };
  const upper = shardRow("c", {
    ...{ parents: ["p"], checkpoint: AT_1, hashKeyRange: { start: "20", end: "29" } },
  });
  assertEquals(rowsWithStateTaken([whole, lower]), []);
  assertEquals(rowsWithStateTaken([whole, upper]), []);
  assertEquals(rowsWithStateTaken([whole, upper, lower]), [whole]);
  // Of two that were merged each is a part of the child.
  const merged = { ...BEGUN, hashKeyRange: { start: "0", end: "29" } };
  assertEquals(rowsWithStateTaken([whole, merged]), [whole]);
});

Deno.test("shard state: a shard that left the stream keeps its row as long as it has a state for a child", () => {
  assertEquals(rowsWithoutShard([], [PARENT, FRESH]), []);
  assertEquals(rowsWithoutShard([], [PARENT, BEGUN]), [], "it is dropped first");
  const dropped = { ...PARENT, state: null };
  assertEquals(rowsWithoutShard([], [dropped, BEGUN]), [dropped]);
  assertEquals(rowsWithoutShard([], [PARENT]), [PARENT], "nobody is left who would take it");
});

Deno.test("shard state: only that of a finished shard is dropped", () => {
  assertEquals(dropState(PARENT), {
    kind: "shard",
    id: "p",
    expect: { term: 7, checkpoint: SHARD_END },
    set: { state: null },
  });
});
