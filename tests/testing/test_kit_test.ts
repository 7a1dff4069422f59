// Owns: what a user of the test kit may rely on when nothing goes wrong but the processor.
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type KinesisRecord,
  type RecordProcessor,
  retryAndSkip,
  retryAndStop,
} from "@reacto/kinesix";
import { aggregate, testKit } from "@reacto/kinesix/testing";

const SHARD = "shardId-000000000000";
const nothing: RecordProcessor = { process: () => {} };
const hang = (): Promise<void> => new Promise(() => {});
const texts = (records: readonly KinesisRecord[]): readonly string[] =>
  records.map((record) => record.text());

Deno.test("kit: what is put is processed, checkpointed and told, and nothing else", async () => {
  await using kit = await testKit({ processor: nothing });
  await kit.runUntilIdle();
  kit.put("a", "text");
  kit.put("a", { total: 3 });
  const { shardId, sequenceNumber } = kit.put("a", new Uint8Array([33]));
  await kit.runUntilIdle();
  assertEquals(texts(kit.processed), ["text", '{"total":3}', "!"]);
  assertEquals(kit.skipped, []);
  assertEquals(kit.checkpoints, { [shardId]: sequenceNumber });
  assertEquals(kit.told("checkpoint_written").at(-1)?.checkpoint, sequenceNumber);
});

Deno.test("kit: a processor is called as what it is, with its own fields", async () => {
  class Summing implements RecordProcessor {
    #sum = 0;
    process(record: KinesisRecord): void {
      this.#sum += record.json<number>();
    }
    get sum(): number {
      return this.#sum;
    }
  }
  const processor = new Summing();
  await using kit = await testKit({ processor });
  for (const n of ["1", "2", "3"]) kit.put("a", n);
  await kit.runUntilIdle();
  assertEquals(processor.sum, 6);
});

Deno.test("kit: attempts, their back-off and what is given up are as they would be, in virtual time", async () => {
  const attempts: number[] = [];
  await using kit = await testKit({
    processor: {
      process(record, { attempt }) {
        if (record.text() !== "bad") return;
        attempts.push(attempt);
        throw new Error("no");
      },
      getErrorHandlingMode: () => retryAndSkip(12),
    },
  });
  for (const data of ["1", "bad", "2"]) kit.put("a", data);
  await kit.runUntilIdle();
  assertEquals(attempts.length, 13);
  assertEquals(texts(kit.processed), ["1", "2"]);
  const [skipped] = kit.skipped;
  assertEquals([skipped?.record.text(), skipped?.attempts], ["bad", 13]);
  assertEquals(String(skipped?.error), "Error: no");
  assert(kit.clock.monotonic() > 60_000);
});

Deno.test("kit: a call that hangs runs into processTimeout, and does not count when it ends later", async () => {
  const gate = Promise.withResolvers<void>();
  await using kit = await testKit({
    processor: { process: (record) => record.text() === "slow" ? gate.promise : undefined },
    config: { processTimeout: 60_000 },
    patience: 5,
  });
  kit.put("a", "slow");
  kit.put("a", "next");
  await kit.runUntilIdle();
  assertEquals(kit.skipped.map(({ error }) => (error as Error).name), ["ProcessTimeoutError"]);
  gate.resolve();
  await kit.advance(1_000);
  assertEquals(texts(kit.processed), ["next"]);
});

Deno.test("kit: of a batch those count as processed that did not fail", async () => {
  const sizes: number[] = [];
  await using kit = await testKit({
    processor: {
      processBatch(records) {
        sizes.push(records.length);
        return { failed: records.filter((record) => record.text() === "bad") };
      },
      getErrorHandlingMode: () => retryAndSkip(0),
    },
    config: { batchWindow: 30_000 },
  });
  for (const data of ["1", "bad", "2"]) kit.put("a", data);
  await kit.runUntilIdle();
  assertEquals(sizes, [3]);
  assertEquals(texts(kit.processed), ["1", "2"]);
  assertEquals(kit.skipped.length, 1);
  assert(kit.clock.monotonic() >= 30_000);
});

Deno.test("kit: a batch whose answer cannot be understood is not processed", async () => {
  const processor = {
    processBatch: () => ({ failed: ["no such record"] }),
    getErrorHandlingMode: () => retryAndSkip(0),
  };
  await using kit = await testKit({ processor });
  kit.put("a", "1");
  await kit.runUntilIdle();
  assertEquals([kit.processed.length, kit.skipped.length], [0, 1]);
});

Deno.test("kit: a shard that a record stops comes to rest before that record", async () => {
  const refuse = (record: KinesisRecord): void => {
    if (record.text() === "bad") throw new Error("no");
  };
  const processor = { process: refuse, getErrorHandlingMode: () => retryAndStop(1) };
  await using kit = await testKit({ processor });
  const { sequenceNumber } = kit.put("a", "good");
  kit.put("a", "bad");
  await kit.runUntilIdle();
  assertEquals(kit.told("shard_stopped").map(({ reason }) => reason), ["recordFailed"]);
  assertEquals(kit.checkpoints, { [SHARD]: sequenceNumber });
  assertEquals([texts(kit.processed), kit.skipped], [["good"], []]);
});

Deno.test("kit: a processor that waits for its checkpoint, or on the kit's clock, costs no real time", async () => {
  const { signal } = new AbortController();
  await using kit = await testKit({
    processor: {
      async process(_record, context) {
        await kit.clock.sleep(10_000, signal);
        await context.checkpoint();
      },
    },
    config: { checkpointMode: "manual", checkpointFrequency: 60_000 },
    patience: 5_000,
  });
  for (const n of ["1", "2", "3"]) kit.put("a", n);
  const startedAt = performance.now();
  await kit.runUntilIdle();
  assertEquals(kit.processed.length, 3);
  assert(kit.clock.monotonic() >= 3 * 10_000);
  assert(performance.now() - startedAt < 5_000);
});

