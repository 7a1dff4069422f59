// kinesix iam print and kinesix table print: what they print is what IAM, CloudFormation and Terraform take, and least.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import hcl from "hcl2-parser";
import { parse as parseYaml } from "yaml";
import { main } from "../../src/cli/main.ts";
import { type Needs, permissionsFor, policyFor, PURPOSES } from "../../src/cli/permissions.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { CliProcess, fakeTerminal } from "./cli_testing.ts";
import { codeIn } from "../docs/markdown.ts";

async function cli(...args: readonly string[]) {
  const terminal = fakeTerminal();
  const code = await main(args, terminal);
  return { code, stdout: terminal.stdout(), stderr: terminal.stderr() };
}

const IAM = ["iam", "print", "--app=A", "--stream=S", "--region=eu-west-1"];
const ACCOUNT = "--account=123456789012";

async function policy(...args: readonly string[]) {
  const { code, stdout, stderr } = await cli(...IAM, ACCOUNT, ...args);
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout);
}

Deno.test("iam print: a worker's policy, through the command line as a process", async () => {
  await using call = new CliProcess([...IAM, ACCOUNT, "--json"]);
  assertEquals(await call.ended(), 0, call.stderr.join("\n"));
  assertEquals(JSON.parse(call.stdout.join("")), {
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Action: [
          "kinesis:ListShards",
          "kinesis:GetShardIterator",
          "kinesis:GetRecords",
          "kinesis:DescribeStreamSummary",
        ],
        Resource: "arn:aws:kinesis:eu-west-1:123456789012:stream/S",
      },
      {
        Effect: "Allow",
        Action: [
          "dynamodb:DescribeTable",
          "dynamodb:Query",
          "dynamodb:GetItem",
          "dynamodb:UpdateItem",
          "dynamodb:DeleteItem",
        ],
        Resource: "arn:aws:dynamodb:eu-west-1:123456789012:table/AKinesisState",
      },
    ],
  });
});

Deno.test("iam print: each flag adds what it needs, and nothing else", async () => {
  const fanOut = await policy("--fan-out");
  assertEquals(fanOut.Statement[1], {
    Effect: "Allow",
    Action: ["kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard"],
    Resource: "arn:aws:kinesis:eu-west-1:123456789012:stream/S/consumer/*",
  });
  assert(!JSON.stringify(fanOut).includes("GetRecords"));
  const consumer = await policy("--command=consumer");
  assertEquals(consumer.Statement.map(({ Action }: { Action: string[] }) => Action), [
    ["kinesis:DescribeStreamSummary", "kinesis:ListStreamConsumers"],
    ["kinesis:DeregisterStreamConsumer"],
  ]);
  const failing = await policy("--on-failure=kinesis:F");
  assertEquals(failing.Statement[1].Resource, "arn:aws:kinesis:eu-west-1:123456789012:stream/F");
  assertEquals(failing.Statement[1].Action, [
    "kinesis:PutRecord",
    "kinesis:DescribeStreamSummary",
  ]);
  assertEquals(await policy("--on-failure=file:f.jsonl"), await policy());
  const created = await policy("--create-table", "--dynamodb-table-suffix=X");
  assertMatch(JSON.stringify(created), /dynamodb:CreateTable.*dynamodb:UpdateTable.*table\/AX"/);
  assertEquals((await policy("--command=put")).Statement.length, 1);
  const kcl = await policy("--command=steer", "--from-kcl=Old");
  assertEquals(kcl.Statement.at(-1), {
    Effect: "Allow",
    Action: ["dynamodb:Scan"],
    Resource: "arn:aws:dynamodb:eu-west-1:123456789012:table/Old",
  });
  const china = await cli(...IAM.slice(0, 4), "--region=cn-north-1", ACCOUNT);
  assertStringIncludes(china.stdout, '"arn:aws-cn:kinesis:cn-north-1:');
});

Deno.test("iam print: what makes no sense is refused, and nothing is printed", async () => {
  for (
    const [args, message] of [
      [[...IAM], "Cannot run without --account"],
      [[...IAM, "--account=1234"], "it must be 12 digits"],
      [[...IAM, ACCOUNT, "--command=put", "--fan-out"], "Cannot use --fan-out with --command put"],
      [[...IAM, ACCOUNT, "--command=fly"], 'Cannot use --command "fly"'],
    ] as const
  ) {
    const { code, stdout, stderr } = await cli(...args);
    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, message);
  }
});

Deno.test("iam print: every purpose has a policy without repetitions, and a tail touches no table", () => {
  for (const purpose of Object.keys(PURPOSES) as (keyof typeof PURPOSES)[]) {
    const needs: Needs = { purpose, isFanOut: false, createsTable: true, failureStream: "F" };
    const actions = permissionsFor(needs).map(({ action, target }) => `${target} ${action}`);
    assert(actions.length > 0, purpose);
    assertEquals(new Set(actions).size, actions.length);
    if (["put", "tail", "redrive", "consumer"].includes(purpose)) {
      assert(!actions.join().includes("dynamodb:"));
    }
  }
});

Deno.test("iam print: the policy in docs/security.md is the one that it prints", async () => {
  const { text } = await codeIn("docs/security.md", "dynamodb:CreateTable");
  const place = {
    region: "REGION",
    account: "ACCOUNT",
    streamName: "STREAM",
    tableName: `APP${resolveConfig().dynamoDBTableSuffix}`,
  };
  const needs: Needs = { purpose: "run", isFanOut: false, createsTable: true };
  assertEquals(JSON.parse(text), policyFor(needs, place));
});

