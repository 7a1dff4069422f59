// Owns: the benchmark of threads still runs, and a thread costs milliseconds, not seconds.
import { assert } from "@std/assert";
import { computeRate, timeBatches } from "../../bench/threads.ts";

Deno.test("bench: batches through a thread, and a processor that computes in two", async () => {
  const code = `export default { process() {} }`;
  const times = await timeBatches(code, { threads: 1, rounds: 5 });
  const best = Math.min(...times);
  assert(best < 250, `the best batch took ${best} ms`);
  const inPlace = await timeBatches(code, { threads: undefined, rounds: 2 });
  assert(inPlace.length === 2);
  assert(await computeRate(2, 100) > 10);
});
