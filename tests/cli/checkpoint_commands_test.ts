// kinesix checkpoint ...: on the local stack; what cannot be is refused and changes nothing.
import {
  CreateTableCommand,
  DynamoDBClient,
  PutItemCommand,
  type PutItemCommandInput,
} from "@aws-sdk/client-dynamodb";
import { delay } from "@std/async/delay";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { parsePosition } from "../../src/cli/checkpoints/position.ts";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { CliProcess } from "./cli_testing.ts";
import { dataUrl } from "./module_server.ts";
import { withFolder } from "./temporary_folder.ts";
import { runWorker, type WorkerProcess } from "./worker_testing.ts";

const QUICK = [
  "--heartbeat=300ms",
  "--heartbeat-timeout=3s",
  "--empty-receive-delay=200ms",
  "--checkpoint-frequency=0s",
];
const PROCESSOR = dataUrl(
  "export default { process(r) { console.log('got', r.text()); } };",
);

/** A local stack with a stream "S", and the command line on it. */
class Stack implements AsyncDisposable {
  readonly #disposal: AsyncDisposableStack;
  readonly kinesis: ReturnType<typeof serveLocalKinesis>;
  readonly dynamoDBUrl: string;

  private constructor(
    disposal: AsyncDisposableStack,
    kinesis: ReturnType<typeof serveLocalKinesis>,
    dynamoDBUrl: string,
  ) {
    this.#disposal = disposal;
    this.kinesis = kinesis;
    this.dynamoDBUrl = dynamoDBUrl;
  }

  static async start(shards: number): Promise<Stack> {
    await using disposal = new AsyncDisposableStack();
    const kinesis = disposal.use(serveLocalKinesis({ port: 0 }));
    const dynamoDB = disposal.use(await startLocalDynamoDB({ port: 0 }));
    kinesis.engine.call("CreateStream", { StreamName: "S", ShardCount: shards });
    return new Stack(disposal.move(), kinesis, dynamoDB.url);
  }

  /** Puts records; gives their sequence numbers. */
  put(...texts: readonly string[]): readonly string[] {
    return texts.map((text) => {
      const reply = this.call("PutRecord", { PartitionKey: "key", Data: btoa(text) });
      return (reply as { SequenceNumber: string }).SequenceNumber;
    });
  }

  call(operation: string, input: object): object {
    return this.kinesis.engine.call(operation, { StreamName: "S", ...input }) as object;
  }

  worker(): WorkerProcess {
    const endpoints = { kinesisEndpoint: this.kinesis.url, dynamoDBEndpoint: this.dynamoDBUrl };
    return runWorker(endpoints, PROCESSOR, ["--worker-id=w", ...QUICK]);
  }

  async checkpoint(
    ...args: readonly string[]
  ): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
    await using call = new CliProcess(
      ["checkpoint", ...args, "--app=A", "--stream=S", ...this.#endpoints(args[0])],
    );
    const code = await call.ended();
    return { code, stdout: call.stdout.join("\n"), stderr: call.stderr.join("\n") };
  }

  async report(...args: readonly string[]) {
    const { code, stdout, stderr } = await this.checkpoint(...args, "--json");
    assertEquals(code, 0, stderr);
    return JSON.parse(stdout);
  }

  /** The checkpoints, by the number of their shard. */
  async list(): Promise<readonly string[]> {
    const { shards } = await this.report("list");
    return shards.map(({ checkpoint }: { checkpoint: string }) => checkpoint);
  }

  #endpoints(command = ""): readonly string[] {
    const dynamoDB = `--dynamodb-endpoint=${this.dynamoDBUrl}`;
    const needsKinesis = command !== "list" && command !== "export";
    return needsKinesis ? [dynamoDB, `--kinesis-endpoint=${this.kinesis.url}`] : [dynamoDB];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#disposal.disposeAsync();
  }
}

async function got(worker: CliProcess, texts: readonly string[]): Promise<void> {
  const seen = () =>
    worker.stderr.filter((line) => line.startsWith("got ")).map((line) => line.slice(4));
  await worker.until(() => seen().length >= texts.length);
  assertEquals(seen(), texts);
}

Deno.test("positions: what people write", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  const at = (text: string) => parsePosition(text, now);
  assertEquals(at("TRIM_HORIZON"), { kind: "trimHorizon" });
  assertEquals(at("latest"), { kind: "timestamp", timestamp: now });
  assertEquals(at("2h"), { kind: "timestamp", timestamp: now - 7_200_000 });
  assertEquals(at("2026-01-01"), { kind: "timestamp", timestamp: now - 86_400_000 });
  assertEquals(at("2026-01-01T12:00:00+12:00"), { kind: "timestamp", timestamp: now - 86_400_000 });
  assertEquals(at("4959"), { kind: "sequence", sequenceNumber: "4959" });
  assertEquals(at("4959:3"), { kind: "sequence", sequenceNumber: "4959", subSequenceNumber: 3 });
  for (const text of ["", "soon", "SHARD_END", "4959:x", "2026-13-01", "-1", "h"]) {
    assertEquals(at(text), undefined, text);
  }
});

