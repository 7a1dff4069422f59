// Owns: a processor that writes items: what goes together, what follows a refusal, where a run stops.
import type { TransactionItem } from "../../src/transaction_item.ts";
import { delay } from "@std/async/delay";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { dynamoSink, type DynamoSinkOptions } from "../../src/sink/dynamo_sink.ts";
import { retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import { LeaseLostError, type RefusedItem, StoreError } from "../../src/errors.ts";
import type { KinesisRecord } from "../../src/processor.ts";
import { MemoryLeaseStore, MemoryStream, testKit } from "../../testing.ts";
import { ReactoKinesixApp } from "../../src/app.ts";
import { at, batch, running } from "./runner_testing.ts";

function put(id: string): TransactionItem {
  return { Put: { TableName: "sink", Item: { id: { S: id } } } };
}

function count(id: string): TransactionItem {
  return { Update: { TableName: "sink", Key: { id: { S: id } }, UpdateExpression: "ADD n :one" } };
}

/** Throws, or gives what DynamoDB refuses. */
type Refuse = (ids: readonly (string | undefined)[]) => readonly RefusedItem[];

/** A shard in hand with a sink, and what was written, transaction by transaction. */
async function sinking(
  options: DynamoSinkOptions,
  { refuse = () => [], ...rest }: { refuse?: Refuse } & Parameters<typeof running>[1] = {},
) {
  const it = await running(dynamoSink(options), rest);
  const { store } = it.bench;
  let calls = 0;
  Object.assign(store, {
    transact: ((change, transaction, signal) => {
      calls += 1;
      const refused = refuse(idsOf(transaction.items));
      if (refused.length > 0) return Promise.resolve({ kind: "refused", refused });
      return store.table.transact(change, transaction, signal);
    }) satisfies MemoryLeaseStore["transact"],
  });
  return {
    ...it,
    written: () => store.table.transacted.map(idsOf),
    calls: () => calls,
    checkpoint: async () => (await store.shard("s")).checkpoint,
  };
}

function idsOf(items: readonly TransactionItem[]): readonly (string | undefined)[] {
  return items.map(({ Put, Update }) => (Put?.Item ?? Update?.Key)?.id?.S);
}

function range(first: number, last: number): readonly string[] {
  return Array.from({ length: last - first + 1 }, (_, i) => String(first + i));
}

const byText = (record: KinesisRecord) => [put(record.text())];

Deno.test("sink: as many records share a transaction as have 99 items", async () => {
  const { bench, runner, written, checkpoint, lease } = await sinking({ items: byText });
  assertEquals(await bench.clock.until(runner.run(batch(1, 250))), "done");
  assertEquals(written(), [range(1, 99), range(100, 198), range(199, 250)]);
  assertEquals([await checkpoint(), lease.position], [at(250), at(250)]);
  assertEquals(bench.store.sent.length, 1, "but for the claim nothing else is written");
});

Deno.test("sink: a transaction ends before its items are too large together, or one comes twice", async () => {
  const large = await sinking({
    items: (record) => [{
      Put: { TableName: "sink", Item: { id: { S: record.text() }, b: { B: new Uint8Array(1e6) } } },
    }],
  });
  assertEquals(await large.bench.clock.until(large.runner.run(batch(1, 7))), "done");
  assertEquals(large.written(), [range(1, 3), range(4, 6), ["7"]]);
  const twice = await sinking({ items: (record) => [count(`c${Number(record.text()) % 3}`)] });
  assertEquals(await twice.bench.clock.until(twice.runner.run(batch(1, 7))), "done");
  assertEquals(twice.written(), [["c1", "c2", "c0"], ["c1", "c2", "c0"], ["c1"]]);
});

Deno.test("sink: records without items are finished with the others, and alone by the checkpoint that follows", async () => {
  const { bench, runner, written, checkpoint } = await sinking({
    items: (record) => Number(record.text()) < 4 ? byText(record) : [],
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 5))), "done");
  assertEquals([written(), await checkpoint()], [[["1", "2", "3"]], at(5)]);
  assertEquals(await bench.clock.until(runner.run(batch(6, 9))), "done");
  await bench.clock.advance(1_000);
  assertEquals([written().length, await checkpoint()], [1, at(9)]);
});

