// What the runtime itself costs, without a network: records through a processor that does nothing, and one plan.
import { MemoryLeaseStore, MemoryStream } from "../src/adapters/memory.ts";
import { systemClock, systemRandom } from "../src/adapters/system.ts";
import { plan, shardsToAskFor } from "../src/core/balance.ts";
import { TRIM_HORIZON } from "../src/core/checkpoint.ts";
import { create, newShardRow } from "../src/core/lease.ts";
import { BufferBudget } from "../src/runtime/buffer_budget.ts";
import { Fence } from "../src/runtime/heartbeat.ts";
import { Lease } from "../src/runtime/lease_keeper.ts";
import { takeShard } from "../src/runtime/take_shard.ts";
import { Processors } from "../src/runtime/processors.ts";
import { RecordRunner } from "../src/runtime/record_runner.ts";
import { Breather, TaskGroup } from "../src/runtime/tasks.ts";
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

/** One shard of this worker, with a runner of its records: what a record costs from the read to the processor, and no more. */
async function makeRunner(processor: ProcessorSource, concurrency = 1): Promise<RecordRunner> {
  const { signal } = new AbortController();
  const store = new MemoryLeaseStore();
  const shard = newShardRow({ id: "shard", parents: [], hashKeyRange: null }, TRIM_HORIZON);
  const { row } = await store.write(create(shard), signal);
  const fence = new Fence(systemClock);
  fence.raise({ at: systemClock.monotonic(), wallAt: systemClock.now() }, 3_600_000);
  const shared = { clock: systemClock, random: systemRandom, emit: () => {} };
  const lease = await takeShard(row ?? shard, {
    ...shared,
    store,
    fence,
    claimant: { workerId: "bench", incarnation: "1" },
    tasks: new TaskGroup((_task, error) => reportError(error)),
    checkpointFrequency: 1_000,
    onRowNews: () => {},
  }, signal);
  if (!(lease instanceof Lease)) throw new Error("the shard is not there");
  const deps = {
    ...shared,
    workerId: "bench",
    streamName: "Bench",
    appName: "Bench",
    checkpointMode: "auto",
    processTimeout: 0,
    maxRecordAge: 0,
    bisectBatchOnError: false,
    batchSize: 10_000,
    batchWindow: 0,
    breather: new Breather(systemClock),
    concurrency,
    orderBy: "partitionKey",
    maxBatchSize: 10_000,
    deaggregate: true,
    budget: new BufferBudget(2 ** 26),
  } as const;
  const slot = new Processors(processor, deps).open("shard");
  return new RecordRunner(deps, lease, slot, signal);
}

let sequence = 0;

function nextRead(size: number) {
  const records = Array.from({ length: size }, (_, i) => ({
    sequenceNumber: String(1e15 + (sequence += 1)),
    partitionKey: `key-${i % 100}`,
    data,
    approximateArrivalTimestamp: 0,
  }));
  return { records, millisBehindLatest: 0 };
}

const READ = 10_000;

for (
  const [how, processor, lanes] of [
    ["one by one, at once", { process: () => {} }, 1],
    ["one by one, each async", { process: async () => {} }, 1],
    ["by the batch", { processBatch: () => {} }, 1],
    ["in 16 lanes by key, each async", { process: async () => {} }, 16],
  ] as const
) {
  const runner = await makeRunner(processor, lanes);
  Deno.bench(`engine: ${READ} records ${how}`, async (b) => {
    const read = nextRead(READ);
    b.start();
    await runner.run(read);
    await runner.settled();
    b.end();
  });
}

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
