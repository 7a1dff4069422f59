// That the commands in the guides do what they are there for: each is run on a local stack, against a cluster at work.
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { type AwsOptions, formatFailure, ReactoKinesixApp, retryAndSkip } from "../../mod.ts";
import { main } from "../../src/cli/main.ts";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { type LocalKinesis, serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { fakeTerminal } from "../cli/cli_testing.ts";
import { type CodeBlock, codeBlocks, type Document, readDocuments } from "./markdown.ts";
import { commandsOf, filledIn } from "./shell.ts";

/** All but the one that is walked as a whole. */
const GUIDES = (await readDocuments()).filter(({ path }) =>
  /^(README\.md|docs\/.+)$/.test(path) && path !== "docs/start.md"
);

/** Commands that have no end, or take long, and who runs them instead. */
const ELSEWHERE: readonly (readonly [command: string, test: string])[] = [
  ["run ", "start_guide_test.ts, and whoever starts a worker"],
  ["local ", "start_guide_test.ts"],
  ["tail --stream orders", "tests/cli/tail_test.ts; without --limit it follows"],
  ["status --watch", "tests/cli/status_screen_test.ts"],
  ["checkpoint import --from-kcl", "tests/cli/checkpoint_commands_test.ts; it takes 8 seconds"],
];

const PROCESSOR = fileURLToPath(new URL("../../examples/processor.ts", import.meta.url));

/** What the state table of the .NET library has. */
const ITEMS = (sequenceNumber: string): unknown => ({
  Items: [
    { ShardId: { S: "shardId-000000000000" }, SequenceNumberCheckpoint: { S: sequenceNumber } },
    { ShardId: { S: "shardId-000000000001" }, IsClosed: { S: "False" } },
  ],
});

/** Windows names files in another way than the guides. */
const ignore = Deno.build.os === "windows";

Deno.test(
  "every command in the guides that ends does so well, on a cluster at work",
  { ignore },
  async () => {
    await using disposables = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "kinesix-guides-" });
    disposables.defer(() => Deno.remove(folder, { recursive: true }));
    const kinesis = disposables.use(serveLocalKinesis({ port: 0 }));
    const dynamoDB = disposables.use(await startLocalDynamoDB({ port: 0 }));
    const aws = { kinesisEndpoint: kinesis.url, dynamoDBEndpoint: dynamoDB.url };
    const sequenceNumbers = createStream(kinesis);
    for (const workerId of ["worker-a", "worker-b"]) {
      disposables.use(await startWorker(workerId, aws));
    }
    const files = {
      "/var/lib/kinesix/failures.jsonl": `${folder}/failures.jsonl`,
      "checkpoints.json": `${folder}/checkpoints.json`,
    };
    await Deno.writeTextFile(files["/var/lib/kinesix/failures.jsonl"], `${failure()}\n`);

    const hasJq = await isInstalled("jq");
    const problems: string[] = [];
    let count = 0;
    for (const { path, text, info, where } of GUIDES.flatMap(blocksOf)) {
      if (path === "docs/from-reactokinesix.md" && !hasJq) continue;
      if (text.includes("jq '{")) await runJq(text, folder, ITEMS(sequenceNumbers[0] ?? ""));
      // Who moves has no workers yet.
      const appName = path.startsWith("docs/from-") ? "orders-billing-new" : "orders-billing";
      for (const [program, ...words] of info === "sh" ? commandsOf(text) : []) {
        const isElsewhere = ELSEWHERE.some(([start]) => words.join(" ").startsWith(start));
        if (program !== "kinesix" || isElsewhere) continue;
        const real: Readonly<Record<string, string>> = {
          ...files,
          "file:/var/lib/kinesix/failures.jsonl": `file:${folder}/failures.jsonl`,
          "./processor.ts": PROCESSOR,
          "orders-billing": appName,
          "2026-11-01T06:00:00Z": new Date(Date.now() - 60_000).toISOString(),
        };
        const terminal = fakeTerminal({
          stdin: [["1", "2", "3"]],
          env: {
            ...{ AWS_ENDPOINT_URL_KINESIS: kinesis.url, AWS_ENDPOINT_URL_DYNAMODB: dynamoDB.url },
            KINESIX_DEBUG: "1",
          },
        });
        const code = await main(filledIn(words).map((word) => real[word] ?? word), terminal);
        count++;
        if (words[1] === "export") {
          await Deno.writeTextFile(files["checkpoints.json"], terminal.stdout());
        }
        if (code !== 0) problems.push(`${where} ${words.join(" ")}: ${code} ${terminal.stderr()}`);
      }
    }
    assertEquals(problems, []);
    assert(count > 20, `${count} commands are run`);
  },
);

function blocksOf(document: Document): readonly (CodeBlock & { readonly path: string })[] {
  return codeBlocks(document).map((block) => ({ ...block, path: document.path }));
}

/** Makes the stream; returns the positions of records in its first shard. */
function createStream({ engine }: LocalKinesis): readonly string[] {
  engine.call("CreateStream", { StreamName: "orders", ShardCount: 4 });
  return Array.from({ length: 3 }, (_, i) => {
    const put = engine.call("PutRecord", {
      StreamName: "orders",
      PartitionKey: `customer-${i}`,
      ExplicitHashKey: "0",
      Data: btoa(JSON.stringify({ id: `A-${i}`, total: i })),
    });
    return String(Object(put).SequenceNumber);
  });
}

async function isInstalled(command: string): Promise<boolean> {
  const args = ["-c", `command -v ${command}`];
  return (await new Deno.Command("bash", { args }).output()).success;
}

/** Runs a script as it stands there, with an `aws` that prints what it would find. */
async function runJq(script: string, folder: string, items: unknown): Promise<void> {
  const aws = `aws() { cat <<'END'\n${JSON.stringify(items)}\nEND\n}`;
  const { code, stderr } = await new Deno.Command("bash", {
    args: ["-euc", `${aws}\n${script}`],
    cwd: folder,
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
}

function startWorker(workerId: string, aws: AwsOptions): Promise<ReactoKinesixApp> {
  return ReactoKinesixApp.createNew({
    ...aws,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
    appName: "orders-billing",
    streamName: "orders",
    workerId,
    processor: { process() {} },
    config: { heartbeat: 200, heartbeatTimeout: 30_000, emptyReceiveDelay: 200 },
  });
}

function failure(): string {
  return formatFailure({
    appName: "orders-billing",
    streamName: "orders",
    shardId: "shardId-000000000003",
    sequenceNumber: "4957",
    subSequenceNumber: undefined,
    partitionKey: "customer-1",
    data: new TextEncoder().encode("no JSON"),
    approximateArrivalTimestamp: new Date(0),
    error: new SyntaxError("no JSON"),
    attempts: 1,
    mode: retryAndSkip(0),
    workerId: "worker-a",
    time: new Date(0),
  });
}
