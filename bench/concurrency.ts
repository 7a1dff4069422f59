/**
 * Owns: what `concurrency` brings to a processor that waits, and that the records of one key stay in order meanwhile.
 * Called by: `run.ts`.
 */

import { MemoryLeaseStore, MemoryStream } from "../src/adapters/memory.ts";
import { ReactoKinesixApp } from "../mod.ts";
import { type BenchOptions, interleave, ratio, type Section } from "./report.ts";

const WAIT_MS = 5;
const LANES = 16;
const KEYS = 1_000;
/** Records that are processed one at a time in a round; `LANES` times as many at the same time. */
const RECORDS = { full: 400, quick: 200, tiny: 20 } as const;
const SPEEDUP_MIN = 12;

/** A processor that waits for 5 ms at each record, one at a time and 16 at a time. */
export async function concurrency(
  { rounds, scale, say }: BenchOptions,
): Promise<readonly Section[]> {
  const records = RECORDS[scale];
  say(`${rounds} rounds of ${records} records one at a time, and of ${records * LANES}`);
  const { one, many } = await interleave(rounds, {
    one: () => waitingRate(1, records),
    many: () => waitingRate(LANES, records * LANES),
  });
  return [{
    title: `concurrency: a processor that waits ${WAIT_MS} ms at each record, one shard`,
    rows: [
      { name: "one at a time", figures: { "records/s": { unit: "", values: one } } },
      {
        name: `concurrency ${LANES}, by partition key`,
        figures: {
          "records/s": { unit: "", values: many },
          "to one at a time": ratio(many, one, { atLeast: SPEEDUP_MIN }),
        },
      },
    ],
    note: `The order of each of ${KEYS} keys was checked.`,
  }];
}

async function waitingRate(concurrency: number, records: number): Promise<number> {
  const source = new MemoryStream({ shards: 1 });
  const expected: string[][] = Array.from({ length: KEYS }, () => []);
  for (let i = 0; i < records; i++) {
    const { sequenceNumber } = source.put(String(i % KEYS), "");
    expected[i % KEYS]?.push(sequenceNumber);
  }
  const all = Promise.withResolvers<void>();
  let left = records;
  const startedAt = performance.now();
  await using _app = await ReactoKinesixApp.createNew({
    appName: "Bench",
    streamName: "Bench",
    workerId: "bench",
    processor: {
      async process({ partitionKey, sequenceNumber }) {
        await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
        // At the end, when it would be too late for a record that was overtaken.
        if (expected[Number(partitionKey)]?.shift() !== sequenceNumber) {
          all.reject(new Error(`Cannot go on: a record of key "${partitionKey}" was overtaken`));
        }
        left--;
        if (left === 0) all.resolve();
      },
    },
    config: { concurrency, orderBy: "partitionKey" },
    ports: { store: new MemoryLeaseStore(), source },
  });
  await all.promise;
  return records / (performance.now() - startedAt) * 1_000;
}
