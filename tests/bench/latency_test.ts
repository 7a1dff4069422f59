// Owns: the benchmark of latency still runs, and every record that is put is measured.
import { assert, assertEquals } from "@std/assert";
import { latency } from "../../bench/latency.ts";
import { median } from "../../bench/report.ts";

Deno.test("bench: latency", async () => {
  const [section] = await latency({ rounds: 1, scale: "tiny", say: () => {} });
  assertEquals(section?.rows.map(({ name }) => name), ["polling", "fan-out"]);
  for (const { figures } of section?.rows ?? []) {
    const p50 = median(figures["p50"]?.values ?? []);
    assert(p50 > 0 && p50 <= median(figures["p99"]?.values ?? []));
  }
});
