import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { systemClock, systemRandom } from "../../src/adapters/system.ts";

Deno.test("a sleep takes at least its time", async () => {
  for (const ms of [0, 0.4, 5, 20.7]) {
    const start = systemClock.monotonic();
    await systemClock.sleep(ms, new AbortController().signal);
    assert(systemClock.monotonic() - start >= ms);
  }
});

Deno.test("an abort ends a sleep of any length and leaves no timer", async () => {
  for (const ms of [50, 2 ** 31, 2 ** 40, Infinity]) {
    const controller = new AbortController();
    const sleep = systemClock.sleep(ms, controller.signal);
    controller.abort(new RangeError("awake"));
    await assertRejects(() => sleep, RangeError, "awake");
    await assertRejects(() => systemClock.sleep(ms, controller.signal), RangeError, "awake");
  }
});

Deno.test("chance is in its bounds, and names differ", () => {
  const drawn = systemRandom.next();
  assert(drawn >= 0 && drawn < 1);
  assertEquals(systemRandom.uuid().length, 36);
  assertNotEquals(systemRandom.uuid(), systemRandom.uuid());
});
