// kinesix doctor: it finds what is broken in the world around a cluster, says nothing of a sound set-up, and changes nothing.
import { CreateTableCommand, ScanCommand } from "@aws-sdk/client-dynamodb";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import { CliProcess, sourceProgram } from "./cli_testing.ts";
import {
  Clinic,
  denied,
  deny,
  ills,
  refusal,
  shardId,
  shardRow,
  workerRow,
} from "./doctor_testing.ts";

const SOUND = [workerRow(), shardRow(0), shardRow(1)];
const HOUR_MS = 3_600_000;

Deno.test("doctor: of a real worker at work it says one line, as a process, and exits with 0", async () => {
  await using clinic = await Clinic.start();
  await using worker = new CliProcess([
    ...["run", "--app=A", "--stream=S", "--log=json", ...clinic.endpoints],
    "--processor=data:text/javascript,export default { process() {} };",
  ]);
  const claims = (lines: readonly string[]) => lines.filter((line) => line.includes("claimed"));
  await worker.until((lines) => claims(lines).length === 2);
  await using call = new CliProcess(["doctor", "--app=A", "--stream=S", ...clinic.endpoints]);
  assertEquals(await call.ended(), 0, call.stdout.join("\n"));
  assertEquals(call.stdout, ["all 30 checks are well"]);
  const { stdout } = await clinic.run("--verbose");
  assertEquals(stdout.split("\n").filter((line) => line.startsWith("ok  ")).length, 30);
});

Deno.test("doctor: it changes nothing, and makes no call that could", async () => {
  const calls = new Set<string>();
  await using clinic = await Clinic.start({
    kinesis: ({ operation }, proceed) => {
      calls.add(operation);
      return proceed();
    },
    dynamoDB: (operation) => void calls.add(operation),
  });
  // A row of the very name that it tries to write and to delete.
  await clinic.rows(...SOUND, { kind: "stream", id: "S", startAt: { kind: "trimHorizon" } });
  const { PutItemCommand } = await import("@aws-sdk/client-dynamodb");
  const Item = { Stream: { S: "S" }, Row: { S: "doctor" }, Mine: { S: "x" } };
  await clinic.client.send(new PutItemCommand({ TableName: "AKinesisState", Item }));
  const dump = async () =>
    (await clinic.client.send(new ScanCommand({ TableName: "AKinesisState" }))).Items;
  const before = await dump();
  assertEquals(ills(await clinic.examine()), {});
  assertEquals(await dump(), before);
  assertEquals([...calls].toSorted(), [
    ...["DeleteItem", "DescribeStreamSummary", "DescribeTable", "GetItem", "GetRecords"],
    ...["GetShardIterator", "ListShards", "Query", "UpdateItem"],
  ]);
});

Deno.test("doctor: the JSON has the documented shape", async () => {
  await using clinic = await Clinic.start();
  const report = await clinic.examine();
  assertEquals(Object.keys(report), ["appName", "streamName", "tableName", "isSound", "checks"]);
  for (const check of report.checks) {
    assertEquals(Object.keys(check), ["check", "verdict", "what", "meaning", "remedy"]);
    assert(["ok", "warning", "problem", "unknown"].includes(check.verdict));
  }
});

Deno.test("doctor: no credentials; nothing else is asked then", async () => {
  await using clinic = await Clinic.start();
  await using call = new CliProcess(
    ["doctor", "--app=A", "--stream=S", "--region=us-east-1", ...clinic.endpoints, "--json"],
    { env: { AWS_PROFILE: "nobody", AWS_EC2_METADATA_DISABLED: "true" } },
  );
  assertEquals(await call.ended(), 1);
  const found = ills(JSON.parse(call.stdout.join("")));
  assertMatch(found["credentials"] ?? "", /^problem: none were found: Could not load/);
  const others = Object.entries(found).filter(([check]) => check !== "credentials");
  assert(others.length >= 10);
  assertEquals(new Set(others.map(([, what]) => what)).size, 2, "the clock, and all others");
});

Deno.test("doctor: no region; nothing else is asked then", async () => {
  await using call = new CliProcess(
    ["doctor", "--app=A", "--stream=S", "--endpoint-url=http://nowhere.invalid", "--json"],
    {
      env: {
        ...{ AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_REGION: "" },
        ...{ AWS_CONFIG_FILE: "/dev/null", AWS_EC2_METADATA_DISABLED: "true" },
      },
    },
  );
  assertEquals(await call.ended(), 1, call.stderr.join("\n"));
  const found = ills(JSON.parse(call.stdout.join("")));
  assertMatch(found["region"] ?? "", /^problem: Region/);
  assertEquals(found["permission kinesis:ListShards"], "unknown: not asked: no region is set");
});

