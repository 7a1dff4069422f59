// What the runtime itself costs, without a network: records through a processor that does nothing, and one plan.
import { MemoryLeaseStore, MemoryStream } from "../src/adapters/memory.ts";
import { plan, shardsToAskFor } from "../src/core/balance.ts";
import { TRIM_HORIZON } from "../src/core/checkpoint.ts";
import { newShardRow } from "../src/core/lease.ts";
import { type ProcessorSource, ReactoKinesixApp } from "../mod.ts";

const RECORDS = 20_000;
const data = new Uint8Array(1_024);

async function consume(makeProcessor: (seen: (count: number) => void) => ProcessorSource) {
  const source = new MemoryStream({ shards: 1 });
  for (let i = 0; i < RECORDS; i++) source.put(`key-${i % 100}`, data);
  const all = Promise.withResolvers<void>();
  let left = RECORDS;
  await using _app = await ReactoKinesixApp.createNew({
    appName: "Bench",
    streamName: "Bench",
    workerId: "bench",
    processor: makeProcessor((count) => {
      left -= count;
      if (left === 0) all.resolve();
    }),
    ports: { store: new MemoryLeaseStore(), source },
  });
  await all.promise;
}

Deno.bench(`${RECORDS} records of 1 KB, filled in and processed one by one`, async () => {
  await consume((seen) => ({ process: () => seen(1) }));
});

Deno.bench(`${RECORDS} records of 1 KB, filled in and processed by the batch`, async () => {
  await consume((seen) => ({ processBatch: (records) => seen(records.length) }));
});

const workers = new Set(Array.from({ length: 100 }, (_, i) => `worker-${i}`));
const shards = Array.from({ length: 2_000 }, (_, i) => ({
  ...newShardRow({ id: `shard-${i}`, parents: [], hashKeyRange: null }, TRIM_HORIZON),
  ...(i % 2 === 0 ? { owner: `worker-${i % 50}`, holder: "x", term: 1 } : {}),
}));

Deno.bench("one plan for 2,000 shards, half of them free, and 100 workers", () => {
  const view = {
    self: "worker-99",
    shards,
    alive: workers,
    takers: workers,
    isHere: () => false,
    isStoppedHere: () => false,
    isOverdue: () => false,
  };
  plan(view);
  shardsToAskFor(view, () => 0.5);
});
