/**
 * Owns: how fast records are read and processed, and what CPU they take, next to the SDK and to the least that is possible.
 * Called by: `run.ts`.
 */

import { startCannedServer, type StreamShape } from "./canned_server.ts";
import { type ChildProcess, denoChild } from "./child.ts";
import type { ConsumeResult, Way } from "./consumers.ts";
import { type BenchOptions, type Figure, ratio, type Row, type Section } from "./report.ts";

interface Case {
  readonly title: string;
  readonly shape: Omit<StreamShape, "recordsPerShard">;
  /** So many that the fastest way takes about half a second. */
  readonly records: number;
  /** The bounds hold for these. */
  readonly isBound: boolean;
}

const CASES: readonly Case[] = [
  {
    title: "1 KB, 16 shards",
    shape: { shards: 16, recordBytes: 1_024, answerRecords: 1_000 },
    records: 128_000,
    isBound: true,
  },
  {
    title: "1 KB, 1 shard",
    shape: { shards: 1, recordBytes: 1_024, answerRecords: 2_000 },
    records: 128_000,
    isBound: true,
  },
  {
    title: "1 KB, 256 shards",
    shape: { shards: 256, recordBytes: 1_024, answerRecords: 200 },
    records: 102_400,
    isBound: true,
  },
  {
    title: "100 B, 16 shards",
    shape: { shards: 16, recordBytes: 100, answerRecords: 4_000 },
    records: 256_000,
    isBound: false,
  },
  {
    title: "100 KB, 16 shards",
    shape: { shards: 16, recordBytes: 102_400, answerRecords: 10 },
    records: 1_600,
    isBound: false,
  },
];

const NAMES: Readonly<Record<Way, string>> = {
  sdk: "SDK loop",
  floor: "fetch + JSON + base64",
  batch: "this, processBatch",
  record: "this, process",
};
const WAYS = Object.keys(NAMES) as Way[];
/** Of the full work. */
const SHARE = { full: 1, quick: 0.25, tiny: 0.02 } as const;

/** Records a second of a processor that does nothing. */
export async function throughput(options: BenchOptions): Promise<readonly Section[]> {
  await using server = await startCannedServer();
  await using stack = new AsyncDisposableStack();
  const children = Object.fromEntries(
    WAYS.map((way) => [way, stack.use(denoChild("consumers.ts", way, server.url))]),
  ) as Record<Way, ChildProcess>;
  const sections: Section[] = [];
  for (const { title, shape, records, isBound } of CASES) {
    const share = SHARE[options.scale];
    const recordsPerShard = Math.max(1, Math.round(records * share / shape.shards));
    options.say(`${title}: ${options.rounds} rounds of ${recordsPerShard * shape.shards} records`);
    const results = await consumeInTurn(
      children,
      { ...shape, recordsPerShard },
      options.rounds,
    );
    sections.push({ title: `throughput: ${title}`, rows: WAYS.map(rowOf(results, isBound)) });
  }
  return sections;
}

/** One round to warm up, then those that count. */
async function consumeInTurn(
  children: Readonly<Record<Way, ChildProcess>>,
  shape: StreamShape,
  rounds: number,
): Promise<Record<Way, ConsumeResult[]>> {
  const results: Record<Way, ConsumeResult[]> = { sdk: [], floor: [], batch: [], record: [] };
  const { shards, recordsPerShard, recordBytes } = shape;
  for (let round = 0; round <= rounds; round++) {
    for (const way of WAYS) {
      const result = await children[way].do<ConsumeResult>(shape);
      if (result.bytes !== shards * recordsPerShard * recordBytes) {
        throw new Error(`Cannot compare: ${NAMES[way]} was given ${result.bytes} bytes`);
      }
      if (round > 0) results[way].push(result);
    }
  }
  return results;
}

function rowOf(
  results: Readonly<Record<Way, readonly ConsumeResult[]>>,
  isBound: boolean,
): (way: Way) => Row {
  const rates = (way: Way): number[] => results[way].map((r) => r.records / r.seconds);
  return (way) => {
    const isOurs = way === "batch" || way === "record";
    const speed: Record<string, Figure> = {
      "records/s": { unit: "", values: rates(way) },
      "CPU s per million": {
        unit: "",
        values: results[way].map((r) => r.cpuSeconds / r.records * 1e6),
      },
    };
    if (!isOurs) return { name: NAMES[way], figures: speed };
    const overSdk = isBound ? { atLeast: way === "batch" ? 2.5 : 2 } : {};
    const overFloor = isBound && way === "batch" ? { atLeast: 0.75 } : {};
    return {
      name: NAMES[way],
      figures: {
        ...speed,
        "to SDK loop": ratio(rates(way), rates("sdk"), overSdk),
        "to fetch": ratio(rates(way), rates("floor"), overFloor),
      },
    };
  };
}