Deno.test("sink: the record whose item is refused has failed alone; those before and after it are written", async () => {
  const gaveUp: string[] = [];
  const { bench, runner, written, checkpoint } = await sinking({
    items: byText,
    getErrorHandlingMode: () => retryAndSkip(1),
    onMaxRetryExceeded: (record, _, error) => void gaveUp.push(`${record.text()}: ${error}`),
  }, {
    refuse: (ids) => {
      const index = ids.indexOf("5");
      return index < 0 ? [] : [{ index, code: "ConditionalCheckFailed", message: "" }];
    },
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 9))), "done");
  assertEquals(written(), [range(1, 4), range(6, 9)]);
  assertEquals(await checkpoint(), at(9));
  assertEquals(gaveUp, [
    '5: TransactionRefusedError: Cannot write items with the checkpoint: DynamoDB refused item 0 (Put in table "sink"): ' +
    "ConditionalCheckFailed",
  ]);
  const failed = bench.told("record_failed").map(({ sequenceNumber, attempt }) =>
    `${sequenceNumber} #${attempt}`
  );
  assertEquals(failed, ["5 #1", "5 #2"]);
});

Deno.test("sink: with retryAndStop the checkpoint stays before the record", async () => {
  const { bench, runner, written, checkpoint } = await sinking({
    items: byText,
    getErrorHandlingMode: () => retryAndStop(0),
  }, {
    refuse: (ids) =>
      ids.includes("5") ? [{ index: ids.indexOf("5"), code: "ValidationError", message: "" }] : [],
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 9))), "recordFailed");
  assertEquals([written(), await checkpoint()], [[range(1, 4)], at(4)]);
});

Deno.test("sink: a record whose items DynamoDB does not take is found, and has failed alone", async () => {
  const { bench, runner, written, checkpoint, calls } = await sinking({
    items: byText,
    getErrorHandlingMode: () => retryAndSkip(0),
  }, {
    refuse: (ids) => {
      if (ids.includes("37")) throw new StoreError("no such thing", { kind: "invalid" });
      return [];
    },
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 99))), "done");
  assertEquals(written().flat(), range(1, 99).filter((id) => id !== "37"));
  assertEquals(await checkpoint(), at(99));
  assertEquals(bench.told("record_failed").map(({ sequenceNumber }) => sequenceNumber), ["37"]);
  assertEquals(calls() < 25, true, `${calls()} calls`);
});

Deno.test("sink: what items throws, or gives too much of, fails its record after those before it are written", async () => {
  for (
    const [what, text] of [
      [() => range(1, 100).map(put), "Cannot write 100 items with the checkpoint"],
      [() => undefined as unknown as [], "Cannot write a value of type undefined"],
      [() => {
        throw new TypeError("odd");
      }, "odd"],
    ] as const
  ) {
    const { bench, runner, written } = await sinking({
      items: (record) => record.text() === "3" ? what() : byText(record),
      getErrorHandlingMode: () => retryAndSkip(0),
    });
    assertEquals(await bench.clock.until(runner.run(batch(1, 4))), "done");
    assertEquals(written(), [["1", "2"], ["4"]]);
    const [failed] = bench.told("record_failed");
    assertEquals(failed?.sequenceNumber, "3");
    assertEquals(failed?.error.message.includes(text), true, failed?.error.message);
  }
});

Deno.test("sink: items that hang are ended by processTimeout; a transaction that takes long is not", async () => {
  const { bench, runner, written } = await sinking({
    items: (record) => record.text() === "2" ? new Promise(() => {}) : byText(record),
    getErrorHandlingMode: () => retryAndSkip(0),
  }, { processTimeout: 1_000 });
  const { store } = bench;
  const transact = store.table.transact.bind(store.table);
  store.table.transact = async (...sent) => {
    await bench.clock.sleep(20_000, bench.signal);
    return await transact(...sent);
  };
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "done");
  assertEquals(written(), [["1"], ["3"]]);
  assertEquals(bench.told("record_failed").map(({ error }) => error.name), ["ProcessTimeoutError"]);
});

