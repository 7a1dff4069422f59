// Owns: a processor that a factory makes: how often it is asked, and what comes meanwhile.
import { assertEquals } from "@std/assert";
import { TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import type { RecordProcessor } from "../../src/processor.ts";
import { settled } from "../virtual_clock.ts";
import { batch, running } from "./runner_testing.ts";

Deno.test("B10: a factory that keeps throwing stops the shard here, before its record", async () => {
  let calls = 0;
  const { bench, runner, lease } = await running(() => {
    calls += 1;
    throw new Error("no database");
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "processorFailed");
  assertEquals([calls, lease.position], [3, TRIM_HORIZON]);
  const told = bench.told("processor_failed");
  assertEquals(told.map(({ operation }) => operation), ["factory", "factory", "factory"]);
});

Deno.test("B10: a factory that throws once loses nothing", async () => {
  let calls = 0;
  const seen: string[] = [];
  const { bench, runner } = await running(() => {
    if (++calls === 1) throw new Error("not yet");
    return { process: (record) => void seen.push(record.text()) };
  });
  assertEquals(await bench.clock.until(runner.run(batch(1, 3))), "done");
  assertEquals([seen, calls], [["1", "2", "3"], 2]);
});

Deno.test("lanes: a factory is asked once for all lanes, also when it throws", async () => {
  let calls = 0;
  const { bench, runner } = await running(() => {
    calls += 1;
    return Promise.reject(new Error("no processor"));
  }, { concurrency: 16 });
  void runner.run(batch(1, 100));
  assertEquals(await bench.clock.until(runner.settled()), "processorFailed");
  assertEquals([calls, bench.told("processor_failed").length], [3, 3]);
});

for (const concurrency of [1, 2]) {
  Deno.test(`factory: what comes while a processor is made is seen before its first record, with concurrency ${concurrency}`, async () => {
    const log: string[] = [];
    const gates = new Map<string, PromiseWithResolvers<void>>();
    const factory = (name: string) => async (): Promise<RecordProcessor> => {
      const gate = Promise.withResolvers<void>();
      gates.set(name, gate);
      await gate.promise;
      return { process: (record) => void log.push(`${name} ${record.text()}`) };
    };
    const { runner, processors, drain } = await running(factory("first"), { concurrency });
    // More than lanes have in hand.
    const run = runner.run(batch(1, 100));
    await settled();
    const changed = processors.change(factory("second"));
    gates.get("first")?.resolve();
    await settled();
    assertEquals([log, [...gates.keys()]], [[], ["first", "second"]], "a change of the processor");
    await changed;
    drain.abort();
    gates.get("second")?.resolve();
    assertEquals([await run, log], ["drained", []], "a drain");
  });
}

Deno.test("factory: one that hangs keeps the shard neither from its next processor nor from its next owner", async () => {
  const log: string[] = [];
  const hung = Promise.withResolvers<RecordProcessor>();
  const { runner, processors, drain } = await running(() => hung.promise);
  const run = runner.run(batch(1, 1));
  await settled();
  await processors.change({ process: (record) => void log.push(record.text()) });
  assertEquals([await run, log], ["done", ["1"]]);
  await processors.change(() => new Promise(() => {}));
  const next = runner.run(batch(2, 2));
  await settled();
  drain.abort();
  assertEquals(await next, "drained");
  hung.resolve({ process: () => {}, [Symbol.asyncDispose]: () => void log.push("disposed") });
  await settled();
  assertEquals(log, ["1", "disposed"]);
});
