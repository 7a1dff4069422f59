// Owns: kinesix replay on the local stack: exactly the records of the range, once, in order; failures, stops and signals.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { delay } from "@std/async/delay";
import { main } from "../../src/cli/main.ts";
import { CliProcess, fakeTerminal } from "./cli_testing.ts";
import { FailureStack } from "./failures_testing.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const KEYS = 7;

interface Replayed {
  readonly code: number;
  readonly summary: Readonly<Record<string, unknown>>;
  /** What the processor printed, in its order. */
  readonly seen: readonly string[];
  readonly stderr: string;
}

/** Prints each record. */
const PRINT =
  `process(record, { shardId }) { console.log("got", shardId, record.partitionKey, record.text()); },
  shardEnded({ shardId }) { console.log("got", shardId, "end", "end"); }`;

function start(stack: FailureStack, processor: string, args: readonly string[]): CliProcess {
  const module = `data:text/javascript,${encodeURIComponent(`export default { ${processor} };`)}`;
  return new CliProcess([
    ...["replay", "--stream=S", `--processor=${module}`, ...stack.flags, ...args],
  ], { cwd: stack.folder });
}

async function finish(process: CliProcess): Promise<Replayed> {
  const code = await process.ended();
  const stderr = process.stderr.join("\n");
  const [line = "{}"] = process.stdout;
  return {
    code,
    summary: JSON.parse(line),
    seen: process.stderr.filter((text) => text.startsWith("got ")).map((text) => text.slice(4)),
    stderr,
  };
}

async function replay(
  stack: FailureStack,
  args: readonly string[],
  processor: string = PRINT,
): Promise<Replayed> {
  await using process = start(stack, processor, ["--json", ...args]);
  return await finish(process);
}

/** Puts the numbers from a first one to before a last one, under a few keys. */
function put(stack: FailureStack, from: number, to: number): void {
  const numbers = Array.from({ length: to - from }, (_, i) => from + i);
  stack.put("S", numbers.map((i) => [`key-${i % KEYS}`, bytes(String(i))] as const));
}

/** A moment that lies between all records before and after. */
async function moment(): Promise<string> {
  await delay(50);
  const time = new Date().toISOString();
  await delay(50);
  return time;
}

async function split(stack: FailureStack, shard: string): Promise<void> {
  stack.kinesis.engine.call("SplitShard", {
    ...{ StreamName: "S", ShardToSplit: shard, NewStartingHashKey: String(2n ** 126n) },
  });
  await delay(600);
}

const numbersOf = ({ seen }: Replayed): readonly number[] =>
  seen.map((line) => Number(line.split(" ")[2])).filter((number) => !Number.isNaN(number));

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

Deno.test("replay: the records of the range, each once, keys in order over a split, and no table", async () => {
  await using stack = await FailureStack.start({ S: 2 });
  put(stack, 0, 100);
  const from = await moment();
  put(stack, 100, 150);
  await split(stack, "shardId-000000000000");
  put(stack, 150, 200);
  const to = await moment();
  put(stack, 200, 300);

  const done = await replay(stack, [`--from=${from}`, `--to=${to}`]);
  assertEquals(done.code, 0, done.stderr);
  const { seconds, ...summary } = done.summary;
  assert(Number(seconds) > 0);
  assertEquals(summary, {
    ...{ streamName: "S", from, to, isComplete: true, shards: 4, shardsDone: 4 },
    ...{ records: 100, failed: 0, stopped: [], unfinished: [], resumeFrom: null },
  });
  const numbers = numbersOf(done);
  assertEquals(numbers.toSorted((a, b) => a - b), range(100, 200));
  for (let key = 0; key < KEYS; key++) {
    const ofKey = numbers.filter((number) => number % KEYS === key);
    assertEquals(ofKey, ofKey.toSorted((a, b) => a - b), `key ${key}`);
  }
  assertEquals(done.seen.filter((line) => line.endsWith("end end")).length, 4);

  const all = await replay(stack, ["--from=trim-horizon", "--concurrency=4"]);
  assertEquals(numbersOf(all).toSorted((a, b) => a - b), range(0, 300));
  const some = await replay(stack, [
    ...["--from=trim-horizon", '--filter={"data": [{"numeric": [">=", 290]}]}'],
  ]);
  assertEquals(numbersOf(some).toSorted((a, b) => a - b), range(290, 300));
  await Deno.writeTextFile(
    `${stack.folder}/run.json`,
    '{"maxRecordAge": 1, "retrieval": "fan-out"}',
  );
  const old = await replay(stack, [`--from=${from}`, `--to=${to}`, "--config=run.json"]);
  assertEquals(
    [numbersOf(old).length, old.summary.failed],
    [100, 0],
    "the file of kinesix run will do",
  );
  const none = await replay(stack, [`--from=${new Date(Date.now() - 1_000).toISOString()}`]);
  assertEquals([none.code, none.summary.isComplete], [0, true]);

  await using text = start(stack, "process() {}", [`--from=${from}`, `--to=${to}`]);
  assertEquals(await text.ended(), 0);
  assertMatch(
    text.stdout.join("\n"),
    /^replayed 100 records of S from .* to .*: 4 of 4 shards done in [\d.]+s$/,
  );
});

