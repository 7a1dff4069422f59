/**
 * Owns: the processes whose memory and CPU are measured: a worker, or the calls alone that it cannot do without.
 * Must not: share a process with another measurement: the engine gives memory back late, or not at all.
 * Called by: `memory.ts`, as a process: `memory_consumer.ts KINESIS [DYNAMODB]` does one job.
 */

import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { GetRecordsCommand, GetShardIteratorCommand } from "@aws-sdk/client-kinesis";
import { type AwsOptions, connectAws, withoutRetries } from "../src/adapters/aws_calls.ts";
import { MemoryLeaseStore } from "../src/adapters/memory.ts";
import { resolveConfig } from "../src/core/config.ts";
import { ReactoKinesixApp, type ReactoKinesixConfig } from "../mod.ts";
import { shardIdOf, streamNameOf, type StreamShape } from "./canned_server.ts";
import { serveJobs } from "./child.ts";

/** What the process is to do. */
export interface MemoryJob {
  readonly way: "worker" | "calls alone";
  readonly shape: StreamShape;
  readonly config: ReactoKinesixConfig;
  /** How long the processor waits at each record. */
  readonly processMs: number;
  /** Whether each record has a timer of its own, of which Deno leaves more behind than the worker does; else all wait for the next tick. */
  readonly hasTimers: boolean;
  /** Before anything is measured. */
  readonly settleMs: number;
  readonly measureMs: number;
}

/** What it took. */
export interface MemoryResult {
  readonly seconds: number;
  readonly cpuSeconds: number;
  /** Resident memory at its highest while it was measured, in bytes. */
  readonly peakBytes: number;
  /** The middle of what it was. */
  readonly residentBytes: number;
  /** What the worker said that it holds, at its highest. */
  readonly bufferedBytes: number;
  /** What buffers took beyond what it said that it holds at the same time, at its highest. */
  readonly deadBytes: number;
  readonly records: number;
  readonly payloadBytes: number;
}

const SAMPLE_MS = 20;

interface Subject extends AsyncDisposable {
  readonly bufferedBytes: number;
}

/** Waits that end together. */
class Ticks {
  #next: Promise<void> | undefined;

  wait(ms: number): Promise<void> {
    return this.#next ??= delay(ms).then(() => this.#next = undefined);
  }
}

class Tally {
  records = 0;
  payloadBytes = 0;
}

async function startWorker(aws: AwsOptions, job: MemoryJob, tally: Tally): Promise<Subject> {
  const { shape, config, processMs, hasTimers } = job;
  const ticks = new Ticks();
  const clients = connectAws(aws);
  const hasTable = aws.dynamoDBEndpoint !== undefined;
  const app = await ReactoKinesixApp.createNew({
    ...aws,
    kinesis: (await clients.kinesis()) as never,
    appName: "Bench",
    streamName: streamNameOf(shape),
    workerId: "bench",
    config,
    processor: {
      process: async ({ data }) => {
        if (processMs > 0) await (hasTimers ? delay(processMs) : ticks.wait(processMs));
        tally.records += 1;
        tally.payloadBytes += data.byteLength;
      },
    },
    ...hasTable ? {} : { ports: { store: new MemoryLeaseStore() } },
  });
  while (app.shards().length < shape.shards) await delay(100);
  return {
    get bufferedBytes() {
      return app.bufferedBytes;
    },
    [Symbol.asyncDispose]: () => app.stop(),
  };
}

/** GetRecords of every shard, as often as a worker at rest makes it, and nothing else. */
async function startCalls(aws: AwsOptions, { shape, config }: MemoryJob): Promise<Subject> {
  const kinesis = await connectAws(aws).kinesis();
  const { emptyReceiveDelay, maxBatchSize } = resolveConfig(config);
  const until = new AbortController();
  const { signal } = until;
  const poll = async (index: number): Promise<void> => {
    const input = {
      StreamName: streamNameOf(shape),
      ShardId: shardIdOf(index),
      ShardIteratorType: "LATEST",
    } as const;
    let { ShardIterator } = await kinesis.send(new GetShardIteratorCommand(input));
    while (!signal.aborted) {
      const command = withoutRetries(new GetRecordsCommand({ ShardIterator, Limit: maxBatchSize }));
      const reply = await kinesis.send(command, { abortSignal: signal });
      ShardIterator = reply.NextShardIterator;
      await delay(emptyReceiveDelay, undefined, { signal });
    }
  };
  for (let index = 0; index < shape.shards; index++) void poll(index).catch(() => {});
  return {
    bufferedBytes: 0,
    [Symbol.asyncDispose]: () => Promise.resolve(until.abort()),
  };
}

async function measure(subject: Subject, job: MemoryJob, tally: Tally): Promise<MemoryResult> {
  await delay(job.settleMs);
  const samples: number[] = [];
  let bufferedBytes = 0;
  let deadBytes = 0;
  const { records, payloadBytes } = tally;
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  while (performance.now() - startedAt < job.measureMs) {
    const { rss, external } = Deno.memoryUsage();
    samples.push(rss);
    bufferedBytes = Math.max(bufferedBytes, subject.bufferedBytes);
    deadBytes = Math.max(deadBytes, external - subject.bufferedBytes);
    await delay(SAMPLE_MS);
  }
  const { user, system } = process.cpuUsage(cpu as never);
  return {
    seconds: (performance.now() - startedAt) / 1_000,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: Math.max(...samples),
    residentBytes: samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? NaN,
    bufferedBytes,
    deadBytes,
    records: tally.records - records,
    payloadBytes: tally.payloadBytes - payloadBytes,
  };
}

if (import.meta.main) {
  const [kinesisEndpoint = "", dynamoDBEndpoint] = Deno.args;
  const aws: AwsOptions = {
    region: "us-east-1",
    credentials: { accessKeyId: "canned", secretAccessKey: "canned" },
    kinesisEndpoint,
    ...dynamoDBEndpoint === undefined ? {} : { dynamoDBEndpoint },
  };
  const start = { worker: startWorker, "calls alone": startCalls };
  await serveJobs(async (job: MemoryJob) => {
    const tally = new Tally();
    await using subject = await start[job.way](aws, job, tally);
    return await measure(subject, job, tally);
  });
}
