// Windows of real workers: what was counted is what was put, through splits, merges and kill -9.
import { assert, assertEquals } from "@std/assert";
import { Cluster, tell, waitFor } from "./cluster.ts";

/** A window as the processor wrote it down. */
interface Line {
  readonly id: string;
  readonly state: Readonly<Record<string, number>>;
  readonly isLate: boolean;
  readonly shardId: string;
  readonly term: number;
}

const KEYS = 40;
const KILLS = 5;

Deno.test("windows: through 3 splits, 2 merges and 5 kills they add up to what was put", async () => {
  await using cluster = await Cluster.start({ shards: 2 });
  const processor = new URL("./windows_processor.ts", import.meta.url);
  const workers = [
    await cluster.worker("w0", { processor }),
    await cluster.worker("w1", { processor }),
  ];
  let isPutting = true;
  const putting = (async () => {
    while (isPutting) {
      await cluster.putRecords(KEYS, KEYS);
      await pause(100);
    }
  })();
  const steps = [
    () => split(cluster, 0),
    () => split(cluster, 1),
    () => merge(cluster, 0),
    () => split(cluster, 2),
    () => merge(cluster, 1),
  ];
  assertEquals(steps.length, KILLS);
  for (const [n, reshard] of steps.entries()) {
    await pause(1_000);
    reshard();
    await pause(400);
    workers.shift()?.kill("SIGKILL");
    workers.push(cluster.spawn(`w${n + 2}`, { processor }));
    await pause(2_000);
  }
  isPutting = false;
  await putting;
  const expected = cluster.put / KEYS;
  let counts: ReadonlyMap<string, number> = new Map();
  try {
    await waitFor(async () => {
      counts = countsOf(await linesOf(cluster));
      return counts.size === KEYS && [...counts.values()].every((count) => count >= expected);
    }, { what: `each of ${KEYS} keys to be counted ${expected} times`, within: 20_000 });
  } finally {
    const lines = await linesOf(cluster);
    const ids = new Set(lines.map(({ id }) => id));
    const late = lines.filter(({ isLate }) => isLate).length;
    tell(
      `${cluster.put} records in ${ids.size} windows; ${
        lines.length - ids.size
      } closed again, ${late} late`,
    );
  }
  for (const [key, count] of counts) assertEquals(count, expected, key);
  const { shards } = await cluster.status();
  assertEquals(shards.length, 2 + 3 * 2 + 2);
  assert(workers.length === 2);
});

/** The counts of all windows, each of them once: the last time that it was closed counts. */
function countsOf(lines: readonly Line[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { state } of new Map(lines.map((line) => [line.id, line])).values()) {
    for (const [key, count] of Object.entries(state)) {
      counts.set(key, (counts.get(key) ?? 0) + count);
    }
  }
  return counts;
}

async function linesOf(cluster: Cluster): Promise<readonly Line[]> {
  const text = await Deno.readTextFile(cluster.ledger).catch(() => "");
  // A line may be cut off where a worker was killed: that window is closed again.
  return text.split("\n").filter((line) => line.endsWith("}")).map((line) => JSON.parse(line));
}

interface Shard {
  readonly ShardId: string;
  readonly HashKeyRange: { readonly StartingHashKey: string; readonly EndingHashKey: string };
  readonly SequenceNumberRange: { readonly EndingSequenceNumber?: string };
}

/** The open shards, in the order of their hash keys. */
function openShards({ kinesis }: Cluster): readonly Shard[] {
  const reply = kinesis.engine.call("ListShards", { StreamName: "ClusterStream" });
  const { Shards } = reply as { readonly Shards: readonly Shard[] };
  const startOf = (shard: Shard): bigint => BigInt(shard.HashKeyRange.StartingHashKey);
  return Shards.filter(({ SequenceNumberRange }) =>
    SequenceNumberRange.EndingSequenceNumber === undefined
  ).sort((a, b) => startOf(a) < startOf(b) ? -1 : 1);
}

function split(cluster: Cluster, n: number): void {
  const shard = openShards(cluster)[n];
  assert(shard !== undefined);
  const { StartingHashKey, EndingHashKey } = shard.HashKeyRange;
  cluster.kinesis.engine.call("SplitShard", {
    StreamName: "ClusterStream",
    ShardToSplit: shard.ShardId,
    NewStartingHashKey: `${(BigInt(StartingHashKey) + BigInt(EndingHashKey)) / 2n}`,
  });
}

function merge(cluster: Cluster, n: number): void {
  const [shard, adjacent] = openShards(cluster).slice(n);
  assert(shard !== undefined && adjacent !== undefined);
  cluster.kinesis.engine.call("MergeShards", {
    StreamName: "ClusterStream",
    ShardToMerge: shard.ShardId,
    AdjacentShardToMerge: adjacent.ShardId,
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
