// Owns: the benchmark of throughput still runs, and what it compares reads the same records.
import { assert, assertEquals } from "@std/assert";
import { median } from "../../bench/report.ts";
import { throughput } from "../../bench/throughput.ts";

Deno.test("bench: throughput", async () => {
  const sections = await throughput({ rounds: 1, scale: "tiny", say: () => {} });
  assertEquals(sections[0]?.rows.length, 4);
  for (const { rows } of sections) {
    for (const { figures } of rows) assert(median(figures["records/s"]?.values ?? []) > 0);
  }
});
