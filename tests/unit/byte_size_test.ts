// Owns: sizes in memory as people write them, and what a record counts for.
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  formatByteSize,
  heldBytes,
  heldBytesOf,
  parseByteSize,
  RECORD_OVERHEAD_BYTES,
} from "../../src/core/byte_size.ts";
import { resolveConfig, SETTINGS } from "../../src/core/config.ts";
import { describeDefault, describeRange, parseSetting } from "../../src/core/setting.ts";

Deno.test("byte size: what people write, in bytes", () => {
  const table: readonly (readonly [string, number | undefined])[] = [
    ["0", 0],
    ["1048576", 2 ** 20],
    ["1048576B", 2 ** 20],
    ["512KiB", 2 ** 19],
    ["64MiB", 2 ** 26],
    [" 1.5GiB ", 1.5 * 2 ** 30],
    ["", undefined],
    ["MiB", undefined],
    ["64 MiB", undefined],
    ["64MB", undefined],
    ["64mib", undefined],
    ["-1MiB", undefined],
    ["1e6", undefined],
    ["9".repeat(16), undefined],
  ];
  for (const [text, bytes] of table) assertEquals(parseByteSize(text), bytes, text);
});

Deno.test("byte size: reading what was written gives the same size", () => {
  assertEquals(formatByteSize(2 ** 26), "64MiB");
  assertEquals(formatByteSize(1_000), "1000B");
  assertEquals(formatByteSize(0), "0B");
  fc.assert(
    fc.property(
      fc.nat({ max: 2 ** 31 - 1 }),
      fc.constantFrom(1, 2 ** 10, 2 ** 20),
      (count, unit) => {
        assertEquals(parseByteSize(formatByteSize(count * unit)), count * unit);
      },
    ),
    { numRuns: 1_000 },
  );
});

Deno.test("byte size: a setting takes it as text, and bytes in code", () => {
  const setting = SETTINGS.find(({ name }) => name === "maxBufferedBytes");
  if (setting === undefined) throw new Error("there is such a setting");
  assertEquals(parseSetting(setting, "256MiB"), 2 ** 28);
  assertEquals(describeDefault(setting), "64MiB");
  assertEquals(describeRange(setting), "1MiB to 64GiB");
  assertEquals(resolveConfig({ maxBufferedBytes: 2 ** 20 }).maxBufferedBytes, 2 ** 20);
  for (const bad of [2 ** 20 - 1, 2 ** 36 + 1, 2 ** 21 + 0.5, "64MiB"]) {
    const failure = messageOf(() => resolveConfig({ maxBufferedBytes: bad as number }));
    assertEquals(failure.includes('"maxBufferedBytes"'), true, failure);
    assertEquals(failure.includes("1MiB to 64GiB, in bytes in code"), true, failure);
  }
});

Deno.test("byte size: a record counts for its payload, its key and its objects", () => {
  const record = { data: new Uint8Array(1_000), partitionKey: "customer-1" };
  assertEquals(heldBytes(record), 1_010 + RECORD_OVERHEAD_BYTES);
  assertEquals(heldBytesOf([record, record]), 2 * heldBytes(record));
  assertEquals(heldBytesOf([]), 0);
});

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return String(error);
  }
  return "it was accepted";
}
