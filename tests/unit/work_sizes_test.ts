// Owns: how large the parts of an answer are: as much as is processed in a tenth of a second, whatever else takes time.
import { assert, assertEquals, assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { WorkSizes } from "../../src/adapters/work_sizes.ts";

const BYTES_MIN = 8 * 1024;
const ANSWER_MAX = 14 * 2 ** 20;
const PART_MS = 100;

interface Round {
  /** How long the network takes, in milliseconds; 0 for a part of an answer that is there. */
  readonly waitMs: number;
  /** What came, if it is no part. */
  readonly bytes: number;
}

/** A worker that is given the next part when it is done with one, and asks for what comes then; gives how large the next part was after each round. */
function run(
  sizes: WorkSizes,
  bytesPerMs: number | ((round: number) => number),
  rounds: readonly Round[],
): readonly number[] {
  let [now, finishedAt, isInParts] = [0, 0, false];
  return rounds.map(({ waitMs, bytes }, i) => {
    const isPart = waitMs === 0;
    sizes.asked(now);
    if (isPart) {
      if (!isInParts) sizes.given(0, now);
      now = Math.max(now, finishedAt);
      sizes.asked(now);
    }
    const given = isPart ? nextOf(sizes) : bytes;
    sizes.given(given, now + waitMs);
    // It is asked for what comes next as soon as this is in hand.
    now = Math.max(now + waitMs, finishedAt);
    finishedAt = now + given / (typeof bytesPerMs === "number" ? bytesPerMs : bytesPerMs(i));
    isInParts = isPart;
    return nextOf(sizes);
  });
}

/** A part of an answer that is long enough. */
const nextOf = (sizes: WorkSizes): number => sizes.partOf(Infinity);

const parts = (count: number): readonly Round[] =>
  Array.from({ length: count }, () => ({ waitMs: 0, bytes: 0 }));
const speeds = fc.integer({ min: -200, max: 600 }).map((exponent) => 10 ** (exponent / 100));
const rounds = fc.array(
  fc.oneof(
    fc.constant({ waitMs: 0, bytes: 0 }),
    fc.record({ waitMs: fc.integer({ min: 1, max: 5_000 }), bytes: fc.nat(ANSWER_MAX) }),
  ),
  { maxLength: 60 },
);

Deno.test("work sizes: a part is a tenth of a second's work, and no less than is worth it", () => {
  fc.assert(fc.property(speeds, (bytesPerMs) => {
    const tenth = bytesPerMs * PART_MS;
    const last = run(new WorkSizes(), bytesPerMs, parts(40)).at(-1) ?? 0;
    if (tenth <= BYTES_MIN) return assertEquals(last, BYTES_MIN);
    // However fast: what is finished within a millisecond counts as one.
    assertGreaterOrEqual(last, Math.min(tenth, ANSWER_MAX) * 0.999);
    assertLessOrEqual(last, tenth * 1.001);
  }));
});

Deno.test("work sizes: no wait, of whatever length, makes them larger than what is processed meanwhile", () => {
  fc.assert(fc.property(speeds, rounds, (bytesPerMs, rounds) => {
    const after = run(new WorkSizes(), bytesPerMs, rounds);
    // Until it had something in hand that took longer than the wait, the first guess stands.
    const most = Math.max(BYTES_MIN, bytesPerMs * PART_MS * 1.001);
    for (const [i, bytes] of after.entries()) {
      assertGreaterOrEqual(bytes, BYTES_MIN);
      assertLessOrEqual(bytes, most, `round ${i}`);
    }
  }));
});

Deno.test("work sizes: a fast worker soon gets answers as a whole; a slow one does not", () => {
  const fast = new WorkSizes();
  assert(fast.isWorthParts(ANSWER_MAX), "nobody knows yet");
  run(fast, 1_000_000, parts(7));
  assert(!fast.isWorthParts(ANSWER_MAX));
  const slow = new WorkSizes();
  run(slow, 10, parts(5));
  assertEquals(nextOf(slow), BYTES_MIN);
  assert(slow.isWorthParts(2 * BYTES_MIN));
  assert(!slow.isWorthParts(2 * BYTES_MIN - 1), "it is soon over");
});

Deno.test("work sizes: that answers come slowly says nothing of the worker", () => {
  for (const bytes of [0, 100, ANSWER_MAX]) {
    const answers = Array.from({ length: 10 }, () => ({ waitMs: 3_000, bytes }));
    const sizes = new WorkSizes();
    const after = run(sizes, 10_000, [...parts(7), ...answers]);
    assertEquals(after[6], 1_000_000);
    for (const size of after.slice(7)) assertGreaterOrEqual(size, 1_000_000);
    run(sizes, 10, parts(6));
    assertEquals(nextOf(sizes), BYTES_MIN);
  }
});

Deno.test("work sizes: what is left is all of it, if that is no two parts; a read is a second's work", () => {
  const sizes = new WorkSizes();
  run(sizes, 1_000, parts(10));
  const part = nextOf(sizes);
  assertEquals(Math.round(part), 100_000);
  assertEquals([2 * part, 2 * part - 1, 1, 0].map((left) => sizes.partOf(left)), [
    part,
    2 * part - 1,
    1,
    0,
  ]);
  assertEquals(Math.round(sizes.readBytes), 1_000_000);
});

Deno.test("work sizes: they grow fourfold at most", () => {
  const after = run(new WorkSizes(), 1e9, parts(6));
  for (let i = 1; i < after.length; i++) {
    assertLessOrEqual(after[i] ?? NaN, 4 * (after[i - 1] ?? NaN));
  }
});

Deno.test("work sizes: a worker that gets slower gets less as soon as the first part that was slow is finished", () => {
  const after = run(new WorkSizes(), (round) => round < 20 ? 20_000 : 1_000, parts(30));
  assertEquals(after.slice(20, 23).map(Math.round), [2_000_000, 100_000, 100_000]);
});
