// Owns: lanes by key whose reads bring little at a time, as parts of a long one do: all of them have work, and a key that fails holds no other.
import { assert } from "@std/assert";
import { settled } from "../virtual_clock.ts";
import { batch, Gates, running } from "./runner_testing.ts";

Deno.test("lanes: however little a read brings, nine in ten of 64 lanes are at work", async () => {
  const lanes = 64;
  const { bench, runner } = await running({
    process: () => bench.clock.sleep(100, bench.signal),
  }, { concurrency: lanes });
  const records = 6_400;
  const startedAt = bench.clock.monotonic();
  for (let first = 0; first < records; first += 10) {
    await bench.clock.until(runner.run(batch(first, first + 9)));
  }
  // Without the end, when most of them have nothing left.
  const ms = bench.clock.monotonic() - startedAt;
  await bench.clock.until(runner.settled());
  assert(records / ms * 100 > 0.9 * lanes, `${records} in ${ms} ms`);
});

Deno.test("lanes: however little a read brings, a key that is stuck lets thousands of others pass", async () => {
  const gates = new Gates();
  let finished = 0;
  const { runner } = await running({
    process: (record) => record.text() === "0" ? gates.process(record) : void (finished += 1),
  }, { concurrency: 16 });
  let isWaiting = false;
  for (let first = 0; !isWaiting && first < 20_000; first += 10) {
    isWaiting = true;
    void runner.run(batch(first, first + 9)).then(() => isWaiting = false);
    await settled();
  }
  assert(finished > 2_000, `${finished} passed`);
  await gates.openAll();
  await runner.settled();
});