Deno.test("checkpoint: set back while a worker is at work, after it was told to stop first", async () => {
  await using stack = await Stack.start(1);
  const [first = ""] = stack.put("1", "2", "3");
  await using worker = stack.worker();
  await got(worker, ["1", "2", "3"]);
  const refused = await stack.checkpoint("set", "0", first);
  assertEquals([refused.code, refused.stdout], [1, ""]);
  assertStringIncludes(
    refused.stderr,
    'worker "w" has shard "shardId-000000000000"; use --stop-first',
  );
  const dry = await stack.report("set", "0", first, "--stop-first", "--dry-run");
  assertEquals([dry.isDryRun, dry.changes[0].to], [true, first]);
  const done = await stack.report("set", "0", first, "--stop-first");
  assertEquals(Object.keys(done), ["isDryRun", "changes", "created", "lost", "fresh"]);
  await got(worker, ["1", "2", "3", "2", "3"]);
  await stack.report("rewind", "1h", "--stop-first");
  await got(worker, ["1", "2", "3", "2", "3", "1", "2", "3"]);
});

Deno.test("checkpoint: rewind takes closed shards too, and children wait for them again", async () => {
  await using stack = await Stack.start(1);
  stack.put("1", "2");
  stack.call("SplitShard", {
    ShardToSplit: "shardId-000000000000",
    NewStartingHashKey: String(2n ** 127n),
  });
  stack.put("3");
  {
    await using worker = stack.worker();
    await got(worker, ["1", "2", "3"]);
    await worker.stop();
  }
  assertEquals((await stack.list())[0], "SHARD_END");
  const { changes } = await stack.report("rewind", "trim-horizon");
  assertEquals(changes.length, 3);
  await using worker = stack.worker();
  await got(worker, ["1", "2", "3"]);
});

Deno.test("checkpoint: what cannot be is refused, and changes nothing", async () => {
  await using stack = await Stack.start(1);
  const [first = ""] = stack.put("1");
  {
    await using worker = stack.worker();
    await got(worker, ["1"]);
    await worker.stop();
  }
  const before = await stack.list();
  assertEquals(before, [first]);
  const refusals: readonly (readonly [readonly string[], string])[] = [
    [["set", "7", "latest"], 'stream "S" has no shard of that name'],
    [["set", "0", "1"], `the oldest record that the shard holds has the sequence number ${first}`],
    [["set", "0", "48h"], "the stream holds its records for 1d; use trim-horizon"],
    [["rewind", "48h"], "the stream holds its records for 1d"],
    [["set", "0", "2100-01-01"], "that is in the future"],
    [["import", "/no/file.json"], 'Cannot import "/no/file.json": there is no such file'],
    [["import", "--from-kcl=none"], 'Cannot read KCL table "none"'],
  ];
  for (const [args, words] of refusals) {
    const { code, stdout, stderr } = await stack.checkpoint(...args);
    assertEquals([code, stdout], [1, ""], args.join(" "));
    assertStringIncludes(stderr, words);
  }
  const wrong = await stack.checkpoint("rewind", first);
  assertEquals(wrong.code, 2);
  assertEquals(await stack.list(), before);
});

Deno.test("checkpoint: an export is imported into another app's empty table, which goes on exactly after it", async () => {
  await withFolder(async (folder) => {
    await using stack = await Stack.start(1);
    stack.put("1", "2");
    {
      await using worker = stack.worker();
      await got(worker, ["1", "2"]);
      await worker.stop();
    }
    const path = `${folder}/checkpoints.json`;
    const exported = await stack.checkpoint("export", `--output=${path}`);
    assertEquals(exported.code, 0, exported.stderr);
    const foreign = `${folder}/foreign.json`;
    await Deno.writeTextFile(foreign, (await Deno.readTextFile(path)).replace('"S"', '"T"'));
    const refused = await stack.checkpoint("import", foreign);
    assertStringIncludes(refused.stderr, 'it is of stream "T", not "S"');
    // Another table, the same stream.
    await using db = await startLocalDynamoDB({ port: 0 });
    await using call = new CliProcess([
      ...["checkpoint", "import", path, "--app=B", "--stream=S", "--json"],
      ...[`--dynamodb-endpoint=${db.url}`, `--kinesis-endpoint=${stack.kinesis.url}`],
    ]);
    assertEquals(await call.ended(), 0, call.stderr.join("\n"));
    const { created } = JSON.parse(call.stdout.join(""));
    assertEquals(created.length, 1);
    stack.put("3");
    await using worker = new CliProcess([
      ...["run", "--app=B", "--stream=S", "--log=json", `--processor=${PROCESSOR}`, ...QUICK],
      ...[`--dynamodb-endpoint=${db.url}`, `--kinesis-endpoint=${stack.kinesis.url}`],
    ]);
    await got(worker, ["3"]);
  });
});

