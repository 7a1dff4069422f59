import { assertEquals } from "@std/assert";
import type { ShardRow } from "../../src/core/lease.ts";
import { batch, running } from "./runner_testing.ts";
import { settled } from "../virtual_clock.ts";

const TIP = { records: [], millisBehindLatest: 0 };

Deno.test("a row that shows a shard as far behind is put right once, when the shard has caught up", async () => {
  const { bench, runner } = await running({ process: () => {} });
  const writes = (): number =>
    bench.store.sent.filter(({ kind, set }) => kind === "shard" && set !== "delete").length;
  const shown = async (): Promise<ShardRow["millisBehindLatest"]> =>
    (await bench.store.shard("s")).millisBehindLatest;
  await runner.run({ ...batch(1, 2), millisBehindLatest: 7_200_000 });
  await settled();
  assertEquals(await shown(), 7_200_000);
  // Far from the tip a read may be empty too.
  await runner.run({ records: [], millisBehindLatest: 3_600_000 });
  await settled();
  assertEquals(await shown(), 7_200_000);
  const before = writes();
  for (let read = 0; read < 5; read++) {
    await runner.run(TIP);
    await settled();
  }
  assertEquals([await shown(), writes() - before], [0, 1]);
  await runner.close();
});

Deno.test("a shard has not caught up while a record is in hand, or waits for its checkpoint by hand", async () => {
  const gate = Promise.withResolvers<void>();
  const waiting = await running(
    { process: (record) => record.text() === "2" ? gate.promise : undefined },
    { concurrency: 2, orderBy: "none" },
  );
  const byHand = await running(
    { process: (record, context) => record.text() === "1" ? context.checkpoint() : undefined },
    { checkpointMode: "manual" },
  );
  for (const { bench, runner } of [waiting, byHand]) {
    await bench.clock.until(runner.run({ ...batch(1, 2), millisBehindLatest: 7_200_000 }));
    await settled();
    await bench.clock.until(runner.run(TIP));
    await settled();
    assertEquals((await bench.store.shard("s")).millisBehindLatest, 7_200_000);
  }
  gate.resolve();
  await settled();
  await waiting.runner.run(TIP);
  await settled();
  assertEquals((await waiting.bench.store.shard("s")).millisBehindLatest, 0);
  for (const { runner } of [waiting, byHand]) await runner.close();
});

Deno.test("a lag that is not worth a write stays in the row", async () => {
  const { bench, runner } = await running({ process: () => {} });
  await runner.run({ ...batch(1, 2), millisBehindLatest: 9_999 });
  await settled();
  const before = bench.store.sent.length;
  await runner.run(TIP);
  await settled();
  assertEquals(bench.store.sent.length, before);
  await runner.close();
});

Deno.test("a lease knows since when the oldest batch is in hand", async () => {
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const { bench, runner, lease } = await running(
    { process: (record) => gates[Number(record.text()) - 1]?.promise },
    { concurrency: 2, orderBy: "none" },
  );
  assertEquals(lease.inHandSince, undefined);
  const since = bench.clock.monotonic();
  void runner.run(batch(1, 1));
  await bench.clock.advance(500);
  void runner.run(batch(2, 2));
  await bench.clock.advance(500);
  assertEquals(lease.inHandSince, since);
  gates[0]?.resolve();
  await settled();
  assertEquals(lease.inHandSince, since + 500);
  gates[1]?.resolve();
  await settled();
  assertEquals(lease.inHandSince, undefined);
  assertEquals(bench.told("batch_processed").map(({ processMs }) => processMs), [1_000, 500]);
  await bench.clock.until(runner.close());
});
