// Owns: checkpoints by hand, while a batch is processed.
import { assertEquals, assertRejects } from "@std/assert";
import { type Checkpoint, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { LeaseLostError } from "../../src/errors.ts";
import type { ProcessContext, RecordProcessor } from "../../src/processor.ts";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";
import { at, batch, running } from "./runner_testing.ts";

Deno.test("record runner: a checkpoint by hand is written before it resolves", async () => {
  const written: unknown[] = [];
  const { bench, runner, lease } = await running({
    async process(record, { checkpoint }) {
      if (record.text() !== "2") return;
      await checkpoint();
      written.push((await bench.store.shard("s")).checkpoint);
    },
  }, { checkpointMode: "manual" });
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "done");
  assertEquals(written, [at(2)]);
  assertEquals(lease.position, at(2), "a record that nobody said is finished is not");
});

Deno.test("record runner: with processBatch a checkpoint by hand is for the given record, or the batch", async () => {
  const positions: Checkpoint[] = [];
  const { bench, runner, lease } = await running({
    async processBatch(records, { checkpoint }) {
      await checkpoint(records[1]);
      positions.push(lease.position);
      await checkpoint();
      positions.push(lease.position);
    },
  }, { checkpointMode: "manual" });
  await bench.clock.until(runner.run(batch(1, 3)));
  assertEquals(positions, [at(2), at(3)]);
});

Deno.test("record runner: a checkpoint by hand of a record before the last one goes back nowhere", async () => {
  const contexts: ProcessContext[] = [];
  const { bench, runner, lease } = await running({
    process: (_record, context) => void contexts.push(context),
  }, { checkpointMode: "manual" });
  await runner.run(batch(1, 2));
  await bench.clock.until(contexts[1]?.checkpoint() ?? Promise.resolve());
  // A processor that finishes its records in the background may do so in any order.
  await bench.clock.until(contexts[0]?.checkpoint() ?? Promise.resolve());
  assertEquals([lease.position, (await bench.store.shard("s")).checkpoint], [at(2), at(2)]);
});

Deno.test("record runner: a checkpoint by hand fails in the mode auto, after a record of another shard, and after the shard was lost", async () => {
  const contexts: ProcessContext[] = [];
  const keep: RecordProcessor = { process: (_record, context) => void contexts.push(context) };
  const auto = await running(keep);
  await auto.runner.run(batch(1, 1));
  await assertRejects(async () => await contexts[0]?.checkpoint(), TypeError, '"checkpointMode"');

  const manual = await running(keep, { checkpointMode: "manual" });
  await manual.runner.run(batch(1, 1));
  const foreign = new DeliveredRecord("other", {
    sequenceNumber: "9",
    partitionKey: "key",
    data: new Uint8Array(),
    approximateArrivalTimestamp: 0,
  });
  await assertRejects(async () => await contexts[1]?.checkpoint(foreign), RangeError, '"other"');
  assertEquals(manual.lease.position, TRIM_HORIZON);
  manual.lease.lose("test");
  await assertRejects(async () => await contexts[1]?.checkpoint(), LeaseLostError);
});
