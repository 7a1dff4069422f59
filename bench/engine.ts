/**
 * Owns: what the runtime itself costs, without a network: a record from the read to the processor, and one plan.
 * Called by: `run.ts`.
 */

import { MemoryLeaseStore } from "../src/adapters/memory.ts";
import { systemClock, systemRandom } from "../src/adapters/system.ts";
import { plan, shardsToAskFor } from "../src/core/balance.ts";
import { TRIM_HORIZON } from "../src/core/checkpoint.ts";
import { create, newShardRow } from "../src/core/lease.ts";
import { BufferBudget } from "../src/runtime/buffer_budget.ts";
import { Fence } from "../src/runtime/heartbeat.ts";
import { Lease } from "../src/runtime/lease_keeper.ts";
import { Processors } from "../src/runtime/processors.ts";
import { RecordRunner } from "../src/runtime/record_runner.ts";
import { takeShard } from "../src/runtime/take_shard.ts";
import { Breather, TaskGroup } from "../src/runtime/tasks.ts";
import type { ProcessorSource } from "../mod.ts";
import { type BenchOptions, interleave, type Section } from "./report.ts";

const READ = 10_000;
/** Reads of a round, after as many that warm up. */
const READS = { full: 20, quick: 5, tiny: 1 } as const;
const PLANS = { full: 50, quick: 10, tiny: 1 } as const;
const data = new Uint8Array(1_024);

/** Records through a processor that does nothing, and plans of a large cluster. */
export async function engine({ rounds, scale, say }: BenchOptions): Promise<readonly Section[]> {
  say(`reads of ${READ} records, and plans`);
  const rate = (processor: ProcessorSource, lanes = 1) => () =>
    recordRate(processor, { lanes, reads: READS[scale] });
  const rates = await interleave(rounds, {
    "process, at once": rate({ process: () => {} }),
    "process, async": rate({ process: async () => {} }),
    "processBatch": rate({ processBatch: () => {} }),
    "process, async, 16 lanes": rate({ process: async () => {} }, 16),
  });
  const { planMs } = await interleave(rounds, { planMs: () => timePlan(PLANS[scale]) });
  return [{
    title: "engine: records of 1 KB that were read already",
    rows: Object.entries(rates).map(([name, values]) => ({
      name,
      figures: { "records/s": { unit: "", values } },
    })),
  }, {
    title: "engine: one plan for 2,000 shards, half of them free, and 100 workers",
    rows: [{ name: "plan", figures: { took: { unit: "ms", values: planMs } } }],
  }];
}

async function recordRate(
  processor: ProcessorSource,
  { lanes, reads }: { readonly lanes: number; readonly reads: number },
): Promise<number> {
  const runner = await makeRunner(processor, lanes);
  let ms = 0;
  for (let i = 0; i < 2 * reads; i++) {
    const read = nextRead(READ);
    const startedAt = performance.now();
    await runner.run(read);
    await runner.settled();
    if (i >= reads) ms += performance.now() - startedAt;
  }
  return reads * READ / ms * 1_000;
}

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

function timePlan(times: number): Promise<number> {
  const workers = new Set(Array.from({ length: 100 }, (_, i) => `worker-${i}`));
  const shards = Array.from({ length: 2_000 }, (_, i) => ({
    ...newShardRow({ id: `shard-${i}`, parents: [], hashKeyRange: null }, TRIM_HORIZON),
    ...(i % 2 === 0 ? { owner: `worker-${i % 50}`, holder: "x", term: 1 } : {}),
  }));
  const view = {
    self: "worker-99",
    shards,
    alive: workers,
    takers: workers,
    isHere: () => false,
    isStoppedHere: () => false,
    isOverdue: () => false,
  };
  const startedAt = performance.now();
  for (let i = 0; i < times; i++) {
    plan(view);
    shardsToAskFor(view, () => 0.5);
  }
  return Promise.resolve((performance.now() - startedAt) / times);
}
