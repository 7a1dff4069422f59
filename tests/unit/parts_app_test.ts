// Owns: long answers in a whole worker: who gets them in parts, and that a stop, a new processor or a broken answer loses nothing.
import { assert, assertEquals, assertGreater } from "@std/assert";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { MemoryLeaseStore } from "../../src/adapters/memory.ts";
import { ReactoKinesixApp } from "../../src/app.ts";
import { resolveConfig } from "../../src/core/config.ts";
import type { AppEventOf } from "../../src/events.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import { SeededRandom, settled, VirtualClock } from "../virtual_clock.ts";
import { clientOf, type WireRecord, wireRecord } from "./answer_testing.ts";
import { CONFIG, upTo } from "./app_testing.ts";
import { SHARD, STREAM } from "./source_testing.ts";

const LONG = 300;
const PROCESS_MS = 20;

/** A shard of one stream, a state table, and workers one after the other. */
class Shard {
  /** Calls take real time, if little, while the clock stands. */
  readonly clock: VirtualClock = new VirtualClock(async () => {
    do await settled(); while (this.#underWay > 0);
  });
  /** Changes the next answer that has records. */
  breaks: ((answer: string) => string) | undefined;
  /** How many answers had records. */
  reads = 0;
  readonly #records: WireRecord[] = [];
  readonly #store = new MemoryLeaseStore();
  #underWay = 0;

  /** Puts so many records, all at once; each is its number. */
  put(count: number): void {
    for (let i = 0; i < count; i++) {
      const { length } = this.#records;
      this.#records.push(wireRecord(length, { bytes: 10_000 }));
    }
  }

  /** Lets time pass until there are so many. */
  async until(numbers: readonly number[], count: number): Promise<void> {
    for (let i = 0; i < 1_000 && numbers.length < count; i++) await this.clock.advance(100);
  }

  async start(processor: RecordProcessor) {
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
    const config = resolveConfig();
    const source = new KinesisPollingSource({
      client,
      streamName: STREAM,
      config,
      clock,
      emit: () => {},
      random,
    });
    const batches: AppEventOf<"batch_processed">[] = [];
    const app = await clock.until(ReactoKinesixApp.createNew({
      appName: "Test",
      streamName: STREAM,
      workerId: "A",
      processor,
      config: CONFIG,
      onEvent: (event) => {
        if (event.type === "batch_processed" && event.records > 0) batches.push(event);
      },
      ports: { store: this.#store, source, clock, random },
    }));
    return { app, sizes: () => batches.map(({ records }) => records) };
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
    const NextShardIterator = String(from + Records.length);
    const answer = JSON.stringify({ Records, NextShardIterator, MillisBehindLatest: 0 });
    const breaks = Records.length > 0 ? this.breaks : undefined;
    if (breaks !== undefined) this.breaks = undefined;
    return breaks?.(answer) ?? answer;
  }
}

/** Needs a while for each record, and writes its number down. */
function slow({ clock }: Shard, numbers: number[]): RecordProcessor {
  return {
    async process({ sequenceNumber }, { signal }) {
      await clock.sleep(PROCESS_MS, signal);
      numbers.push(Number(sequenceNumber));
    },
  };
}

/** Whoever processes records of this shard has had one read, and waits for more. */
async function begun(processorOf: (shard: Shard) => RecordProcessor) {
  const shard = new Shard();
  shard.put(1);
  const member = await shard.start(processorOf(shard));
  await shard.clock.advance(5_000);
  assertEquals(member.sizes(), [1]);
  shard.put(LONG);
  return { shard, ...member };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, n) => all + n, 0);

Deno.test("parts in a worker: a slow processor gets reads of a second's work, in parts of a tenth of a second", async () => {
  const numbers: number[] = [];
  const { shard, app, sizes } = await begun((shard) => slow(shard, numbers));
  const before = shard.reads;
  await shard.until(numbers, 1 + LONG);
  assertEquals(numbers, upTo(1 + LONG));
  assertEquals(sum(sizes()), 1 + LONG);
  const parts = sizes().slice(1);
  assertGreater(parts.length, LONG / 9);
  // The last two of a read come as one.
  for (const records of parts.slice(3, -1)) assert(3 <= records && records <= 9, String(parts));
  const seconds = LONG * PROCESS_MS / 1_000;
  const reads = shard.reads - before;
  assert(seconds - 1 <= reads && reads <= seconds + 2, `${reads}`);
  await shard.clock.until(app.stop());
});

Deno.test("parts in a worker: after a stop amid an answer the next one goes on behind it", async () => {
  const numbers: number[] = [];
  const { shard, app } = await begun((shard) => slow(shard, numbers));
  await shard.until(numbers, LONG / 2);
  await shard.clock.until(app.stop());
  assert(20 < numbers.length && numbers.length < LONG, `${numbers.length}`);
  const next = await shard.start(slow(shard, numbers));
  await shard.until(numbers, 1 + LONG);
  assertEquals(numbers, upTo(1 + LONG));
  await shard.clock.until(next.app.stop());
});

Deno.test("parts in a worker: an answer that breaks off is read again from there", async () => {
  const numbers: number[] = [];
  const { shard, app, sizes } = await begun((shard) => slow(shard, numbers));
  shard.breaks = (answer) => answer.replace('"PartitionKey":"key 200"', '"PartitionKey":7');
  await shard.until(numbers, 1 + LONG);
  assertEquals(shard.breaks, undefined);
  assertEquals(numbers, upTo(1 + LONG));
  assertGreater(sizes().length, 10);
  await shard.clock.until(app.stop());
});

Deno.test("parts in a worker: who processes batches gets whole reads, also after another who did not", async () => {
  const numbers: number[] = [];
  const batches: number[] = [];
  const together = ({ clock }: Shard): RecordProcessor => ({
    async processBatch(records, { signal }) {
      await clock.sleep(records.length * PROCESS_MS, signal);
      batches.push(records.length);
      numbers.push(...records.map(({ sequenceNumber }) => Number(sequenceNumber)));
    },
  });
  const { shard, app } = await begun(together);
  await shard.until(numbers, 1 + LONG);
  assertEquals(batches, [1, LONG]);
  await shard.clock.until(app.changeProcessor(slow(shard, numbers)));
  shard.put(1);
  await shard.until(numbers, 2 + LONG);
  shard.put(LONG);
  await shard.until(numbers, 2 + 1.5 * LONG);
  await shard.clock.until(app.changeProcessor(together(shard)));
  await shard.until(numbers, 2 + 2 * LONG);
  assertGreater(batches.length, 4, "what was begun goes on in parts");
  batches.length = 0;
  shard.put(LONG);
  await shard.until(numbers, 2 + 3 * LONG);
  assertEquals(batches, [LONG]);
  assertEquals(numbers, upTo(2 + 3 * LONG));
  await shard.clock.until(app.stop());
});
