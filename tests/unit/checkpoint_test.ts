// Owns: the order of positions in a shard, and their text.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type Checkpoint,
  compareCheckpoints,
  compareSequenceNumbers,
  formatCheckpoint,
  isAfter,
  parseCheckpoint,
} from "../../src/core/checkpoint.ts";
import { checkpoints, sequenceNumbers } from "./arbitraries.ts";

const RUNS = { numRuns: 1_000 };

Deno.test("checkpoint: sequence numbers are ordered as the integers that they are", () => {
  fc.assert(
    fc.property(sequenceNumbers, sequenceNumbers, (a, b) => {
      const expected = BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0;
      assertEquals(Math.sign(compareSequenceNumbers(a, b)), expected);
    }),
    RUNS,
  );
});

Deno.test("checkpoint: the order is total", () => {
  const sign = (a: Checkpoint, b: Checkpoint): number => Math.sign(compareCheckpoints(a, b));
  fc.assert(
    fc.property(checkpoints, checkpoints, checkpoints, (a, b, c) => {
      assertEquals(sign(a, a), 0);
      assertEquals(sign(a, b) + sign(b, a), 0);
      assertEquals(sign(a, b) === 0, formatCheckpoint(a) === formatCheckpoint(b));
      if (sign(a, b) <= 0 && sign(b, c) <= 0) assertEquals(sign(a, c) <= 0, true);
    }),
    RUNS,
  );
});

Deno.test("checkpoint: each kind of position comes before the next", () => {
  const inOrder = [
    "TRIM_HORIZON",
    "AT_TIMESTAMP:1970-01-01T00:00:00.000Z",
    "AT_TIMESTAMP:2026-01-01T00:00:00.000Z",
    "0",
    "9",
    "10:0",
    "10:3",
    "10",
    "11:0",
    "49590338271490256608559692538361571095921575989136588898",
    "SHARD_END",
  ].map(parseCheckpoint);
  for (const [i, a] of inOrder.entries()) {
    for (const [j, b] of inOrder.entries()) {
      assertEquals(Math.sign(compareCheckpoints(a, b)), Math.sign(i - j));
    }
  }
});

Deno.test("checkpoint: reading what was written gives the same position", () => {
  fc.assert(
    fc.property(checkpoints, (checkpoint) => {
      assertEquals(parseCheckpoint(formatCheckpoint(checkpoint)), checkpoint);
    }),
    RUNS,
  );
});

Deno.test("checkpoint: a hostile text is read or refused with a SyntaxError", () => {
  const near = fc.tuple(
    fc.constantFrom("", "AT_TIMESTAMP:", "TRIM_HORIZON", "SHARD_END", "12:", ":", "0", "-1", "1e5"),
    fc.string({ unit: "binary" }),
  ).map((parts) => parts.join(""));
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ unit: "binary" })), (text) => {
      try {
        const checkpoint = parseCheckpoint(text);
        assertEquals(parseCheckpoint(formatCheckpoint(checkpoint)), checkpoint);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
      }
    }),
    RUNS,
  );
});

Deno.test("checkpoint: texts that are none are refused and shown", () => {
  const none = ["", "-1", "01", "1.5", "1:2:3", "1:", ":1", "1:-1", "1:01", "1e9", " 1", "1 "];
  for (const text of [...none, "trim_horizon", "AT_TIMESTAMP:", "AT_TIMESTAMP:soon"]) {
    assertThrows(() => parseCheckpoint(text), SyntaxError, `"${text}"`);
  }
  const long = "9".repeat(129);
  assertThrows(() => parseCheckpoint(long), SyntaxError);
  assertEquals(formatCheckpoint(parseCheckpoint("9".repeat(128))), "9".repeat(128));
});

Deno.test("a reader that begins after a part of a record reads that record again", () => {
  const record = { sequenceNumber: "10", approximateArrivalTimestamp: 5 };
  const after = (position: Checkpoint): boolean => isAfter(record, position);
  assert(after({ kind: "trimHorizon" }) && !after({ kind: "shardEnd" }));
  assert(after({ kind: "timestamp", timestamp: 5 }) && !after({ kind: "timestamp", timestamp: 6 }));
  assert(after({ kind: "sequence", sequenceNumber: "9" }));
  assert(!after({ kind: "sequence", sequenceNumber: "10" }));
  assert(after({ kind: "sequence", sequenceNumber: "10", subSequenceNumber: 3 }));
});
