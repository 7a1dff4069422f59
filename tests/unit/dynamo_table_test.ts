import {
  CreateTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  type TableDescription,
  UpdateTableCommand,
} from "@aws-sdk/client-dynamodb";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { mockClient } from "aws-sdk-client-mock";
import { DynamoLeaseStore } from "../../src/adapters/dynamo_lease_store.ts";
import { type ReactoKinesixConfig, resolveConfig } from "../../src/core/config.ts";
import { StoreError } from "../../src/errors.ts";
import type { AppFact } from "../../src/events.ts";
import { LeapingClock } from "../leaping_clock.ts";

const TABLE = "appKinesisState";
const TEN = { ReadCapacityUnits: 10, WriteCapacityUnits: 10 };
const ACTIVE: TableDescription = {
  TableStatus: "ACTIVE",
  KeySchema: [
    { AttributeName: "Stream", KeyType: "HASH" },
    { AttributeName: "Row", KeyType: "RANGE" },
  ],
  AttributeDefinitions: [
    { AttributeName: "Stream", AttributeType: "S" },
    { AttributeName: "Row", AttributeType: "S" },
  ],
  ProvisionedThroughput: TEN,
};
const CREATING: TableDescription = { ...ACTIVE, TableStatus: "CREATING" };
const SMALL: TableDescription = {
  ...ACTIVE,
  ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 10 },
};

Deno.test("a table that is ready is used as it is", async () => {
  const test = setUp();
  test.describes(ACTIVE);
  await test.prepare();
  assertEquals(test.calls(), ["DescribeTable"]);
});

Deno.test("B28: a table that is missing is created, and waited for", async () => {
  const test = setUp({ dynamoDBReadThroughput: 5 });
  const wanted = { ReadCapacityUnits: 5, WriteCapacityUnits: 10 };
  test.describes(null, null, CREATING, CREATING, { ...ACTIVE, ProvisionedThroughput: wanted });
  await test.prepare();
  const [create] = test.mock.commandCalls(CreateTableCommand);
  assertEquals(create?.args[0].input, {
    TableName: TABLE,
    KeySchema: ACTIVE.KeySchema,
    AttributeDefinitions: ACTIVE.AttributeDefinitions,
    BillingMode: "PROVISIONED",
    ProvisionedThroughput: wanted,
  });
  assertEquals(test.clock.sleeps, [200, 400, 800, 1_600]);
});

Deno.test("a table is created on demand", async () => {
  const test = setUp({ billingMode: "PAY_PER_REQUEST" });
  test.describes(null, ACTIVE);
  await test.prepare();
  const [create] = test.mock.commandCalls(CreateTableCommand);
  assertEquals(create?.args[0].input.BillingMode, "PAY_PER_REQUEST");
  assertEquals(create?.args[0].input.ProvisionedThroughput, undefined);
});

Deno.test("another worker that creates the table at the same time is no error", async () => {
  const test = setUp();
  test.describes(null, CREATING, ACTIVE);
  test.mock.on(CreateTableCommand).rejects(awsError("ResourceInUseException"));
  await test.prepare();
});

Deno.test("a table that cannot be created yet, for others that are, is created later", async () => {
  const test = setUp();
  test.describes(null, null, ACTIVE);
  test.mock.on(CreateTableCommand).rejectsOnce(awsError("LimitExceededException")).resolves({});
  await test.prepare();
  assertEquals(test.mock.commandCalls(CreateTableCommand).length, 2);
});

Deno.test("a table that must not be created is missing", async () => {
  const test = setUp({ createTable: false });
  test.describes(null);
  await test.fails("missing", "it does not exist; create it, or set createTable to true");
});

Deno.test("a table that is being deleted is refused", async () => {
  const test = setUp();
  test.describes({ ...ACTIVE, TableStatus: "DELETING" });
  await test.fails("invalid", "its status is DELETING; wait until it is gone");
});

Deno.test("a table that stays in creation is given up after 10 minutes", async () => {
  const test = setUp();
  test.describes(CREATING);
  await test.fails("unavailable", "it is not active after 10 minutes");
});

Deno.test("a table with another key is refused, with both keys", async () => {
  const test = setUp();
  test.describes({
    ...ACTIVE,
    KeySchema: [{ AttributeName: "ShardId", KeyType: "HASH" }],
    AttributeDefinitions: [{ AttributeName: "ShardId", AttributeType: "N" }],
  });
  await test.fails(
    "invalid",
    "its key is ShardId (HASH, N), not Stream (HASH, S) and Row (RANGE, S)",
  );
});