Deno.test("kit: without a checkpoint by hand it comes to rest all the same", async () => {
  await using kit = await testKit({ processor: nothing, config: { checkpointMode: "manual" } });
  kit.put("a", "1");
  await kit.runUntilIdle();
  assertEquals([kit.processed.length, kit.checkpoints], [1, { [SHARD]: "TRIM_HORIZON" }]);
});

Deno.test("kit: virtual time waits for what a processor does for real", async () => {
  await using kit = await testKit({
    processor: {
      async process(record) {
        await crypto.subtle.digest("SHA-256", record.data);
        await new Promise((resolve) => setTimeout(resolve, 60));
      },
    },
    config: { processTimeout: 1_000, checkpointFrequency: 0 },
    patience: 500,
  });
  for (let n = 0; n < 10; n++) kit.put("a", String(n));
  await kit.runUntilIdle();
  assertEquals([kit.processed.length, kit.skipped.length], [10, 0]);
  assertEquals(kit.clock.monotonic(), 0);
});

Deno.test("kit: what does not come to rest says why", async () => {
  await using kit = await testKit({ processor: { process: hang }, patience: 5 });
  kit.put("a", "1");
  const error = await assertRejects(() => kit.runUntilIdle({ limit: 7_200_000 }), RangeError);
  assertEquals(
    error.message,
    `Cannot come to rest within 7200000 ms of virtual time: shard "${SHARD}" is not finished after ` +
      `TRIM_HORIZON; process of record 1 in ${SHARD} on worker-1 has not returned`,
  );
});

Deno.test("kit: without a worker nothing is finished, and that is an error", async () => {
  await using kit = await testKit({ processor: nothing, workers: 0 });
  await kit.runUntilIdle();
  kit.put("a", "1");
  await assertRejects(() => kit.runUntilIdle(), RangeError, "no worker is left");
  await kit.addWorker();
  await kit.runUntilIdle();
  assertEquals(kit.processed.length, 1);
});

Deno.test("kit: a split is followed, a factory makes a processor for each shard, and all of them are disposed", async () => {
  const log: string[] = [];
  {
    await using kit = await testKit({
      processor: (shardId) => ({
        process: (record) => void log.push(`${shardId} ${record.text()}`),
        shardEnded: () => void log.push(`${shardId} ended`),
        [Symbol.asyncDispose]: () => Promise.resolve().then(() => void log.push(`${shardId} gone`)),
      }),
    });
    kit.put("a", "1");
    kit.stream.split(SHARD);
    const { shardId: child } = kit.put("a", "2");
    await kit.runUntilIdle();
    assertEquals(kit.checkpoints[SHARD], "SHARD_END");
    assertEquals(log.slice(0, 2), [`${SHARD} 1`, `${SHARD} ended`]);
    assert(log.includes(`${child} 2`));
  }
  assertEquals(log.filter((line) => line.endsWith("gone")).length, 2);
});

Deno.test("kit: a shard that was split is not at rest before its end is written", async () => {
  await using kit = await testKit({ processor: nothing });
  kit.put("a", "1");
  await kit.runUntilIdle();
  kit.faults = ({ operation }) => operation === "write" ? 2_000 : undefined;
  kit.stream.split(SHARD);
  await kit.runUntilIdle();
  assertEquals(kit.checkpoints[SHARD], "SHARD_END");
});

Deno.test("kit: filter, onFailure and aggregates are those of the app", async () => {
  const failures: string[] = [];
  await using kit = await testKit({
    processor: {
      process: (record) => {
        if (record.text() === "bad") throw new Error("no");
      },
      getErrorHandlingMode: () => retryAndSkip(0),
    },
    filter: (record) => record.partitionKey !== "dull",
    onFailure: async ({ partitionKey }) => {
      await Promise.resolve();
      failures.push(partitionKey);
    },
  });
  kit.put("any", aggregate([{ partitionKey: "a", data: "1" }, { partitionKey: "b", data: "bad" }]));
  kit.put("dull", "2");
  await kit.runUntilIdle();
  assertEquals([texts(kit.processed), failures], [["1"], ["b"]]);
});

Deno.test("kit: the processor of a worker can be changed, and a worker can have its own", async () => {
  const log: string[] = [];
  const named = (name: string): RecordProcessor => ({
    process: (record) => void log.push(`${name} ${record.text()}`),
  });
  await using kit = await testKit({ processor: named("old") });
  kit.put("a", "1");
  await kit.runUntilIdle();
  const [first] = kit.workers;
  await first?.changeProcessor(named("new"));
  kit.put("a", "2");
  await kit.runUntilIdle();
  await first?.stop();
  const second = await kit.addWorker({ processor: named("other") });
  kit.put("a", "3");
  await kit.runUntilIdle();
  assertEquals(log, ["old 1", "new 2", "other 3"]);
  assertEquals(texts(second.processed), ["3"]);
  assertEquals(texts(first?.processed ?? []), ["1", "2"]);
});

Deno.test("kit: what it is not to be made of is refused by name", async () => {
  await assertRejects(() => testKit({ processor: {} }), TypeError, '"process"');
  await assertRejects(() => testKit({ processor: nothing, shards: 0 }), RangeError, "0 shards");
  await assertRejects(() => testKit({ processor: nothing, workers: 101 }), RangeError, "workers");
  const config = { heartbeat: 1 };
  await assertRejects(() => testKit({ processor: nothing, config }), RangeError, "heartbeat");
});
