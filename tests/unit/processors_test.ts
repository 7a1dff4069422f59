// Owns: which processor is used, and when each one is disposed: exactly once.
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { AppFact, EventSink } from "../../src/events.ts";
import type { ProcessorSource, RecordProcessor } from "../../src/processor.ts";
import { checkProcessorSource, Processors, type Slot } from "../../src/runtime/processors.ts";
import { settled, VirtualClock } from "../virtual_clock.ts";

/** A processor that says when it is disposed. */
function processor(name: string, log: string[]): RecordProcessor {
  return { process: () => {}, [Symbol.asyncDispose]: () => void log.push(`dispose ${name}`) };
}

/** Processors that may take as long as they like. */
function processorsOf(source: ProcessorSource, emit: EventSink = () => {}): Processors {
  return new Processors(source, { clock: new VirtualClock(), emit, processTimeout: 0 });
}

/** Uses the processor of a shard for a moment. */
async function useOnce(slot: Slot): Promise<RecordProcessor> {
  const use = slot.use();
  try {
    return await use.processor;
  } finally {
    await use.done();
  }
}

Deno.test("B4: after a change the next record gets the new processor, the record in hand keeps the old one", async () => {
  const log: string[] = [];
  const [first, second] = [processor("first", log), processor("second", log)];
  const facts: AppFact[] = [];
  const processors = processorsOf(first, (fact) => facts.push(fact));
  const slot = processors.open("s");
  const use = slot.use();
  assertEquals(use.processor, first);
  let isChanged = false;
  const changed = processors.change(second).then(() => isChanged = true);
  await settled();
  assertEquals([isChanged, log, use.retired.aborted], [false, [], true]);
  await use.done();
  await changed;
  assertEquals(log, ["dispose first"]);
  const next = slot.use();
  assertEquals(next.processor, second);
  await next.done();
  assertEquals(facts.map(({ type }) => type), ["processor_changed"]);
  await slot.close();
  await processors.close();
  assertEquals(log, ["dispose first", "dispose second"]);
});

Deno.test("processors: one that comes after the end is disposed at once: nobody else would", async () => {
  const log: string[] = [];
  const facts: AppFact[] = [];
  const processors = processorsOf(processor("first", log), (fact) => facts.push(fact));
  await processors.close();
  await processors.change(processor("late", log));
  await processors.change(processor("later", log));
  assertEquals(log, ["dispose first", "dispose late", "dispose later"]);
  assertEquals(facts, [], "nothing was changed");
});

Deno.test("processors: an idle shard lets go of the old processor at once", async () => {
  const log: string[] = [];
  const processors = processorsOf(processor("first", log));
  const slot = processors.open("s");
  await slot.use().done();
  await processors.change(processor("second", log));
  assertEquals(log, ["dispose first"]);
  await slot.close();
});

Deno.test("processors: a change before any shard is there, and one to the same, are no trouble", async () => {
  const log: string[] = [];
  const first = processor("first", log);
  const facts: AppFact[] = [];
  const processors = processorsOf(first, (fact) => facts.push(fact));
  await processors.change(first);
  assertEquals([log, facts], [[], []]);
  await processors.change(processor("second", log));
  assertEquals(log, ["dispose first"]);
});

Deno.test("processors: several changes at once dispose each processor once, in the end all but the last", async () => {
  const log: string[] = [];
  const processors = processorsOf(processor("0", log));
  const slots = ["s", "t"].map((id) => processors.open(id));
  const uses = slots.map((slot) => slot.use());
  const changes = ["1", "2", "3"].map((name) => processors.change(processor(name, log)));
  await settled();
  await Promise.all(uses.map((use) => use.done()));
  await Promise.all(changes);
  assertEquals([...log].sort(), ["dispose 0", "dispose 1", "dispose 2"]);
  await Promise.all(slots.map((slot) => slot.close()));
  await processors.close();
  assertEquals([...log].sort(), ["dispose 0", "dispose 1", "dispose 2", "dispose 3"]);
});

