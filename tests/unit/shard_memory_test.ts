// Owns: what a turn on a shard holds in memory, from the read to the last record; and that it comes back however the turn goes.
import { assert, assertEquals } from "@std/assert";
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";
import { heldBytes } from "../../src/core/byte_size.ts";
import { retryAndStop } from "../../src/core/policy.ts";
import { SourceError } from "../../src/errors.ts";
import type { StreamSource } from "../../src/ports.ts";
import { ReactoKinesixApp, type ReactoKinesixConfig, type RecordProcessor } from "../../mod.ts";
import { VirtualClock } from "../virtual_clock.ts";

const PAYLOAD = new Uint8Array(100_000);
const RECORD = heldBytes({ data: PAYLOAD, partitionKey: "key-0" });
const MIB = 2 ** 20;

interface Run {
  readonly app: ReactoKinesixApp;
  readonly clock: VirtualClock;
  /** The most that was held at any record. */
  readonly peak: () => number;
  readonly processed: () => number;
}

/** A worker that processes records of 100 KB with a budget of 1 MiB, on a clock that the test moves. */
async function run(
  stream: (clock: VirtualClock) => StreamSource,
  options: {
    readonly config?: ReactoKinesixConfig;
    readonly process?: (text: string, signal: AbortSignal) => unknown;
    readonly processor?: Partial<RecordProcessor>;
  } = {},
): Promise<Run> {
  const clock = new VirtualClock();
  let peak = 0;
  let processed = 0;
  const starting = ReactoKinesixApp.createNew({
    appName: "Memory",
    streamName: "stream",
    workerId: "A",
    config: { maxBufferedBytes: MIB, ...options.config },
    processor: {
      async process(record, context) {
        peak = Math.max(peak, app?.bufferedBytes ?? 0);
        await options.process?.(record.partitionKey, context.signal);
        processed += 1;
      },
      ...options.processor,
    },
    ports: { store: new MemoryLeaseStore(), source: stream(clock), clock },
  });
  const app = await clock.until(starting);
  return { app, clock, peak: () => peak, processed: () => processed };
}

function filled(shards: number, records: number, clock?: VirtualClock): MemoryStream {
  const stream = new MemoryStream({ shards, ...clock && { clock } });
  for (let i = 0; i < records; i++) stream.put(`key-${i}`, PAYLOAD);
  return stream;
}

Deno.test("memory: shards that are far behind share the budget, and all are processed", async () => {
  for (const config of [{}, { concurrency: 4 }, { concurrency: 3, orderBy: "none" }] as const) {
    const test = await run((clock) => filled(8, 400, clock), {
      config,
      process: (_, signal) => test?.clock.sleep(10, signal),
    });
    await test.clock.advance(60_000);
    assertEquals(test.processed(), 400);
    assert(test.peak() > MIB / 4, `${test.peak()} bytes: the budget is used`);
    // Each shard may begin with a record, whatever the others hold.
    assert(test.peak() <= MIB + 8 * RECORD, `${test.peak()} bytes`);
    assertEquals(test.app.bufferedBytes, 0);
    await test.clock.until(test.app.stop());
  }
});

Deno.test("memory: a record that is larger than the budget is processed all the same", async () => {
  const test = await run((clock) => {
    const stream = new MemoryStream({ shards: 3, clock });
    for (let i = 0; i < 12; i++) stream.put(`key-${i}`, new Uint8Array(2 * MIB));
    return stream;
  }, { process: (_, signal) => test?.clock.sleep(10, signal) });
  await test.clock.advance(10_000);
  assertEquals(test.processed(), 12);
  assert(test.peak() < 4 * MIB, "one at a time");
  await test.clock.until(test.app.stop());
});

Deno.test("memory: a shard that is stuck does not keep the others from their records", async () => {
  const stuck = new Set<string>();
  const test = await run((clock) => filled(4, 80, clock), {
    // The first key of the first shard.
    process: (key, signal) => {
      if (stuck.size > 0 && !stuck.has(key)) return;
      stuck.add(key);
      return test?.clock.sleep(3_600_000, signal);
    },
  });
  await test.clock.advance(60_000);
  const inStuckShard = 80 - test.processed();
  assert(inStuckShard > 0 && inStuckShard < 40, `${inStuckShard} records wait`);
  await test.clock.until(test.app.stop());
});

Deno.test("memory: it comes back when a shard is stopped, fails, is given up or cannot be read", async () => {
  const refusing = async (clock: VirtualClock): Promise<Run> => {
    const stream = filled(2, 60, clock);
    let reads = 0;
    const source: StreamSource = {
      listShards: (signal) => stream.listShards(signal),
      open: async function* (shardId, after, signal, budget) {
        for await (const batch of stream.open(shardId, after, signal, budget)) {
          reads += 1;
          if (reads % 3 === 0) throw new SourceError("Cannot read: no", { kind: "unavailable" });
          yield batch;
        }
      },
    };
    return await run(() => source, { config: { concurrency: 4 } });
  };
  const failing = await refusing(new VirtualClock());
  await failing.clock.advance(600_000);
  assertEquals([failing.processed() >= 60, failing.app.bufferedBytes], [true, 0]);
  await failing.clock.until(failing.app.stop());

  const stopped = await run((clock) => filled(2, 60, clock), {
    process: () => {
      throw new Error("never");
    },
    processor: { getErrorHandlingMode: () => retryAndStop(0) },
  });
  await stopped.clock.advance(10_000);
  assertEquals(stopped.app.bufferedBytes, 0, "both shards are stopped");
  await stopped.clock.until(stopped.app.stop());

  const slow = await run((clock) => filled(2, 60, clock), {
    process: (_, signal) => slow?.clock.sleep(3_600_000, signal),
    config: { shutdownTimeout: 1_000 },
  });
  await slow.clock.advance(10_000);
  assert(slow.app.bufferedBytes > 0);
  await slow.clock.until(slow.app.stop());
  await slow.clock.advance(1_000);
  assertEquals(slow.app.bufferedBytes, 0);
});
