/**
 * Owns: how long the shards of a worker stand still when it dies, and when it stops.
 * Called by: `run.ts`.
 */

import { Cluster, SETTINGS, waitFor } from "../tests/local/cluster.ts";
import { type BenchOptions, interleave, type Section } from "./report.ts";

const SHARDS = 8;
const PUT_EVERY_MS = 50;
const PATIENCE_MS = 20_000;
/** When others may take over, and how soon each looks: what the README promises. */
const KILL_MS_MAX = SETTINGS.heartbeatTimeout + SETTINGS.checkUnprocessedShardsFrequency +
  SETTINGS.heartbeat;
const STOP_MS_MAX = 2 * SETTINGS.heartbeat;

/** Real processes; one of two ends, and the other one takes its shards over. */
export async function failover({ rounds, say }: BenchOptions): Promise<readonly Section[]> {
  await using cluster = await Cluster.start({ shards: SHARDS });
  const stopPutting = keepPutting(cluster);
  try {
    await cluster.worker("survivor");
    let started = 0;
    say(`${rounds} times kill -9, ${rounds} times SIGTERM`);
    const times = await interleave(rounds, {
      kill: () => endOne(cluster, `worker-${++started}`, "SIGKILL"),
      stop: () => endOne(cluster, `worker-${++started}`, "SIGTERM"),
    });
    await stopPutting();
    await cluster.settle(PATIENCE_MS);
    return [{
      title: `failover: until each of ${SHARDS / 2} shards is processed by another worker`,
      rows: [
        {
          name: "after kill -9",
          figures: { took: { unit: "ms", values: times.kill, atMost: KILL_MS_MAX } },
        },
        {
          name: "after SIGTERM",
          figures: { took: { unit: "ms", values: times.stop, atMost: STOP_MS_MAX } },
        },
      ],
      note:
        `heartbeat ${SETTINGS.heartbeat} ms, heartbeatTimeout ${SETTINGS.heartbeatTimeout} ms ` +
        "(the defaults are 30 s and 3 min): after a kill it is the time-out\nthat takes the time. " +
        "Nothing was lost, and the order of each key was kept.",
    }];
  } finally {
    await stopPutting();
  }
}

/** Starts a worker, lets it take its share, ends it; the time until the last of its shards is processed again. */
async function endOne(cluster: Cluster, workerId: string, signal: Deno.Signal): Promise<number> {
  const worker = await cluster.worker(workerId);
  await waitFor(async () => `${await cluster.shares()}` === `${SHARDS / 2},${SHARDS / 2}`, {
    what: "even shares",
    within: PATIENCE_MS,
  });
  const own = new Set(await shardsOf(cluster, workerId));
  const endedAt = performance.timeOrigin + performance.now();
  worker.kill(signal);
  let lastAt = NaN;
  await waitFor(async () => {
    const firstAt = await firstProcessedAfter(cluster, { endedAt, by: "survivor" });
    lastAt = Math.max(...[...own].map((shardId) => firstAt.get(shardId) ?? Infinity));
    return Number.isFinite(lastAt);
  }, { what: `the shards of ${workerId} to be taken over`, within: PATIENCE_MS });
  await worker.status;
  return lastAt - endedAt;
}

async function shardsOf(cluster: Cluster, workerId: string): Promise<readonly string[]> {
  const { shards } = await cluster.status();
  return shards.filter(({ owner }) => owner === workerId).map(({ shardId }) => shardId);
}

async function firstProcessedAfter(
  cluster: Cluster,
  { endedAt, by }: { readonly endedAt: number; readonly by: string },
): Promise<ReadonlyMap<string, number>> {
  const firstAt = new Map<string, number>();
  for (const { shardId, workerId, at } of await cluster.processed()) {
    if (workerId === by && at > endedAt && !firstAt.has(shardId)) firstAt.set(shardId, at);
  }
  return firstAt;
}

/** Puts records into every shard until it is told to stop. */
function keepPutting(cluster: Cluster): () => Promise<void> {
  const stopping = new AbortController();
  const putting = (async () => {
    while (!stopping.signal.aborted) {
      await cluster.putRecords(100, 100);
      await new Promise((resolve) => setTimeout(resolve, PUT_EVERY_MS));
    }
  })();
  putting.catch(() => {}); // It is thrown where it is waited for.
  return async () => {
    stopping.abort();
    await putting;
  };
}
