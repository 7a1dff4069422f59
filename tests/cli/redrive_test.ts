// Owns: which failure records kinesix redrive puts back, that it does so once, and what it tells.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { formatFailure } from "../../src/adapters/failure_format.ts";
import { main } from "../../src/cli/main.ts";
import { retryAndSkip } from "../../src/core/policy.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import type { Intercept } from "../../src/local/kinesis_protocol.ts";
import type { FailedRecord } from "../../src/ports.ts";
import { CliProcess, fakeTerminal } from "./cli_testing.ts";
import { failedRecord } from "../failed_record.ts";
import { FailureStack } from "./failures_testing.ts";

const NOON = Date.parse("2026-01-31T12:00:00Z");

/** A failure of the record with this number; its payload and its key are the number too. */
function failure(number: number, fields: Partial<FailedRecord> = {}): string {
  return formatFailure(failedRecord({
    appName: "A",
    streamName: "S",
    sequenceNumber: String(1_000 + number),
    partitionKey: `key-${number}`,
    data: new Uint8Array([number, 255]),
    error: new TypeError(`broken ${number}`),
    attempts: 1,
    mode: retryAndSkip(0),
    workerId: "W",
    time: new Date(NOON + number),
    ...fields,
  }));
}

interface Call {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function redrive(stack: FailureStack, args: readonly string[]): Promise<Call> {
  const from = args.some((arg) => arg.startsWith("--from")) ? [] : [`--from=file:${path(stack)}`];
  const terminal = fakeTerminal();
  const all = ["redrive", "--stream=S", ...from, ...stack.flags, ...args];
  const code = await main(all, terminal);
  return { code, stdout: terminal.stdout(), stderr: terminal.stderr() };
}

const path = (stack: FailureStack): string => `${stack.folder}/f.jsonl`;

async function write(stack: FailureStack, lines: readonly string[]): Promise<void> {
  await Deno.writeTextFile(path(stack), lines.map((line) => `${line}\n`).join(""));
}

/** The numbers of the records that are in the stream, in their order. */
const numbersIn = async (stack: FailureStack): Promise<readonly (number | undefined)[]> =>
  (await stack.contents("S")).map(([, [number]]) => number);

Deno.test("redrive: each filter leaves out what it says, and what is left comes later", async () => {
  const lines = [
    failure(0),
    failure(1, { appName: "B" }),
    failure(2, { shardId: "shardId-000000000007" }),
    failure(3, { error: new RangeError("other") }),
    failure(4, { streamName: "T" }),
    failure(5),
  ];
  const cases: readonly (readonly [args: readonly string[], numbers: readonly number[]])[] = [
    [[], [0, 1, 2, 3, 5]],
    [["--any-stream"], [0, 1, 2, 3, 4, 5]],
    [["--app=B"], [1]],
    [["--shard=shardId-000000000007"], [2]],
    [["--error=RangeError"], [3]],
    [["--error=broken 5"], [5]],
    [["--since=2026-01-31T12:00:00.002Z", "--until=2026-01-31T12:00:00.005Z"], [2, 3]],
    [["--app=A", "--error=TypeError", "--since=2026-01-31T12:00:00.001Z"], [2, 5]],
  ];
  for (const [args, numbers] of cases) {
    await using stack = await FailureStack.start({ S: 1 });
    await write(stack, lines);
    assertEquals((await redrive(stack, args)).code, 0);
    assertEquals(await numbersIn(stack), numbers, args.join(" "));
    const { stdout } = await redrive(stack, ["--any-stream", "--json"]);
    const { put, putBefore } = JSON.parse(stdout);
    assertEquals([put, putBefore], [6 - numbers.length, numbers.length]);
    assertEquals((await numbersIn(stack)).toSorted(), [0, 1, 2, 3, 4, 5]);
  }
});

Deno.test("redrive: a dry run puts nothing, notes nothing, and says what it would do, safely for a terminal", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  const nasty = failure(7, { partitionKey: "\x1b[2J", error: new Error("\x1b]0;title\x07\nmore") });
  await write(stack, [failure(1), nasty, failure(2, { streamName: "T" })]);
  const { code, stdout } = await redrive(stack, ["--dry-run"]);
  assertEquals(code, 0);
  const lines = stdout.trimEnd().split("\n");
  assertEquals(lines.length, 3);
  assertStringIncludes(lines[0] ?? "", 'shardId-000000000000 1001 "key-1" TypeError: broken 1');
  assertMatch(
    lines[2] ?? "",
    /^would put 2 records back into stream S in [\d.]+s; 1 are from other streams \(--any-stream\)$/,
  );
  assert(!stdout.includes("\x1b") && !stdout.includes("\x07"));
  assertEquals(await numbersIn(stack), []);
  const names = await Array.fromAsync(Deno.readDir(stack.folder), ({ name }) => name);
  assertEquals(names, ["f.jsonl"]);
});

