// Owns: a polling reader asks for room before it reads, reads no more than there is room for, and gives room back when it waits.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { type Checkpoint, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import type { Batch, ReadBudget } from "../../src/ports.ts";
import { LeapingClock } from "../leaping_clock.ts";
import { SHARD, SourceTest } from "./source_testing.ts";

/** Gives what the test says, and notes what it is asked for. */
class NotedBudget implements ReadBudget {
  readonly log: string[] = [];
  readonly wanted: number[] = [];
  room = Infinity;
  wait: Promise<void> = Promise.resolve();

  async take(
    wanted: number,
    { least, signal }: { readonly least: number; readonly signal: AbortSignal },
  ): Promise<number> {
    this.log.push("take");
    this.wanted.push(wanted);
    await this.wait;
    signal.throwIfAborted();
    return Math.max(least, Math.min(wanted, this.room));
  }

  giveBack(): void {
    this.log.push("give back");
  }

  readonly mayComeInParts = false;
  readonly turn = (): Promise<void> => Promise.resolve();

  keep(): void {}
}

async function setUp({ startInMs }: { readonly startInMs?: number } = {}) {
  const limits: unknown[] = [];
  const errors: string[] = [];
  const budget = new NotedBudget();
  const stream = await SourceTest.start(
    new LeapingClock(),
    (deps) => new KinesisPollingSource({ ...deps, config: resolveConfig() }),
  );
  for (
    const [operation, word] of [["GetRecords", "read"], ["GetShardIterator", "iterator"]] as const
  ) {
    stream.answers(operation, (proceed, { input }) => {
      budget.log.push(word);
      if (operation === "GetRecords") limits.push(input["Limit"]);
      const error = errors.shift();
      if (error !== undefined) throw new KinesisError(error, "said Kinesis", 400);
      return proceed();
    });
  }
  const until = new AbortController();
  const after: Checkpoint = startInMs === undefined
    ? TRIM_HORIZON
    : { kind: "timestamp", timestamp: stream.clock.now() + startInMs };
  const batches = stream.source.open(SHARD, after, until.signal, budget)[Symbol.asyncIterator]();
  return {
    budget,
    limits,
    errors,
    until,
    next: async (): Promise<Batch> => (await batches.next()).value as Batch,
    async put(records: number, bytes: number) {
      for (let i = 0; i < records; i++) await stream.putData(new Uint8Array(bytes));
    },
  };
}

Deno.test("polling: with plenty of room a read asks for maxBatchSize records", async () => {
  const test = await setUp();
  await test.put(3, 1_000);
  assertEquals((await test.next()).records.length, 3);
  await test.next();
  assertEquals(test.limits, [10_000, 10_000]);
  assert(
    (test.budget.wanted[0] ?? 0) > 10 * 2 ** 20,
    "as long as nothing is known: for all that may come",
  );
});

Deno.test("polling: with little room a read asks for the records that fit, and for the rest later", async () => {
  const test = await setUp();
  await test.put(60, 10_000);
  test.budget.room = 2 ** 20;
  const sizes: number[] = [];
  for (let left = 60; left > 0;) {
    const { records } = await test.next();
    sizes.push(records.length);
    left -= records.length;
  }
  assertEquals(sizes[0], 1, "a record may be large as long as nothing is known");
  // Three times 10 KB each while they are decoded.
  for (const size of sizes.slice(1, -1)) assert(27 <= size && size <= 35, String(sizes));
});

Deno.test("polling: nothing is read before there is room, and an abort ends the wait", async () => {
  const test = await setUp();
  const gate = Promise.withResolvers<void>();
  test.budget.wait = gate.promise;
  const pending = test.next();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(test.budget.log, ["take"]);
  test.until.abort(new RangeError("enough"));
  gate.resolve();
  await assertRejects(() => pending, RangeError, "enough");
  assertEquals(test.limits, []);
});

Deno.test("polling: while it waits after a throttle, others have its room", async () => {
  const test = await setUp();
  const error = "ProvisionedThroughputExceededException";
  await test.next();
  test.budget.log.length = 0;
  test.errors.push(error, error);
  await test.next();
  const once = ["take", "read", "give back"];
  assertEquals(test.budget.log, [...once, ...once, "take", "read"]);
});

Deno.test("polling: while it waits for an iterator, others have its room", async () => {
  const test = await setUp();
  test.errors.push("ProvisionedThroughputExceededException");
  await test.next();
  const { log } = test.budget;
  assertEquals(log, ["take", "iterator", "give back", "iterator", "take", "read"]);
});

Deno.test("polling: while it waits for a start in the future, others have its room", async () => {
  const test = await setUp({ startInMs: 3_000 });
  await test.next();
  const once = ["iterator", "give back"];
  assertEquals(test.budget.log, ["take", ...once, ...once, "iterator", "take", "read"]);
});
