// What goes wrong in real life ends in a message that says what, which, why and what to do, and loses nothing.
import {
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  PutItemCommand,
} from "@aws-sdk/client-dynamodb";
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  type AppEvent,
  type AppOptions,
  type KinesisRecord,
  ReactoKinesixApp,
  SourceError,
  StoreError,
  WorkerReplacedError,
} from "../../mod.ts";
import { type LocalDynamoDB, startLocalDynamoDB } from "../../src/local/dynamodb_server.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import { type LocalKinesis, serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { waitFor } from "./cluster.ts";

const CREDENTIALS = { accessKeyId: "local", secretAccessKey: "local" };
const STREAM = "orders";
const TABLE = "BillingKinesisState";

interface Stack extends AsyncDisposable {
  readonly kinesis: LocalKinesis;
  readonly dynamoDB: LocalDynamoDB;
  readonly tables: DynamoDBClient;
  readonly events: AppEvent[];
  readonly seen: KinesisRecord[];
  options(more?: Partial<AppOptions>): AppOptions;
  put(partitionKey: string, data: Uint8Array): void;
}

async function startStack(
  options: Partial<Parameters<typeof serveLocalKinesis>[0]> = {},
): Promise<Stack> {
  await using stack = new AsyncDisposableStack();
  const kinesis = stack.use(serveLocalKinesis({ port: 0, ...options }));
  const dynamoDB = stack.use(await startLocalDynamoDB({ port: 0 }));
  const tables = new DynamoDBClient({
    region: "us-east-1",
    credentials: CREDENTIALS,
    endpoint: dynamoDB.url,
  });
  stack.defer(() => tables.destroy());
  kinesis.engine.call("CreateStream", { StreamName: STREAM, ShardCount: 2 });
  const events: AppEvent[] = [];
  const seen: KinesisRecord[] = [];
  const running = stack.move();
  return {
    kinesis,
    dynamoDB,
    tables,
    events,
    seen,
    options: (more) => ({
      appName: "Billing",
      streamName: STREAM,
      workerId: "anna",
      region: "us-east-1",
      credentials: CREDENTIALS,
      kinesisEndpoint: kinesis.url,
      dynamoDBEndpoint: dynamoDB.url,
      processor: { process: (record) => void seen.push(record) },
      onEvent: (event) => events.push(event),
      config: {
        heartbeat: 300,
        heartbeatTimeout: 900,
        emptyReceiveDelay: 200,
        checkStreamChangesFrequency: 300,
        checkUnprocessedShardsFrequency: 300,
        handoverRequestExpiry: 2_000,
        checkPendingHandoverRequestFrequency: 300,
        loadBalanceFrequency: 500,
        maxDynamoDBRetries: 1,
        maxKinesisRetries: 1,
        shutdownTimeout: 3_000,
      },
      ...more,
    }),
    put(partitionKey, data) {
      const Data = data.toBase64();
      kinesis.engine.call("PutRecord", { StreamName: STREAM, PartitionKey: partitionKey, Data });
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

Deno.test("a stream that there is not is missing, by its name and endpoint", async () => {
  await using stack = await startStack();
  const error = await assertRejects(
    () => ReactoKinesixApp.createNew(stack.options({ streamName: "oders" })),
    SourceError,
  );
  assertEquals(error.kind, "missing");
  for (const part of ['"oders"', stack.kinesis.url]) assertStringIncludes(error.message, part);
});

Deno.test("an endpoint where nobody listens is unavailable, by its URL", async () => {
  await using stack = await startStack();
  const nobody = "http://127.0.0.1:9";
  const store = await assertRejects(
    () => ReactoKinesixApp.createNew(stack.options({ dynamoDBEndpoint: nobody })),
    StoreError,
  );
  assertEquals(store.kind, "unavailable");
  assertStringIncludes(store.message, nobody);
  const source = await assertRejects(
    () => ReactoKinesixApp.createNew(stack.options({ kinesisEndpoint: nobody })),
    SourceError,
  );
  assertEquals(source.kind, "unavailable");
  assertStringIncludes(source.message, nobody);
});

Deno.test("credentials that are wrong, or lack a permission, are denied without telling them", async () => {
  for (const name of ["UnrecognizedClientException", "AccessDeniedException"]) {
    await using stack = await startStack({
      intercept: () => {
        throw new KinesisError(name, "The security token included in the request is invalid.");
      },
    });
    const error = await assertRejects(
      () => ReactoKinesixApp.createNew(stack.options()),
      SourceError,
    );
    assertEquals(error.kind, "denied");
    assertStringIncludes(error.message, STREAM);
    assert(!error.message.includes(CREDENTIALS.secretAccessKey + " "), "no secret is told");
  }
});

Deno.test("a table that is somebody else's is refused by its key", async () => {
  await using stack = await startStack();
  await stack.tables.send(
    new CreateTableCommand({
      TableName: TABLE,
      AttributeDefinitions: [{ AttributeName: "leaseKey", AttributeType: "S" }],
      KeySchema: [{ AttributeName: "leaseKey", KeyType: "HASH" }],
      BillingMode: "PAY_PER_REQUEST",
    }),
  );
  const error = await assertRejects(() => ReactoKinesixApp.createNew(stack.options()), StoreError);
  assertEquals(error.kind, "invalid");
  for (const part of [TABLE, "leaseKey", "Stream"]) assertStringIncludes(error.message, part);
});

Deno.test("a table that there is not, and that may not be created, is missing by name", async () => {
  await using stack = await startStack();
  const error = await assertRejects(
    () => ReactoKinesixApp.createNew(stack.options({ config: { createTable: false } })),
    StoreError,
  );
  assertEquals(error.kind, "missing");
  assertStringIncludes(error.message, TABLE);
});

Deno.test("B30: rows that cannot be understood stop neither the others nor the balance", async () => {
  await using stack = await startStack();
  const first = await ReactoKinesixApp.createNew(stack.options());
  await first.stop();
  const row = (key: string, more: Record<string, { S: string }>): PutItemCommand =>
    new PutItemCommand({
      TableName: TABLE,
      Item: { Stream: { S: STREAM }, Row: { S: key }, ...more },
    });
  await stack.tables.send(row("shard/shardId-000000000009", { Term: { S: "many" } }));
  await stack.tables.send(row("worker/ghost", { Beat: { S: "?" } }));
  await stack.tables.send(row("unheard/of", {}));
  for (let i = 0; i < 20; i++) stack.put(`key-${i}`, new TextEncoder().encode(`${i}`));
  await using _anna = await ReactoKinesixApp.createNew(stack.options());
  await using bert = await ReactoKinesixApp.createNew(stack.options({ workerId: "bert" }));
  await waitFor(() => stack.seen.length === 20 && bert.shards().length === 1, {
    what: "all records, and one shard for each worker",
    within: 10_000,
  });
  const told = stack.events.filter((event) => event.type === "row_malformed");
  assert(
    told.some((event) => event.id === "shardId-000000000009" && event.reason.includes("Term")),
  );
  assert(told.some((event) => event.id === "ghost"));
});

Deno.test("the same worker id twice: the older process stops, the newer one goes on", async () => {
  await using stack = await startStack();
  const older = await ReactoKinesixApp.createNew(stack.options());
  const failed = assertRejects(() => older.finished, WorkerReplacedError, '"anna"');
  await using newer = await ReactoKinesixApp.createNew(stack.options());
  await failed;
  stack.put("key", new TextEncoder().encode("after"));
  await waitFor(() => newer.shards().length === 2 && stack.seen.length >= 1, {
    what: "the newer one to work",
    within: 10_000,
  });
  assertEquals(older.shards(), []);
});

Deno.test("records that are empty, huge, or no text are delivered, and only what they are not is refused", async () => {
  await using stack = await startStack({ limits: "off" });
  const huge = new Uint8Array(1024 * 1024 - 4).fill(7);
  stack.put("void", new Uint8Array());
  stack.put("huge", huge);
  stack.put("noise", new Uint8Array([0xff, 0xfe, 0x80]));
  await using _app = await ReactoKinesixApp.createNew(stack.options());
  await waitFor(() => stack.seen.length === 3, { what: "three records", within: 10_000 });
  const record = (key: string): KinesisRecord => {
    const found = stack.seen.find((record) => record.partitionKey === key);
    assert(found);
    return found;
  };
  assertEquals(record("void").text(), "");
  assertEquals(record("huge").data, huge as Uint8Array<ArrayBuffer>);
  const noise = record("noise");
  const error = assertThrows(() => noise.text(), TypeError, "not valid UTF-8");
  assertStringIncludes(error.message, noise.sequenceNumber);
  assertThrows(() => record("void").json(), SyntaxError, "as JSON");
});

Deno.test("a worker whose stream is deleted ends, and says so", async () => {
  await using stack = await startStack();
  const app = await ReactoKinesixApp.createNew(stack.options());
  stack.kinesis.engine.call("DeleteStream", { StreamName: STREAM });
  const error = await assertRejects(() => app.finished, SourceError);
  assertEquals(error.kind, "missing");
});

Deno.test("a worker whose state table is deleted ends, and says so", async () => {
  await using stack = await startStack();
  const app = await ReactoKinesixApp.createNew(stack.options());
  const failed = app.finished.then(() => undefined, (error) => error);
  await stack.tables.send(new DeleteTableCommand({ TableName: TABLE }));
  const error = await failed;
  assertInstanceOf(error, StoreError);
  assertEquals(error.kind, "missing");
  assertStringIncludes(error.message, TABLE);
});
