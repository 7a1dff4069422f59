/**
 * The commands as processes of their own, on a local stack.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { startLocalStack } from "../../src/cli/local_stack.ts";
import { assertDocumented, assertEventsDocumented } from "../docs/json_shapes.ts";
import { CliProcess } from "./cli_testing.ts";
import { dataUrl } from "./module_server.ts";
import { endpointFlags, putLines, QUICK, runWorker, startStack } from "./worker_testing.ts";

const PRINT = dataUrl(
  `export default { process(record) { console.log("got", record.text()); } };`,
);

Deno.test("two workers share a stream, status shows them, SIGTERM ends them with 0", async () => {
  await using stack = await startStack(4);
  const lines = Array.from({ length: 400 }, (_, index) => String(index));
  assertEquals((await putLines(stack, lines) as { records: number }).records, 400);
  await using first = runWorker(stack, PRINT, [...QUICK, "--worker-id=w1"]);
  await using second = runWorker(stack, PRINT, [...QUICK, "--worker-id=w2"]);
  const both = () => first.processed + second.processed >= 400;
  await Promise.race([first.until(both), second.until(both)]);

  await using status = new CliProcess([
    "status",
    "--app=A",
    "--stream=S",
    "--json",
    `--dynamodb-endpoint=${stack.dynamoDBEndpoint}`,
  ]);
  assertEquals(await status.ended(), 0, status.stderr.join("\n"));
  const cluster = JSON.parse(status.stdout.join(""));
  assertEquals(Object.keys(cluster), ["workers", "shards"]);
  assertEquals(Object.keys(cluster.workers[0]).toSorted(), [
    "alive",
    "lastHeartbeatAt",
    "shards",
    "version",
    "workerId",
  ]);
  assertEquals(cluster.workers.map((worker: { workerId: string }) => worker.workerId), [
    "w1",
    "w2",
  ]);
  assertEquals(Object.keys(cluster.shards[0]).toSorted(), [
    "checkpoint",
    "checkpointAt",
    "handoverTo",
    "millisBehindLatest",
    "owner",
    "parents",
    "shardId",
    "state",
    "stoppedAt",
    "term",
  ]);
  assertEquals(cluster.shards.length, 4);

  for (const worker of [first, second]) worker.kill("SIGTERM");
  assertEquals([await first.ended(), await second.ended()], [0, 0]);
  for (const worker of [first, second]) {
    const events = worker.events;
    assert(events.every((event) => !Number.isNaN(Date.parse(event.time)) && event.workerId));
    assertEquals(Object.keys(events[0] ?? {}).slice(0, 3), ["type", "time", "workerId"]);
    assertEquals(events.at(-1)?.type, "worker_stopped");
    await assertEventsDocumented(events);
  }
  const got = [...first.stderr, ...second.stderr].filter((line) => line.startsWith("got "));
  assertEquals(got.map((line) => line.slice(4)).toSorted(), lines.toSorted());
});

Deno.test("a second signal ends a worker at once, whatever its processor does", async () => {
  await using stack = await startStack(1, ["stuck"]);
  await using worker = runWorker(
    stack,
    dataUrl(
      `export default { process() { console.error("stuck"); return new Promise(() => {}); } };`,
    ),
  );
  await worker.until(() => worker.stderr.includes("stuck"));
  worker.kill("SIGTERM");
  // Two signals at the very same time are one.
  await delay(300);
  worker.kill("SIGTERM");
  assertEquals(await worker.ended(), 143);
});

Deno.test("a reader that goes away stops the worker cleanly, with a message and 1", async () => {
  await using stack = await startStack(1);
  await using worker = runWorker(stack, PRINT);
  await worker.untilTold("shard_claimed");
  await worker.closeStdout();
  await putLines(stack, ["more"]);
  assertEquals(await worker.ended(), 1);
  assertStringIncludes(worker.stderr.join("\n"), "nobody reads it any more");
});

Deno.test("a failure that the processor leaves unhandled stops the worker cleanly, with 1", async () => {
  await using stack = await startStack(1, ["one"]);
  await using worker = runWorker(
    stack,
    dataUrl(`export default { process() { Promise.reject(new Error("left behind")); } };`),
  );
  assertEquals(await worker.ended(), 1);
  assertStringIncludes(worker.stderr.join("\n"), "a failure was not handled: left behind");
  assertEquals(worker.events.at(-1)?.type, "worker_stopped");
});

Deno.test("a worker whose id is taken by a newer one ends with a message and 1", async () => {
  await using stack = await startStack(1);
  await using older = runWorker(stack, PRINT, [...QUICK, "--worker-id=w"]);
  await older.untilTold("shard_claimed");
  await using newer = runWorker(stack, PRINT, [...QUICK, "--worker-id=w"]);
  assertEquals(await older.ended(), 1);
  assertMatch(older.stderr.join("\n"), /^error: Cannot go on as worker "w"/m);
  newer.kill("SIGINT");
  assertEquals(await newer.ended(), 0);
});

Deno.test("what does not exist is named, and the exit code is 1", async () => {
  await using stack = await startLocalStack({ kinesis: 0, dynamoDB: 0 });
  await using worker = runWorker(stack, PRINT);
  await using status = new CliProcess([
    "status",
    "--app=B",
    "--stream=S",
    ...endpointFlags(stack).slice(1),
  ]);
  assertEquals([await worker.ended(), await status.ended()], [1, 1]);
  assertMatch(worker.stderr.join("\n"), /^error: Cannot .*"S"/m);
  assertMatch(status.stderr.join("\n"), /^error: Cannot .*"BKinesisState"/m);
});

Deno.test("local prints its endpoints, refuses a port in use, and ends with 0", async () => {
  await using local = new CliProcess([
    "local",
    "--kinesis-port=0",
    "--dynamodb-port=0",
    "--stream=S",
    "--json",
  ]);
  await local.until((lines) => lines.length === 1);
  await assertDocumented("local", JSON.parse(local.stdout.join("")));
  const { kinesisEndpoint, dynamoDBEndpoint, ...rest } = JSON.parse(local.stdout.join(""));
  assertEquals(rest, { streamName: "S", shards: 1 });
  for (const [flag, endpoint] of [["kinesis", kinesisEndpoint], ["dynamodb", dynamoDBEndpoint]]) {
    const ports = { kinesis: "0", dynamodb: "0", [flag]: new URL(endpoint).port };
    await using second = new CliProcess([
      "local",
      `--kinesis-port=${ports.kinesis}`,
      `--dynamodb-port=${ports.dynamodb}`,
    ]);
    assertEquals(await second.ended(), 1);
    assertMatch(second.stderr.join("\n"), new RegExp(`another program listens.*--${flag}-port`));
  }
  local.kill("SIGTERM");
  assertEquals(await local.ended(), 0);
});

Deno.test("demo loses nothing, keeps the order, and prints one object", async () => {
  await using demo = new CliProcess(["demo", "--json", "--records=2000"]);
  assertEquals(await demo.ended(), 0, demo.stderr.join("\n"));
  assertEquals(demo.stdout.length, 1);
  await assertDocumented("demo", JSON.parse(demo.stdout.join("")));
  const { workers, seconds, ...rest } = JSON.parse(demo.stdout.join(""));
  assertEquals(rest, { put: 2000, processed: 2000, duplicates: 0, outOfOrder: 0 });
  assertEquals(workers.length, 3);
  assertEquals(Object.keys(workers[0]), ["workerId", "records", "shards"]);
  assert(seconds > 0);
});

Deno.test("demo tidies up when it is interrupted", async () => {
  await using demo = new CliProcess(["demo", "--records=1000000"]);
  await demo.until(() => demo.stderr.some((line) => line.includes("took")));
  demo.kill("SIGINT");
  assertEquals(await demo.ended(), 1);
});
