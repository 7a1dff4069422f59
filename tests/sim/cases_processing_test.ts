/**
 * Owns: directed cases of processing: the defects of the original about failing user code, failing reads and checkpoints.
 * Must not: draw what happens; that is `simulation.ts`.
 * Called by: `deno test`.
 *
 * Where each defect of the original, B1 to B31, is held in the simulator, or why it cannot be:
 *
 * | defects                              | where                                                                              |
 * | ------------------------------------ | ---------------------------------------------------------------------------------- |
 * | B2, B4, B7 to B10, B12, B18, B24, B25 | here; the iterators of B7 and B8 are the adapter's: `unit/kinesis_polling_test.ts`   |
 * | B1, B3, B11 to B16                   | `cases_ownership_test.ts`                                                          |
 * | B19 to B23                           | `cases_balancing_test.ts`                                                          |
 * | B5, B6, B17                          | `cases_resharding_test.ts`                                                         |
 * | B9, B25: listeners, missed events    | the app's, above the worker: `unit/event_hub_test.ts`, `unit/original_defects_test.ts` |
 * | B26: registry of names, failed start | there is no registry; `unit/original_defects_test.ts`                              |
 * | B27: state of several threads        | there is one thread; `unit/original_defects_test.ts`, and the operator of every seed |
 * | B28: table at the start, throughput  | the adapter's: `unit/dynamo_table_test.ts`                                         |
 * | B29: figures of the wrong shard      | events carry their shard: `unit/start_test.ts`                                     |
 * | B30: rows that cannot be read        | rows here are always whole: `unit/row_codec_test.ts`, `local/bad_input_test.ts`    |
 * | B31: fixed policies                  | settings: `unit/start_test.ts`; `initialPosition` is drawn by the seeds            |
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { Delivery } from "./checker.ts";
import type { SimProcess } from "./sim_process.ts";
import { MESSAGES_MS, MINUTE, play, SECOND } from "./stage.ts";

const FIRST = "shardId-0000";

Deno.test("B2: retryAndSkip goes on with the next record, and the checkpoint passes the one that was skipped", async () => {
  const attempts: number[] = [];
  const fails = ({ records, attempt }: Delivery): boolean => {
    if (records[0]?.index !== 1) return false;
    attempts.push(attempt);
    return true;
  };
  await play({ shards: 1, processor: { behaviour: { fails } } }, async (stage) => {
    attempts.length = 0;
    await stage.assemble(1);
    const records = stage.put(stage.open(0), 4);
    await stage.until(
      "the checkpoint is after the last record",
      () => sequenceOf(stage.row(FIRST)) === records[3]?.sequenceNumber,
      20 * SECOND,
    );
    assertEquals(attempts, [1, 2, 3]);
    assertEquals(stage.facts("record_skipped").length, 1);
    await stage.settle();
  });
});

Deno.test("B4: from changeProcessor on, every next record goes to the new one; none is lost, none comes twice", async () => {
  const seen: { readonly by: string; readonly delivery: Delivery }[] = [];
  const named = (by: string): { readonly workMs: (delivery: Delivery) => number } => ({
    workMs: (delivery) => {
      seen.push({ by, delivery });
      return 200;
    },
  });
  await play({ shards: 3, processor: { behaviour: named("old") } }, async (stage) => {
    seen.length = 0;
    const [worker] = await stage.assemble(1);
    assert(worker !== undefined);
    const shards = [0, 1, 2].map((place) => stage.open(place));
    for (const shard of shards) stage.put(shard, 50);
    await stage.advance(7 * SECOND);
    const before = seen.length;
    assert(before > 10 && worker.recordsInHand > 0);
    const processor = { kind: "record", workMsMax: 0, slow: 0, slowMsMax: 0, throws: 0 } as const;
    const mode = { kind: "retryAndSkip", retries: 2 } as const;
    let isDisposed = false;
    void worker.worker.changeProcessor(
      worker.makeProcessor({
        ...processor,
        ...{
          partial: 0,
          pulled: "none",
          sinks: false,
          packed: 0,
          windows: 0,
          mode,
          behaviour: named("new"),
        },
      }),
    ).then(() => isDisposed = true);
    await stage.advance(MINUTE);
    assertEquals(seen.slice(0, before).filter(({ by }) => by === "new").length, 0);
    assertEquals(seen.slice(before).filter(({ by }) => by === "old").length, 0);
    assertEquals(seen.length, 150);
    assert(isDisposed, "the old one is done with");
    await stage.settle();
    assertEquals(stage.duplicates(), 0);
  });
});

Deno.test("B7, B8: an idle shard that could not be read for longer than an iterator lives goes on where it was", async () => {
  // The iterators themselves, which expire or cannot be got, belong to the adapter: `unit/kinesis_polling_test.ts`.
  await play({ shards: 1, isGentle: false }, async (stage) => {
    await stage.assemble(1);
    stage.put(stage.open(0), 5);
    await stage.advance(20 * SECOND);
    const downUntil = stage.now + 8 * MINUTE;
    stage.direct = ({ task }) => task === `read ${FIRST}` ? { fate: "5xx before" } : undefined;
    await stage.advance(6 * MINUTE);
    const records = stage.put(stage.open(0), 5);
    await stage.advance(downUntil - stage.now);
    stage.direct = undefined;
    // It may have been left to others, of whom there are none: then it is taken again after a while.
    const { heartbeatTimeout, checkUnprocessedShardsFrequency } = stage.config;
    await stage.until(
      "its records are finished",
      () => records.every(({ isFinished }) => isFinished),
      heartbeatTimeout + checkUnprocessedShardsFrequency + MESSAGES_MS,
    );
    await stage.settle();
    assertEquals(stage.duplicates(), 0);
  });
});

Deno.test("B9: a throw in onMaxRetryExceeded ends neither the shard nor the worker", async () => {
  const behaviour = {
    fails: ({ records }: Delivery) => records[0]?.index === 0,
    onMaxRetryExceeded: () => {
      throw new Error("a callback that fails");
    },
  };
  await play({ shards: 2, processor: { behaviour } }, async (stage) => {
    const [worker] = await stage.assemble(1);
    const records = stage.put(stage.open(0), 3);
    await stage.until(
      "the next records are finished",
      () => records.every(({ isFinished }) => isFinished),
      20 * SECOND,
    );
    const told = stage.facts("processor_failed").map(({ fact }) => fact.operation);
    assertEquals(told, ["onMaxRetryExceeded"]);
    assertEquals(worker?.state, "running");
    await stage.settle();
  });
});

Deno.test("B10: a factory that throws for one shard hinders no other one, and is asked again", async () => {
  let brokenUntil = Infinity;
  let now = (): number => 0;
  const onMake = (shardId: string): void => {
    if (shardId === FIRST && now() < brokenUntil) throw new Error("a factory that fails");
  };
  await play(
    { shards: 3, isGentle: false, processor: { kind: "factory", behaviour: { onMake } } },
    async (stage) => {
      now = () => stage.now;
      brokenUntil = Infinity;
      await stage.assemble(1);
      const records = [0, 1, 2].map((place) => stage.put(stage.open(place), 3)).flat();
      await stage.advance(30 * SECOND);
      assertEquals(records.map(({ isFinished }) => isFinished).filter(Boolean).length, 6);
      brokenUntil = stage.now;
      const { heartbeatTimeout, checkUnprocessedShardsFrequency } = stage.config;
      await stage.until(
        "the shard goes on",
        () => records.every(({ isFinished }) => isFinished),
        heartbeatTimeout + checkUnprocessedShardsFrequency + MESSAGES_MS,
      );
      await stage.settle();
    },
  );
});

Deno.test("B12: a processor that hangs holds its shard no longer than processTimeout for each attempt", async () => {
  const workMs = ({ records, attempt }: Delivery): number =>
    records[0]?.index === 1 && attempt === 1 ? 15 * MINUTE : 5;
  const config = { processTimeout: 10 * SECOND };
  await play({ shards: 2, config, processor: { behaviour: { workMs } } }, async (stage) => {
    await stage.assemble(1);
    const records = stage.put(stage.open(0), 4);
    await stage.until(
      "the records after it are finished",
      () => records.every(({ isFinished }) => isFinished),
      config.processTimeout + 20 * SECOND,
    );
    await stage.advance(15 * MINUTE);
    await stage.settle();
  });
});

Deno.test("B18: after a crash in the middle of a batch, only what was finished in the last moments comes again", async () => {
  const WORK_MS = 20;
  await play({ shards: 1, processor: { behaviour: { workMs: () => WORK_MS } } }, async (stage) => {
    const [worker] = await stage.assemble(1);
    assert(worker !== undefined);
    stage.put(stage.open(0), 1_000);
    await stage.advance(12 * SECOND);
    stage.fleet.crash(worker);
    stage.fleet.start(worker.workerId);
    await stage.settle();
    const { checkpointFrequency } = stage.config;
    // What two checkpoints lie apart, the message with the first of them, and the record in hand.
    assert(
      stage.duplicates() <= (checkpointFrequency + 100) / WORK_MS + 1,
      `${stage.duplicates()}`,
    );
    assert(stage.deliveries.filter(({ process }) => process === worker).length > 200);
  });
});

Deno.test("B24: while stream or table do not answer, they are asked again at growing distances", async () => {
  const config = { maxKinesisRetries: 0, maxDynamoDBRetries: 0 };
  for (const outage of ["stream", "table"]) {
    await play({ shards: 4, config, isGentle: false }, async (stage) => {
      await stage.assemble(2);
      stage.putRecords();
      await stage.advance(MINUTE);
      let calls = 0;
      stage.direct = ({ task }) => {
        const isToStream = task.startsWith("read shardId") || task === "list shards";
        if (isToStream !== (outage === "stream")) return undefined;
        calls += 1;
        return { fate: "throttled" };
      };
      const MINUTES = 10;
      await stage.advance(MINUTES * MINUTE);
      assert(calls > 4 * MINUTES, "it is tried again");
      assert(calls < 60 * MINUTES, `${calls} calls`);
      await stage.settle();
    });
  }
});

Deno.test("B25: a stop at any moment of the start is a stop, and leaves no shard behind", async () => {
  await play({ shards: 12 }, async (stage) => {
    await stage.assemble(1);
    stage.putRecords();
    await stage.advance(MINUTE);
    const { shutdownTimeout, heartbeat } = stage.config;
    for (const afterMs of [0, 10, 25, 40, 60, 80, 110, 150, 200, 300, 2_000, 5_050]) {
      const hasty: SimProcess = stage.fleet.start();
      await stage.advance(afterMs);
      stage.fleet.stop(hasty);
      const hasStopped = (): boolean => hasty.state === "stopped";
      await stage.until(`it has stopped after ${afterMs} ms`, hasStopped, shutdownTimeout);
      await stage.untilHeld(heartbeat + MESSAGES_MS);
      await stage.advance(heartbeat);
    }
    await stage.settle();
    assertEquals(stage.shares(), [12]);
    assertEquals(stage.duplicates(), 0);
  });
});

Deno.test("B25: a stop while the worker registers leaves no row behind, which the others would take for a worker", async () => {
  await play({ shards: 2 }, async (stage) => {
    await stage.assemble(1);
    for (let afterMs = 5; afterMs < 200; afterMs += 5) {
      const hasty = stage.fleet.start();
      await stage.advance(afterMs);
      stage.fleet.stop(hasty);
      await stage.advance(SECOND);
      assertEquals(stage.workerRows(), ["w0"], `stopped after ${afterMs} ms`);
    }
  });
});

function sequenceOf(row: { readonly checkpoint: { readonly kind: string } } | null): string {
  const { checkpoint } = row ?? {};
  return checkpoint !== undefined && "sequenceNumber" in checkpoint
    ? String(checkpoint.sequenceNumber)
    : "";
}