Deno.test("checkpoint: an import that is cut off says what it has set", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await using stack = await Stack.start(2);
    const path = `${folder}/checkpoints.json`;
    const write = (...numbers: readonly number[]): Promise<void> => {
      const shards = numbers.map((number) => ({
        ...{ shardId: `shardId-00000000000${number}`, checkpoint: "TRIM_HORIZON" },
      }));
      const about = { format: "kinesix-checkpoints/1", streamName: "S" };
      return Deno.writeTextFile(path, JSON.stringify({ ...about, shards }));
    };
    await write(0);
    await stack.report("import", path);
    await write(0, 1);
    // From now on nobody may make the row of the other shard.
    await using refusing = Deno.serve({ port: 0, onListen() {} }, async (request) => {
      const body = await request.text();
      if (body.includes("attribute_not_exists(#row)") && body.includes("shardId-000000000001")) {
        return Response.json({ __type: "AccessDeniedException" }, { status: 400 });
      }
      return await fetch(stack.dynamoDBUrl, { method: "POST", headers: request.headers, body });
    });
    await using call = new CliProcess([
      ...["checkpoint", "import", path, "--app=A", "--stream=S"],
      `--dynamodb-endpoint=http://127.0.0.1:${refusing.addr.port}`,
      `--kinesis-endpoint=${stack.kinesis.url}`,
    ]);
    assertEquals(await call.ended(), 1);
    assertStringIncludes(
      call.stderr.join("\n"),
      "lack dynamodb:UpdateItem; what was set before stays set: 1 checkpoint of shards with a row",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("checkpoint: a KCL table is imported, and the app goes on exactly after its checkpoints", async () => {
  await using stack = await Stack.start(1);
  const sequenceNumbers = stack.put("1", "2", "3");
  using tables = kclTables(stack);
  await tables.make([{
    leaseKey: { S: "shardId-000000000000" },
    leaseOwner: { S: "kcl-worker" },
    leaseCounter: { N: "17" },
    checkpoint: { S: sequenceNumbers[1] ?? "" },
    checkpointSubSequenceNumber: { N: "0" },
    ownerSwitchesSinceCheckpoint: { N: "0" },
    startingHashKey: { S: "0" },
    endingHashKey: { S: "340282366920938463463374607431768211455" },
  }, {
    leaseKey: { S: "123456789012:Other:1700000000:shardId-000000000000" },
    streamName: { S: "Other" },
    leaseCounter: { N: "1" },
    checkpoint: { S: "TRIM_HORIZON" },
  }, {
    leaseKey: { S: "kcl-worker" },
    entityType: { S: "WORKER_METRIC_STATS" },
  }]);
  const { created, lost, fresh } = await stack.report("import", "--from-kcl=KclApp");
  assertEquals([created.length, lost, fresh], [1, [], []]);
  await using worker = stack.worker();
  await got(worker, ["3"]);
});

Deno.test("checkpoint: a KCL table whose workers are at work is refused", async () => {
  await using stack = await Stack.start(1);
  stack.put("1");
  using tables = kclTables(stack);
  const item = (counter: number) => ({
    leaseKey: { S: "shardId-000000000000" },
    leaseOwner: { S: "kcl-worker" },
    leaseCounter: { N: String(counter) },
    checkpoint: { S: "TRIM_HORIZON" },
  });
  await tables.make([item(1)]);
  let hasEnded = false;
  const running = stack.checkpoint("import", "--from-kcl=KclApp").finally(() => hasEnded = true);
  for (let counter = 2; !hasEnded; counter++) {
    await tables.put(item(counter));
    await delay(500);
  }
  const { code, stderr } = await running;
  assertEquals(code, 1);
  assertStringIncludes(stderr, 'worker "kcl-worker" is at work on shard "shardId-000000000000"');
  assert(!stderr.includes("set 1"));
});

/** The table of a KCL application. */
function kclTables(stack: Stack) {
  const client = new DynamoDBClient({
    endpoint: stack.dynamoDBUrl,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
  });
  type Item = PutItemCommandInput["Item"];
  const put = (Item: Item) => client.send(new PutItemCommand({ TableName: "KclApp", Item }));
  return {
    put,
    async make(items: readonly Item[]): Promise<void> {
      await client.send(
        new CreateTableCommand({
          TableName: "KclApp",
          KeySchema: [{ AttributeName: "leaseKey", KeyType: "HASH" }],
          AttributeDefinitions: [{ AttributeName: "leaseKey", AttributeType: "S" }],
          BillingMode: "PAY_PER_REQUEST",
        }),
      );
      for (const item of items) await put(item);
    },
    [Symbol.dispose]: () => client.destroy(),
  };
}
