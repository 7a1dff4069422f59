/**
 * Owns: what threads cost, and what they bring: a batch to a thread and back, or to a process, next to a call in the main
 * thread; a processor that computes, in one thread and in several.
 * Called by: `run.ts`.
 */

import { MemoryLeaseStore, MemoryStream } from "../src/adapters/memory.ts";
import { ReactoKinesixApp } from "../src/app.ts";
import { fetchGraph } from "../src/cli/load_processor/graph.ts";
import { type LoadedProcessor, startProcessor } from "../src/cli/load_processor/load_processor.ts";
import { startInThreads } from "../src/cli/processor_threads.ts";
import type { ProcessContext, RecordProcessor, RunProcessor } from "../src/processor.ts";
import { DeliveredRecord } from "../src/runtime/delivered_record.ts";
import { type BenchOptions, interleave, median, ratio, type Section } from "./report.ts";

const SPEEDUP_MIN = 1.6;
/** Batches of a round, of which the first fifth warms up; records that are computed in a round. */
const WORK = {
  full: { batches: 40, records: 20_000 },
  quick: { batches: 20, records: 5_000 },
  tiny: { batches: 5, records: 100 },
} as const;
const BATCH = 1_000;
const PAYLOAD_BYTES = 1_024;

const IDLE =
  `let bytes = 0; export default { process(record) { bytes += record.data.byteLength } }`;
const PARSE = `export default { process(record) { JSON.stringify(record.json()) } }`;
const COMPUTE = `import { createHash } from "node:crypto";
  export default { process(record) {
    for (let i = 0; i < 50; i++) createHash("sha256").update(record.data).digest("hex") } }`;

/** Where the processor runs. */
interface Place {
  /** Undefined: in the main thread. */
  readonly threads: number | undefined;
  /** Whether each thread has a process of its own, as with `--sandbox`. */
  readonly hasProcesses?: boolean;
}

const PLACES: Readonly<Record<string, Place>> = {
  "main thread": { threads: undefined },
  "a thread": { threads: 1 },
  "a process": { threads: 1, hasProcesses: true },
};

async function load(
  code: string,
  { threads, hasProcesses = false }: Place,
): Promise<LoadedProcessor> {
  const graph = await fetchGraph(`data:text/javascript,${encodeURIComponent(code)}`);
  if (threads === undefined) return await startProcessor(graph);
  const plan = { count: threads, hasProcesses, sandbox: undefined, config: {} };
  return await startInThreads(graph, plan, {
    isConsoleOnStderr: false,
    loadTimeoutMs: 60_000,
    signal: new AbortController().signal,
    onStray: reportError,
    onLeftBehind: () => {},
  });
}

/** The time of one batch of 1,000 records of 1 KB, in milliseconds, for each round. */
export async function timeBatches(
  code: string,
  { rounds, ...place }: Place & { readonly rounds: number },
): Promise<readonly number[]> {
  const { source, dispose } = await load(code, place);
  const json = JSON.stringify({ id: 7, name: "x".repeat(PAYLOAD_BYTES - 20) });
  const data = new TextEncoder().encode(json);
  const records = Array.from({ length: BATCH }, (_, i) =>
    new DeliveredRecord("shard", {
      sequenceNumber: `4965${String(i).padStart(52, "0")}`,
      partitionKey: `key ${i % 100}`,
      data,
      approximateArrivalTimestamp: 0,
    }));
  const { signal } = new AbortController();
  const context: ProcessContext = {
    shardId: "shard",
    workerId: "bench",
    streamName: "bench",
    attempt: 1,
    millisBehindLatest: 0,
    term: 1,
    signal,
    checkpoint: () => Promise.resolve(),
    transact: () => Promise.resolve(),
  };
  const processor = source as RecordProcessor & Partial<RunProcessor>;
  const times: number[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const startedAt = performance.now();
      if (processor.processRun !== undefined) {
        const options = {
          lane: 0,
          until: signal,
          progressed: () => {},
          isTooOld: () => false,
          isHeld: () => true,
          call: <T>(_: unknown, code: (context: ProcessContext) => T) => code(context),
        };
        const { finished } = await processor.processRun(records, context, options);
        if (finished !== BATCH) throw new Error(`only ${finished} records are finished`);
      } else {
        for (const record of records) await processor.process?.(record, { ...context });
      }
      times.push(performance.now() - startedAt);
    }
    return times;
  } finally {
    await dispose();
  }
}

/** The records a second of a whole worker whose processor computes 50 SHA-256 for each. */
export async function computeRate(threads: number, records: number): Promise<number> {
  const loaded = await load(COMPUTE, { threads });
  const source = new MemoryStream({ shards: 4 });
  for (let i = 0; i < records; i++) source.put(`key ${i % 1_000}`, new Uint8Array(PAYLOAD_BYTES));
  const all = Promise.withResolvers<void>();
  let left = records;
  const startedAt = performance.now();
  const app = await ReactoKinesixApp.createNew({
    appName: "Bench",
    streamName: "Bench",
    workerId: "bench",
    processor: loaded.source,
    config: { concurrency: threads },
    ports: { store: new MemoryLeaseStore(), source },
    onEvent(event) {
      if (event.type !== "batch_processed") return;
      left -= event.records;
      if (left === 0) all.resolve();
    },
  });
  await all.promise;
  const seconds = (performance.now() - startedAt) / 1_000;
  await app.stop();
  await loaded.dispose();
  return records / seconds;
}

/** Batches through threads, and computing in two. */
export async function threads({ rounds, scale, say }: BenchOptions): Promise<readonly Section[]> {
  const { batches, records } = WORK[scale];
  say(`batches of ${BATCH} records to a thread and back`);
  const batch: Record<string, () => Promise<number>> = {};
  for (const [what, code] of Object.entries({ "reads the payload": IDLE, "parses JSON": PARSE })) {
    for (const [where, place] of Object.entries(PLACES)) {
      batch[`${what}, ${where}`] = async () => {
        const times = await timeBatches(code, { ...place, rounds: batches });
        return median(times.slice(Math.floor(batches / 5)));
      };
    }
  }
  const batchMs = await interleave(rounds, batch);
  say("50 SHA-256 a record, in one thread and in two");
  const { one, two } = await interleave(rounds, {
    one: () => computeRate(1, records),
    two: () => computeRate(2, records),
  });
  return [{
    title: `threads: a batch of ${BATCH} records of 1 KB`,
    rows: Object.entries(batchMs).map(([name, values]) => ({
      name,
      figures: { "a batch": { unit: "ms", values } },
    })),
  }, {
    title: "threads: a processor that computes 50 SHA-256 for each record",
    rows: [
      { name: "1 thread", figures: { "records/s": { unit: "", values: one } } },
      {
        name: "2 threads",
        figures: {
          "records/s": { unit: "", values: two },
          "to 1 thread": ratio(two, one, { atLeast: SPEEDUP_MIN }),
        },
      },
    ],
  }];
}
