// Owns: the process in which a sandboxed processor has its thread: what ends it, and what follows; what it says and prints.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { coresUsedBy, descendantsOf, HAS_PROC } from "./process_tree.ts";
import { byKey, inTurns, Rig } from "./thread_testing.ts";

function children(): readonly number[] {
  return HAS_PROC ? descendantsOf(Deno.pid) : [];
}

Deno.test({
  name:
    "process: an endless loop, before and after a wait, is really ended; no thread is left behind",
  ignore: !HAS_PROC,
  async fn() {
    await using rig = await Rig.start({
      code: `export default {
        async process(record) {
          log(record.text());
          if (record.text() === "key 0: 1") for (;;);
          await new Promise((done) => setTimeout(done, 1));
          if (record.text() === "key 1: 2") for (;;); },
        getErrorHandlingMode: () => retryAndSkip(0) }`,
      threads: 1,
      hasProcesses: true,
      config: { processTimeout: 300 },
      records: inTurns(4, 5),
    });
    await rig.until("all", () => rig.processed() === 20);
    assertEquals(rig.told("record_skipped").length, 2);
    assertEquals(rig.leftBehind, 0);
    for (const [key, numbers] of byKey(rig.lines())) {
      assertEquals([...new Set(numbers)], [0, 1, 2, 3, 4], key);
    }
    const [child = 0, ...more] = children();
    assertEquals(more, [], "the others are gone");
    // Not of this process: other tests leave endless loops in its threads.
    const used = await coresUsedBy(child, 1_500);
    assert(used < 0.5, `${used} cores are in use`);
  },
});

Deno.test({
  name: "process: killed from outside, it is replaced; no record fails, is lost or out of order",
  ignore: !HAS_PROC,
  async fn() {
    await using rig = await Rig.start({
      code: `export default { async process(record) {
        await new Promise((done) => setTimeout(done, 2));
        log(record.text()) },
        getErrorHandlingMode: () => retryAndSkip(0) }`,
      threads: 2,
      hasProcesses: true,
      shards: 2,
      records: inTurns(10, 60),
    });
    for (const [kills, pid] of children().entries()) {
      const before = rig.lines().length;
      await rig.until("some", () => rig.lines().length > before + 20);
      Deno.kill(pid, "SIGKILL");
      await rig.until("it is told", () => rig.strays.length > kills);
    }
    assertEquals(rig.strays.length, 2);
    await rig.until("all", () => rig.processed() === 600);
    assertEquals(rig.told("record_failed"), []);
    assertMatch(String(rig.strays[0]), /its process ended with SIGKILL/);
    for (const [key, numbers] of byKey(rig.lines())) {
      assertEquals([...new Set(numbers)], Array.from({ length: 60 }, (_, i) => i), key);
      // At least once: what was in hand comes again, from its beginning on.
      for (const [i, number] of numbers.entries()) {
        assert(i === 0 || number <= (numbers[i - 1] ?? 0) + 1, `${key}: ${numbers}`);
      }
    }
    await rig.stop();
    assertEquals(children(), [], "nothing is left of them");
  },
});

Deno.test("process: a record that uses up the memory fails, and no other one; the worker goes on", async () => {
  const before = Deno.env.get("DENO_V8_FLAGS");
  Deno.env.set("DENO_V8_FLAGS", "--max-old-space-size=64");
  try {
    await using rig = await Rig.start({
      code: `export default {
        async process(record) {
          log(record.text());
          if (record.text() !== "key 1: 7") return;
          await 0;
          const all = [];
          for (;;) all.push({ n: [all.length] }) },
        getErrorHandlingMode: () => retryAndSkip(1) }`,
      threads: 1,
      hasProcesses: true,
      config: { concurrency: 2, processTimeout: 60_000 },
      records: inTurns(4, 10),
    });
    await rig.until("all", () => rig.processed() === 40);
    const failed = rig.told("record_failed");
    assertEquals(failed.map(({ sequenceNumber }) => sequenceNumber), Array(2).fill("30"));
    assertEquals(rig.told("record_skipped").length, 1);
    assertMatch(failed[0]?.error.message ?? "", /its process ended with/);
    for (const numbers of byKey(rig.lines()).values()) assertEquals(new Set(numbers).size, 10);
    // A death of which nobody knew whose doing it was, and two attempts.
    assertEquals(rig.strays.length, 1);
  } finally {
    if (before === undefined) Deno.env.delete("DENO_V8_FLAGS");
    else Deno.env.set("DENO_V8_FLAGS", before);
  }
});

Deno.test("process: whatever the processor writes to stdout, and however, disturbs nothing", async () => {
  await using rig = await Rig.start({
    code: `import { writeSync } from "node:fs";
      const junk = new Uint8Array(3_000).fill(120);
      junk[2_999] = 10;
      export default { process(record) {
        Deno.stdout.writeSync(junk);
        writeSync(1, junk);
        process.stdout.write("\\n");
        console.log("");
        log(record.text()) } };
      import process from "node:process";`,
    threads: 1,
    hasProcesses: true,
    records: inTurns(1, 50),
  });
  await rig.until("all", () => rig.processed() === 50);
  assertEquals(rig.lines().length, 50);
  assertEquals(rig.strays, []);
});
