// kinesix shard ...: two workers on the local stack do what they are told, and what cannot be is refused.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type LocalStack, startLocalStack } from "../../src/cli/local_stack.ts";
import { CliProcess } from "./cli_testing.ts";

const QUICK = [
  "--heartbeat=300ms",
  "--heartbeat-timeout=3s",
  "--empty-receive-delay=200ms",
  "--check-unprocessed-shards-frequency=60s",
  "--load-balance-frequency=60s",
];
const PROCESSOR = "data:text/javascript,export default { process() {} };";

function worker(stack: LocalStack, workerId: string): CliProcess {
  return new CliProcess([
    ...["run", "--app=A", "--stream=S", `--worker-id=${workerId}`, "--log=json"],
    ...[`--processor=${PROCESSOR}`, `--kinesis-endpoint=${stack.kinesisEndpoint}`],
    ...[`--dynamodb-endpoint=${stack.dynamoDBEndpoint}`, ...QUICK],
  ]);
}

async function shard(
  stack: LocalStack,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  await using call = new CliProcess([
    ...["shard", ...args, "--app=A", "--stream=S"],
    `--dynamodb-endpoint=${stack.dynamoDBEndpoint}`,
  ]);
  const code = await call.ended();
  return { code, stdout: call.stdout.join("\n"), stderr: call.stderr.join("\n") };
}

async function result(
  stack: LocalStack,
  ...args: readonly string[]
): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await shard(stack, ...args, "--json");
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout);
}

Deno.test("shard commands: the cluster does what it is told, and what cannot be is refused", async () => {
  await using stack = await startLocalStack({ kinesis: 0, dynamoDB: 0 });
  stack.createStream("S", 2);
  await using w1 = worker(stack, "w1");
  const claims = (process: CliProcess) =>
    process.stdout.filter((line) => line.includes('"shard_claimed"')).length;
  await w1.until(() => claims(w1) === 2);
  await using w2 = worker(stack, "w2");
  await w2.until(() => claims(w2) === 1);

  const first = await result(stack, "handover", "0", "--to=w2");
  assertEquals([first.shardId, first.owner, first.isDone], ["shardId-000000000000", "w2", true]);
  const second = await result(stack, "handover", "1", "--to=w2");
  assertEquals([second.owner, second.isDone], ["w2", true]);
  const released = await result(stack, "release", "1");
  assertEquals([released.from, released.owner, released.isDone], ["w2", "w1", true]);

  const stopped = await result(stack, "stop", "0");
  assertEquals(stopped, {
    shardId: "shardId-000000000000",
    order: "stop",
    from: "w2",
    owner: null,
    term: stopped.term,
    isDone: true,
  });
  assertMatch(
    (await shard(stack, "handover", "0", "--to=w1")).stderr,
    /Cannot hand shard "shardId-000000000000" over: it is stopped; start it first/,
  );
  const started = await shard(stack, "start", "0");
  assertEquals(started.stdout, "shard shardId-000000000000 is processed");
  const later = await shard(stack, "stop", "0", "--wait=0s");
  assertStringIncludes(later.stdout, "will be stopped: the order is given; worker ");

  const wrong = await shard(stack, "stop", "7");
  assertEquals([wrong.code, wrong.stdout], [1, ""]);
  assertStringIncludes(wrong.stderr, 'shard "shardId-000000000007": the state table has no shard');
  const nobody = await shard(stack, "handover", "1", "--to=zorro");
  assertStringIncludes(nobody.stderr, "there is no worker of that name");
  assertEquals(nobody.code, 1);
});

Deno.test("shard commands: without a state table nothing is made, and the message says so", async () => {
  await using stack = await startLocalStack({ kinesis: 0, dynamoDB: 0 });
  const { code, stderr } = await shard(stack, "stop", "0");
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot read state table "AKinesisState".*does not exist/s);
});
