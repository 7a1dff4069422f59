// Owns: the benchmark of memory still runs; and a worker that gets more than it can process stays within its budget.
import { assert, assertEquals } from "@std/assert";
import { memory } from "../../bench/memory.ts";
import { median } from "../../bench/report.ts";

Deno.test("bench: memory", async () => {
  const [rest, behind] = await memory({ rounds: 1, scale: "tiny", say: () => {} });
  assertEquals([rest?.rows.length, behind?.rows.length], [1, 1]);
  const figures = behind?.rows[0]?.figures ?? {};
  const buffered = median(figures["buffered MB"]?.values ?? []);
  assert(buffered > 1 && buffered <= 1.05 * 2 ** 26 / 1e6, `${buffered} MB`);
});
