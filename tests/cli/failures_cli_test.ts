// Owns: real workers put what they give up into a file or a stream before they pass it, and it goes back from there.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { FailureStack, type Put } from "./failures_testing.ts";

/** Payloads that no text survives. */
function payload(first: number, number: number): Uint8Array {
  return new Uint8Array([first, number, 0, 255, 254, 128, 10, 13]);
}

const POISON = 0xbd;
const RECORDS: readonly Put[] = Array.from({ length: 24 }, (_, i) => [
  `key-${i % 5}`,
  payload(i % 3 === 1 ? POISON : 0x60, i),
]);
const POISONED = RECORDS.filter(([, [first]]) => first === POISON);

const PICKY = `class Poison extends Error { name = "Poison" } export default {
  process(r) { if (r.data[0] === ${POISON}) throw new Poison("record " + r.data[1]) },
  getErrorHandlingMode: () => ({ kind: "retryAndSkip", retries: 1 }),
}`;

/** Writes what it processed as JSON to stderr: the key and the bytes. */
const MENDED = `export default { process(r) {
  console.error(JSON.stringify([r.partitionKey, [...r.data]])) } }`;

const sorted = (puts: readonly Put[]): readonly string[] =>
  puts.map(([key, data]) => `${key} ${[...data]}`).toSorted();

const putOf = ({ partitionKey, data }: Readonly<Record<string, unknown>>): Put => [
  String(partitionKey),
  Uint8Array.fromBase64(String(data)),
];

for (
  const [name, flags] of [
    ["in the main thread", []],
    ["in two threads", ["--threads=2"]],
    ["in a sandbox", ["--sandbox"]],
  ] as const
) {
  Deno.test(`failures: poison lands in the file, byte for byte, and the others are processed, ${name}`, async () => {
    await using stack = await FailureStack.start({ S: 2 });
    stack.put("S", RECORDS);
    await using worker = stack.run(PICKY, ["--on-failure=file:f.jsonl", ...flags]);
    await worker.untilProcessed(RECORDS.length);
    await worker.stop();
    const failures = await stack.failures("f.jsonl");
    assertEquals(sorted(failures.map(putOf)), sorted(POISONED));
    for (const { error, attempts, mode, appName, streamName } of failures) {
      const { name, message, stack } = error as Record<string, string>;
      assertEquals([name, message?.slice(0, 7)], ["Poison", "record "]);
      assertMatch(String(stack), /process/);
      assertEquals([attempts, mode], [2, { kind: "retryAndSkip", retries: 1 }]);
      assertEquals([appName, streamName], ["A", "S"]);
    }
    assertEquals(worker.told("record_put_aside").length, POISONED.length);
    assertEquals(worker.told("record_put_aside")[0]?.destination, "file:f.jsonl");
    const { mode } = await Deno.stat(`${stack.folder}/f.jsonl`);
    if (Deno.build.os !== "windows") assertEquals((mode ?? 0) & 0o777, 0o600);
    assert(!worker.stdout.some((line) => line.includes("vQE")), "no event has the payload");
  });
}

Deno.test("failures: by way of a stream and back, byte for byte, each key in its order", async () => {
  await using stack = await FailureStack.start({ S: 2, failed: 1 });
  stack.put("S", RECORDS);
  await using worker = stack.run(PICKY, ["--on-failure=kinesis:failed"]);
  await worker.untilTold("record_put_aside", 3);
  // Failures of one key are in the parent first, then in a child.
  stack.kinesis.engine.call("SplitShard", {
    StreamName: "failed",
    ShardToSplit: "shardId-000000000000",
    NewStartingHashKey: (2n ** 127n).toString(),
  });
  await worker.untilProcessed(RECORDS.length);
  await worker.stop();
  assertEquals((await stack.contents("failed")).map(([key]) => key).toSorted(), [
    ...POISONED.map(([key]) => key).toSorted(),
  ]);
  const before = (await stack.contents("S")).length;
  const from = ["--from=kinesis:failed", "--stream=S"];
  const nothing = {
    ...{ from: "kinesis:failed", streamName: "S", isDryRun: false, read: POISONED.length, put: 0 },
    ...{ putBefore: 0, fromOtherStreams: 0, notAskedFor: 0, unreadable: 0 },
  };
  assertEquals(await stack.redrive(from), { ...nothing, put: POISONED.length });
  assertEquals((await stack.contents("S")).length, before + POISONED.length);
  // Once more is not twice.
  assertEquals(await stack.redrive(from), { ...nothing, putBefore: POISONED.length });
  assertEquals((await stack.contents("S")).length, before + POISONED.length);

  await using mended = stack.run(MENDED);
  await mended.untilProcessed(POISONED.length);
  await mended.stop();
  const got = mended.stderr.filter((line) => line.startsWith("[")).map((line): Put => {
    const [key, data] = JSON.parse(line);
    return [key, new Uint8Array(data)];
  });
  assertEquals(sorted(got), sorted(POISONED));
  for (const [key, puts] of Map.groupBy(got, ([key]) => key)) {
    const numbers = puts.map(([, [, number]]) => Number(number));
    assertEquals(numbers, numbers.toSorted((a, b) => a - b), key);
  }
});

