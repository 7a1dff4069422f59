// Owns: durations as people write them.
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { formatDuration, parseDuration } from "../../src/core/duration.ts";

Deno.test("duration: what people write, in milliseconds", () => {
  const table: readonly (readonly [string, number | undefined])[] = [
    ["0", 0],
    ["250", 250],
    ["250ms", 250],
    ["30s", 30_000],
    ["1.5m", 90_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    [" 3m ", 180_000],
    ["0.1s", 100],
    ["", undefined],
    ["s", undefined],
    ["-1s", undefined],
    ["1 s", undefined],
    ["1e3", undefined],
    ["3 minutes", undefined],
    ["3M", undefined],
    [".5s", undefined],
    ["0x10", undefined],
    ["Infinity", undefined],
    ["9".repeat(16), undefined],
  ];
  for (const [text, ms] of table) assertEquals(parseDuration(text), ms, text);
});

Deno.test("duration: the shortest text is written", () => {
  const table: readonly (readonly [number, string])[] = [
    [0, "0ms"],
    [1, "1ms"],
    [1_000, "1s"],
    [1_500, "1500ms"],
    [90_000, "90s"],
    [180_000, "3m"],
    [3_600_000, "1h"],
    [86_400_000, "1d"],
  ];
  for (const [ms, text] of table) assertEquals(formatDuration(ms), text);
});

Deno.test("duration: reading what was written gives the same time", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999_999_999 }), (ms) => {
      assertEquals(parseDuration(formatDuration(ms)), ms);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("duration: any text gives a time of at least 0, or none", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const ms = parseDuration(text);
      assertEquals(ms === undefined || (Number.isInteger(ms) && ms >= 0), true);
    }),
    { numRuns: 1_000 },
  );
});
