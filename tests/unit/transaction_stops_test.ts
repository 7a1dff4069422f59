// Owns: a stop, or a handover, while a record is in hand whose processor writes items with the checkpoint.
import { assertEquals, assertRejects } from "@std/assert";
import { retryAndSkip } from "../../src/core/policy.ts";
import { LeaseLostError, StoreError } from "../../src/errors.ts";
import type { ProcessContext, RecordProcessor } from "../../src/processor.ts";
import type { TransactionItem } from "../../src/transaction_item.ts";
import type { MemoryLeaseStore } from "../../testing.ts";
import { at, batch, running } from "./runner_testing.ts";

const ITEMS: readonly TransactionItem[] = [{
  Put: { TableName: "sink", Item: { id: { S: "1" } } },
}];

/** A record, or a batch, of which the processor learns that its shard is to be given up before it writes anything. */
async function stopped(
  kind: "process" | "processBatch",
  work: (context: ProcessContext) => Promise<unknown>,
  isDown: boolean | "once",
) {
  const gate = Promise.withResolvers<void>();
  const processor: RecordProcessor = {
    getErrorHandlingMode: () => retryAndSkip(0),
    ...kind === "process"
      ? {
        async process(_, context) {
          await gate.promise;
          await work(context);
        },
      }
      : {
        async processBatch(records, context) {
          await gate.promise;
          const isWritten = await work(context);
          const failed = isWritten === false ? records : [];
          return { failed: failed.map((record) => ({ record, error: "x" })) };
        },
      },
  };
  const { runner, drain, bench, lease } = await running(processor);
  const { store } = bench;
  let isFailing = isDown !== false;
  Object.assign(store, {
    transact: ((change, transaction, signal) => {
      const isFailure = isFailing;
      isFailing = isDown === true;
      if (isFailure) throw new StoreError("Cannot write: a test", { kind: "throttled" });
      return store.table.transact(change, transaction, signal);
    }) satisfies MemoryLeaseStore["transact"],
  });
  const run = runner.run(batch(1, 5));
  await bench.clock.advance(10);
  drain.abort();
  gate.resolve();
  const outcome = await bench.clock.until(run);
  const told = [...bench.told("record_failed"), ...bench.told("record_skipped")].length;
  return { outcome, position: lease.position, told, written: store.table.transacted.length };
}

Deno.test("transact: what is in hand when the shard is to be given up is written, and finished", async () => {
  const transact = (context: ProcessContext) => context.transact(ITEMS);
  assertEquals(await stopped("process", transact, false), {
    ...{ outcome: "drained", position: at(1), told: 0, written: 1 },
  });
  assertEquals(await stopped("processBatch", transact, false), {
    ...{ outcome: "done", position: at(5), told: 0, written: 1 },
  });
});

Deno.test("transact: what cannot be written then is no failure of the record, and is left to the next owner", async () => {
  const left = { outcome: "drained", position: { kind: "trimHorizon" }, told: 0, written: 0 };
  const plain = (context: ProcessContext) => context.transact(ITEMS);
  const wrapped = (context: ProcessContext) =>
    context.transact(ITEMS).catch((cause) => Promise.reject(new Error("no", { cause })));
  const returned = (context: ProcessContext) => context.transact(ITEMS).catch(() => false);
  for (const work of [plain, wrapped]) {
    for (const kind of ["process", "processBatch"] as const) {
      assertEquals(await stopped(kind, work, true), left);
    }
  }
  assertEquals(await stopped("processBatch", returned, true), left);
});

Deno.test("transact: what was not written is not finished by whoever says nothing of it", async () => {
  const left = { outcome: "drained", position: { kind: "trimHorizon" }, told: 0, written: 0 };
  const silent = (context: ProcessContext) => context.transact(ITEMS).catch(() => {});
  for (const kind of ["process", "processBatch"] as const) {
    assertEquals(await stopped(kind, silent, true), left, kind);
  }
});

Deno.test("transact: what is written after all, when it is asked for once more, is finished", async () => {
  const again = async (context: ProcessContext) => {
    await assertRejects(() => context.transact(ITEMS), LeaseLostError);
    await context.transact(ITEMS);
  };
  assertEquals(await stopped("process", again, "once"), {
    ...{ outcome: "drained", position: at(1), told: 0, written: 1 },
  });
});

Deno.test("transact: the time for which DynamoDB takes nothing is not the record's", async () => {
  for (const work of [0, 600, 5_000]) {
    const { runner, bench, lease } = await running({
      getErrorHandlingMode: () => retryAndSkip(0),
      async process(_, context) {
        await context.transact(ITEMS);
        await bench.clock.sleep(work, bench.signal);
      },
    }, { processTimeout: 1_000 });
    const { store } = bench;
    let failures = 10;
    Object.assign(store, {
      transact: ((change, transaction, signal) => {
        if (failures-- > 0) throw new StoreError("Cannot write: a test", { kind: "throttled" });
        return store.table.transact(change, transaction, signal);
      }) satisfies MemoryLeaseStore["transact"],
    });
    assertEquals(await bench.clock.until(runner.run(batch(1, 1))), "done");
    const failed = bench.told("record_failed").map(({ error }) => error.name);
    assertEquals(failed, work < 1_000 ? [] : ["ProcessTimeoutError"]);
    assertEquals([lease.position, store.table.transacted.length], [at(1), 1]);
  }
});

Deno.test("transact: a record that counts as finished, whose items nobody waited for, is not passed without them", async () => {
  const { runner, drain, bench, lease } = await running({
    process: (_, context) => void context.transact(ITEMS),
  });
  const down = (): never => {
    throw new StoreError("Cannot write: a test", { kind: "throttled" });
  };
  Object.assign(bench.store, { transact: down });
  assertEquals(await bench.clock.until(runner.run(batch(1, 1))), "done");
  drain.abort();
  assertEquals(await bench.clock.until(lease.release()), "lost");
  assertEquals((await bench.store.shard("s")).checkpoint, { kind: "trimHorizon" });
});