Deno.test("sink: a stop ends a run after the records in hand; nothing has failed", async () => {
  const asked: string[] = [];
  const { bench, runner, drain, written, checkpoint } = await sinking({
    items: (record) => {
      asked.push(record.text());
      if (record.text() === "150") drain.abort();
      return byText(record);
    },
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 250))), "drained");
  assertEquals(written(), [range(1, 99), range(100, 150)]);
  assertEquals([asked.length, await checkpoint()], [150, at(150)]);
  assertEquals(bench.told("record_failed"), []);
});

Deno.test("sink: a swap of the processor ends a run after the records in hand", async () => {
  const { bench, runner, processors, written } = await sinking({
    items: (record) => {
      if (record.text() === "3") void processors.change(dynamoSink({ items: () => [put("new")] }));
      return byText(record);
    },
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 5))), "done");
  assertEquals(written().flat(), ["1", "2", "3", "new", "new"]);
});

Deno.test("sink: with concurrency above 1 it is refused, by whoever made it", async () => {
  const sink = dynamoSink({ items: byText });
  const start = (processor: typeof sink | (() => typeof sink)) =>
    ReactoKinesixApp.createNew({
      ...{ appName: "App", streamName: "Stream", workerId: "A", config: { concurrency: 2 } },
      ports: { store: new MemoryLeaseStore(), source: new MemoryStream({ shards: 1 }) },
      processor,
    });
  await assertRejects(() => start(sink), TypeError, 'the setting "concurrency" is 2');
  await using kit = await testKit({
    processor: () => sink,
    config: { concurrency: 2 },
  });
  kit.put("a", "1");
  await kit.clock.advance(60_000);
  const [failed] = kit.told("processor_failed");
  assertEquals([failed?.operation, failed?.error.name], ["factory", "TypeError"]);
  assertEquals(Object.values(kit.checkpoints), ["TRIM_HORIZON"]);
});

Deno.test("sink: in the manual mode the transaction is the checkpoint", async () => {
  const { bench, runner, written, checkpoint, lease } = await sinking({ items: byText }, {
    checkpointMode: "manual",
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 5))), "done");
  assertEquals([written(), await checkpoint(), lease.isAllFinished], [[range(1, 5)], at(5), true]);
});

Deno.test("sink: in the manual mode records without items are checkpointed too, so that the shard can end", async () => {
  const { bench, runner, written, checkpoint, lease } = await sinking({ items: () => [] }, {
    checkpointMode: "manual",
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 5))), "done");
  assertEquals([written(), await checkpoint(), lease.isAllFinished], [[], at(5), true]);
});

Deno.test("sink: in the manual mode a record that is given up is passed, so that the shard can end", async () => {
  for (const isHookBroken of [false, true]) {
    const { bench, runner, written, checkpoint, lease } = await sinking({
      items: byText,
      getErrorHandlingMode: () => retryAndSkip(0),
      onMaxRetryExceeded() {
        if (isHookBroken) throw new Error("hook");
      },
    }, {
      checkpointMode: "manual",
      refuse: (ids) =>
        ids.includes("5") ? [{ index: ids.indexOf("5"), code: "x", message: "" }] : [],
    });
    assertEquals(await bench.clock.until(runner.run(batch(1, 5))), "done");
    assertEquals([written(), lease.isAllFinished], [[range(1, 4)], true]);
    await bench.clock.advance(60_000);
    assertEquals(await checkpoint(), at(5));
  }
});

Deno.test("sink: a record that stops its shard is not passed in the manual mode", async () => {
  const { bench, runner, lease } = await sinking({
    items: byText,
    getErrorHandlingMode: () => retryAndStop(0),
  }, { checkpointMode: "manual", refuse: () => [{ index: 0, code: "x", message: "" }] });
  assertEquals(await bench.clock.until(runner.run(batch(1, 1))), "recordFailed");
  assertEquals(lease.isAllFinished, false);
});

