import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { backoffMs, readIntervalMs } from "../../src/adapters/pacing.ts";

const EMPTY_DELAY_MS = 3_000;

Deno.test("a shard is read at most 5 times and 2 MiB a second", () => {
  const reads = fc.array(fc.nat({ max: 10 * 1024 * 1024 }), { minLength: 2, maxLength: 100 });
  fc.assert(fc.property(reads, (sizes) => {
    let now = 0;
    for (const bytes of sizes) {
      now += readIntervalMs({ records: 1, bytes, millisBehindLatest: 1 }, EMPTY_DELAY_MS);
    }
    const seconds = now / 1_000;
    assert(sizes.length <= 5 * seconds + 1e-6);
    assert(sizes.reduce((sum, bytes) => sum + bytes, 0) <= 2 * 1024 * 1024 * seconds + 1);
  }));
});

Deno.test("a full read of 10 MiB makes the next one wait for 5 seconds", () => {
  const read = { records: 10_000, bytes: 10 * 1024 * 1024, millisBehindLatest: 0 };
  assertEquals(readIntervalMs(read, EMPTY_DELAY_MS), 5_000);
});

Deno.test("only an empty read at the tip waits for emptyReceiveDelay", () => {
  const wait = (records: number, millisBehindLatest: number) =>
    readIntervalMs({ records, bytes: 0, millisBehindLatest }, EMPTY_DELAY_MS);
  assertEquals(wait(0, 0), EMPTY_DELAY_MS);
  assertEquals(wait(0, 1), 210);
  assertEquals(wait(1, 0), 210);
});

Deno.test("the wait after throttling doubles up to 10 s, half of it by chance", () => {
  assertEquals([1, 2, 3, 4, 5, 6, 60].map((n) => backoffMs(n, 0)), [
    250,
    500,
    1_000,
    2_000,
    4_000,
    5_000,
    5_000,
  ]);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (n, chance) => {
        const waitMs = backoffMs(n, chance);
        assert(waitMs >= 250 && waitMs <= 10_000);
      },
    ),
  );
});