Deno.test("redrive: lines that are no failure records are told and passed over, the others go back", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  const whole = failure(1);
  await Deno.writeTextFile(
    path(stack),
    `${failure(0)}\n${whole.slice(0, 80)}\n\n${whole}\n{"a":1}\n${failure(2)}\n${
      whole.slice(0, 9)
    }`,
  );
  const { code, stdout, stderr } = await redrive(stack, []);
  assertEquals(code, 0);
  assertEquals(await numbersIn(stack), [0, 1, 2]);
  assertMatch(stderr, /line 2 is no failure record and is passed over: it is not one object/);
  assertMatch(stderr, /line 5 is no failure record .* "kinesixFailure"/);
  assertMatch(stderr, /line 7 is no/);
  assertMatch(stdout, /^put 3 records back into stream S in [\d.]+s; 3 are no failure records$/m);
});

Deno.test("redrive: a failure record of a later version ends it, before anything after it is put", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  const later = failure(1).replace(":1,", ":2,");
  await write(stack, [later, failure(2)]);
  const { code, stderr } = await redrive(stack, []);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "of format 2: this version knows 1; use a later one");
  assertEquals(await numbersIn(stack), []);
  await write(stack, [failure(0), later]);
  const dry = await redrive(stack, ["--dry-run"]);
  assertEquals(dry.code, 1);
  assert(!dry.stderr.includes("went back"), dry.stderr);
});

Deno.test("redrive: a record is put back once, also when its failure is there twice or in another file", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  const sub = (subSequenceNumber: number): string => failure(1, { subSequenceNumber });
  await write(stack, [failure(0), failure(0, { workerId: "X" }), sub(0), sub(1), sub(1)]);
  const marks = `--marks=${stack.folder}/marks`;
  await redrive(stack, [marks]);
  assertEquals(await numbersIn(stack), [0, 1, 1]);
  await Deno.rename(path(stack), `${stack.folder}/f.1`);
  await write(stack, [failure(0), failure(3)]);
  const { stdout } = await redrive(stack, [marks, "--json"]);
  assertEquals(await numbersIn(stack), [0, 1, 1, 3]);
  assertEquals(JSON.parse(stdout).putBefore, 1);
  // Into another stream it was not put yet.
  stack.kinesis.engine.call("CreateStream", { StreamName: "T", ShardCount: 1 });
  const from = [`--from=file:${path(stack)}`, "--stream=T", "--any-stream", marks];
  await using other = new CliProcess(["redrive", ...from, ...stack.flags]);
  assertEquals(await other.ended(), 0, other.stderr.join("\n"));
  assertEquals((await stack.contents("T")).length, 2);
});

Deno.test("redrive: what was in the stream when it was cut off does not go there again", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  // A request holds no key twice: each record is one of its own. One is larger than the stream takes.
  const huge = failure(2, { partitionKey: "k", data: new Uint8Array(1_100_000).fill(2) });
  const of = (number: number): string => failure(number, { partitionKey: "k" });
  await write(stack, [of(0), of(1), huge, of(3)]);
  const { code, stderr } = await redrive(stack, []);
  assertEquals(code, 1);
  assertMatch(stderr, /note: 2 records went back before\nerror: Cannot put records into/);
  assertEquals(await numbersIn(stack), [0, 1]);
  await write(stack, [of(0), of(1), of(3)]);
  assertEquals((await redrive(stack, [])).code, 0);
  assertEquals(await numbersIn(stack), [0, 1, 3]);
});

