// Owns: kinesix tail: what it shows, in which order, when it ends, and that it needs no state table.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { main } from "../../src/cli/main.ts";
import { aggregate } from "../kpl.ts";
import { CliProcess, fakeTerminal } from "./cli_testing.ts";
import { FailureStack } from "./failures_testing.ts";

interface Shown {
  readonly shardId: string;
  readonly sequenceNumber: string;
  readonly subSequenceNumber?: number;
  readonly partitionKey: string;
  readonly approximateArrivalTimestamp: string;
  readonly encoding: string;
  readonly data: unknown;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function tail(
  stack: FailureStack,
  args: readonly string[],
  isInteractive = false,
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const terminal = fakeTerminal({ isInteractive });
  const code = await main(["tail", "--stream=S", ...stack.flags, ...args], terminal);
  return { code, stdout: terminal.stdout(), stderr: terminal.stderr() };
}

async function shown(
  stack: FailureStack,
  args: readonly string[],
  from = "trim-horizon",
): Promise<readonly Shown[]> {
  const all = [`--from=${from}`, "--no-follow", "--json", ...args];
  const { code, stdout, stderr } = await tail(stack, all);
  assertEquals(code, 0, stderr);
  return stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

const numbers = (records: readonly Shown[]): readonly unknown[] => records.map(({ data }) => data);

Deno.test("tail: each record is one line, as JSON, text or base64; those in an aggregate too", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  stack.put("S", [
    ["json", bytes('{"big": 12345678901234567890,\n  "b": [true]}')],
    ["text", bytes("two\nlines")],
    ["bytes", new Uint8Array([255, 0])],
    [
      "outer",
      aggregate([{ partitionKey: "a", data: bytes("1") }, { partitionKey: "b", data: bytes("2") }]),
    ],
  ]);
  const { stdout } = await tail(stack, ["--from=trim-horizon", "--no-follow", "--json"]);
  const lines = stdout.trimEnd().split("\n");
  assertStringIncludes(lines[0] ?? "", '"data":{"big": 12345678901234567890,');
  const records: readonly Shown[] = lines.map((line) => JSON.parse(line));
  assertEquals(Object.keys(records[0] ?? {}), [
    ...["shardId", "sequenceNumber", "partitionKey", "approximateArrivalTimestamp"],
    ...["encoding", "data"],
  ]);
  assertEquals(
    records.map(({ partitionKey, subSequenceNumber, encoding, data }) => [
      ...[partitionKey, subSequenceNumber, encoding, encoding === "json" ? null : data],
    ]),
    [
      ["json", undefined, "json", null],
      ["text", undefined, "text", "two\nlines"],
      ["bytes", undefined, "base64", "/wA="],
      ["a", 0, "json", null],
      ["b", 1, "json", null],
    ],
  );
  const text = await tail(stack, ["--from=trim-horizon", "--no-follow"]);
  const [, two, three] = text.stdout.split("\n");
  assertMatch(two ?? "", /^\d{4}-\d\d-\d\dT[\d:.]+Z {2}0 {2}text {2}two\\nlines$/);
  assertMatch(three ?? "", / {2}bytes {2}base64:\/wA=$/);
  const colored = await tail(stack, ["--from=trim-horizon", "--no-follow"], true);
  assertStringIncludes(colored.stdout, "\x1b[");
});

Deno.test("tail: shards are merged by arrival, parents come before children, and a filter and a limit hold", async () => {
  await using stack = await FailureStack.start({ S: 3 });
  const put = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) {
      stack.put("S", [[`key-${i}`, bytes(String(i))]]);
      await delay(2);
    }
  };
  await put(0, 30);
  stack.kinesis.engine.call("SplitShard", {
    ...{
      StreamName: "S",
      ShardToSplit: "shardId-000000000000",
      NewStartingHashKey: String(2n ** 125n),
    },
  });
  await delay(600);
  await put(30, 60);
  const all = Array.from({ length: 60 }, (_, i) => i);
  const records = await shown(stack, []);
  assertEquals(numbers(records), all);
  assert(new Set(records.map(({ shardId }) => shardId)).size >= 4);
  assertEquals(numbers(await shown(stack, ["--limit=7"])), all.slice(0, 7));
  assertEquals(numbers(await shown(stack, ["--filter=key-59"])), [59]);
  assertEquals(numbers(await shown(stack, ['--filter={"data": [7, 58]}'])), [7, 58]);
  const [first] = records;
  const one = await shown(stack, [`--shard=${first?.shardId}`]);
  assertEquals(one, records.filter(({ shardId }) => shardId === first?.shardId));
  const after = await shown(stack, [`--shard=${first?.shardId}`], first?.sequenceNumber);
  assertEquals(after, one.slice(1));
});

