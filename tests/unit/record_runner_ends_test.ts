// Owns: a turn that ends in the middle of a batch: drained, lost, or behind the fence.
import { assert, assertEquals } from "@std/assert";
import { retryAndStop } from "../../src/core/policy.ts";
import { LeaseLostError } from "../../src/errors.ts";
import type { ProcessContext } from "../../src/processor.ts";
import { settled } from "../virtual_clock.ts";
import { at, batch, failing, running } from "./runner_testing.ts";

Deno.test("B1: a drain finishes the record in hand and starts no other", async () => {
  const gate = Promise.withResolvers<void>();
  const log: string[] = [];
  const { runner, lease, drain } = await running({
    async process(record, { signal }) {
      log.push(record.text());
      await gate.promise;
      assertEquals(signal.aborted, false);
    },
  });
  const run = runner.run(batch(1, 5));
  await settled();
  drain.abort();
  await settled();
  gate.resolve();
  assertEquals(await run, "drained");
  assertEquals([log, lease.position], [["1"], at(1)]);
});

Deno.test("B1: a drain ends the wait for the next attempt, and the record is left to the next owner", async () => {
  const log: string[] = [];
  const { runner, lease, drain } = await running(
    failing(log, [2], { getErrorHandlingMode: () => retryAndStop(1_000) }),
  );
  const run = runner.run(batch(1, 5));
  await settled();
  drain.abort();
  assertEquals(await run, "drained");
  assertEquals([log, lease.position], [["1#1", "2#1"], at(1)]);
});

Deno.test("record runner: a lost shard ends delivery, tells the record in hand, and finishes nothing", async () => {
  const gate = Promise.withResolvers<void>();
  const log: string[] = [];
  let context: ProcessContext | undefined;
  const { runner, lease } = await running({
    async process(record, given) {
      log.push(record.text());
      context = given;
      if (record.text() === "2") await gate.promise;
    },
  });
  const run = runner.run(batch(1, 5));
  await settled();
  lease.lose("test");
  assert(context?.signal.reason instanceof LeaseLostError);
  gate.resolve();
  assertEquals(await run, "lost");
  assertEquals([log, lease.position], [["1", "2"], at(1)]);
});

Deno.test("B11: behind the fence no record is started, noticed by anybody or not", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running({
    process(record) {
      log.push(record.text());
      if (record.text() === "2") bench.fence.lower();
    },
  });
  assertEquals(await runner.run(batch(1, 5)), "lost");
  assertEquals([log, lease.position], [["1", "2"], at(1)]);
});

Deno.test("B11: the fence goes down by time alone, on either clock, while records never wait", async () => {
  for (const [at, wallAt] of [[-20_000_000, 0], [0, -20_000_000]] as const) {
    const log: string[] = [];
    const { bench, runner } = await running({
      process(record) {
        log.push(record.text());
        if (record.text() !== "2") return;
        bench.fence.raise({ at, wallAt: bench.clock.now() + wallAt }, 10_000_000);
      },
    });
    assertEquals(await runner.run(batch(1, 5)), "lost");
    assertEquals(log, ["1", "2"]);
  }
});

Deno.test("record runner: a failure after the shard was lost is nobody's business any more", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running({
    process() {
      lease.lose("test");
      throw new Error("because it was aborted");
    },
    getErrorHandlingMode: () => log.push("asked") as never,
  });
  assertEquals(await runner.run(batch(1, 1)), "lost");
  assertEquals([log, bench.told("record_failed")], [[], []]);
});

Deno.test("record runner: a shard that is lost while the mode is asked for is not stopped here", async () => {
  const log: string[] = [];
  const { bench, runner, lease } = await running(failing(log, [1], {
    getErrorHandlingMode: () => {
      lease.lose("test");
      return retryAndStop(0);
    },
  }));
  assertEquals(await bench.clock.until(runner.run(batch(1, 2))), "lost");
  assertEquals(log, ["1#1"]);
});
