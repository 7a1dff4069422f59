/**
 * Owns: how fast records are read and processed, and what CPU they take, next to the SDK and to the least that is possible.
 * Called by: `run.ts`.
 */

import { startCannedServer, type StreamShape } from "./canned_server.ts";
import { ChildProcess, denoChild } from "./child.ts";
import type { ConsumeResult, Way } from "./consumers.ts";
import { type BenchOptions, type Figure, ratio, type Row, type Section } from "./report.ts";

interface Case {
  readonly title: string;
  readonly shape: Omit<StreamShape, "recordsPerShard">;
  /** So many that the fastest way takes about half a second. */
  readonly records: number;
  /** What the bounds are for. Of one shard each way waits for the server, one answer after the other: there it is CPU that counts. */
  readonly bounds?: "records/s" | "CPU";
  readonly note?: string;
}

const CASES: readonly Case[] = [
  {
    title: "1 KB, 16 shards",
    shape: { shards: 16, recordBytes: 1_024, answerRecords: 1_000 },
    records: 128_000,
    bounds: "records/s",
  },
  {
    title: "1 KB, 1 shard",
    shape: { shards: 1, recordBytes: 1_024, answerRecords: 2_000 },
    records: 64_000,
    bounds: "CPU",
  },
  {
    title: "1 KB, 256 shards",
    shape: { shards: 256, recordBytes: 1_024, answerRecords: 200 },
    // Six answers for each shard: with fewer it is the start and the look for more that are measured.
    records: 307_200,
    bounds: "records/s",
  },
  {
    title: "100 B, 16 shards",
    shape: { shards: 16, recordBytes: 100, answerRecords: 4_000 },
    records: 256_000,
  },
  {
    title: "100 KB, 16 shards",
    shape: { shards: 16, recordBytes: 102_400, answerRecords: 10 },
    records: 800,
  },
  {
    title: "100 B, packed by 100, 1 shard",
    shape: { shards: 1, recordBytes: 100, answerRecords: 100, packed: 100 },
    records: 256_000,
    note:
      "Only this library takes the aggregates apart, and checks them; the others do not look into them.",
  },
];

const NAMES: Readonly<Record<Way, string>> = {
  default: "SDK loop, default client",
  sdk: "SDK loop, HTTP/1.1 kept open",
  floor: "fetch + JSON + base64",
  batch: "this, processBatch",
  record: "this, process",
};
const NO_HTTP2 =
  "The SDK's default client was not measured: it speaks HTTP/2, and the server of it needs Node.";
/** Of the full work. */
const SHARE = { full: 1, quick: 0.25, tiny: 0.02 } as const;

/** Records a second of a processor that does nothing. */
export async function throughput(options: BenchOptions): Promise<readonly Section[]> {
  await using server = await startCannedServer();
  await using stack = new AsyncDisposableStack();
  const h2Url = await startH2Front(server.url, stack);
  const consumers = new Map<Way, ChildProcess>();
  for (const way of Object.keys(NAMES) as Way[]) {
    const url = way === "default" ? h2Url : server.url;
    if (url !== null) consumers.set(way, stack.use(denoChild("consumers.ts", [way, url])));
  }
  const sections: Section[] = [];
  for (const { title, shape, records, bounds, note } of CASES) {
    const share = SHARE[options.scale];
    const { shards, packed = 1 } = shape;
    const recordsPerShard = Math.max(1, Math.round(records * share / shards / packed));
    const count = recordsPerShard * shards * packed;
    options.say(`${title}: ${options.rounds} rounds of ${count} records`);
    const results = await consumeInTurn(consumers, { ...shape, recordsPerShard }, options);
    sections.push({
      title: `throughput: ${title}`,
      rows: [...results.keys()].map((way) => rowOf(way, results, bounds)),
      note: [
        ...note === undefined ? [] : [note],
        ...h2Url === null ? [NO_HTTP2] : [],
      ].join("\n"),
    });
  }
  return sections;
}

/** Where the default client of the SDK can be served; null without Node. */
async function startH2Front(url: string, stack: AsyncDisposableStack): Promise<string | null> {
  const isNodeThere = await new Deno.Command("node", { args: ["--version"], stdout: "null" })
    .output().then(({ success }) => success, () => false);
  if (!isNodeThere) return null;
  const path = new URL("./h2_front.mjs", import.meta.url).pathname;
  const front = stack.use(new ChildProcess("h2_front.mjs", { command: "node", args: [path, url] }));
  return (await front.next<{ url: string }>()).url;
}

/** One round to warm up, then those that count. */
async function consumeInTurn(
  consumers: ReadonlyMap<Way, ChildProcess>,
  shape: StreamShape,
  { rounds, scale }: BenchOptions,
): Promise<ReadonlyMap<Way, readonly ConsumeResult[]>> {
  const results = new Map([...consumers.keys()].map((way) => [way, [] as ConsumeResult[]]));
  const { shards, recordsPerShard, recordBytes, packed = 1 } = shape;
  const bytes = shards * recordsPerShard * packed * recordBytes;
  for (let round = scale === "tiny" ? 1 : 0; round <= rounds; round++) {
    for (const [way, consumer] of consumers) {
      const result = await consumer.do<ConsumeResult>(shape);
      // What holds the records of an aggregate together takes some more; a processor that does nothing looks at no payload.
      const isWhole = packed === 1 ? result.bytes === bytes : result.bytes >= bytes;
      if (!isWhole && way !== "record" && way !== "batch") {
        throw new Error(`Cannot compare: ${NAMES[way]} was given ${result.bytes} bytes`);
      }
      if (round > 0) results.get(way)?.push(result);
    }
  }
  return results;
}

function rowOf(
  way: Way,
  results: ReadonlyMap<Way, readonly ConsumeResult[]>,
  bounds: Case["bounds"],
): Row {
  const of = (which: Way, what: (result: ConsumeResult) => number): number[] =>
    (results.get(which) ?? []).map(what);
  const rates = (which: Way): number[] => of(which, (r) => r.records / r.seconds);
  const perCpu = (which: Way): number[] => of(which, (r) => r.records / r.cpuSeconds);
  const figures: Record<string, Figure> = {
    "records/s": { unit: "", values: rates(way) },
    "CPU s per million": { unit: "", values: of(way, (r) => r.cpuSeconds / r.records * 1e6) },
  };
  const isOurs = way === "batch" || way === "record";
  if (!isOurs) return { name: NAMES[way], figures };
  const overSdk = { atLeast: way === "batch" ? 2.5 : 2 };
  const overFloor = bounds !== undefined && way === "batch" ? { atLeast: 0.75 } : {};
  return {
    name: NAMES[way],
    figures: {
      ...figures,
      ...results.has("default") && {
        "to default": ratio(
          rates(way),
          rates("default"),
          bounds === "records/s" ? overSdk : {},
        ),
        "per CPU s, to default": ratio(
          perCpu(way),
          perCpu("default"),
          bounds === "CPU" ? overSdk : {},
        ),
      },
      "to HTTP/1.1": ratio(rates(way), rates("sdk")),
      "to fetch": ratio(rates(way), rates("floor"), overFloor),
    },
  };
}
