// Owns: a polling reader gives a long answer in parts to whoever is slow, each as a smaller read would have brought it.
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { SourceError } from "../../src/errors.ts";
import type { Batch, ReadBudget } from "../../src/ports.ts";
import { BufferBudget } from "../../src/runtime/buffer_budget.ts";
import { LeapingClock } from "../leaping_clock.ts";
import { clientOf, type WireRecord, wireRecord } from "./answer_testing.ts";
import { upTo } from "./app_testing.ts";
import { SHARD, STREAM } from "./source_testing.ts";

/** What was asked of Kinesis and of the budget, and what was kept: "iterator", "read", "turn", or bytes. */
type Log = (string | number)[];

/** Has room for everything, and notes what is held. */
class NotedBudget implements ReadBudget {
  mayComeInParts = true;
  readonly #log: Log;
  readonly #budget = new BufferBudget(Infinity).open();

  constructor(log: Log) {
    this.#log = log;
  }

  take(wanted: number): Promise<number> {
    return Promise.resolve(wanted);
  }

  giveBack(): void {}

  keep(bytes: number): void {
    this.#log.push(bytes);
  }

  async turn(signal: AbortSignal): Promise<void> {
    this.#log.push("turn");
    await this.#budget.turn(signal);
  }

  /** What is asked for, by somebody who has nothing in hand. */
  awaited<T>(next: Promise<T>): Promise<T> {
    return this.#budget.awaited(next);
  }
}

const RECORDS = 300;
const LAG_MS = 5_000;
const many = (more: { readonly everyMs?: number } = {}): readonly WireRecord[] =>
  Array.from({ length: RECORDS }, (_, i) => wireRecord(i, { bytes: 10_000, ...more }));
/** The bytes of payloads and keys. */
const sizeOf = (records: readonly WireRecord[]): number =>
  records.reduce((sum, { PartitionKey }) => sum + 10_000 + PartitionKey.length, 0);

/** A shard whose first answer is a long one, and all later ones are empty. */
async function setUp(
  { records = many(), millisBehindLatest = LAG_MS, body }: {
    readonly records?: readonly WireRecord[];
    readonly millisBehindLatest?: number;
    /** Changes the answer. */
    readonly body?: (text: string) => string;
  } = {},
) {
  const clock = new LeapingClock();
  const log: Log = [];
  const starts: unknown[] = [];
  const reads: { readonly iterator: unknown; readonly at: number }[] = [];
  const rest = { NextShardIterator: "next", MillisBehindLatest: millisBehindLatest };
  const { client } = await clientOf((operation, input) => {
    log.push(operation === "GetRecords" ? "read" : "iterator");
    if (operation === "GetShardIterator") {
      starts.push([input["ShardIteratorType"], input["StartingSequenceNumber"]]);
      return JSON.stringify({ ShardIterator: `iterator ${starts.length}` });
    }
    reads.push({ iterator: input["ShardIterator"], at: clock.now() });
    if (reads.length > 1) return JSON.stringify({ Records: [], ...rest });
    const text = JSON.stringify({ Records: records, ...rest });
    return body?.(text) ?? text;
  });
  const source = new KinesisPollingSource({
    client,
    streamName: STREAM,
    config: resolveConfig(),
    clock,
    emit: () => {},
    random: { next: () => 0.5, uuid: () => "" },
  });
  const budget = new NotedBudget(log);
  const until = new AbortController();
  /** Reads on, as somebody who needs a while for each batch and asks for the next one before, until all records were given. */
  const readAll = async (
    batches: AsyncIterator<Batch>,
    { processMs, count = RECORDS, given = [] }: {
      readonly processMs: number;
      readonly count?: number;
      readonly given?: Batch[];
    },
  ): Promise<readonly Batch[]> => {
    let next = batches.next();
    for (let left = count;;) {
      const batch: Batch = (await budget.awaited(next)).value;
      given.push(batch);
      left -= batch.records.length;
      if (left <= 0 || given.length > count) return given;
      next = batches.next();
      clock.leap(processMs);
    }
  };
  return {
    clock,
    log,
    starts,
    reads,
    until,
    budget,
    readAll,
    open: ({ isBudgeted = true } = {}) =>
      source.open(SHARD, TRIM_HORIZON, until.signal, isBudgeted ? budget : undefined)
        [Symbol.asyncIterator](),
  };
}

const numbersOf = (batches: readonly Batch[]): readonly number[] =>
  batches.flatMap(({ records }) => records.map(({ sequenceNumber }) => Number(sequenceNumber)));

Deno.test("parts: who is slow gets a long answer in parts, each record once and in order", async () => {
  for (const processMs of [0, 5, 200, 5_000]) {
    const { open, readAll, reads } = await setUp();
    const given = await readAll(open(), { processMs });
    assertEquals(numbersOf(given), upTo(RECORDS));
    assertGreater(given.length, 1);
    if (processMs >= 5_000) assertGreater(given.length, 100, "a record or two at a time");
    if (processMs === 0) assert(given.length < 8, `${given.length}`);
    assertEquals(reads.length, 1);
  }
});

