/**
 * Owns: how long a record takes from being put to its processor, by polling and by enhanced fan-out.
 * Called by: `run.ts`.
 */

import { serveLocalKinesis } from "../src/local/kinesis_server.ts";
import { denoChild } from "./child.ts";
import type { LatencyJob, LatencyResult } from "./latency_worker.ts";
import { type BenchOptions, interleave, ratio, type Section } from "./report.ts";

const STREAM = "latency";
const SHARDS = 4;
const WAYS = ["polling", "fan-out"] as const;
type Way = typeof WAYS[number];

const RECORDS = { full: 250, quick: 150, tiny: 20 } as const;
/** Between two records of the stream; no divisor of the time between two polls. */
const PUT_INTERVAL_MS = 23;

/** Milliseconds from put to process, both ways fed with the same load, one after the other. */
export async function latency(options: BenchOptions): Promise<readonly Section[]> {
  await using stack = new AsyncDisposableStack();
  const records = RECORDS[options.scale];
  const runs = {} as Record<Way, () => Promise<number>>;
  const rounds: Record<Way, number[][]> = { "polling": [], "fan-out": [] };
  for (const way of WAYS) {
    // Each has a stream of its own: what is put is for one of them.
    const kinesis = stack.use(serveLocalKinesis({ port: 0 }));
    kinesis.engine.call("CreateStream", { StreamName: STREAM, ShardCount: SHARDS });
    const worker = stack.use(denoChild("latency_worker.ts", [way, kinesis.url, STREAM]));
    runs[way] = async () => {
      const result = worker.do<LatencyResult>({ records } satisfies LatencyJob);
      for (let i = 0; i < records; i++) {
        const Data = btoa(String(performance.timeOrigin + performance.now()));
        kinesis.engine.call("PutRecord", { StreamName: STREAM, PartitionKey: `key-${i}`, Data });
        await new Promise((resolve) => setTimeout(resolve, PUT_INTERVAL_MS));
      }
      const { latencies } = await result;
      rounds[way].push(latencies.toSorted((a, b) => a - b));
      return latencies.length;
    };
  }
  options.say(`${options.rounds} rounds of ${records} records each way`);
  // The first records of a worker find its start.
  await interleave(1, runs);
  for (const way of WAYS) rounds[way] = [];
  await interleave(options.rounds, runs);
  const part = (way: Way, share: number): number[] =>
    rounds[way].map((sorted) => sorted[Math.floor(sorted.length * share)] ?? NaN);
  return [{
    title: `latency: from put to process, ${SHARDS} shards, a record each ${PUT_INTERVAL_MS} ms`,
    rows: WAYS.map((way) => ({
      name: way,
      figures: {
        p50: { unit: "ms", values: part(way, 0.5), ...way === "fan-out" && { atMost: 150 } },
        p99: { unit: "ms", values: part(way, 0.99) },
        ...way === "fan-out" && {
          "p50 to polling": ratio(part("fan-out", 0.5), part("polling", 0.5), { atMost: 0.5 }),
        },
      },
    })),
    note: "Polling as often as Kinesis allows: emptyReceiveDelay 200 ms.",
  }];
}