Deno.test("doctor: credentials that AWS does not take", async () => {
  await using clinic = await Clinic.start({
    dynamoDB: () => refusal("ExpiredTokenException", "The security token has expired"),
  });
  const found = ills(await clinic.examine());
  assertMatch(found["credentials"] ?? "", /^problem: .*the credentials have expired; renew them/);
  assertMatch(found["permission dynamodb:Query"] ?? "", /^unknown/);
});

Deno.test("doctor: a service that cannot be reached", async () => {
  await using clinic = await Clinic.start();
  await clinic.rows(...SOUND);
  const found = ills(await clinic.examine("--kinesis-endpoint=http://127.0.0.1:1"));
  assertMatch(
    found["Kinesis is reached"] ?? "",
    /^problem: Cannot reach Kinesis at http:\/\/127.0.0.1:1: connection refused/,
  );
  assertEquals(found["permission kinesis:GetRecords"]?.startsWith("unknown: not asked"), true);
  assertEquals(found["workers"], undefined);
});

Deno.test("doctor: each permission that is lacking, by name, with the way to the policy", async () => {
  await using clinic = await Clinic.start({
    kinesis: deny("GetRecords", "DescribeStreamSummary"),
    dynamoDB: (operation) =>
      ["UpdateItem", "DeleteItem"].includes(operation) ? denied(operation) : undefined,
  });
  await clinic.rows(...SOUND);
  const report = await clinic.examine("--dynamodb-table-suffix=KinesisState");
  const found = ills(report);
  assertEquals(Object.keys(found), [
    "permission kinesis:GetRecords",
    "permission dynamodb:UpdateItem",
    "permission dynamodb:DeleteItem",
    "stream",
    "lag and retention",
  ]);
  assertMatch(
    found["permission dynamodb:DeleteItem"] ?? "",
    /^problem: .*the credentials lack dynamodb:DeleteItem/,
  );
  const { remedy } = report.checks.find(({ check }) => check.endsWith("UpdateItem")) ?? {};
  assertStringIncludes(
    remedy ?? "",
    "kinesix iam print --app A --stream S --region us-east-1 --account ACCOUNT prints the policy",
  );
  assertMatch(found["stream"] ?? "", /^unknown: .*kinesis:DescribeStreamSummary/);
});

Deno.test("doctor: a KMS key that cannot be used", async () => {
  await using clinic = await Clinic.start({
    kinesis: ({ operation }, proceed) => {
      if (operation !== "GetRecords") return proceed();
      throw new KinesisError("KMSAccessDeniedException", "no access to key k");
    },
  });
  await clinic.rows(...SOUND);
  assertMatch(
    ills(await clinic.examine())["permission kinesis:GetRecords"] ?? "",
    /^problem: .*its KMS key cannot be used \(KMSAccessDeniedException\): no access to key k/,
  );
});

Deno.test("doctor: a host that this process may not connect to, by the permissions of Deno", async () => {
  await using clinic = await Clinic.start();
  const kinesisOnly = `--allow-net=${new URL(clinic.kinesis.url).host}`;
  const program = sourceProgram([
    "--no-prompt",
    "--allow-env",
    "--allow-read",
    "--allow-sys",
    kinesisOnly,
  ]);
  await using call = new CliProcess(
    ["doctor", "--app=A", "--stream=S", ...clinic.endpoints, "--json"],
    { program },
  );
  assertEquals(await call.ended(), 1, call.stderr.join("\n"));
  const found = ills(JSON.parse(call.stdout.join("")));
  assertMatch(
    found["DynamoDB is reached"] ?? "",
    /^problem: .*this process lacks a permission of Deno/,
  );
  assertEquals(found["Kinesis is reached"], undefined);
});