Deno.test("replay: what fails is retried and given up as in a worker, put aside, and the exit code says so", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  put(stack, 0, 10);
  const processor = `process(record) {
      console.log("got", record.shardId, "try", record.text());
      if (record.text() === "3") throw new TypeError("broken");
    },
    getErrorHandlingMode: () => ({ kind: "retryAndSkip", retries: 1 })`;
  const done = await replay(stack, ["--from=1h", "--on-failure=file:f.jsonl"], processor);
  assertEquals([done.code, done.summary.isComplete], [1, true]);
  assertEquals([done.summary.records, done.summary.failed], [10, 1]);
  assertEquals(numbersOf(done).length, 11, "one was tried twice");
  assertMatch(done.stderr, /attempt 2 failed for record .*TypeError: broken/);
  const [failure, ...more] = await stack.failures("f.jsonl");
  assertEquals(more, []);
  assertEquals(failure?.partitionKey, "key-3");
});

Deno.test("replay: a failed attempt says in which line of the source, also of TypeScript in a thread or a process", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  put(stack, 0, 1);
  const lines = ["interface Text { text(): string }", "", "export default {"];
  const body = [
    "  process(record: Text): void {",
    "    JSON.parse(`{${record.text()}`);",
    "  },",
    "};",
  ];
  await Deno.writeTextFile(`${stack.folder}/p.ts`, [...lines, ...body].join("\n"));
  for (const threads of [[], ["--threads=2"], ["--sandbox"]]) {
    await using process = new CliProcess(
      ["replay", "--stream=S", "--from=1h", "--processor=p.ts", ...stack.flags, ...threads],
      { cwd: stack.folder },
    );
    assertEquals(await process.ended(), 1);
    assertMatch(
      process.stderr.join("\n"),
      /attempt 1 failed for .*: SyntaxError: .* \(p\.ts:5:10\)/,
    );
  }
});

Deno.test("replay: a record that stops its shard leaves its children out, and the rest is done", async () => {
  await using stack = await FailureStack.start({ S: 2 });
  put(stack, 0, 70);
  await split(stack, "shardId-000000000000");
  put(stack, 70, 140);
  const clean = await replay(stack, ["--from=1h"]);
  const inFirst = clean.seen.filter((line) => line.startsWith("shardId-000000000000 key"));
  const [, , poison] = inFirst[3]?.split(" ") ?? [];
  const processor = `process(record, { shardId }) {
      if (record.text() === "${poison}") throw new Error("no");
      console.log("got", shardId, record.partitionKey, record.text());
    },
    getErrorHandlingMode: () => ({ kind: "retryAndStop", retries: 0 })`;
  const done = await replay(stack, ["--from=1h"], processor);
  assertEquals([done.code, done.summary.isComplete, done.summary.shardsDone], [1, false, 1]);
  const [stopped, ...others] = done.summary.stopped as readonly {
    shardId: string;
    reason: string;
  }[];
  assertEquals(others, []);
  assertEquals([stopped?.shardId, stopped?.reason], ["shardId-000000000000", "recordFailed"]);
  assertEquals(done.seen.filter((line) => /shardId-00000000000[23]/.test(line)), []);
  const second = (seen: readonly string[]): readonly string[] =>
    seen.filter((line) => line.startsWith("shardId-000000000001 key"));
  assertEquals(second(done.seen), second(clean.seen));
  assertMatch(done.stderr, /Cannot replay the rest: see above; --from \S+ --to \S+ goes on/);
});

Deno.test("replay: items that go with the checkpoint are refused, and never taken for written", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  put(stack, 0, 2);
  const range = ["--from=trim-horizon"];
  const sink = await replay(stack, range, "process() {}, isTransacting: true");
  assertEquals([sink.code, sink.seen], [2, []]);
  assertMatch(sink.stderr, /Cannot write items with the checkpoint in a replay/);
  const item = '{ Put: { TableName: "sink", Item: { id: { S: record.text() } } } }';
  const own = await replay(
    stack,
    range,
    `process: (record, { transact }) => transact([${item}]), ` +
      'getErrorHandlingMode: () => ({ kind: "retryAndStop", retries: 0 })',
  );
  assertEquals(own.code, 1);
  assertMatch(own.stderr, /Cannot write items with the checkpoint in a replay/);
});