Deno.test("tail: it follows a split, ends cleanly at a signal, and when nobody reads any more", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  await using live = new CliProcess(["tail", "--stream=S", "--json", ...stack.flags]);
  const put = (from: number): void =>
    stack.put("S", [0, 1, 2, 3].map((i) => [`key-${i}`, bytes(String(from + i))] as const));
  // It begins at "now", so that the first record has to wait for it.
  for (let i = 0; live.stdout.length === 0; i += 4) {
    put(i);
    await delay(200);
  }
  stack.kinesis.engine.call("SplitShard", {
    StreamName: "S",
    ShardToSplit: "shardId-000000000000",
    NewStartingHashKey: String(2n ** 127n),
  });
  await delay(600);
  put(1_000);
  const shards = (): ReadonlySet<string> =>
    new Set(live.stdout.map((line) => JSON.parse(line).shardId));
  await live.until(() => shards().size === 3);
  live.kill("SIGINT");
  assertEquals(await live.ended(), 0, live.stderr.join("\n"));

  await using piped = new CliProcess([
    ...["tail", "--stream=S", "--from=trim-horizon", ...stack.flags],
  ]);
  await piped.until((lines) => lines.length > 0);
  await piped.closeStdout();
  put(2_000);
  assertEquals(await piped.ended(), 0, piped.stderr.join("\n"));
});

Deno.test("tail: one shard ends with its last record, and tells where its keys go on", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  stack.put("S", [["k", bytes("last")]]);
  stack.kinesis.engine.call("SplitShard", {
    StreamName: "S",
    ShardToSplit: "shardId-000000000000",
    NewStartingHashKey: String(2n ** 125n),
  });
  const { code, stdout, stderr } = await tail(stack, ["--shard=0", "--from=1h"]);
  assertEquals(code, 0);
  assertStringIncludes(stdout, "last");
  assertMatch(stderr, /go on in shardId-000000000001, shardId-000000000002/);
});

Deno.test("tail: what cannot be is refused by name", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  const cases: readonly (readonly [args: readonly string[], code: number, message: RegExp])[] = [
    [["--shard=7"], 1, /Cannot tail shard "shardId-000000000007": stream "S" has no shard of that/],
    [["--stream=T"], 2, /Cannot use --stream twice/],
    [["--from=495"], 2, /Cannot use a sequence number as --from without --shard/],
    [["--from=yesterday"], 2, /Cannot use --from "yesterday": it must be trim-horizon, latest/],
    [['--filter={"color": ["red"]}'], 2, /Cannot use --filter: a record has no "color"/],
    [["--limit=0"], 2, /Cannot use --limit "0"/],
  ];
  for (const [args, code, message] of cases) {
    const call = await tail(stack, args);
    assertEquals([call.code, call.stdout], [code, ""]);
    assertMatch(call.stderr, message);
  }
  const terminal = fakeTerminal();
  assertEquals(await main(["tail", "--stream=T", ...stack.flags], terminal), 1);
  assertMatch(terminal.stderr(), /Cannot .*"T"/);
});
