// Owns: the alarms before records are lost, as a user's test sees them.
import { assertEquals, assertThrows } from "@std/assert";
import { MemoryStream, testKit } from "../../testing.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

Deno.test("test kit: with retentionMs a slow processor is warned of, and a checkpoint that is too old", async () => {
  let hours = 0;
  await using kit = await testKit({
    retentionMs: DAY_MS,
    processor: {
      process: (_, { signal }) => kit.clock.sleep(hours * HOUR_MS, signal),
    },
  });
  kit.put("key", "a");
  await kit.runUntilIdle();
  assertEquals(kit.told("lag_near_retention"), []);
  hours = 13;
  kit.put("key", "b");
  await kit.runUntilIdle();
  assertEquals(kit.told("lag_near_retention").map(({ percent }) => percent), [50]);
  hours = 0;
  await kit.workers[0]?.stop();
  await kit.advance(2 * DAY_MS);
  kit.put("key", "c");
  await kit.addWorker();
  await kit.runUntilIdle();
  assertEquals(kit.told("checkpoint_expired").map(({ retentionMs }) => retentionMs), [DAY_MS]);
});

Deno.test("test kit: a fault may be that the stream does not say how long it keeps records", async () => {
  await using kit = await testKit({
    retentionMs: DAY_MS,
    faults: ({ operation }) => operation === "retentionMs" ? "unavailable" : undefined,
    processor: { process: () => {} },
  });
  await kit.advance(HOUR_MS);
  assertEquals(kit.told("task_failed").map(({ task }) => task), [
    "ask how long the stream keeps its records",
  ]);
});

Deno.test("test kit: a retention must be more than 0", () => {
  for (const retentionMs of [0, -1, NaN]) {
    assertThrows(() => new MemoryStream({ shards: 1, retentionMs }), RangeError, "retentionMs");
  }
});