Deno.test("B23: a factory makes one processor per shard, disposed when the shard is given up", async () => {
  const log: string[] = [];
  const processors = processorsOf((shardId) => {
    log.push(`make ${shardId}`);
    return processor(shardId, log);
  });
  const slots = ["s", "t"].map((id) => processors.open(id));
  for (let record = 0; record < 3; record++) {
    for (const slot of slots) await useOnce(slot);
  }
  assertEquals(log, ["make s", "make t"]);
  await slots[0]?.close();
  assertEquals(log.splice(2), ["dispose s"]);
  await processors.change((shardId) => processor(`new ${shardId}`, log));
  assertEquals(log.splice(2), ["dispose t"]);
  const [, second] = slots;
  if (second !== undefined) await useOnce(second);
  await slots[1]?.close();
  await slots[1]?.close();
  await processors.close();
  assertEquals(log.splice(2), ["dispose new t"]);
});

Deno.test("B10: a factory that throws is asked again, and leaves nothing behind", async () => {
  const log: string[] = [];
  let failures = 2;
  const processors = processorsOf(() => {
    if (failures-- > 0) throw new Error("not yet");
    return Promise.resolve(processor("late", log));
  });
  const slot = processors.open("s");
  for (let attempt = 0; attempt < 2; attempt++) {
    await assertRejects(() => useOnce(slot), Error, "not yet");
  }
  assert(await useOnce(slot));
  await processors.change(processor("next", log));
  assertEquals(log, ["dispose late"]);
  await slot.close();
});

Deno.test("processors: several records of a shard share one version, and one that began keeps the old one", async () => {
  const log: string[] = [];
  let made = 0;
  const factory = (name: string) => () => processor(`${name} ${made += 1}`, log);
  const processors = processorsOf(factory("old"));
  const slot = processors.open("s");
  const [first, second] = [slot.use(), slot.use()];
  assertEquals(await first.processor, await second.processor);
  const changed = processors.change(factory("new"));
  const third = slot.use();
  assert(await third.processor !== await first.processor, "who comes later does not wait");
  await first.done();
  await third.done();
  assertEquals(log, [], "the second one still uses the old version");
  await second.done();
  await changed;
  assertEquals(log, ["dispose old 1"]);
  await slot.close();
  assertEquals([log, made], [["dispose old 1", "dispose new 2"], 2]);
});

Deno.test("processors: what a factory makes too late is disposed, and nobody waits for one that hangs", async () => {
  const log: string[] = [];
  const gate = Promise.withResolvers<RecordProcessor>();
  let calls = 0;
  const processors = processorsOf(
    () => ++calls === 1 ? gate.promise : processor("second", log),
  );
  const slot = processors.open("s");
  await slot.use().done(); // It was given up before the processor was there.
  const use = slot.use();
  const inUse = await use.processor;
  gate.resolve(processor("first", log));
  await settled();
  assertEquals(log, ["dispose first"]);
  await use.done();
  assertEquals(await useOnce(slot), inUse, "the late one takes nobody's place");
  await processors.change(processor("third", log));
  assertEquals(log, ["dispose first", "dispose second"]);
});

Deno.test("processors: a dispose that throws is told, and disturbs nothing", async () => {
  const facts: AppFact[] = [];
  const bad: RecordProcessor = {
    process: () => {},
    [Symbol.asyncDispose]: () => Promise.reject(new Error("stuck")),
  };
  const processors = processorsOf(bad, (fact) => facts.push(fact));
  await processors.change(() => bad);
  const slot = processors.open("s");
  await useOnce(slot);
  await slot.close();
  assertEquals(
    facts.flatMap((fact) =>
      fact.type === "processor_failed" ? [[fact.shardId, fact.operation, fact.error.message]] : []
    ),
    [[null, "dispose", "stuck"], ["s", "dispose", "stuck"]],
  );
});

Deno.test("processors: what is no processor is refused, and what was given is described", async () => {
  const table: readonly (readonly [unknown, string])[] = [
    [undefined, "a value of type undefined"],
    [null, "a value of type null"],
    ["process", "a value of type string"],
    [{}, "an object without members"],
    [{ handle: () => {} }, "an object with handle"],
    [{ process: 1 }, "an object with process"],
    [{ process: () => {}, processBatch: 1 }, "an object with process, processBatch"],
  ];
  for (const [source, text] of table) {
    assertThrows(() => checkProcessorSource(source), TypeError, text);
    const processors = processorsOf({ process: () => {} });
    await assertRejects(() => processors.change(source as RecordProcessor), TypeError, text);
    const slot = processorsOf(() => source as RecordProcessor).open("s");
    await assertRejects(() => useOnce(slot), TypeError, text);
  }
  assert(checkProcessorSource({ processBatch: () => {} }));
  assert(checkProcessorSource(() => ({ process: () => {} })));
});