Deno.test("missing permissions are named", async () => {
  const reading = setUp();
  reading.mock.on(DescribeTableCommand).rejects(awsError("AccessDeniedException"));
  await reading.fails("denied", "the credentials lack dynamodb:DescribeTable");
  const creating = setUp();
  creating.describes(null);
  creating.mock.on(CreateTableCommand).rejects(awsError("AccessDeniedException"));
  await creating.fails("denied", "the credentials lack dynamodb:CreateTable");
});

Deno.test("B28: the throughput of a provisioned table is brought to the configured one", async () => {
  const test = setUp();
  test.describes(SMALL);
  await test.prepare();
  const [update] = test.mock.commandCalls(UpdateTableCommand);
  assertEquals(update?.args[0].input.TableName, TABLE);
  assertEquals(update?.args[0].input.ProvisionedThroughput, TEN);
});

Deno.test("throughput is left alone where units mean nothing, or another update is on its way", async () => {
  const onDemand = { BillingModeSummary: { BillingMode: "PAY_PER_REQUEST" as const } };
  const cases: readonly (readonly [TableDescription, ReactoKinesixConfig])[] = [
    [{ ...SMALL, ...onDemand }, {}],
    [SMALL, { billingMode: "PAY_PER_REQUEST" }],
    [{ ...SMALL, TableStatus: "UPDATING" }, {}],
  ];
  for (const [table, config] of cases) {
    const test = setUp(config);
    test.describes(table);
    await test.prepare();
    assertEquals(test.calls(), ["DescribeTable"]);
  }
});

Deno.test("throughput that cannot be brought is told, and the table is used", async () => {
  for (const name of ["LimitExceededException", "AccessDeniedException", "ValidationException"]) {
    const test = setUp();
    test.describes(SMALL);
    test.mock.on(UpdateTableCommand).rejects(awsError(name));
    await test.prepare();
    const [fact] = test.facts;
    assertEquals(
      fact?.type === "task_failed" && fact.task,
      `bring throughput of state table "${TABLE}" to 10 read and 10 write units`,
    );
  }
});

Deno.test("another worker that brings the throughput at the same time is no failure", async () => {
  const test = setUp();
  test.describes(SMALL, ACTIVE);
  test.mock.on(UpdateTableCommand).rejects(awsError("ResourceInUseException"));
  await test.prepare();
  assertEquals(test.facts, []);
});

Deno.test("an abort ends the wait for the table", async () => {
  const controller = new AbortController();
  const test = setUp();
  let looks = 0;
  test.mock.on(DescribeTableCommand).callsFake(() => {
    if (++looks === 3) controller.abort(new RangeError("enough"));
    return { Table: CREATING };
  });
  await assertRejects(() => test.prepare(controller.signal), RangeError, "enough");
  assertEquals(looks, 3);
});

function setUp(config: ReactoKinesixConfig = {}) {
  const client = new DynamoDBClient({ region: "us-east-1" });
  const mock = mockClient(client);
  const clock = new LeapingClock();
  const facts: AppFact[] = [];
  const store = new DynamoLeaseStore({
    client,
    tableName: TABLE,
    streamName: "orders",
    config: resolveConfig({ maxDynamoDBRetries: 0, ...config }),
    clock,
    emit: (fact) => facts.push(fact),
  });
  const prepare = (signal = new AbortController().signal) => store.prepare(signal);
  return {
    mock,
    clock,
    facts,
    prepare,
    calls: () => mock.calls().map((call) => call.args[0].constructor.name.replace("Command", "")),
    describes(...tables: readonly (TableDescription | null)[]) {
      const left = [...tables];
      mock.on(DescribeTableCommand).callsFake(() => {
        const table = left.length > 1 ? left.shift() : left[0];
        if (table === null) throw awsError("ResourceNotFoundException");
        return { Table: table };
      });
    },
    async fails(kind: string, words: string) {
      const error = await assertRejects(() => prepare(), StoreError);
      assertEquals(error.kind, kind);
      assertStringIncludes(error.message, `Cannot use state table "${TABLE}": `);
      assertStringIncludes(error.message, words);
    },
  };
}

function awsError(name: string): Error {
  return Object.assign(new Error("said AWS"), { name, $metadata: { httpStatusCode: 400 } });
}
