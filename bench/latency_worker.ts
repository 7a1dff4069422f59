/**
 * Owns: the child of the benchmark of latency: a worker that tells how long each record took from being put to its processor.
 * Called by: `latency.ts`, with the way to read and the URL of the local Kinesis.
 */

import { ReactoKinesixApp } from "../mod.ts";
import { MemoryLeaseStore } from "../src/adapters/memory.ts";
import { serveJobs } from "./child.ts";

/** Waits for so many records. */
export interface LatencyJob {
  readonly records: number;
}

/** What became of them. */
export interface LatencyResult {
  /** From put to process, in milliseconds, of each. */
  readonly latencies: readonly number[];
}

const [retrieval, kinesisEndpoint = "", streamName = ""] = Deno.args;
let latencies: number[] = [];
let wake: () => void = () => {};

await ReactoKinesixApp.createNew({
  appName: `Latency-${retrieval}`,
  streamName,
  region: "us-east-1",
  credentials: { accessKeyId: "local", secretAccessKey: "local" },
  kinesisEndpoint,
  processor: {
    process(record) {
      // Both processes read the clock of one machine.
      latencies.push(performance.timeOrigin + performance.now() - Number(record.text()));
      wake();
    },
  },
  config: {
    retrieval: retrieval === "fan-out" ? "fan-out" : "polling",
    // As often as polling may.
    emptyReceiveDelay: 200,
  },
  ports: { store: new MemoryLeaseStore() },
});

await serveJobs(async ({ records }: LatencyJob): Promise<LatencyResult> => {
  while (latencies.length < records) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  const result = { latencies };
  latencies = [];
  return result;
});
