// How a user tests an app with AWS clients of their own that are mocked: no network, no local stack.
import {
  CreateTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  ResourceNotFoundException,
} from "@aws-sdk/client-dynamodb";
import {
  KinesisClient,
  ListShardsCommand,
  ResourceNotFoundException as NoStream,
} from "@aws-sdk/client-kinesis";
import { mockClient } from "aws-sdk-client-mock";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";
import { createInMemoryKinesis } from "../kinesis_in_memory.ts";
import { ReactoKinesixApp, SourceError, StoreError } from "../../mod.ts";

const CREDENTIALS = { accessKeyId: "mocked", secretAccessKey: "mocked" };
const NAMES = { appName: "Mocked", streamName: "orders", workerId: "PHANTOM" } as const;

Deno.test("a mocked DynamoDB client: a denied table is told with what is missing", async () => {
  const dynamoDB = new DynamoDBClient({ region: "us-east-1", credentials: CREDENTIALS });
  const mock = mockClient(dynamoDB);
  mock.on(DescribeTableCommand).rejects(
    new ResourceNotFoundException({ message: "no such table", $metadata: {} }),
  );
  mock.on(CreateTableCommand).rejects(
    Object.assign(new Error("not allowed"), { name: "AccessDeniedException" }),
  );
  const error = await assertRejects(
    () =>
      ReactoKinesixApp.createNew({
        ...NAMES,
        dynamoDB,
        processor: { process() {} },
        ports: { source: new MemoryStream({ shards: 1 }) },
        kinesis: new KinesisClient({ region: "us-east-1", credentials: CREDENTIALS }),
      }),
    StoreError,
  );
  assertEquals(error.kind, "denied");
  assertStringIncludes(error.message, "dynamodb:CreateTable");
  assertStringIncludes(error.message, "MockedKinesisState");
});

Deno.test("a mocked Kinesis client: an unknown stream is told by name", async () => {
  const kinesis = new KinesisClient({ region: "eu-west-1", credentials: CREDENTIALS });
  mockClient(kinesis).on(ListShardsCommand).rejects(
    new NoStream({ message: "no such stream", $metadata: {} }),
  );
  const error = await assertRejects(
    () =>
      ReactoKinesixApp.createNew({
        ...NAMES,
        kinesis,
        processor: { process() {} },
        ports: { store: new MemoryLeaseStore() },
        dynamoDB: new DynamoDBClient({ region: "eu-west-1", credentials: CREDENTIALS }),
      }),
    SourceError,
  );
  assertEquals(error.kind, "missing");
  assertStringIncludes(error.message, '"orders"');
  assertStringIncludes(error.message, "eu-west-1");
});

Deno.test("clients in the wrong places are refused", async () => {
  const dynamoDB = new DynamoDBClient({ region: "us-east-1", credentials: CREDENTIALS });
  await assertRejects(
    () => ReactoKinesixApp.createNew({ ...NAMES, kinesis: dynamoDB, processor: { process() {} } }),
    TypeError,
    'Cannot use option "kinesis"',
  );
});

Deno.test("the local Kinesis in memory, as a client of the user's: records come without a network", async () => {
  const requestHandler = createInMemoryKinesis();
  requestHandler.engine.call("CreateStream", { StreamName: "orders", ShardCount: 1 });
  const Data = btoa("hello");
  requestHandler.engine.call("PutRecord", { StreamName: "orders", PartitionKey: "k", Data });
  const kinesis = new KinesisClient({
    region: "us-east-1",
    credentials: CREDENTIALS,
    requestHandler,
  });
  const seen = Promise.withResolvers<string>();
  await using _app = await ReactoKinesixApp.createNew({
    ...NAMES,
    kinesis,
    dynamoDB: new DynamoDBClient({ region: "us-east-1", credentials: CREDENTIALS }),
    processor: { process: (record) => seen.resolve(record.text()) },
    ports: { store: new MemoryLeaseStore() },
  });
  assertEquals(await seen.promise, "hello");
});
