// Owns: kinesix explain on the local stack: words that fit what really happened to a shard, and its JSON.
import { KinesisClient, SplitShardCommand } from "@aws-sdk/client-kinesis";
import { assertEquals, assertMatch } from "@std/assert";
import { delay } from "@std/async/delay";
import { type LocalStack, startLocalStack } from "../../src/cli/local_stack.ts";
import { main } from "../../src/cli/main.ts";
import { fakeTerminal } from "./cli_testing.ts";
import { dataUrl } from "./module_server.ts";
import { runWorker, startStack, type WorkerProcess } from "./worker_testing.ts";

const QUICK = [
  ...["--heartbeat=300ms", "--heartbeat-timeout=3s", "--empty-receive-delay=200ms"],
  ...["--check-unprocessed-shards-frequency=60s", "--load-balance-frequency=60s"],
];

function worker(stack: LocalStack, workerId: string, processor: string): WorkerProcess {
  const module = dataUrl(`export default { ${processor} };`);
  return runWorker(stack, module, [`--worker-id=${workerId}`, ...QUICK]);
}

async function call(
  stack: LocalStack,
  args: readonly string[],
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const terminal = fakeTerminal();
  const where = ["--app=A", "--stream=S", `--dynamodb-endpoint=${stack.dynamoDBEndpoint}`];
  const code = await main([...args, ...where], terminal);
  return { code, stdout: terminal.stdout(), stderr: terminal.stderr() };
}

async function explain(stack: LocalStack, shard = "0"): Promise<string> {
  const { code, stdout, stderr } = await call(stack, ["explain", shard]);
  assertEquals(code, 0, stderr);
  return stdout;
}

Deno.test("explain: from the first owner over a handover and a stop to a dead owner", async () => {
  await using stack = await startStack(1);
  await using w1 = worker(stack, "w1", "process() {}");
  await w1.untilTold("shard_claimed");
  const first = await explain(stack);
  assertMatch(first, /^shardId-000000000000 of A on stream S: processed by w1$/m);
  assertMatch(first, /^ {2}owner +w1, term 1$/m);
  assertMatch(first, /^ {2}last move +nobody had it, so w1 took it$/m);
  assertMatch(first, /^ {2}worker w1 +has it \(1 shard, heartbeat .* ago\)$/m);

  await using w2 = worker(stack, "w2", "process() {}");
  await w2.untilTold("worker_started");
  assertEquals((await call(stack, ["shard", "handover", "0", "--to=w2"])).code, 0);
  const moved = await explain(stack);
  assertMatch(moved, /processed by w2$/m);
  assertMatch(moved, /^ {2}last move +an operator ordered it from w1 to w2$/m);
  assertMatch(moved, /^ {2}worker w1 +leaves it to others \(0 shards/m);

  assertEquals((await call(stack, ["shard", "stop", "0"])).code, 0);
  const stopped = await explain(stack);
  assertMatch(stopped, /: stopped by an operator; no worker takes it until it is started$/m);
  assertMatch(
    stopped,
    /^ {2}order +an operator stopped it .* ago; kinesix shard start undoes that$/m,
  );
  assertEquals((await call(stack, ["shard", "start", "0"])).code, 0);

  const { stdout } = await call(stack, ["explain", "shardId-000000000000", "--json"]);
  const shard = JSON.parse(stdout);
  assertEquals([shard.situation, shard.order.kind, shard.isTaken], ["processed", "start", true]);
  assertEquals(Object.keys(shard).toSorted(), [
    ...["because", "checkpoint", "checkpointAt", "children", "isTaken", "millisBehindLatest"],
    ...["order", "owner", "parents", "previousOwner", "request", "shardId", "situation", "state"],
    ...["stoppedAt", "stoppedBy", "term", "workers"],
  ]);
  assertEquals(Object.keys(shard.workers[0]), [
    ...["workerId", "stance", "shards", "lastHeartbeatAt", "givenUpAt"],
  ]);

  const owner = shard.owner === "w1" ? w1 : w2;
  const other = owner === w1 ? w2 : w1;
  await other.stop();
  owner.kill("SIGKILL");
  await owner.ended();
  let dead = await explain(stack);
  while (!dead.includes("no worker is alive")) {
    assertMatch(
      dead,
      /: processed by w\d(, whose heartbeat is late; without one others may take it in)?/,
    );
    await delay(200);
    dead = await explain(stack);
  }
  assertMatch(dead, /is dead, as far as can be told from here/);
});

Deno.test("explain: a shard that a record stopped, and a child that waits for it", async () => {
  await using stack = await startStack(1, ["poison"]);
  const credentials = { accessKeyId: "local", secretAccessKey: "local" };
  const kinesis = new KinesisClient({
    ...{ endpoint: stack.kinesisEndpoint, region: "us-east-1", credentials },
  });
  await kinesis.send(
    new SplitShardCommand({
      StreamName: "S",
      ShardToSplit: "shardId-000000000000",
      NewStartingHashKey: String(2n ** 127n),
    }),
  );
  kinesis.destroy();
  await using w1 = worker(
    stack,
    "w1",
    `process() { throw new Error("no"); }, getErrorHandlingMode: () => ({ kind: "retryAndStop", retries: 0 })`,
  );
  await w1.untilTold("shard_stopped_everywhere");
  const stopped = await explain(stack);
  assertMatch(stopped, /nobody processes it: every worker that is alive has stopped it/);
  assertMatch(stopped, /^ {2}last move +w1 gave it up: a record kept failing \(retryAndStop\)$/m);
  assertMatch(stopped, /^ {2}child +1$/m);
  assertMatch(stopped, /^ {2}worker w1 +has stopped it/m);
  const child = await explain(stack, "1");
  assertMatch(child, /: waits until 0 is finished, so that keys stay in order$/m);
  assertMatch(child, /^ {2}parent +0: not finished, stopped$/m);
});

Deno.test("explain: what cannot be is refused by name", async () => {
  await using stack = await startLocalStack({ kinesis: 0, dynamoDB: 0 });
  const none = await call(stack, ["explain", "0"]);
  assertEquals([none.code, none.stdout], [1, ""]);
  assertMatch(none.stderr, /Cannot read state table "AKinesisState".*does not exist/s);
  stack.createStream("S", 1);
  await using w1 = worker(stack, "w1", "process() {}");
  await w1.untilTold("shard_claimed");
  const wrong = await call(stack, ["explain", "7"]);
  assertEquals(wrong.code, 1);
  assertMatch(wrong.stderr, /Cannot explain shard "shardId-000000000007": the state table has no/);
  assertEquals((await call(stack, ["explain"])).code, 2);
});
