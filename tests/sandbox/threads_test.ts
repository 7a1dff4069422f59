// Owns: several threads: the order of each key, ends, stops, and what the threads of one processor share.
import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { fetchGraph } from "../../src/cli/load_processor/graph.ts";
import { startInThreads } from "../../src/cli/processor_threads.ts";
import { planThreads } from "../../src/cli/thread_flags.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { ownTemporaryFolder } from "../cli/temporary_folder.ts";
import { byKey, inTurns, Rig } from "./thread_testing.ts";

/** A test of threads in this process, and of threads that have one of their own. */
function bothWays(
  name: string,
  test: (place: { readonly hasProcesses: boolean }) => Promise<void>,
): void {
  Deno.test(`threads: ${name}`, () => test({ hasProcesses: false }));
  Deno.test(`processes: ${name}`, () => test({ hasProcesses: true }));
}

function upTo(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}

bothWays(
  "with three of them and three shards the records of each key come in order, each once",
  async (place) => {
    const records = inTurns(20, 30);
    await using rig = await Rig.start({
      ...place,
      code: `const id = crypto.randomUUID();
      export default { async process(record) {
        if (Number(record.text().at(-1)) % 3 === 0) await new Promise((done) => setTimeout(done, 2));
        log(record.text() + ": " + id) } }`,
      threads: 3,
      shards: 3,
      records: records.slice(0, 150),
    });
    for (let wave = 1; wave < 4; wave++) {
      await rig.until("a wave", () => rig.processed() === wave * 150);
      for (const [key, text] of records.slice(wave * 150, (wave + 1) * 150)) {
        rig.stream.put(key, text);
      }
    }
    await rig.until("all", () => rig.processed() === 600);
    const seen = byKey(rig.lines());
    assertEquals(seen.size, 20);
    for (const numbers of seen.values()) assertEquals(numbers, upTo(30));
    const homes = new Map<string, Set<string>>();
    for (const line of rig.lines()) {
      const [key = "", , thread = ""] = line.split(": ");
      homes.set(key, (homes.get(key) ?? new Set()).add(thread));
    }
    for (const threads of homes.values()) {
      assertEquals(
        threads.size,
        1,
        "a key stays in its thread",
      );
    }
    assertEquals(new Set([...homes.values()].flatMap((threads) => [...threads])).size, 3);
  },
);

bothWays("a stop in the middle of the work loses nothing and repeats nothing", async (place) => {
  await using rig = await Rig.start({
    ...place,
    code: `export default { async process(record) {
      log(record.text());
      await new Promise((done) => setTimeout(done, 3)) } }`,
    threads: 1,
    shards: 2,
    records: inTurns(10, 40),
  });
  for (let stops = 0; stops < 3; stops++) {
    const before = rig.lines().length;
    await rig.until("some", () => rig.lines().length > before + 20);
    await rig.stop();
    await rig.startApp();
  }
  await rig.until("all", () => rig.lines().length >= 400);
  await rig.stop();
  for (const numbers of byKey(rig.lines()).values()) assertEquals(numbers, upTo(40));
});

bothWays("a stop does not wait for the rest of a run", async (place) => {
  await using rig = await Rig.start({
    ...place,
    code: `export default { process(record) {
      log(record.text());
      const end = Date.now() + 100; while (Date.now() < end); } }`,
    threads: 1,
    records: inTurns(1, 1_000),
  });
  // Right after an answer, so that the next one is far away.
  await rig.until("some", () => rig.told("checkpoint_written").length === 1);
  const before = rig.lines().length;
  await rig.stop();
  const seen = rig.lines().length;
  assert(seen - before <= 2, `${seen - before} records more`);
  const [released] = rig.told("shard_released");
  assertEquals(
    released?.checkpoint,
    String(seen),
    "what is finished is checkpointed, nothing else",
  );
});

bothWays(
  "the signal of a record that is given up aborts in its thread, with the same reason",
  async (place) => {
    const told: string[][] = [];
    for (const threads of [undefined, 1]) {
      await using rig = await Rig.start({
        ...place,
        code: `export default { process(record, { signal }) {
        log("begins");
        return new Promise((done) => signal.addEventListener("abort", () => {
          log(signal.reason.name + ": " + signal.reason.message);
          done() })) } }`,
        ...threads !== undefined && { threads },
        // A part of it is for the thread to hear of it, on whatever machine.
        config: { shutdownTimeout: 3_000 },
        records: inTurns(1, 2),
      });
      await rig.until("it begins", () => rig.lines().length === 1);
      await rig.stop();
      told.push([...rig.lines()]);
    }
    assertEquals(told[1], told[0]);
    assertMatch(told[1]?.[1] ?? "", /LeaseLostError/);
  },
);

