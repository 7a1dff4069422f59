// kinesix shard ...: two workers on the local stack do what they are told, and what cannot be is refused.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type LocalStack, startLocalStack } from "../../src/cli/local_stack.ts";
import { CliProcess } from "./cli_testing.ts";
import { runWorker, startStack, type WorkerProcess } from "./worker_testing.ts";

const QUICK = [
  "--heartbeat=300ms",
  "--heartbeat-timeout=10s",
  "--empty-receive-delay=200ms",
  "--check-unprocessed-shards-frequency=60s",
  "--load-balance-frequency=60s",
];
const PROCESSOR = "data:text/javascript,export default { process() {} };";

function worker(stack: LocalStack, workerId: string): WorkerProcess {
  return runWorker(stack, PROCESSOR, [`--worker-id=${workerId}`, ...QUICK]);
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
  await using stack = await startStack(4);
  await using w1 = worker(stack, "w1");
  const claimed = (worker: WorkerProcess): readonly string[] =>
    worker.told("shard_claimed").map(({ shardId }) => shardId);
  await w1.untilTold("shard_claimed", 4);
  await using w2 = worker(stack, "w2");
  await w2.untilTold("shard_claimed", 2);

  // One that w1 has kept. By itself, w2 would not ask for it: then it had two more than w1.
  const kept = claimed(w1).find((shardId) => !claimed(w2).includes(shardId)) ?? "";
  const handed = await result(stack, "handover", kept, "--to=w2");
  assertEquals([handed.shardId, handed.from, handed.owner, handed.isDone], [
    kept,
    "w1",
    "w2",
    true,
  ]);
  const released = await result(stack, "release", kept);
  assertEquals([released.from, released.owner, released.isDone], ["w2", "w1", true]);

  const [number] = /\d$/.exec(kept) ?? [""];
  const stopped = await result(stack, "stop", number);
  assertEquals(stopped, {
    shardId: kept,
    order: "stop",
    from: "w1",
    owner: null,
    term: stopped.term,
    isDone: true,
  });
  assertMatch(
    (await shard(stack, "handover", kept, "--to=w2")).stderr,
    /Cannot hand shard "shardId-00000000000\d" over: it is stopped; start it first/,
  );
  const started = await shard(stack, "start", kept);
  assertEquals(started.stdout, `shard ${kept} is processed`);
  const later = await shard(stack, "stop", kept, "--wait=0s");
  assertStringIncludes(later.stdout, "will be stopped: the order is given; worker ");

  const wrong = await shard(stack, "stop", "7");
  assertEquals([wrong.code, wrong.stdout], [1, ""]);
  assertStringIncludes(wrong.stderr, 'shard "shardId-000000000007": the state table has no shard');
  await shard(stack, "start", kept);
  const nobody = await shard(stack, "handover", kept, "--to=zorro");
  assertStringIncludes(nobody.stderr, "there is no worker of that name");
  assertEquals(nobody.code, 1);
});

Deno.test("shard commands: without a state table nothing is made, and the message says so", async () => {
  await using stack = await startLocalStack({ kinesis: 0, dynamoDB: 0 });
  const { code, stderr } = await shard(stack, "stop", "0");
  assertEquals(code, 1);
  assertMatch(stderr, /Cannot read state table "AKinesisState".*does not exist/s);
});
