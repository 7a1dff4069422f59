// Owns: how far a shard is finished, whatever the order in which its records are.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { ShardProgress } from "../../src/core/progress.ts";

function at(place: number): Checkpoint {
  return { kind: "sequence", sequenceNumber: String(place) };
}

Deno.test("progress: the position is the last record with nothing unfinished before it, in any order", () => {
  // Each step takes the next record in hand, or finishes one of those that are: which one is drawn.
  const steps = fc.array(fc.option(fc.nat(1_000), { nil: null }), { maxLength: 300 });
  fc.assert(fc.property(steps, (drawn) => {
    const progress = new ShardProgress();
    const unfinished: number[] = [];
    let added = 0;
    for (const step of drawn) {
      if (step === null || unfinished.length === 0) {
        const number = progress.add(at(added));
        assertEquals(number, added);
        unfinished.push(number);
        added += 1;
      } else {
        const [number = -1] = unfinished.splice(step % unfinished.length, 1);
        const before = progress.position;
        assertEquals(progress.finish(number), progress.position !== before);
      }
      const first = Math.min(added, ...unfinished);
      assertEquals(progress.position, first === 0 ? undefined : at(first - 1));
      assertEquals(progress.unfinished, unfinished.length);
      assertEquals(progress.span, added - first);
    }
  }));
});

Deno.test("progress: a record is finished once, and only if it is in hand", () => {
  const progress = new ShardProgress();
  assertThrows(() => progress.finish(0), RangeError, "not in hand");
  for (let place = 0; place < 3; place++) progress.add(at(place));
  progress.finish(1);
  assertThrows(() => progress.finish(1), RangeError, "not in hand");
  progress.finish(0);
  assertThrows(() => progress.finish(0), RangeError, "not in hand");
  assertThrows(() => progress.finish(3), RangeError, "not in hand");
});

Deno.test("progress: a record costs the same behind many others that wait for the first", () => {
  const progress = new ShardProgress();
  const count = 300_000;
  const startedAt = performance.now();
  for (let place = 0; place < count; place++) progress.add(at(place));
  for (let number = count - 1; number >= 0; number--) progress.finish(number);
  for (let place = count; place < 2 * count; place++) progress.add(at(place));
  for (let number = count; number < 2 * count; number++) progress.finish(number);
  assertEquals([progress.position, progress.span], [at(2 * count - 1), 0]);
  const took = performance.now() - startedAt;
  // Each of them looking at all the others would take minutes.
  assert(took < 5_000, `${took} ms`);
});