Deno.test("redrive: of records that went together those that the stream took do not go there again", async () => {
  let puts = 0;
  // The first request is taken but for its third record; then the permission is gone.
  const intercept: Intercept = ({ operation, input }, proceed) => {
    if (operation !== "PutRecords" || (puts += 1) > 2) return proceed();
    if (puts === 2) throw new KinesisError("AccessDeniedException", "not any more");
    const { Records } = input as { readonly Records: unknown[] };
    Records.splice(2, 1);
    const reply = proceed() as { readonly Records: readonly object[] };
    const refusal = {
      ErrorCode: "ProvisionedThroughputExceededException",
      ErrorMessage: "slow down",
    };
    return { ...reply, Records: reply.Records.toSpliced(2, 0, refusal) };
  };
  await using stack = await FailureStack.start({ S: 1 }, { intercept });
  await write(stack, [0, 1, 2, 3].map((number) => failure(number)));
  const first = await redrive(stack, []);
  assertEquals(first.code, 1);
  assertMatch(
    first.stderr,
    /note: 3 records went back before\nerror: Cannot put .* lack kinesis:PutRecords/,
  );
  assertEquals(await numbersIn(stack), [0, 1, 3]);
  const { stdout } = await redrive(stack, ["--json"]);
  assertEquals([JSON.parse(stdout).put, JSON.parse(stdout).putBefore], [1, 3]);
  assertEquals(await numbersIn(stack), [0, 1, 3, 2]);
});

Deno.test("redrive: a signal ends it cleanly: what was sent is noted, the rest comes with the next call", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  // One key: one record for each request, which takes a while.
  const lines = Array.from(
    { length: 900 },
    (_, i) => failure(i, { partitionKey: "k", data: new Uint8Array([i % 251]) }),
  );
  await write(stack, lines);
  const args = ["redrive", `--from=file:${path(stack)}`, "--stream=S", "--json", ...stack.flags];
  await using first = new CliProcess(args);
  while ((await stack.contents("S")).length < 20) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  first.kill("SIGTERM");
  assertEquals(await first.ended(), 1);
  assertStringIncludes(first.stderr.join("\n"), "stopped by SIGTERM; call it again");
  const { put } = JSON.parse(first.stdout.join(""));
  assert(put >= 20 && put < lines.length, `${put}`);
  assertEquals((await stack.contents("S")).length, put);
  await using second = new CliProcess(args);
  assertEquals(await second.ended(), 0, second.stderr.join("\n"));
  const summary = JSON.parse(second.stdout.join(""));
  assertEquals([summary.put, summary.putBefore], [lines.length - put, put]);
  assertEquals(await numbersIn(stack), lines.map((_, i) => i % 251));
});

Deno.test("redrive: what cannot be right is refused by name", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  for (
    const [args, code, why] of [
      [["--from=kinesis:S"], 2, /from stream "S" back into itself/],
      [["--from=f.jsonl"], 2, /--from "f.jsonl": it must be file:PATH or kinesis:STREAM/],
      [["--since=yesterday"], 2, /--since "yesterday": it must be an ISO time/],
      [["--from=file:/no/such/file"], 1, /Cannot read failure records from file "\/no\/such/],
      [["--from=kinesis:none"], 1, /Cannot read stream "none": it does not exist/],
    ] as const
  ) {
    const call = await redrive(stack, [...args, `--marks=${stack.folder}/marks`]);
    assertEquals(call.code, code, call.stderr);
    assertMatch(call.stderr, why);
  }
  await write(stack, [failure(1)]);
  const call = await redrive(stack, ["--marks=/no/such/folder/marks"]);
  assertEquals([call.code, await numbersIn(stack)], [1, []]);
  assertMatch(call.stderr, /Cannot note in --marks/);
});

Deno.test("redrive: a call that puts nothing back leaves no file behind", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  const marks = `${stack.folder}/marks`;
  const call = (from: string): Promise<Call> =>
    redrive(stack, [`--from=${from}`, `--marks=${marks}`]);
  const isThere = (): boolean =>
    [...Deno.readDirSync(stack.folder)].some(({ name }) => name === "marks");
  const missing = await call("kinesis:gone");
  assertEquals(missing.code, 1);
  assertStringIncludes(missing.stderr, '"gone"');
  assert(!isThere());
  await write(stack, [failure(0, { streamName: "T" })]);
  assertEquals((await call(`file:${path(stack)}`)).code, 0);
  assert(!isThere());
  await write(stack, [failure(0)]);
  assertEquals((await call(`file:${path(stack)}`)).code, 0);
  assert(isThere());
  // One that was there stays, whatever is in it.
  await Deno.truncate(marks);
  await call("kinesis:gone");
  assert(isThere());
});