Deno.test("failures: kill -9 after a record was put aside and before its checkpoint makes a second line, and no loss", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  // The first record is checkpointed at once, the others not for an hour.
  stack.put("S", [["k", payload(0x60, 0)]]);
  const flags = ["--on-failure=file:f.jsonl", "--checkpoint-frequency=1h"];
  await using first = stack.run(PICKY, flags);
  await first.untilTold("checkpoint_written");
  stack.put("S", [["k", payload(POISON, 1)], ["k", payload(0x60, 2)]]);
  await first.untilTold("record_skipped");
  first.kill("SIGKILL");
  await first.ended();
  await using second = stack.run(PICKY, flags);
  await second.untilProcessed(2);
  await second.stop();
  const failures = await stack.failures("f.jsonl");
  assertEquals(failures.map(putOf), [["k", payload(POISON, 1)], ["k", payload(POISON, 1)]]);
  assertEquals(new Set(failures.map(({ sequenceNumber }) => sequenceNumber)).size, 1);
  // It goes back once.
  const { read, put, putBefore } = await stack.redrive(["--from=file:f.jsonl", "--stream=S"]);
  assertEquals([read, put, putBefore], [2, 1, 1]);
  assertEquals((await stack.contents("S")).at(-1), ["k", payload(POISON, 1)]);
});

Deno.test("failures: while the destination is down the record waits, through a stop too, and is there when it is up again", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  stack.put("S", [["k", payload(0x60, 0)], ["k", payload(POISON, 1)], ["k", payload(0x60, 2)]]);
  await Deno.mkdir(`${stack.folder}/disk`);
  const flags = ["--on-failure=file:disk/f.jsonl", "--checkpoint-frequency=0"];
  const down = PICKY.replace(
    "process(r) {",
    `process(r) {
      if (!globalThis.isDown) Deno.removeSync("disk", { recursive: true });
      globalThis.isDown = true;`,
  );
  await using first = stack.run(down, flags);
  await first.untilTold("put_aside_failed", 3);
  assertEquals(first.told("record_skipped"), []);
  const [, { error, destination, attempt } = {}] = first.told("put_aside_failed");
  assertEquals([destination, attempt], ["file:disk/f.jsonl", 2]);
  assertMatch(String((error as { message: string }).message), /its folder must be there/);
  // A clean stop does not wait for it, and does not pass it.
  await first.stop();
  assertEquals(first.processed, 1);

  await Deno.mkdir(`${stack.folder}/disk`);
  await using second = stack.run(down, flags);
  await second.untilTold("put_aside_failed", 2);
  await Deno.mkdir(`${stack.folder}/disk`);
  await second.untilProcessed(2);
  await second.stop();
  assertEquals((await stack.failures("disk/f.jsonl")).map(putOf), [["k", payload(POISON, 1)]]);
});

Deno.test("failures: a record that stops its shard is not put aside", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  stack.put("S", [["k", payload(POISON, 1)]]);
  const stops = PICKY.replace("retryAndSkip", "retryAndStop");
  await using worker = stack.run(stops, ["--on-failure=file:f.jsonl"]);
  await worker.untilTold("shard_stopped");
  await worker.stop();
  assertEquals(await stack.failures("f.jsonl"), []);
});

Deno.test("failures: a destination that cannot be used ends the start, with 2 if it never can", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  for (
    const [place, code, why] of [
      ["kinesis:S", 2, /--on-failure "kinesis:S": that is the stream that is processed/],
      ["s3://bucket", 2, /it must be file:PATH or kinesis:STREAM/],
      ["kinesis:none", 1, /stream "none": it does not exist/],
      ["file:no/such/folder", 1, /its folder must be there/],
    ] as const
  ) {
    await using worker = stack.run(PICKY, [`--on-failure=${place}`]);
    assertEquals(await worker.ended(), code, place);
    assertMatch(worker.stderr.join("\n"), why);
  }
});
