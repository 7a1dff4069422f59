/**
 * Owns: how often a cluster writes and reads its state table, counted where the calls arrive, next to what the KCL writes.
 * Called by: `run.ts`.
 */

import { startLocalDynamoDB } from "../src/local/dynamodb_server.ts";
import { type LocalKinesis, serveLocalKinesis } from "../src/local/kinesis_server.ts";
import { ReactoKinesixApp, type ReactoKinesixConfig } from "../mod.ts";
import { type BenchOptions, ratio, type Section } from "./report.ts";

const WORKERS = 2;
const SHARDS = 16;
const STREAM = "Bench";
/** A whole number of heartbeats at rest; with a heartbeat of a second where only the benchmark itself is tried. */
const WINDOWS_MS = {
  full: { rest: 30_000, load: 10_000, config: {} },
  quick: { rest: 30_000, load: 5_000, config: {} },
  tiny: { rest: 2_000, load: 1_000, config: { heartbeat: 1_000, loadBalanceFrequency: 500 } },
} as const;
const BALANCE_TRIES_MAX = 600;

/**
 * Worked out from the KCL for Java 3 with its default settings, not measured: each worker renews each of its leases every
 * failoverTimeMillis / 3 - 25 ms, by one UpdateItem; a checkpoint is another one.
 */
const KCL_RENEWALS_PER_HOUR = 3_600_000 / (10_000 / 3 - 25);
const CHECKPOINTS_PER_HOUR = 3_600;
const TO_KCL_MAX = 0.1;

interface Calls {
  writes: number;
  reads: number;
}

/** Calls to DynamoDB for each shard, at rest and under load, at the default settings. */
export async function cost({ scale, say }: BenchOptions): Promise<readonly Section[]> {
  const windows = WINDOWS_MS[scale];
  const calls: Calls = { writes: 0, reads: 0 };
  await using stack = new AsyncDisposableStack();
  const kinesis = stack.use(serveLocalKinesis({ port: 0 }));
  const dynamoDB = stack.use(
    await startLocalDynamoDB({
      port: 0,
      onRequest(operation) {
        if (/^(Update|Put|Delete|BatchWrite)/.test(operation)) calls.writes++;
        if (/^(Query|Scan|Get|BatchGet)/.test(operation)) calls.reads++;
      },
    }),
  );
  kinesis.engine.call("CreateStream", { StreamName: STREAM, ShardCount: SHARDS });
  const config = windows.config;
  const apps = await startApps(stack, { kinesis: kinesis.url, dynamoDB: dynamoDB.url, config });
  await balanced(apps);

  say(`at rest, for ${windows.rest / 1_000} s`);
  const rest = await countFor(windows.rest, calls);
  say(`under load, for ${windows.load / 1_000} s`);
  const putting = setInterval(() => put(kinesis), 100);
  const load = await countFor(windows.load, calls).finally(() => clearInterval(putting));
  const row = (name: string, { writes, reads }: Calls, kclWrites: number) => ({
    name,
    figures: {
      "writes": { unit: "", values: [writes] },
      "reads": { unit: "", values: [reads] },
      "KCL writes, derived": { unit: "", values: [kclWrites] },
      "writes to the KCL's": ratio(
        [writes],
        [kclWrites],
        name === "at rest" ? { atMost: TO_KCL_MAX } : {},
      ),
    },
  });
  return [{
    title: `cost: calls to DynamoDB per shard and hour, ${WORKERS} workers, ${SHARDS} shards`,
    rows: [
      row("at rest", rest, KCL_RENEWALS_PER_HOUR),
      row("records in every shard", load, KCL_RENEWALS_PER_HOUR + CHECKPOINTS_PER_HOUR),
    ],
    note:
      "Default settings: a heartbeat in 30 s for each worker, a checkpoint a second for each busy " +
      "shard. The KCL's\nare worked out from its defaults (a renewal of each lease in 3.3 s) and the same " +
      "checkpoints.",
  }];
}

async function startApps(
  stack: AsyncDisposableStack,
  { kinesis, dynamoDB, config }: {
    readonly kinesis: string;
    readonly dynamoDB: string;
    readonly config: ReactoKinesixConfig;
  },
): Promise<readonly ReactoKinesixApp[]> {
  const apps: ReactoKinesixApp[] = [];
  for (let worker = 1; worker <= WORKERS; worker++) {
    apps.push(stack.use(
      await ReactoKinesixApp.createNew({
        appName: "Bench",
        streamName: STREAM,
        workerId: `worker-${worker}`,
        region: "us-east-1",
        credentials: { accessKeyId: "local", secretAccessKey: "local" },
        kinesisEndpoint: kinesis,
        dynamoDBEndpoint: dynamoDB,
        processor: { process: () => {} },
        config,
      }),
    ));
  }
  return apps;
}

/** Waits until every worker has its share. */
async function balanced(apps: readonly ReactoKinesixApp[]): Promise<void> {
  for (let tries = 0; tries < BALANCE_TRIES_MAX; tries++) {
    if (apps.every((app) => app.shards().length === SHARDS / WORKERS)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Cannot measure: ${WORKERS} workers do not share ${SHARDS} shards evenly`);
}

/** The calls in a time, per shard and hour. */
async function countFor(ms: number, calls: Calls): Promise<Calls> {
  const before = { ...calls };
  await new Promise((resolve) => setTimeout(resolve, ms));
  const perShardHour = 3_600_000 / ms / SHARDS;
  return {
    writes: (calls.writes - before.writes) * perShardHour,
    reads: (calls.reads - before.reads) * perShardHour,
  };
}

/** So many keys that every shard gets some. */
function put(kinesis: LocalKinesis): void {
  kinesis.engine.call("PutRecords", {
    StreamName: STREAM,
    Records: Array.from({ length: 200 }, (_, i) => ({ PartitionKey: `key-${i}`, Data: "AAAA" })),
  });
}
