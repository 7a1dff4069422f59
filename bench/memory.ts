/**
 * Owns: the memory and CPU of a worker at rest, and its memory when it gets ten times more than it can process.
 * Called by: `run.ts`.
 */

import { startLocalDynamoDB } from "../src/local/dynamodb_server.ts";
import { startCannedServer, type StreamShape } from "./canned_server.ts";
import { denoChild } from "./child.ts";
import type { MemoryJob, MemoryResult } from "./memory_consumer.ts";
import type { BenchOptions, Figure, Row, Section } from "./report.ts";

const MIB = 2 ** 20;
const READ_BYTES_MAX = 10 * MIB;
const BUDGET_BYTES = 64 * MIB;
const REST_RSS_MB_MAX = 300;
const REST_CORES_MAX = 0.2;
const OVERLOAD_MB_MAX = 100;

/** How long each measurement takes. */
const TIMES = {
  // Garbage grows for some twenty seconds, before the engine looks at all of it for the first time.
  full: { settleMs: 5_000, restMs: 15_000, overloadMs: 25_000 },
  quick: { settleMs: 4_000, restMs: 9_000, overloadMs: 5_000 },
  tiny: { settleMs: 500, restMs: 500, overloadMs: 1_500 },
} as const;

const MANY = { shards: 256, bytes: 1_024, ms: 25 };
/** A processor that takes a tenth of what the shards, and one core, can give. */
const OVERLOADS: readonly Overload[] = [
  { shards: 16, bytes: 1_024, ms: 5 },
  MANY,
  { shards: 16, bytes: 102_400, ms: 500 },
  { shards: 256, bytes: 102_400, ms: 2_500 },
  { ...MANY, isTicking: true },
  { ...MANY, v8Flags: "--max-semi-space-size=8" },
];

/** What is read, and how slowly it is processed. */
interface Overload {
  readonly shards: number;
  readonly bytes: number;
  /** What the processor waits at each record. */
  readonly ms: number;
  /** Whether all records wait for the same timer. */
  readonly isTicking?: boolean;
  /** How the engine is told to collect sooner. */
  readonly v8Flags?: string;
}

/** A worker at rest, and one that is far behind. */
export async function memory(options: BenchOptions): Promise<readonly Section[]> {
  const isTiny = options.scale === "tiny";
  const restShards = isTiny ? [8] : options.scale === "quick" ? [1_000] : [1, 100, 1_000];
  const overloads = OVERLOADS.slice(0, isTiny ? 1 : OVERLOADS.length);
  await using server = await startCannedServer();
  await using table = await startLocalDynamoDB({ port: 0 });
  const rest: Row[] = [];
  for (const shards of restShards) {
    options.say(`at rest, ${shards} shards`);
    rest.push(await atRest(options, { shards, urls: [server.url, table.url] }));
  }
  const behind: Row[] = [];
  for (const overload of overloads) {
    options.say(`behind, ${overload.shards} shards, records of ${overload.bytes} bytes`);
    behind.push(await overloaded(options, { ...overload, url: server.url }));
  }
  return [
    {
      title: "memory: a worker at rest",
      rows: rest,
      note:
        "cores: CPU seconds a second; calls alone: GetRecords of every shard at the same pace, by " +
        "the same client, in a loop. Each figure is of a process of its own.",
    },
    {
      title: "memory: ten times more than it can process",
      rows: behind,
      note:
        `over idle: resident memory at its highest, without that of the same process before, which ` +
        `polled as many empty shards; the budget is ${
          BUDGET_BYTES / MIB
        } MiB. dead buffers: what was ` +
        "read, is not needed any more, and is not given back yet. one timer: all records wait for the " +
        "same one; else each has its own, of which Deno leaves some 700 bytes behind.",
    },
  ];
}

const EMPTY = { recordsPerShard: 0, recordBytes: 1_024, answerRecords: 1_000 };

async function atRest(
  { scale, rounds }: BenchOptions,
  { shards, urls }: { readonly shards: number; readonly urls: readonly string[] },
): Promise<Row> {
  const { settleMs, restMs } = TIMES[scale];
  const run = async (way: MemoryJob["way"]): Promise<MemoryResult> => {
    await using child = denoChild("memory_consumer.ts", urls);
    const shape = { ...EMPTY, shards };
    return await child.do(job({ way, shape, settleMs, measureMs: restMs }));
  };
  const workers: MemoryResult[] = [];
  const calls: MemoryResult[] = [];
  for (let round = 0; round < rounds; round++) {
    workers.push(await run("worker"));
    calls.push(await run("calls alone"));
  }
  const cores = (results: readonly MemoryResult[]): number[] =>
    results.map(({ cpuSeconds, seconds }) => cpuSeconds / seconds);
  const callCores = cores(calls);
  const isBound = shards === 1_000;
  return {
    name: `${shards} shards`,
    figures: {
      "resident MB": {
        unit: "",
        values: workers.map(({ peakBytes }) => peakBytes / 1e6),
        ...isBound && { atMost: REST_RSS_MB_MAX },
      },
      "calls alone: MB": { unit: "", values: calls.map(({ peakBytes }) => peakBytes / 1e6) },
      "cores": { unit: "", values: cores(workers) },
      "calls alone: cores": { unit: "", values: callCores },
      "cores over calls": {
        unit: "",
        values: cores(workers).map((value, i) => value - (callCores[i] ?? NaN)),
        ...isBound && { atMost: REST_CORES_MAX },
      },
    },
  };
}

async function overloaded(
  { scale, rounds }: BenchOptions,
  { shards, bytes, ms, isTicking = false, v8Flags, url }: Overload & { readonly url: string },
): Promise<Row> {
  const idles: number[] = [];
  const overs: number[] = [];
  const held: number[] = [];
  const dead: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const env: Record<string, string> = v8Flags === undefined ? {} : { DENO_V8_FLAGS: v8Flags };
    await using child = denoChild("memory_consumer.ts", [url], env);
    const idleShape = { ...EMPTY, shards };
    const idle = await child.do<MemoryResult>(
      job({ shape: idleShape, settleMs: 1_000, measureMs: 1_000 }),
    );
    const answerRecords = Math.min(10_000, Math.floor(READ_BYTES_MAX / bytes));
    const shape = { shards, recordsPerShard: 1e9, recordBytes: bytes, answerRecords };
    const measureMs = TIMES[scale].overloadMs;
    const changes = { shape, processMs: ms, hasTimers: !isTicking, measureMs };
    const full = await child.do<MemoryResult>(job(changes));
    idles.push(idle.peakBytes / 1e6);
    overs.push((full.peakBytes - idle.peakBytes) / 1e6);
    held.push(full.bufferedBytes / 1e6);
    dead.push(full.deadBytes / 1e6);
  }
  const atMost = BUDGET_BYTES / 1e6 + OVERLOAD_MB_MAX;
  const figure = (values: readonly number[]): Figure => ({ unit: "", values });
  return {
    name: `${shards} shards, ${bytes / 1_024} KB${isTicking ? ", one timer" : ""}` +
      (v8Flags === undefined ? "" : `, ${v8Flags}`),
    figures: {
      "idle MB": figure(idles),
      "over idle MB": { ...figure(overs), atMost },
      "buffered MB": figure(held),
      "dead buffers MB": figure(dead),
    },
  };
}

function job(
  changes: Partial<MemoryJob> & { readonly shape: StreamShape; readonly measureMs: number },
): MemoryJob {
  const config = { maxBufferedBytes: BUDGET_BYTES, shutdownTimeout: 1_000 };
  return { way: "worker", config, processMs: 0, hasTimers: true, settleMs: 0, ...changes };
}
