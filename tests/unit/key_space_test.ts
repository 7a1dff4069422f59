// Owns: what covers the hash keys, and what does not.
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { coverageOf } from "../../src/core/key_space.ts";

const LAST = 2n ** 128n - 1n;
const WELL = { holes: [], overlaps: [] };

function ranges(...bounds: readonly (readonly [bigint, bigint])[]) {
  return bounds.map(([start, end], i) => ({ id: `s${i}`, start: `${start}`, end: `${end}` }));
}

Deno.test("key space: a hole at the start, in the middle and at the end; an overlap, also of one within another", () => {
  assertEquals(coverageOf(ranges([0n, LAST])), WELL);
  assertEquals(coverageOf(ranges([5n, 9n], [0n, 4n], [10n, LAST])), WELL);
  assertEquals(coverageOf([]), { holes: [{ start: "0", end: `${LAST}` }], overlaps: [] });
  assertEquals(coverageOf(ranges([1n, 9n], [11n, LAST - 1n])), {
    holes: [{ start: "0", end: "0" }, { start: "10", end: "10" }, {
      start: `${LAST}`,
      end: `${LAST}`,
    }],
    overlaps: [],
  });
  assertEquals(coverageOf(ranges([0n, 100n], [3n, 5n], [101n, LAST])), {
    holes: [],
    overlaps: [["s0", "s1"]],
  });
});

Deno.test("key space: whatever the cuts, in whatever order, each key is had once", () => {
  const cuts = fc.uniqueArray(fc.bigInt({ min: 1n, max: LAST }), { maxLength: 20 });
  fc.assert(fc.property(cuts, fc.infiniteStream(fc.nat()), (cuts, chance) => {
    const starts = [0n, ...cuts.toSorted((a, b) => a < b ? -1 : 1)];
    const whole = starts.map((start, i) => [start, (starts[i + 1] ?? LAST + 1n) - 1n] as const);
    const shuffled = ranges(...whole).map((range) => ({ range, by: chance.next().value }))
      .toSorted((a, b) => a.by - b.by).map(({ range }) => range);
    assertEquals(coverageOf(shuffled), WELL);
    const without = shuffled.slice(1);
    assertEquals(coverageOf(without).holes.length > 0, true);
    assertEquals(coverageOf([...shuffled, ...shuffled.slice(0, 1)]).overlaps.length, 1);
  }));
});