Deno.test("doctor: a stream that is not there, for the records or for failure records", async () => {
  await using clinic = await Clinic.start();
  await clinic.rows(...SOUND);
  const failing = ills(await clinic.examine("--on-failure=kinesis:F"));
  assertEquals(failing, {
    "stream of the failure records": 'problem: there is no stream "F"',
  });
  clinic.kinesis.engine.call("DeleteStream", { StreamName: "S" });
  const found = ills(await clinic.examine());
  assertEquals(found["stream"], 'problem: there is no stream "S"');
  // IAM decides before it comes to light that there is no such stream; reading takes more than that.
  assertEquals(Object.keys(found).filter((check) => check.startsWith("permission")), [
    "permission kinesis:GetRecords",
  ]);
});

Deno.test("doctor: with fan-out the consumer, and its permission instead of those of polling", async () => {
  await using clinic = await Clinic.start({ kinesis: deny("GetRecords") });
  await clinic.rows(...SOUND);
  const fanOut = ["--retrieval=fan-out", "--consumer-name=C"];
  const registered = 'warning: stream "S" has no consumer "C"';
  const found = ills(await clinic.examine(...fanOut));
  assertEquals(Object.keys(found), ["registered consumer", "lag and retention"]);
  assertEquals(found["registered consumer"], registered);
  const { StreamDescriptionSummary: { StreamARN } } = clinic.kinesis.engine.call(
    "DescribeStreamSummary",
    { StreamName: "S" },
  ) as { StreamDescriptionSummary: { StreamARN: string } };
  clinic.kinesis.engine.call("RegisterStreamConsumer", { StreamARN, ConsumerName: "C" });
  assertEquals(Object.keys(ills(await clinic.examine(...fanOut))), ["lag and retention"]);
  await using strict = await Clinic.start({ kinesis: deny("DescribeStreamConsumer") });
  await strict.rows(...SOUND);
  const report = await strict.examine(...fanOut);
  assertMatch(ills(report)["permission kinesis:DescribeStreamConsumer"] ?? "", /^problem: .*lack/);
  assertEquals(report.checks.some(({ check }) => /Register|Subscribe/.test(check)), false);
});

Deno.test("doctor: hash keys that no open shard has, and that two have", async () => {
  let change = (shards: readonly object[]): readonly object[] => shards.slice(0, 3);
  await using clinic = await Clinic.start({
    shards: 4,
    kinesis: ({ operation }, proceed) => {
      const reply = proceed() as { readonly Shards: readonly object[] };
      return operation === "ListShards" ? { ...reply, Shards: change(reply.Shards) } : reply;
    },
  });
  await clinic.rows(workerRow(), ...[0, 1, 2].map((i) => shardRow(i)));
  const quarter = 2n ** 126n;
  assertEquals(ills(await clinic.examine()), {
    "hash keys": `problem: no open shard has the hash keys ${3n * quarter} to ${4n * quarter - 1n}`,
  });
  change = (shards) =>
    shards.map((shard, i) => i === 1 ? { ...shard, HashKeyRange: keys(quarter - 1n) } : shard);
  const keys = (start: bigint) => ({
    StartingHashKey: String(start),
    EndingHashKey: String(2n * quarter - 1n),
  });
  await clinic.rows(shardRow(3));
  assertEquals(ills(await clinic.examine()), {
    "hash keys": `problem: ${shardId(0)} and ${shardId(1)} have hash keys in common`,
  });
});

/** A stream whose one record came a while ago, and a row that is at a position from even longer ago. */
async function late(recordHours: number, positionHours: number, retentionHours = 24) {
  let now = Date.now() - recordHours * HOUR_MS;
  const clinic = await Clinic.start({ shards: 1, kinesisNow: () => now });
  clinic.kinesis.engine.call("IncreaseStreamRetentionPeriod", {
    StreamName: "S",
    RetentionPeriodHours: retentionHours,
  });
  clinic.kinesis.engine.call("PutRecord", { StreamName: "S", PartitionKey: "k", Data: btoa("x") });
  now = Date.now();
  await clinic.rows(
    workerRow(),
    shardRow(0, { checkpointAt: now - positionHours * HOUR_MS, millisBehindLatest: 0 }),
  );
  return clinic;
}