Deno.test("parts: who does not want parts, or has no budget, gets the whole", async () => {
  const test = await setUp();
  test.budget.mayComeInParts = false;
  assertEquals((await test.readAll(test.open(), { processMs: 5_000 })).length, 1);
  const { open, readAll } = await setUp();
  assertEquals((await readAll(open({ isBudgeted: false }), { processMs: 5_000 })).length, 1);
});

Deno.test("parts: an answer that is soon over comes as a whole", async () => {
  const test = await setUp({ records: many().slice(0, 1) });
  assertEquals((await test.readAll(test.open(), { processMs: 1, count: 1 })).length, 1);
  assertEquals(test.log, ["iterator", "read"], "nothing is held for later");
});

Deno.test("parts: each waits for its turn, and it is said what is held, all of it until the last one; nothing is read before that is given", async () => {
  const { log, open, readAll } = await setUp();
  const batches = open();
  const given = await readAll(batches, { processMs: 200 });
  const whole = log[2];
  assert(typeof whole === "number" && whole > RECORDS * 13_000);
  const held = given.flatMap((_, i) => ["turn", i === given.length - 1 ? 0 : whole]);
  assertEquals(log, ["iterator", "read", whole, ...held]);
  await batches.next();
  assertEquals(log.slice(3 + held.length), ["read"]);
});

Deno.test("parts: they come nearer to the tip, which moves on; only the last one is where the answer ends", async () => {
  const { open, readAll } = await setUp();
  const given = await readAll(open(), { processMs: 200 });
  let read = 0;
  for (const [i, { records, millisBehindLatest }] of given.entries()) {
    read += records.length;
    const leftMs = 10 * (RECORDS - read);
    assertEquals(millisBehindLatest, LAG_MS + leftMs + 200 * i);
  }
});

Deno.test("parts: none but the last one is at the tip, even if all records arrived at once or in no order", async () => {
  const orders = [many({ everyMs: 0 }), many({ everyMs: -10 }), many().toReversed()];
  for (const records of orders) {
    const { open, readAll } = await setUp({ records, millisBehindLatest: 0 });
    const given = await readAll(open(), { processMs: 200 });
    assertEquals(given.at(-1)?.millisBehindLatest, 0);
    for (const { millisBehindLatest } of given.slice(0, -1)) assertGreater(millisBehindLatest, 0);
  }
});

Deno.test("parts: the pace counts all of them, from when they were read on", async () => {
  const { clock, open, readAll, reads } = await setUp();
  const start = clock.now();
  const batches = open();
  await readAll(batches, { processMs: 1 });
  assert(clock.now() - start < 1_000);
  await batches.next();
  // 2 MiB a second.
  const interval = sizeOf(many()) / (2 * 2 ** 20) * 1_000;
  assertEquals(reads.map(({ at }) => Math.round(at - start)), [0, Math.round(interval)]);
  await batches.next();
  assertEquals(Math.round((reads[2]?.at ?? 0) - (reads[1]?.at ?? 0)), 210, "5 reads a second");
});

Deno.test("parts: an iterator that grew old meanwhile is renewed after the last record; another one is used", async () => {
  for (const processMs of [200, 10_000]) {
    const { open, readAll, starts, reads } = await setUp();
    const batches = open();
    await readAll(batches, { processMs });
    await batches.next();
    const isOld = processMs > 200;
    const renewed = isOld ? [["AFTER_SEQUENCE_NUMBER", String(RECORDS - 1)]] : [];
    assertEquals(starts, [["TRIM_HORIZON", undefined], ...renewed]);
    assertEquals(reads[1]?.iterator, isOld ? "iterator 2" : "next");
  }
});

Deno.test("parts: no further one is given after an abort", async () => {
  for (const isAskedBefore of [true, false]) {
    const { open, until, budget } = await setUp();
    const batches = open();
    await budget.awaited(batches.next());
    const before = isAskedBefore ? batches.next() : undefined;
    until.abort(new RangeError("enough"));
    await assertRejects(() => before ?? budget.awaited(batches.next()), RangeError, "enough");
    assertEquals(await batches.next(), { done: true, value: undefined });
  }
});

Deno.test("parts: what cannot be understood is told after what came before it, and nothing after it is given", async () => {
  const broken = [
    ["invalid", (text: string) => text.replace('"PartitionKey":"key 150"', '"Unknown":5')],
    ["unavailable", (text: string) => text.replace('"Data":"lpaWlpaW', '"Data":"lp*W')],
  ] as const;
  for (const [kind, body] of broken) {
    const { open, readAll } = await setUp({ body });
    const given: Batch[] = [];
    const error = await assertRejects(
      () => readAll(open(), { processMs: 200, given }),
      SourceError,
    );
    assertEquals(error.kind, kind);
    const numbers = numbersOf(given);
    assertEquals(numbers, upTo(numbers.length));
    assert(100 < numbers.length && numbers.length <= 150, `${numbers.length}`);
  }
});
