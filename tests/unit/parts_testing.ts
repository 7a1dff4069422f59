// Owns: one shard of a stream whose answers come in parts, a state table, and workers one after the other, at a virtual clock.
// Must not: assert anything.
// Called by: the tests of parts in a whole worker.
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { MemoryLeaseStore } from "../../src/adapters/memory.ts";
import { ReactoKinesixApp } from "../../src/app.ts";
import { resolveConfig } from "../../src/core/config.ts";
import type { AppEvent } from "../../src/events.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import { SeededRandom, settled, VirtualClock } from "../virtual_clock.ts";
import { clientOf, type WireRecord, wireRecord } from "./answer_testing.ts";
import { CONFIG } from "./app_testing.ts";
import { SHARD, STREAM } from "./source_testing.ts";

/** How long a record takes. */
export const PROCESS_MS = 20;

/** The shard, and what was processed of it. */
export class PartedShard {
  /** Calls take real time, if little, while the clock stands. */
  readonly clock: VirtualClock = new VirtualClock(async () => {
    do await settled(); while (this.#underWay > 0);
  });
  /** The records that were processed, by their numbers. */
  readonly numbers: number[] = [];
  /** How many of them came together, of those that were processed as a batch. */
  readonly batches: number[] = [];
  /** How many answers had records. */
  reads = 0;
  hasEnded = false;
  /** The next answer with this record cannot be understood from there on. */
  breaksAt: number | undefined;
  /** Whether nothing will come after what is there. */
  isClosed = false;
  readonly #records: WireRecord[] = [];
  readonly #store = new MemoryLeaseStore();
  #underWay = 0;

  /** Needs a while for each record. */
  readonly one: RecordProcessor = {
    process: async ({ sequenceNumber }, { signal }) => {
      await this.clock.sleep(PROCESS_MS, signal);
      this.numbers.push(Number(sequenceNumber));
    },
    shardEnded: () => {
      this.hasEnded = true;
    },
  };

  /** As long for all that come together. */
  readonly many: RecordProcessor = {
    processBatch: async (records, { signal }) => {
      await this.clock.sleep(PROCESS_MS * records.length, signal);
      this.batches.push(records.length);
      this.numbers.push(...records.map(({ sequenceNumber }) => Number(sequenceNumber)));
    },
    shardEnded: () => {
      this.hasEnded = true;
    },
  };

  /** Puts so many records, all at once; each is its number. */
  put(count: number, { bytes = 10_000 }: { readonly bytes?: number } = {}): void {
    for (let i = 0; i < count; i++) this.#records.push(wireRecord(this.#records.length, { bytes }));
  }

  /** Lets time pass until so many were processed. */
  async until(count: number): Promise<void> {
    for (let i = 0; i < 1_000 && this.numbers.length < count; i++) await this.clock.advance(100);
  }

  async start(
    processor: RecordProcessor,
    onEvent: (event: AppEvent) => void = () => {},
  ): Promise<ReactoKinesixApp> {
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
      client,
      streamName: STREAM,
      config: resolveConfig(),
      clock,
      emit: () => {},
      random,
    });
    return await clock.until(ReactoKinesixApp.createNew({
      appName: "Test",
      streamName: STREAM,
      workerId: "A",
      processor,
      config: CONFIG,
      onEvent,
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
    const Records = this.#records.slice(from, from + limit);
    if (Records.length > 0) this.reads += 1;
    const to = from + Records.length;
    const rest = this.isClosed && Records.length === 0
      ? { ChildShards: [] }
      : { NextShardIterator: String(to), MillisBehindLatest: 0 };
    const text = JSON.stringify({ Records, ...rest });
    if (this.breaksAt === undefined || this.breaksAt < from || this.breaksAt >= to) return text;
    const key = `"PartitionKey":"key ${this.breaksAt}"`;
    this.breaksAt = undefined;
    return text.replace(key, '"Unknown":7');
  }
}