Deno.test("sink: what it takes is checked", () => {
  const none = {} as DynamoSinkOptions;
  assertThrows(() => dynamoSink(none), TypeError, '"items" must be a function');
});

Deno.test("sink: in a test kit each record is a transaction, and what was written can be asked", async () => {
  await using kit = await testKit({ processor: dynamoSink({ items: byText }), shards: 2 });
  for (const text of range(1, 20)) kit.put(`key ${text}`, text);
  await kit.runUntilIdle();
  const written = kit.store.transacted.flatMap(idsOf).map(Number).sort((a, b) => a - b);
  assertEquals(written.map(String), range(1, 20));
});

Deno.test("transact: a batch goes as a whole, and a record that was written is not written again", async () => {
  let attempts = 0;
  const written: string[] = [];
  await using kit = await testKit({
    processor: {
      async processBatch(records, context) {
        await context.transact([count("total")]);
        attempts += 1;
        if (attempts === 1) throw new Error("after it was written");
        written.push(...records.map((record) => record.text()));
      },
    },
  });
  for (const text of range(1, 5)) kit.put("key", text);
  // Idle it is as soon as everything is checkpointed.
  await kit.clock.advance(60_000);
  assertEquals([kit.store.transacted.length, attempts, written], [1, 2, range(1, 5)]);
});

Deno.test("transact: at the end of a shard it is refused, whether the last checkpoint is written or not", async () => {
  for (const checkpointFrequency of [0, 60_000]) {
    const failures: unknown[] = [];
    await using kit = await testKit({
      config: { checkpointFrequency },
      processor: {
        process: () => {},
        async shardEnded(context) {
          await context.transact([count("total")]).catch((error) => failures.push(error));
        },
      },
    });
    kit.put("key", "1");
    kit.stream.split("shardId-000000000000");
    await kit.runUntilIdle();
    assertEquals(kit.store.transacted, []);
    assertEquals(failures.map((failure) => failure instanceof TypeError), [true]);
  }
});

Deno.test("transact: who does not wait for it, and loses the shard, ends no worker", async () => {
  const sent: Promise<void>[] = [];
  class BusyStore extends MemoryLeaseStore {
    override transact(): Promise<never> {
      return Promise.reject(new StoreError("busy", { kind: "throttled" }));
    }
  }
  const source = new MemoryStream({ shards: 1 });
  source.put("key", "1");
  const app = await ReactoKinesixApp.createNew({
    ...{ appName: "A", streamName: "S", ports: { store: new BusyStore(), source } },
    processor: {
      process: (_record, context) => void sent.push(context.transact([count("total")])),
    },
  });
  while (sent.length === 0) await delay(1);
  await app.stop();
  await delay(1);
  // Nobody has listened to it until now.
  await assertRejects(() => sent[0] ?? Promise.resolve(), LeaseLostError);
});

Deno.test("sink: in a test kit replies are lost, workers crash, and nothing is written twice or left out", async () => {
  let sent = 0;
  await using kit = await testKit({
    processor: dynamoSink({ items: byText, getErrorHandlingMode: () => retryAndStop(0) }),
    workers: 2,
    faults: ({ operation }) =>
      operation === "transact"
        ? ([undefined, "replyLost", "throttled"] as const)[sent++ % 3]
        : undefined,
  });
  for (const text of range(1, 30)) kit.put("key", text);
  const isBegun = (): boolean => kit.store.transacted.length > 5;
  for (let i = 0; i < 100 && !isBegun(); i++) await kit.clock.advance(1_000);
  const [{ owner } = { owner: null }] = kit.store.rows("shard");
  kit.workers.find(({ workerId }) => workerId === owner)?.crash();
  for (const text of range(31, 40)) kit.put("key", text);
  await kit.runUntilIdle();
  assertEquals(kit.store.transacted.flatMap(idsOf), [...range(1, 40)]);
});
