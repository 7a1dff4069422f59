/**
 * Owns: other consumers of Kinesis next to this library: the same records, the same machine, the same limits.
 * Called by: `run.ts`, when it is asked for by name: it installs packages, and the KCL needs minutes to start.
 */

import { startAmazonDynamoDB } from "../../tests/contract/dynamodb_local.ts";
import { type CannedServer, startCannedServer, streamNameOf } from "../canned_server.ts";
import { type BenchOptions, ratio, type Row, type Section } from "../report.ts";
import { installPeers, type Peer, type PeerJob, type PeerLine } from "./install.ts";
import { takeover } from "./takeover.ts";

interface Case {
  readonly title: string;
  readonly shards: number;
  readonly records: number;
  readonly answerRecords: number;
  readonly isPaced: boolean;
}

const CASES: readonly Case[] = [
  { title: "16 shards", shards: 16, records: 320_000, answerRecords: 1_000, isPaced: false },
  { title: "1 shard", shards: 1, records: 200_000, answerRecords: 2_000, isPaced: false },
  {
    title: "16 shards, each at its default pace",
    shards: 16,
    records: 160_000,
    answerRecords: 1_000,
    isPaced: true,
  },
];
const SHARE = { full: 1, quick: 0.25, tiny: 0.05 } as const;

/** One run of one consumer, from the start of its process. */
interface Run {
  readonly startSeconds: number;
  readonly done: Extract<PeerLine, { kind: "done" }>;
}

/** Where everything is. */
export interface Stage {
  readonly kinesis: CannedServer;
  readonly dynamoDB: string;
}

/** Others next to this library. */
export async function peers(options: BenchOptions): Promise<readonly Section[]> {
  const folder = Deno.env.get("KINESIX_PEERS") ?? await Deno.makeTempDir({ prefix: "peers-" });
  const { peers, missing, dynamoDBLocal } = await installPeers(folder, options.say);
  if (dynamoDBLocal === null) {
    throw new Error(`Cannot compare without DynamoDB Local: ${missing.join("; ")}`);
  }
  await using kinesis = await startCannedServer();
  await using dynamoDB = await startAmazonDynamoDB(dynamoDBLocal);
  const stage = { kinesis, dynamoDB: dynamoDB.url };
  const sections: Section[] = [];
  for (const what of CASES) sections.push(await compare(peers, what, { stage, options }));
  sections.push(await takeover(peers.filter(({ canBeKilled }) => canBeKilled), stage, options));
  const note = [
    "Start: until the first record, the process and its state table included. The rest is of the second half of all records,",
    "when every engine is warm. Peak memory: of all processes; the JVM may use 1 GB of heap.",
    ...missing.map((reason) => `Not measured: ${reason}`),
  ].join("\n");
  // Once is enough, below the last table of them.
  return sections.map((section, i) => i === CASES.length - 1 ? { ...section, note } : section);
}

async function compare(
  peers: readonly Peer[],
  { title, shards, records, answerRecords, isPaced }: Case,
  { stage, options }: { readonly stage: Stage; readonly options: BenchOptions },
): Promise<Section> {
  const recordsPerShard = Math.round(records * SHARE[options.scale] / shards);
  const shape = { shards, recordsPerShard, recordBytes: 1_024, answerRecords };
  const runs = new Map(peers.map((peer) => [peer, [] as Run[]]));
  for (let round = 0; round < options.rounds; round++) {
    for (const [peer, results] of runs) {
      options.say(`${title}: ${peer.name}, ${recordsPerShard * shards} records`);
      results.push(
        await runOnce(peer, {
          kinesis: stage.kinesis.url,
          dynamoDB: stage.dynamoDB,
          streamName: streamNameOf(shape),
          appName: `Peer-${crypto.randomUUID()}`,
          workerId: "worker-1",
          shards,
          records: recordsPerShard * shards,
          isPaced,
          isWatched: false,
        }, shape.recordBytes),
      );
    }
  }
  const ours = [...runs.values()][0] ?? [];
  return {
    title: `peers: 1 KB, ${title}`,
    rows: [...runs].map(([{ name }, runs]) => rowOf(name, runs, ours)),
  };
}

async function runOnce(peer: Peer, job: PeerJob, recordBytes: number): Promise<Run> {
  const startedAt = performance.now();
  await using child = peer.start(job);
  let startSeconds = NaN;
  while (true) {
    const line = await child.next<PeerLine>();
    if (line.kind === "first") startSeconds = (performance.now() - startedAt) / 1_000;
    if (line.kind !== "done") continue;
    if (line.bytes < job.records * recordBytes) {
      throw new Error(`Cannot compare: ${peer.name} was given ${line.bytes} bytes`);
    }
    return { startSeconds, done: line };
  }
}

function rowOf(name: string, runs: readonly Run[], ours: readonly Run[]): Row {
  const rate = ({ done }: Run): number => done.records / done.seconds;
  const cpu = ({ done }: Run): number => done.cpuSeconds / done.records * 1e6;
  return {
    name,
    figures: {
      "start": { unit: "s", values: runs.map(({ startSeconds }) => startSeconds) },
      "records/s": { unit: "", values: runs.map(rate) },
      "CPU s per million": { unit: "", values: runs.map(cpu) },
      "peak MB": { unit: "", values: runs.map(({ done }) => done.peakMb) },
      ...runs !== ours && {
        "this library: records/s": ratio(ours.map(rate), runs.map(rate)),
        "this library: CPU": ratio(ours.map(cpu), runs.map(cpu)),
      },
    },
  };
}
