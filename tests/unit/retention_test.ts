import { assertEquals } from "@std/assert";
import { readUntil, retentionMark } from "../../src/core/retention.ts";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";

const DAY_MS = 86_400_000;

Deno.test("a lag passes the marks at half and at four fifths of the retention", () => {
  const markAt = (share: number) => retentionMark(share * DAY_MS, DAY_MS, 0);
  assertEquals([0, 0.49, 0.5, 0.79, 0.8, 1, 3].map(markAt), [0, 0, 50, 50, 80, 80, 80]);
});

Deno.test("a lag that moves about a mark is told once", () => {
  assertEquals(retentionMark(0.48 * DAY_MS, DAY_MS, 50), 50);
  assertEquals(retentionMark(0.44 * DAY_MS, DAY_MS, 50), 0);
  assertEquals(retentionMark(0.75 * DAY_MS, DAY_MS, 80), 80);
  assertEquals(retentionMark(0.7 * DAY_MS, DAY_MS, 80), 50);
});

Deno.test("a shard was read until its checkpoint was written, less what it was behind then", () => {
  const checkpoint = { kind: "sequence", sequenceNumber: "7" } as const;
  assertEquals(readUntil({ checkpoint, checkpointAt: 1_000, millisBehindLatest: 400 }), 600);
  assertEquals(readUntil({ checkpoint, checkpointAt: null, millisBehindLatest: null }), null);
  assertEquals(readUntil({ checkpoint, checkpointAt: 1_000, millisBehindLatest: 1e300 }), null);
  const at = { kind: "timestamp", timestamp: 5 } as const;
  assertEquals(readUntil({ checkpoint: at, checkpointAt: null, millisBehindLatest: null }), 5);
  const begin = { checkpoint: TRIM_HORIZON, checkpointAt: 9, millisBehindLatest: 0 };
  assertEquals(readUntil(begin), null);
});