Deno.test("threads: the checkpoint follows slow records, not only the end of a run", async () => {
  await using rig = await Rig.start({
    code: `export default { process: () => new Promise((done) => setTimeout(done, 100)) }`,
    threads: 1,
    records: inTurns(1, 1_000),
  });
  await rig.until("two checkpoints", () => rig.told("checkpoint_written").length >= 2);
});

Deno.test("threads: every thread has its processor of a shard; ends and disposals reach all of them", async () => {
  await using rig = await Rig.start({
    code: `let n = 0;
      export default (shardId) => ({
        process() { n += 1 },
        shardEnded() { log("ended " + n) },
        [Symbol.asyncDispose]() { log("disposed") } })`,
    threads: 2,
    records: inTurns(10, 10),
  });
  rig.stream.split("shardId-000000000000");
  await rig.until("the end", () => rig.told("shard_ended").length === 1);
  await rig.stop();
  const ended = rig.lines().filter((line) => line.startsWith("ended"));
  assertEquals(ended.length, 2);
  assertEquals(ended.reduce((sum, line) => sum + Number(line.split(" ")[1]), 0), 100);
  assertEquals(rig.lines().filter((line) => line === "disposed").length, 2);
});

Deno.test("threads: a processor that cannot be made again in the next thread is waited for, and no record is skipped", async () => {
  await using rig = await Rig.start({
    code: `export default () => {
        log("made");
        if (logged() === 3) throw new Error("not now");
        return { process(record) {
          if (record.text() !== "key 0: 1" || logged() !== 1) return;
          log("loop");
          for (;;); } } }`,
    threads: 1,
    config: { processTimeout: 300 },
    records: inTurns(1, 3),
  });
  await rig.until("all", () => rig.processed() === 3);
  assertEquals(rig.lines(), ["made", "loop", "made", "made"]);
  assertEquals(rig.strays.map(String), ["Error: not now"]);
  assertEquals(rig.told("record_failed").length, 1);
  assertEquals(rig.told("record_skipped"), []);
});

Deno.test("threads: batches go to all of them", async () => {
  await using rig = await Rig.start({
    code: `const id = crypto.randomUUID();
      export default { processBatch(records) { for (const r of records) log(r.text() + ": " + id) } }`,
    threads: 2,
    records: inTurns(10, 10),
  });
  await rig.until("all", () => rig.processed() === 100);
  for (const numbers of byKey(rig.lines()).values()) assertEquals(numbers, upTo(10));
  assertEquals(new Set(rig.lines().map((line) => line.split(": ")[2])).size, 2);
});

Deno.test("threads: in batches too each key stays in its thread, though many keys share a lane, and there are more lanes than threads", async () => {
  const records = inTurns(40, 8);
  await using rig = await Rig.start({
    code: `const id = crypto.randomUUID();
      export default { processBatch(records) { for (const r of records) log(r.text() + ": " + id) } }`,
    threads: 3,
    config: { concurrency: 7 },
  });
  // Each time another key is the first of its lane.
  for (let wave = 0; wave < 8; wave++) {
    const part = records.slice(wave * 40, (wave + 1) * 40);
    for (const [key, text] of [...part.slice(wave * 5), ...part.slice(0, wave * 5)]) {
      rig.stream.put(key, text);
    }
    await rig.until("a wave", () => rig.processed() === (wave + 1) * 40);
  }
  for (const numbers of byKey(rig.lines()).values()) assertEquals(numbers, upTo(8));
  const homes = rig.lines().map((line) => line.split(": ")).map(([key, , id]) => `${key} ${id}`);
  assertEquals(new Set(homes).size, 40);
});

Deno.test("threads: a processor that posts messages, and listens for them, disturbs nothing", async () => {
  await using rig = await Rig.start({
    code:
      `const tell = (what) => { try { globalThis.postMessage(what); log("posted") } catch (e) { log(e.message) } };
      globalThis.onmessage = () => {};
      export default { process(r) { globalThis.onmessage = () => {}; tell(null); tell({ kind: "reply", id: 1, value: 99 }) } }`,
    threads: 1,
    records: [["k", "1"]],
  });
  await rig.until("the first", () => rig.processed() === 1);
  rig.stream.put("k", "2");
  await rig.until("the second", () => rig.processed() === 2);
  assertEquals(rig.lines().length, 4);
  for (const line of rig.lines()) assertMatch(line, /Cannot post a message: nobody would read it/);
});

bothWays(
  "a change of the processor in the middle of the work loses nothing and repeats nothing",
  async (place) => {
    const version = (name: string): string =>
      `export default {
      async process(record) {
        log(record.text() + ": ${name}");
        await new Promise((done) => setTimeout(done, 2)) },
      [Symbol.asyncDispose]() { log("disposed ${name}") } }`;
    await using rig = await Rig.start({
      ...place,
      code: version("v0"),
      threads: 2,
      shards: 2,
    });
    const records = [...inTurns(10, 60)];
    for (let change = 1; change <= 5; change++) {
      for (const [key, text] of records.splice(0, 120)) rig.stream.put(key, text);
      const before = rig.lines().length;
      await rig.until("some", () => rig.lines().length > before + 20);
      await rig.change(version(`v${change}`));
    }
    await rig.until("all", () => rig.processed() === 600);
    const processed = rig.lines().filter((line) => line.startsWith("key"));
    for (const numbers of byKey(processed).values()) assertEquals(numbers, upTo(60));
    assertEquals(rig.lines().filter((line) => line.startsWith("disposed")).length, 10);
  },
);

