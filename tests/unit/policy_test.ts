// Owns: attempts and delays after failures.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { backoffMs, decide, retryAndSkip, retryAndStop } from "../../src/core/policy.ts";

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

Deno.test("policy: n retries are n + 1 attempts, then the mode says what", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 200 }), fc.boolean(), chance, (n, isSkip, random) => {
      const mode = isSkip ? retryAndSkip(n) : retryAndStop(n);
      let attempts = 1;
      while (decide(attempts, mode, random).kind === "retry") attempts += 1;
      assertEquals(attempts, n + 1);
      assertEquals(decide(attempts, mode, random), { kind: isSkip ? "skip" : "stop" });
    }),
  );
});

Deno.test("policy: the delay grows up to its bound, and chance takes at most half of it", () => {
  const backoffs = fc.record({
    baseMs: fc.integer({ min: 2, max: 10_000 }),
    maxMs: fc.integer({ min: 10_000, max: 100_000 }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10_000 }), backoffs, chance, (n, backoff, random) => {
      const ms = backoffMs(n, backoff, random);
      const longest = backoffMs(n, backoff, 0);
      assertEquals(longest, Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(n - 1, 30)));
      assert(Number.isInteger(ms) && ms <= longest && ms >= Math.floor(longest / 2), `${ms}`);
      assert(backoffMs(n + 1, backoff, random) >= ms);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("policy: the waits of a record double from a tenth of a second to half a minute", () => {
  const mode = retryAndStop(1_000_000);
  const waits = [1, 2, 3, 9, 10, 1_000_000].map((attempt) => decide(attempt, mode, 0));
  assertEquals(
    waits.map((decision) => decision.kind === "retry" ? decision.afterMs : decision.kind),
    [100, 200, 400, 25_600, 30_000, 30_000],
  );
});

Deno.test("policy: a number of retries that is none is refused", () => {
  for (const make of [retryAndSkip, retryAndStop]) {
    assertEquals(make(0).retries, 0);
    assertEquals(make(1_000_000).retries, 1_000_000);
    for (const retries of [-1, 0.5, NaN, Infinity, 1_000_001]) {
      assertThrows(() => make(retries), RangeError, `${make.name}(${retries})`);
    }
    assertThrows(() => make("3" as unknown as number), RangeError);
  }
});
