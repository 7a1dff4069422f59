// Proves what the two faces of the local Kinesis add to its engine: HTTP, fault injection, a clock from outside.
import {
  CreateStreamCommand,
  ExpiredIteratorException,
  GetRecordsCommand,
  GetShardIteratorCommand,
  type KinesisClient,
  PutRecordCommand,
} from "@aws-sdk/client-kinesis";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import { createInMemoryKinesis } from "../kinesis_in_memory.ts";
import { serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { makeClient } from "./kinesis_backends.ts";

const StreamName = "orders";
const RECORD = { StreamName, PartitionKey: "k", Data: new Uint8Array([1]) };

async function trimHorizon(client: KinesisClient): Promise<string | undefined> {
  const position = { ShardId: "shardId-000000000000", ShardIteratorType: "TRIM_HORIZON" } as const;
  const command = new GetShardIteratorCommand({ StreamName, ...position });
  return (await client.send(command)).ShardIterator;
}

Deno.test("the local Kinesis listens on loopback only, unless told otherwise", async () => {
  await using server = serveLocalKinesis({ port: 0 });
  assertEquals(new URL(server.url).hostname, "127.0.0.1");
});

Deno.test("close() does not wait for clients that keep their connections", async () => {
  const server = serveLocalKinesis({ port: 0 });
  const client = makeClient({ endpoint: server.url, requestHandler: new NodeHttpHandler() });
  await client.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }));
  const startMs = performance.now();
  await server.close();
  assert(performance.now() - startMs < 1000);
  await assertRejects(() => client.send(new PutRecordCommand(RECORD)));
  client.destroy();
});

Deno.test("close() does not wait for calls that an interceptor holds", async () => {
  const server = serveLocalKinesis({ port: 0, intercept: () => new Promise(() => {}) });
  const client = makeClient({ endpoint: server.url, requestHandler: new NodeHttpHandler() });
  const call = assertRejects(() => client.send(new PutRecordCommand(RECORD)));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await server.close();
  await call;
  client.destroy();
});

Deno.test("requests that are not JSON, too long, or for another service are refused in the AWS form", async () => {
  await using server = serveLocalKinesis({ port: 0 });
  const json = {
    "content-type": "application/x-amz-json-1.1",
    "x-amz-target": "Kinesis_20131202.ListStreams",
  };
  const cases: [Record<string, string>, string, number, string][] = [
    [
      { ...json, "content-type": "application/x-amz-cbor-1.1" },
      "{}",
      400,
      "SerializationException",
    ],
    [json, "{", 400, "SerializationException"],
    [json, "[]", 400, "SerializationException"],
    [{ ...json, "x-amz-target": "DynamoDB.Scan" }, "{}", 400, "UnknownOperationException"],
    [json, " ".repeat(10 * 1024 * 1024 + 1), 413, "RequestEntityTooLarge"],
  ];
  for (const [headers, body, status, error] of cases) {
    const response = await fetch(server.url, { method: "POST", headers, body });
    const { __type } = await response.json();
    assertEquals([response.status, __type], [status, error]);
    assertEquals(response.headers.get("x-amzn-errortype"), error);
    assert(response.headers.has("x-amzn-requestid"));
  }
});

Deno.test("an interceptor counts calls, and fails them before or after they take effect", async () => {
  const operations: string[] = [];
  await using server = serveLocalKinesis({
    port: 0,
    intercept: ({ operation }, proceed) => {
      operations.push(operation);
      if (operations.length === 2) throw new KinesisError("InternalFailureException", "no", 500);
      const output = proceed();
      if (operations.length === 3) throw new KinesisError("InternalFailureException", "lost", 500);
      return output;
    },
  });
  const client = makeClient({ endpoint: server.url, requestHandler: new NodeHttpHandler() });
  await client.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }));
  const put = async () => {
    const error = await assertRejects(() => client.send(new PutRecordCommand(RECORD)));
    assertEquals(error.name, "InternalFailureException");
  };
  await put();
  await put();
  const iterator = await trimHorizon(client);
  const { Records } = await client.send(new GetRecordsCommand({ ShardIterator: iterator }));
  assertEquals(Records?.length, 1);
  assertEquals(operations.slice(0, 3), ["CreateStream", "PutRecord", "PutRecord"]);
  client.destroy();
});

Deno.test("in memory, time passes as its clock says", async () => {
  let nowMs = 1_700_000_000_000;
  const client = makeClient({ requestHandler: createInMemoryKinesis({ now: () => nowMs }) });
  await client.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }));
  await client.send(new PutRecordCommand(RECORD));
  const ShardIterator = await trimHorizon(client);
  nowMs += 300_000;
  const { Records } = await client.send(new GetRecordsCommand({ ShardIterator }));
  assertEquals(Records?.[0]?.ApproximateArrivalTimestamp?.getTime(), 1_700_000_000_000);
  nowMs += 1;
  await assertRejects(
    () => client.send(new GetRecordsCommand({ ShardIterator })),
    ExpiredIteratorException,
  );
});

Deno.test("in memory, two clients can share one engine", async () => {
  const handler = createInMemoryKinesis();
  const one = makeClient({ requestHandler: handler });
  const other = makeClient({ requestHandler: createInMemoryKinesis({ engine: handler.engine }) });
  await one.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }));
  await other.send(new PutRecordCommand(RECORD));
  const ShardIterator = await trimHorizon(one);
  assertEquals((await one.send(new GetRecordsCommand({ ShardIterator }))).Records?.length, 1);
});

Deno.test("in memory, a call ends when it is aborted, whatever holds it", async () => {
  const aborting = new AbortController();
  const hold = () => {
    aborting.abort();
    return new Promise<object>(() => {});
  };
  const client = makeClient({ requestHandler: createInMemoryKinesis({ intercept: hold }) });
  const create = new CreateStreamCommand({ StreamName, ShardCount: 1 });
  const send = () => client.send(create, { abortSignal: aborting.signal });
  // Once while the interceptor holds it, once before it starts.
  for (let count = 0; count < 2; count++) {
    assertEquals((await assertRejects(send)).name, "AbortError");
  }
});

Deno.test("in memory, a fault of the network reaches the client as it was thrown", async () => {
  const intercept = () => {
    throw new TypeError("connection reset");
  };
  const client = makeClient({ requestHandler: createInMemoryKinesis({ intercept }) });
  await assertRejects(() => client.send(new PutRecordCommand(RECORD)), TypeError);
});