Deno.test("threads: an error says where in the module it came from", async () => {
  await using rig = await Rig.start({
    code: `export default {
      process() { throw new Error("here", { cause: new TypeError("there") }) },
      getErrorHandlingMode(_r, error) { log(error.stack); return retryAndSkip(0) } }`,
    threads: 1,
    isServed: true,
    records: [["k", "1"]],
  });
  await rig.until("it is told", () => rig.told("record_failed").length === 1);
  await rig.until("it is asked", () => rig.lines().length > 1);
  assertMatch(rig.lines().join("\n"), /http:\/\/127\.0\.0\.1:\d+\/processor\.js:\d+:\d+/);
});

Deno.test("threads: a processor that never finishes its start is given up at a stop, and after --load-timeout", async () => {
  const graph = await fetchGraph(
    "data:text/javascript,await new Promise(() => setInterval(() => {}, 1e6)); export default {}",
  );
  const start = (loadTimeoutMs: number, signal: AbortSignal) =>
    startInThreads(graph, { count: 2, hasProcesses: false, sandbox: undefined, config: {} }, {
      isConsoleOnStderr: false,
      loadTimeoutMs,
      signal,
      onStray: () => {},
      onLeftBehind: () => {},
    });
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error("SIGTERM")), 200);
  await assertRejects(() => start(60_000, stop.signal), Error, "SIGTERM");
  const { signal } = new AbortController();
  await assertRejects(() => start(200, signal), Error, "at the start within 200 ms");
});

Deno.test("threads: the next thread finds the files that the system removed; a folder that somebody else made is not used", async () => {
  await using folder = await ownTemporaryFolder();
  await using rig = await Rig.start({
    code: `import { text } from "./text.js";
      export default { process(r) { log(text + r.text()); if (logged() % 2 === 1) for (;;); } }`,
    threads: 1,
    isServed: true,
    beside: { "text.js": `export const text = "got "` },
    config: { processTimeout: 250 },
  });
  const [name] = await folder.names();
  const path = `${folder.path}/${name}`;
  await Deno.remove(path, { recursive: true });
  rig.stream.put("k", "loop");
  await rig.until("it is processed", () => rig.processed() === 1);
  assertEquals(rig.lines(), ["got loop", "got loop"]);
  await Deno.chmod(path, 0o777);
  rig.stream.put("k", "loop");
  await rig.until(
    "it is told",
    () => rig.strays.some((error) => /other users/.test(String(error))),
  );
  assertEquals(rig.processed(), 1);
  await Deno.chmod(path, 0o700);
  await rig.until("it is processed", () => rig.processed() === 2);
});

Deno.test("threads: manual checkpoints need one thread; lists need a sandbox", () => {
  const plan = (flags: Readonly<Record<string, string>>, isSandboxed = false) =>
    planThreads({
      text: (flag) => flags[flag],
      need: () => "",
      needNumber: () => 0,
      argument: () => undefined,
      isOn: () => isSandboxed,
      config: { checkpointMode: "manual" },
    });
  assertThrows(() => plan({ threads: "2" }), UsageError, "--checkpoint-mode manual");
  assertEquals(plan({ threads: "1" })?.count, 1);
  assertThrows(() => plan({ "sandbox-allow-net": "x" }), UsageError, "without --sandbox");
  assertEquals(plan({}, true)?.config.processTimeout, 60_000);
  assertEquals(plan({}), undefined);
});

// The last one: its loop goes on in this process until that ends.
bothWays(
  "who shares a thread with an endless loop goes on in the next one, at least once",
  async (place) => {
    await using rig = await Rig.start({
      ...place,
      code: `export default {
      async process(record) {
        log(record.text());
        if (record.text() === "key 5: 5") for (;;);
        await new Promise((done) => setTimeout(done, 1)) },
      getErrorHandlingMode: () => retryAndSkip(0) }`,
      threads: 1,
      shards: 4,
      config: { processTimeout: 500 },
      records: inTurns(8, 20),
    });
    await rig.until("all", () => rig.processed() === 160);
    assertEquals(rig.told("record_failed").map(({ error }) => error.name), ["ProcessTimeoutError"]);
    const lines = rig.lines();
    for (const [key, numbers] of byKey(lines)) {
      assertEquals([...new Set(numbers)], upTo(20), `${key}: none is missing, and in order`);
    }
    assert(lines.length <= 160 + 8, `only what was in hand comes again: ${lines.length}`);
  },
);
