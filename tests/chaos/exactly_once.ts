/**
 * Owns: workers with a DynamoDB sink, killed again and again, and how often each record is in the sink.
 * Called by: exactly_once_test.ts, run.ts.
 *
 * @module
 */

import { CreateTableCommand, DynamoDBClient, ScanCommand } from "@aws-sdk/client-dynamodb";
import { compareSequenceNumbers } from "../../src/core/checkpoint.ts";
import { Cluster, type WorkerProcess } from "../local/cluster.ts";

/** What is played. */
export interface SinkPlay {
  readonly records: number;
  /** `transaction`: the items go with the checkpoint. `plain`: before it, on their own. */
  readonly mode: "transaction" | "plain";
  /** When to give up, in milliseconds. */
  readonly within: number;
}

/** What came of it. */
export interface SinkFigures {
  /** How many records are in the sink once, more often, not at all; how many things there are that nobody put. */
  readonly once: number;
  readonly more: number;
  readonly lost: number;
  readonly invented: number;
  /** How often a worker was killed that was at work. */
  readonly kills: number;
  readonly seconds: number;
}

const TABLE = "Sink";
const SHARDS = 8;
const WORKERS = ["alice", "bob", "carol"];
const KEYS = 100;
const WAVES = 5;
/** How many checkpoints a worker writes, at most, before it is killed; how long it lives after the first one, at most. */
const CHECKPOINTS_MAX = 40;
const LIFE_MS_MAX = 3_000;
/** The kill falls anywhere in what it does next. */
const DELAY_MS_MAX = 50;

/** Puts records and kills the workers until every record is checkpointed; then looks into the sink. */
export async function playSink({ records, mode, within }: SinkPlay): Promise<SinkFigures> {
  const startedAt = performance.now();
  const ids = new Set<string>();
  const last = new Map<string, string>();
  await using cluster = await Cluster.start({
    shards: SHARDS,
    onPut({ key, index, shardId, sequenceNumber }) {
      ids.add(`${key} ${index}`);
      last.set(shardId, sequenceNumber);
    },
  });
  const { dynamoDBEndpoint = "" } = cluster.options;
  const client = new DynamoDBClient({ ...cluster.options, endpoint: dynamoDBEndpoint });
  try {
    await createSink(client);
    const until = new AbortController();
    const deadline = AbortSignal.timeout(within);
    const signal = AbortSignal.any([until.signal, deadline]);
    const env = { SINK_TABLE: TABLE, SINK_ENDPOINT: dynamoDBEndpoint, SINK_MODE: mode };
    let kills = 0;
    const slots = WORKERS.map((workerId) =>
      live(cluster, { workerId, env, signal, onKill: () => kills += 1 })
    );
    const isDone = async (): Promise<boolean> => {
      const { shards } = await cluster.status();
      return shards.every(({ shardId, checkpoint }) => {
        const wanted = last.get(shardId);
        return wanted === undefined ||
          /^\d+$/.test(checkpoint) && compareSequenceNumbers(checkpoint, wanted) >= 0;
      });
    };
    try {
      // There is something to do whenever somebody is killed.
      for (let wave = 0; wave < WAVES; wave++) {
        while (kills < wave && !deadline.aborted) await pause(50);
        const put = Math.floor(records / WAVES);
        await cluster.putRecords(wave === 0 ? records - put * (WAVES - 1) : put, KEYS);
      }
      while (!await isDone().catch(() => false) && !deadline.aborted) {
        await pause(200);
      }
    } finally {
      until.abort();
      await Promise.all(slots);
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    return { ...audit(ids, await countsIn(client)), kills, seconds };
  } finally {
    client.destroy();
  }
}

/** One worker after the other under one name, each of which is killed soon after it began to work. */
async function live(cluster: Cluster, options: {
  readonly workerId: string;
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly onKill: () => void;
}): Promise<void> {
  const { workerId, env, signal, onKill } = options;
  const processor = new URL("./sink_processor.ts", import.meta.url);
  while (!signal.aborted) {
    const started = Promise.withResolvers<void>();
    let left = Math.ceil(Math.random() * CHECKPOINTS_MAX);
    const worker: WorkerProcess = cluster.spawn(workerId, {
      processor,
      env,
      onEvent: ({ type }) => {
        if (type !== "checkpoint_written") return;
        started.resolve();
        left -= 1;
      },
    });
    const over = new Promise<void>((resolve) =>
      signal.addEventListener("abort", () => resolve(), { once: true })
    );
    await Promise.race([started.promise, over, worker.status]);
    const until = performance.now() + LIFE_MS_MAX;
    while (left > 0 && performance.now() < until && !signal.aborted) await pause(10);
    await pause(Math.random() * DELAY_MS_MAX);
    try {
      worker.kill("SIGKILL");
      if (!signal.aborted) onKill();
    } catch (error) {
      // It ended by itself: something is wrong.
      if (!(error instanceof TypeError)) throw error;
      throw new Error(`${workerId} ended: ${worker.stderr.join("\n")}`, { cause: error });
    }
    await worker.status;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function createSink(client: DynamoDBClient): Promise<void> {
  await client.send(
    new CreateTableCommand({
      TableName: TABLE,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
      KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    }),
  );
}

async function countsIn(client: DynamoDBClient): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  let start: Record<string, { S: string }> | undefined;
  do {
    const { Items = [], LastEvaluatedKey } = await client.send(
      new ScanCommand({ TableName: TABLE, ...start && { ExclusiveStartKey: start } }),
    );
    for (const { id, count } of Items) counts.set(id?.S ?? "", Number(count?.N));
    start = LastEvaluatedKey as typeof start;
  } while (start !== undefined);
  return counts;
}

function audit(ids: ReadonlySet<string>, counts: ReadonlyMap<string, number>) {
  const found = [...ids].map((id) => counts.get(id) ?? 0);
  return {
    once: found.filter((count) => count === 1).length,
    more: found.filter((count) => count > 1).length,
    lost: found.filter((count) => count === 0).length,
    invented: [...counts.keys()].filter((id) => !ids.has(id)).length,
  };
}
