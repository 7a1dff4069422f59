/**
 * Owns: this library as one of the peers: a worker with its state in DynamoDB, as it comes or without the pace of a shard.
 * Called by: `install.ts`, as a process; its argument is a `PeerJob`.
 */

import process from "node:process";
import { ReactoKinesixApp } from "../../mod.ts";
import { connectAws } from "../../src/adapters/aws_calls.ts";
import { answer, serveJobs } from "../child.ts";
import { unhurriedSource } from "../unhurried.ts";
import type { PeerJob } from "./install.ts";

const job: PeerJob = JSON.parse(Deno.args[0] ?? "");
const { kinesis, dynamoDB, streamName, appName, workerId, isPaced, isWatched } = job;
const aws = {
  region: "us-east-1",
  credentials: { accessKeyId: "local", secretAccessKey: "local" },
  kinesisEndpoint: kinesis,
  dynamoDBEndpoint: dynamoDB,
};

let seen = 0;
let bytes = 0;
let half: { seen: number; at: number; cpu: ReturnType<typeof process.cpuUsage> } | undefined;

async function add(records: readonly { readonly data: Uint8Array }[]): Promise<void> {
  if (seen === 0) await answer({ kind: "first" });
  seen += records.length;
  for (const { data } of records) bytes += data.byteLength;
  if (half === undefined && seen >= job.records / 2) {
    half = { seen, at: performance.now(), cpu: process.cpuUsage() };
  }
  if (half === undefined || seen < job.records || job.records < 0) return;
  const { user, system } = process.cpuUsage(half.cpu);
  const [, peakKb] = /VmHWM:\s*(\d+)/.exec(await Deno.readTextFile("/proc/self/status")) ?? [];
  await answer({
    kind: "done",
    records: seen - half.seen,
    seconds: (performance.now() - half.at) / 1_000,
    cpuSeconds: (user + system) / 1e6,
    peakMb: Number(peakKb) / 1_024,
    bytes,
  });
}

const client = isPaced ? null : await connectAws(aws).kinesis();
await ReactoKinesixApp.createNew({
  ...aws,
  appName,
  streamName,
  workerId,
  processor: {
    async processBatch(records, { shardId }) {
      await add(records);
      if (isWatched) await answer({ kind: "batch", shardId });
    },
  },
  // A worker is dead after as long as one of the KCL is by default.
  config: { heartbeat: 3_300, heartbeatTimeout: 10_000, checkUnprocessedShardsFrequency: 10_000 },
  ...client !== null && { ports: { source: unhurriedSource(client, streamName) } },
});
await serveJobs(() => Promise.resolve({}));