Deno.test("doctor: lag that is half the retention, most of it, and a checkpoint that has left it", async () => {
  for (
    const [record, position, found] of [
      [11, 11, undefined],
      [13, 13, /^warning: .*13h old, 54 % of the 1d/],
      [20, 20, /^problem: .*20h old, 83 % of the 1d/],
      [23.5, 23.5, /^problem: .*oldest record that is not finished is .* 98 % of the 1d/],
      // Nothing is missing when nothing came for so long.
      [1, 300, undefined],
    ] as const
  ) {
    await using clinic = await late(record, position);
    const ill = ills(await clinic.examine());
    assertEquals(Object.keys(ill), found === undefined ? [] : ["lag and retention"]);
    if (found !== undefined) assertMatch(ill["lag and retention"] ?? "", found);
  }
  await using clinic = await late(23, 30);
  assertMatch(
    ills(await clinic.examine())["lag and retention"] ?? "",
    /^problem: the checkpoints of shardId-000000000000 are older than the 1d that the stream keeps/,
  );
  await using longer = await late(23, 30, 48);
  assertEquals(ills(await longer.examine()), {});
});

Deno.test("doctor: no table, and one of other software", async () => {
  await using clinic = await Clinic.start();
  const first = await clinic.examine();
  assertEquals(ills(first), { "state table": 'warning: there is no table "AKinesisState"' });
  assertEquals(first.isSound, true);
  assertEquals(ills(await clinic.examine("--create-table=false")), {
    "state table": 'problem: there is no table "AKinesisState", and --create-table is false',
  });
  await clinic.client.send(
    new CreateTableCommand({
      TableName: "AKinesisState",
      KeySchema: [{ AttributeName: "leaseKey", KeyType: "HASH" }],
      AttributeDefinitions: [{ AttributeName: "leaseKey", AttributeType: "S" }],
      ProvisionedThroughput: { ReadCapacityUnits: 10, WriteCapacityUnits: 10 },
    }),
  );
  assertMatch(
    ills(await clinic.examine())["keys of the table"] ?? "",
    /^problem: the key of table "AKinesisState" is leaseKey \(HASH, S\), not Stream/,
  );
});

Deno.test("doctor: a table that gives too little, at rest and when busy, and settings that differ from it", async () => {
  await using clinic = await Clinic.start({ shards: 12 });
  await clinic.rows(workerRow(), ...Array.from({ length: 12 }, (_, i) => shardRow(i)));
  assertEquals(ills(await clinic.examine()), {
    "throughput of the table": "warning: 1 worker and 12 open shards that are all busy write up " +
      "to 12 times a second; the table takes 10",
  });
  assertEquals(ills(await clinic.examine("--checkpoint-frequency=10s")), {});
  const other = await clinic.examine("--checkpoint-frequency=10s", "--dynamodb-read-throughput=50");
  assertEquals(ills(other), {
    "throughput of the table":
      'warning: table "AKinesisState" has 10 read and 10 write units; the ' +
      "settings given here say 50 and 10",
  });
  await clinic.rows(workerRow({ id: "v", incarnation: "v1" }));
  assertMatch(
    ills(await clinic.examine("--heartbeat=100ms"))["throughput of the table"] ?? "",
    /^problem: 2 workers and 12 open shards need 20 writes/,
  );
});

Deno.test("doctor: a clock that is wrong", async () => {
  await using clinic = await Clinic.start({ dateOffsetMs: -600_000 });
  await clinic.rows(workerRow({ beatAt: Date.now() - 600_000 }), shardRow(0), shardRow(1));
  assertEquals(ills(await clinic.examine()), {
    "clock": "problem: this machine's clock is 10m ahead of AWS's",
  });
  await using other = await Clinic.start({ dateOffsetMs: 90_000 });
  await other.rows(workerRow({ beatAt: Date.now() + 90_000 }), shardRow(0), shardRow(1));
  assertMatch(
    ills(await other.examine())["clock"] ?? "",
    /^warning: .*clock is (1|2)m behind AWS's/,
  );
});

Deno.test("doctor: what is wrong is told with its meaning and remedy, and together what could not be asked", async () => {
  await using clinic = await Clinic.start();
  const { code, stdout } = await clinic.run("--kinesis-endpoint=http://127.0.0.1:1");
  assertEquals(code, 1);
  const lines = stdout.split("\n");
  assertMatch(lines[0] ?? "", /^problem +Kinesis is reached: Cannot reach Kinesis/);
  assertMatch(lines[1] ?? "", /^ +it means: no record is read$/);
  assertMatch(lines[2] ?? "", /^ +to do: check the network/);
  assertMatch(
    lines[3] ?? "",
    /^unknown +permission kinesis:ListShards, .*: not asked: Kinesis cannot be reached/,
  );
  assertMatch(lines.at(-2) ?? "", /^\d+ checks: 1 problem, 1 warning, \d not known, \d+ well$/);
});