Deno.test("replay: a signal stops it cleanly, and what it says goes on without a gap", async () => {
  await using stack = await FailureStack.start({ S: 2 });
  put(stack, 0, 200);
  await delay(2_500);
  put(stack, 200, 400);
  const slow = `async process(record) {
      await new Promise((resolve) => setTimeout(resolve, Number(record.text()) < 200 ? 1 : 20));
      console.log("got", record.shardId, "key", record.text());
    }`;
  await using process = start(stack, slow, ["--from=1h", "--json", "--max-batch-size=20"]);
  // Each shard is a read and more beyond what was put first: else it is right to begin from the start again.
  const beyond = () => {
    const counts = new Map<string, number>();
    for (const line of process.stderr) {
      const [, shardId = "", number] = /^got (\S+) key (\d+)/.exec(line) ?? [];
      if (Number(number) >= 200) counts.set(shardId, (counts.get(shardId) ?? 0) + 1);
    }
    return [...counts.values()].filter((count) => count > 30).length;
  };
  while (beyond() < 2) await delay(20);
  process.kill("SIGINT");
  const first = await finish(process);
  assertEquals([first.code, first.summary.isComplete], [1, false]);
  const resumeFrom = String(first.summary.resumeFrom);
  assertMatch(first.stderr, new RegExp(`stopped by SIGINT; --from ${resumeFrom} --to`));
  const unfinished = first.summary.unfinished as readonly { checkpoint: string }[];
  assert(unfinished.length > 0 && unfinished.every(({ checkpoint }) => /^\d+$/.test(checkpoint)));
  const rest = await replay(stack, [`--from=${resumeFrom}`]);
  assertEquals(rest.code, 0, rest.stderr);
  const both = new Set([...numbersOf(first), ...numbersOf(rest)]);
  assertEquals([...both].toSorted((a, b) => a - b), range(0, 400));
  assert(numbersOf(rest).length < 400, "it does not begin from the start again");
});

Deno.test("replay: what cannot be is refused by name, before anything is read", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  const cases: readonly (readonly [args: readonly string[], code: number, message: RegExp])[] = [
    [[], 2, /Cannot run without --from TIME/],
    [["--from=2h", "--to=3h"], 2, /Cannot replay from 2h to 3h: that is no time at all/],
    [["--from=1h", "--to=2999-01-01"], 2, /Cannot replay to 2999-01-01: that is in the future/],
    [["--from=12345678901234567890"], 2, /Cannot use --from .*it must be trim-horizon, now/],
    [["--from=30d"], 1, /Cannot replay from .*: the stream holds its records for 1d; use --from/],
    [["--from=1h", "--app=A"], 2, /Cannot use --app: there is no such flag/],
  ];
  for (const [args, code, message] of cases) {
    const call = await replay(stack, args);
    assertEquals([call.code, call.seen], [code, []]);
    assertMatch(call.stderr, message);
  }
});

Deno.test({
  name: "replay: what fails while it stops after a signal is told, and not taken for the signal",
  // It has no SIGTERM.
  ignore: Deno.build.os === "windows",
  async fn() {
    await using stack = await FailureStack.start({ S: 1 });
    put(stack, 0, 500);
    const terminal = fakeTerminal();
    const begun = Promise.withResolvers<void>();
    const module = `data:text/javascript,${
      encodeURIComponent(
        `export default { async process() {
        dispatchEvent(new Event("replay-began"));
        await new Promise((resolve) => setTimeout(resolve, 20));
      } };`,
      )
    }`;
    addEventListener("replay-began", () => begun.resolve(), { once: true });
    const args = ["replay", "--stream=S", `--processor=${module}`, "--from=trim-horizon"];
    const running = main([...args, ...stack.flags], {
      ...terminal,
      write: () => Promise.reject(new Error("the disk is full")),
    });
    await begun.promise;
    Deno.kill(Deno.pid, "SIGTERM");
    assertEquals(await running, 1);
    assertMatch(terminal.stderr(), /^error: the disk is full$/m);
    assert(!terminal.stderr().includes("before it began"));
  },
});

Deno.test("replay: a failure that nobody handled is a failure of the replay, also when all is done", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  put(stack, 0, 3);
  const call = await replay(
    stack,
    ["--from=trim-horizon"],
    `process() {},
    shardEnded() { Promise.reject(new Error("nobody waits")); return new Promise((resolve) => setTimeout(resolve, 300)); }`,
  );
  assertMatch(call.stderr, /Cannot go on: a failure was not handled: nobody waits/);
  assertEquals([call.code, call.summary.isComplete], [1, true]);
});
