// Owns: settings that contradict each other.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { resolveConfig } from "../../src/core/config.ts";
import { failureOf } from "./config_testing.ts";

Deno.test("config: settings that contradict each other are refused", () => {
  const short = failureOf({ heartbeat: 1_000, heartbeatTimeout: 1_999 });
  assert(short instanceof RangeError);
  assertMatch(short.message, /"heartbeatTimeout".*"heartbeat"/);
  resolveConfig({ heartbeat: 1_000, heartbeatTimeout: 2_000 });

  const hasty = {
    heartbeat: 1_000,
    heartbeatTimeout: 3_000,
    checkPendingHandoverRequestFrequency: 2_000,
  };
  const expired = failureOf({ ...hasty, handoverRequestExpiry: 4_999 });
  assert(expired instanceof RangeError);
  assertMatch(expired.message, /"handoverRequestExpiry".*"heartbeatTimeout"/);
  resolveConfig({ ...hasty, handoverRequestExpiry: 5_000 });
});

Deno.test("config: whatever is accepted contradicts nothing", () => {
  const ms = fc.integer({ min: 0, max: 100_000 });
  fc.assert(
    fc.property(ms, ms, ms, ms, (heartbeat, heartbeatTimeout, handoverRequestExpiry, check) => {
      const config = {
        heartbeat,
        heartbeatTimeout,
        handoverRequestExpiry,
        checkPendingHandoverRequestFrequency: check,
      };
      const isSound = heartbeat >= 100 && heartbeatTimeout >= Math.max(200, 2 * heartbeat) &&
        check >= 100 && handoverRequestExpiry >= heartbeatTimeout + check;
      if (isSound) resolveConfig(config);
      else failureOf(config);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("config: a processor that waits for its checkpoint must have the time for it", () => {
  const manual = { checkpointMode: "manual", checkpointFrequency: 1_000 } as const;
  assertThrows(
    () => resolveConfig({ ...manual, processTimeout: 1_000 }),
    RangeError,
    "processTimeout",
  );
  resolveConfig({ ...manual, processTimeout: 1_001 });
  resolveConfig({ ...manual, processTimeout: 0 });
});

Deno.test("config: several records at once need an order that allows it, and checkpoints that follow by themselves", () => {
  for (const contradiction of [{ orderBy: "shard" }, { checkpointMode: "manual" }] as const) {
    const { message } = failureOf({ ...contradiction, concurrency: 2 });
    const [name = ""] = Object.keys(contradiction);
    assertMatch(message, new RegExp(`"concurrency".*"${name}"`));
    assertEquals(resolveConfig(contradiction).concurrency, 1);
  }
  assertEquals(resolveConfig({ concurrency: 1_000, orderBy: "none" }).concurrency, 1_000);
});