Deno.test("iam print: a worker's policy has every operation that a worker uses, with polling and fan-out", async () => {
  for (const [retrieval, read] of [["polling", "GetRecords"], ["fan-out", "SubscribeToShard"]]) {
    const used = new Set<string>();
    await using dynamoDB = await startLocalDynamoDB({
      port: 0,
      onRequest: (name) => used.add(name),
    });
    await using kinesis = serveLocalKinesis({
      port: 0,
      intercept: ({ operation }, proceed) => {
        used.add(operation);
        return proceed();
      },
    });
    kinesis.engine.call("CreateStream", { StreamName: "S", ShardCount: 2 });
    await using worker = new CliProcess([
      ...["run", "--app=A", "--stream=S", "--log=json", "--heartbeat=200ms"],
      "--processor=data:text/javascript,export default { process() {} };",
      `--retrieval=${retrieval}`,
      ...[`--kinesis-endpoint=${kinesis.url}`, `--dynamodb-endpoint=${dynamoDB.url}`],
    ]);
    await worker.until((lines) => lines.some((line) => line.includes("shard_claimed")));
    for (let looks = 0; !used.has(read ?? "") && looks < 200; looks++) await delay(50);
    worker.kill("SIGTERM");
    assertEquals(await worker.ended(), 0);
    assert(used.has(read ?? ""), retrieval);
    const isFanOut = retrieval === "fan-out";
    const actions = permissionsFor({ purpose: "run", isFanOut, createsTable: true })
      .map(({ action }) => action.split(":")[1] ?? "");
    assertEquals([...used].filter((operation) => !actions.includes(operation)), []);
  }
});

async function table(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await cli("table", "print", "--app=A", ...args);
  assertEquals(code, 0, stderr);
  return stdout;
}

const KEYS = [
  { AttributeName: "Stream", KeyType: "HASH" },
  { AttributeName: "Row", KeyType: "RANGE" },
];
const TAGS = [{ Key: "kinesix-app", Value: "A" }, { Key: "team", Value: "orders and 2:3" }];

Deno.test("table print: CloudFormation", async () => {
  const template = parseYaml(await table("--tags=team=orders and 2:3"));
  const { KinesixStateTable: resource } = template.Resources;
  assertEquals(resource.DeletionPolicy, "Retain");
  assertEquals(resource.Properties, {
    TableName: "AKinesisState",
    KeySchema: KEYS,
    AttributeDefinitions: KEYS.map(({ AttributeName }) => ({ AttributeName, AttributeType: "S" })),
    BillingMode: "PROVISIONED",
    ProvisionedThroughput: { ReadCapacityUnits: 10, WriteCapacityUnits: 10 },
    PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
    DeletionProtectionEnabled: true,
    Tags: TAGS,
  });
  const perRequest = parseYaml(await table("--billing-mode=PAY_PER_REQUEST"));
  const { Properties } = perRequest.Resources.KinesixStateTable;
  assertEquals(Properties.BillingMode, "PAY_PER_REQUEST");
  assertEquals(Properties.ProvisionedThroughput, undefined);
});

Deno.test("table print: Terraform", async () => {
  const read = async (...args: readonly string[]) => {
    const [document, problem] = hcl.parseToObject(await table("--format=terraform", ...args));
    assertEquals(problem, null);
    return document.resource.aws_dynamodb_table.kinesix_state[0];
  };
  assertEquals(await read("--tags=team=orders and 2:3", "--dynamodb-write-throughput=50"), {
    name: "AKinesisState",
    hash_key: "Stream",
    range_key: "Row",
    attribute: [{ name: "Stream", type: "S" }, { name: "Row", type: "S" }],
    billing_mode: "PROVISIONED",
    read_capacity: 10,
    write_capacity: 50,
    deletion_protection_enabled: true,
    point_in_time_recovery: [{ enabled: true }],
    tags: Object.fromEntries(TAGS.map(({ Key, Value }) => [Key, Value])),
    lifecycle: [{ prevent_destroy: true }],
  });
  const perRequest = await read("--billing-mode=PAY_PER_REQUEST");
  assertEquals([perRequest.billing_mode, perRequest.read_capacity], ["PAY_PER_REQUEST", undefined]);
});

Deno.test("table print: what is printed for the AWS CLI makes a table that a worker accepts", async () => {
  const { DynamoDBClient, CreateTableCommand } = await import("@aws-sdk/client-dynamodb");
  const { prepareTable } = await import("../../src/adapters/dynamo_table.ts");
  const { systemClock } = await import("../../src/adapters/system.ts");
  await using dynamoDB = await startLocalDynamoDB({ port: 0 });
  const credentials = { accessKeyId: "local", secretAccessKey: "local" };
  const client = new DynamoDBClient({
    endpoint: dynamoDB.url,
    region: "us-east-1",
    credentials,
  });
  try {
    const { DeletionProtectionEnabled, Tags, ...input } = JSON.parse(await table("--json"));
    // The local DynamoDB is older than these two.
    assertEquals([DeletionProtectionEnabled, Tags], [true, TAGS.slice(0, 1)]);
    await client.send(new CreateTableCommand(input));
    const config = resolveConfig({ createTable: false });
    const options = { client, tableName: "AKinesisState", config, clock: systemClock };
    const facts: unknown[] = [];
    const { signal } = new AbortController();
    await prepareTable({ ...options, emit: (fact) => facts.push(fact) }, signal);
    assertEquals(facts, []);
  } finally {
    client.destroy();
  }
});

Deno.test("table print: tags that AWS does not take are refused", async () => {
  for (const tags of ["team", "=x", "a=b,", 'a="', "a=${b}"]) {
    const { code, stdout } = await cli("table", "print", "--app=A", `--tags=${tags}`);
    assertEquals([code, stdout], [2, ""], tags);
  }
});
