// Owns: the family tree of shards: which rows are made and in which order, which shards may run.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { SHARD_END, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { isReady, rowsWithoutShard, shardsWithoutRow } from "../../src/core/lineage.ts";
import { families, shardRow } from "./arbitraries.ts";

const flags = fc.array(fc.boolean(), { minLength: 64, maxLength: 64 });
const RUNS = { numRuns: 1_000 };

Deno.test("lineage: each shard without a row is created once, after its parents", () => {
  fc.assert(
    fc.property(families, flags, fc.integer(), (family, hasRow, seed) => {
      const rows = family.filter((_, i) => hasRow[i]);
      // The stream may list its shards in any order.
      const listed = [...family].sort((a, b) =>
        (Number(a.id.slice(6)) * 7919 + seed) % 101 - (Number(b.id.slice(6)) * 7919 + seed) % 101
      );
      const generations = shardsWithoutRow(listed, rows);
      const created = generations.flat().map((shard) => shard.id);
      const missing = family.filter((_, i) => !hasRow[i]).map((shard) => shard.id);
      assertEquals([...created].sort(), missing);
      assert(generations.every((generation) => generation.length > 0));
      const order = new Map(generations.flatMap((shards, at) => shards.map(({ id }) => [id, at])));
      for (const { id, parents } of generations.flat()) {
        for (const parent of parents) {
          assert((order.get(parent) ?? -1) < (order.get(id) ?? -1), `${parent} before ${id}`);
        }
      }
    }),
    RUNS,
  );
});

Deno.test("lineage: after a crash between two generations no child has a row before its parent", () => {
  fc.assert(
    fc.property(families, fc.nat(10), (family, crashAfter) => {
      const first = shardsWithoutRow(family, []).slice(0, crashAfter).flat();
      const ids = new Set(first.map((shard) => shard.id));
      assert(first.every((shard) => shard.parents.every((parent) => ids.has(parent))));
      assertEquals(first.length + shardsWithoutRow(family, first).flat().length, family.length);
    }),
  );
});

Deno.test("lineage: a family that claims a circle still gets its rows", () => {
  const circle = [{ id: "a", parents: ["b"] }, { id: "b", parents: ["a"] }];
  assertEquals(shardsWithoutRow(circle, []).flat().map(({ id }) => id), ["a", "b"]);
  assertEquals(shardsWithoutRow([{ id: "a", parents: ["a"] }], []).flat().length, 1);
});

Deno.test("lineage: a shard is ready exactly when no row of a parent is unfinished", () => {
  fc.assert(
    fc.property(families, flags, flags, (family, isEnded, hasRow) => {
      const rows = new Map(
        family.flatMap(({ id, parents }, i) =>
          hasRow[i]
            ? [[id, shardRow(id, { parents, checkpoint: isEnded[i] ? SHARD_END : TRIM_HORIZON })]]
            : []
        ),
      );
      for (const row of rows.values()) {
        const unfinished = row.parents.filter((id) => rows.get(id)?.checkpoint === TRIM_HORIZON);
        assertEquals(isReady(row, rows), unfinished.length === 0);
      }
    }),
    RUNS,
  );
});

Deno.test("lineage: children of a merge wait for both parents", () => {
  const child = shardRow("c", { parents: ["a", "b"] });
  const ended = shardRow("a", { checkpoint: SHARD_END });
  const open = shardRow("b");
  assertEquals(isReady(child, new Map([["a", ended], ["b", open]])), false);
  assertEquals(isReady(child, new Map([["b", open]])), false);
  assertEquals(isReady(child, new Map([["a", ended]])), true);
});

Deno.test("lineage: only rows of finished shards that left the stream may go", () => {
  fc.assert(
    fc.property(families, flags, flags, (family, isEnded, isListed) => {
      const rows = family.map(({ id }, i) =>
        shardRow(id, { checkpoint: isEnded[i] ? SHARD_END : TRIM_HORIZON })
      );
      const listed = family.filter((_, i) => isListed[i]);
      assertEquals(
        rowsWithoutShard(listed, rows).map(({ id }) => id),
        family.filter((_, i) => isEnded[i] && !isListed[i]).map(({ id }) => id),
      );
    }),
    RUNS,
  );
});
