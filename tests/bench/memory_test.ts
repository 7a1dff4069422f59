// Owns: the benchmark of memory still runs; and a worker that gets more than it can process stays within its budget.
import { assert, assertEquals } from "@std/assert";
import { startCannedServer } from "../../bench/canned_server.ts";
import { denoChild } from "../../bench/child.ts";
import { memory } from "../../bench/memory.ts";
import type { MemoryJob, MemoryResult } from "../../bench/memory_consumer.ts";
import { median } from "../../bench/report.ts";

Deno.test("bench: memory", async () => {
  const [rest, behind] = await memory({ rounds: 1, scale: "tiny", say: () => {} });
  assertEquals([rest?.rows.length, behind?.rows.length], [1, 1]);
  const figures = behind?.rows[0]?.figures ?? {};
  const buffered = median(figures["buffered MB"]?.values ?? []);
  assert(buffered > 1 && buffered <= 1.05 * 2 ** 26 / 1e6, `${buffered} MB`);
});

// V8 makes literals old at once whose forebears outlived two collections; what they hold lies there until it looks at everything.
Deno.test("memory: however far behind many shards are, little more is held than is processed soon, and it is given back soon after", async () => {
  await using server = await startCannedServer();
  await using child = denoChild("memory_consumer.ts", [server.url]);
  const { records, bufferedBytes, deadBytes } = await child.do<MemoryResult>(
    {
      way: "worker",
      shape: { shards: 256, recordsPerShard: 1e9, recordBytes: 1_024, answerRecords: 10_000 },
      config: { maxBufferedBytes: 2 ** 26, shutdownTimeout: 1_000 },
      processMs: 25,
      hasTimers: false,
      settleMs: 2_000,
      measureMs: 4_000,
    } satisfies MemoryJob,
  );
  assert(records > 10_000, `${records} records`);
  assert(bufferedBytes < 4.5e7, `${Math.round(bufferedBytes / 1e6)} MB held`);
  assert(deadBytes < 2.5e7, `${Math.round(deadBytes / 1e6)} MB given back late`);
});
