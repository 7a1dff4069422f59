// Owns: an answer that is there and whose turn it is not yet: whatever ends it then, nothing is lost, repeated, or held on to.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { MemoryLeaseStore } from "../../src/adapters/memory.ts";
import { ReactoKinesixApp } from "../../src/app.ts";
import { resolveConfig } from "../../src/core/config.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import { SeededRandom, settled, VirtualClock } from "../virtual_clock.ts";
import { clientOf, type WireRecord, wireRecord } from "./answer_testing.ts";
import { CONFIG, upTo } from "./app_testing.ts";
import { SHARD, STREAM } from "./source_testing.ts";

const PROCESS_MS = 20;
const RECORDS = 200;

/** A closed shard whose records are there from the beginning, and workers one after the other. */
class ClosedShard {
  readonly numbers: number[] = [];
  /** Breaks an answer that begins with this record, once. */
  breaksAt: number | undefined;
  hasEnded = false;
  readonly clock: VirtualClock = new VirtualClock(async () => {
    do await settled(); while (this.#underWay > 0);
  });
  readonly #store = new MemoryLeaseStore();
  readonly #records: readonly WireRecord[];
  #underWay = 0;

  constructor(bytes: number) {
    this.#records = Array.from({ length: RECORDS }, (_, i) => wireRecord(i, { bytes }));
  }

  readonly one: RecordProcessor = {
    process: async ({ sequenceNumber }, { signal }) => {
      await this.clock.sleep(PROCESS_MS, signal);
      this.numbers.push(Number(sequenceNumber));
    },
    shardEnded: () => {
      this.hasEnded = true;
    },
  };

  readonly many: RecordProcessor = {
    processBatch: async (records, { signal }) => {
      await this.clock.sleep(PROCESS_MS * records.length, signal);
      this.numbers.push(...records.map(({ sequenceNumber }) => Number(sequenceNumber)));
    },
    shardEnded: () => {
      this.hasEnded = true;
    },
  };

  async start(processor: RecordProcessor): Promise<ReactoKinesixApp> {
    const { client } = await clientOf((operation, input) => this.#answer(operation, input));
    const send = client.send.bind(client) as (...call: unknown[]) => Promise<unknown>;
    client.send = (async (...call: unknown[]) => {
      this.#underWay += 1;
      try {
        return await send(...call);
      } finally {
        this.#underWay -= 1;
      }
    }) as typeof client.send;
    const { clock } = this;
    const random = new SeededRandom();
    const source = new KinesisPollingSource({
      ...{ client, streamName: STREAM, config: resolveConfig(), clock, emit: () => {}, random },
    });
    return await clock.until(ReactoKinesixApp.createNew({
      ...{ appName: "Test", streamName: STREAM, workerId: "A", processor, config: CONFIG },
      ports: { store: this.#store, source, clock, random },
    }));
  }

  #answer(operation: string, input: Record<string, unknown>): string {
    switch (operation) {
      case "ListShards": {
        const HashKeyRange = { StartingHashKey: "0", EndingHashKey: String(2n ** 128n - 1n) };
        const SequenceNumberRange = { StartingSequenceNumber: "0" };
        return JSON.stringify({ Shards: [{ ShardId: SHARD, HashKeyRange, SequenceNumberRange }] });
      }
      case "DescribeStreamSummary":
        return JSON.stringify({ StreamDescriptionSummary: { RetentionPeriodHours: 24 } });
      case "GetShardIterator": {
        const after = Number(input["StartingSequenceNumber"] ?? -1);
        return JSON.stringify({ ShardIterator: String(after + 1) });
      }
      default:
        return this.#read(Number(input["ShardIterator"]), Number(input["Limit"]));
    }
  }

  #read(from: number, limit: number): string {
    const to = Math.min(RECORDS, from + limit);
    const Records = this.#records.slice(from, to);
    const end = to === from
      ? { ChildShards: [] }
      : { NextShardIterator: String(to), MillisBehindLatest: 1_000 };
    const text = JSON.stringify({ Records, ...end });
    if (this.breaksAt === undefined || this.breaksAt < from || this.breaksAt >= to) return text;
    const key = `"PartitionKey":"key ${this.breaksAt}"`;
    this.breaksAt = undefined;
    return text.replace(key, '"Unknown":7');
  }
}

const happenings = fc.array(
  fc.record({ ms: fc.nat(1_500), what: fc.constantFrom("stop", "other processor") }),
  { maxLength: 4 },
);

Deno.test("announced: stops, new processors and broken answers at any time lose and repeat nothing, and nothing is held after the end", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(1_000, 10_000, 60_000),
      happenings,
      fc.option(fc.nat(RECORDS - 1), { nil: undefined }),
      async (bytes, happenings, breaksAt) => {
        const shard = new ClosedShard(bytes);
        shard.breaksAt = breaksAt;
        const { clock, numbers } = shard;
        let processor = shard.one;
        let app = await shard.start(processor);
        for (const { ms, what } of happenings) {
          await clock.advance(ms);
          if (what === "stop") {
            await clock.until(app.stop());
            assertEquals(app.bufferedBytes, 0);
            app = await shard.start(processor);
          } else {
            processor = processor === shard.one ? shard.many : shard.one;
            await clock.until(app.changeProcessor(processor));
          }
        }
        for (let i = 0; i < 3_000 && !shard.hasEnded; i++) await clock.advance(100);
        assert(shard.hasEnded);
        assertEquals(numbers, upTo(RECORDS));
        await clock.advance(1_000);
        assertEquals(app.bufferedBytes, 0);
        await clock.until(app.stop());
      },
    ),
    { numRuns: 40 },
  );
});
