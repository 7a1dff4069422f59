// The local Kinesis answers whatever it is sent with an error that AWS has a name for, never with a failure of its own.
import { assert, assertEquals, assertLess, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { KinesisEngine } from "../../src/local/kinesis_engine.ts";
import { KinesisProtocol } from "../../src/local/kinesis_protocol.ts";
import { serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import { anyText, magicNames, rawBytes } from "./bytes.ts";

const STREAM = "orders";
const SHARD = "shardId-000000000000";
const STREAM_ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
const CONSUMER_ARN = `${STREAM_ARN}/consumer/billing:1700000000`;
const PREFIX = "Kinesis_20131202.";
const OPERATIONS = [
  "AddTagsToStream",
  "CreateStream",
  "DecreaseStreamRetentionPeriod",
  "DeregisterStreamConsumer",
  "DescribeStream",
  "DescribeStreamConsumer",
  "DescribeStreamSummary",
  "GetRecords",
  "GetShardIterator",
  "IncreaseStreamRetentionPeriod",
  "ListShards",
  "ListStreamConsumers",
  "ListStreams",
  "ListTagsForStream",
  "MergeShards",
  "PutRecord",
  "PutRecords",
  "RegisterStreamConsumer",
  "RemoveTagsFromStream",
  "SplitShard",
  "SubscribeToShard",
  "UpdateShardCount",
];

/** An engine with a stream, and everything that would make it grow turned down. */
function makeEngine(): KinesisEngine {
  const engine = new KinesisEngine({ now: () => 1_700_000_000_000 });
  engine.call("CreateStream", { StreamName: STREAM, ShardCount: 2 });
  engine.call("RegisterStreamConsumer", { StreamARN: STREAM_ARN, ConsumerName: "billing" });
  return engine;
}

/** A value for a field: what belongs there, what belongs elsewhere, and what belongs nowhere. */
function values(iterator: string): fc.Arbitrary<unknown> {
  const position = fc.record({
    Type: fc.constantFrom("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER", 1),
    SequenceNumber: fc.oneof(fc.bigInt({ min: 0n }).map(String), fc.constant(undefined)),
    Timestamp: fc.constantFrom(0, 1e12, -1, "now", undefined),
  });
  return fc.oneof(
    position,
    fc.constantFrom(CONSUMER_ARN, STREAM_ARN, "billing"),
    fc.constantFrom(STREAM, SHARD, "shardId-000000000001", iterator, "TRIM_HORIZON", "AQ=="),
    fc.constantFrom(
      "LATEST",
      "AT_TIMESTAMP",
      "AFTER_SEQUENCE_NUMBER",
      "UNIFORM_SCALING",
      "PROVISIONED",
    ),
    fc.constantFrom(0, 1, -1, 0.5, 1e308, 2 ** 53, 10_000, 10_001, 24, 8_761),
    fc.bigInt({ min: 0n, max: 2n ** 130n }).map(String),
    fc.record({ PartitionKey: anyText, Data: anyText }).map((record) => [record]),
    fc.array(anyText, { maxLength: 3 }),
    fc.jsonValue({ maxDepth: 2 }),
    anyText,
  );
}

const FIELDS = [
  "StreamName",
  "StreamARN",
  "ShardId",
  "ShardIterator",
  "ShardIteratorType",
  "StartingSequenceNumber",
  "Timestamp",
  "Limit",
  "MaxResults",
  "NextToken",
  "ExclusiveStartShardId",
  "ExclusiveStartStreamName",
  "ShardFilter",
  "PartitionKey",
  "ExplicitHashKey",
  "Data",
  "Records",
  "ShardToSplit",
  "NewStartingHashKey",
  "ShardToMerge",
  "AdjacentShardToMerge",
  "Tags",
  "TagKeys",
  "RetentionPeriodHours",
  "TargetShardCount",
  "ScalingType",
  "ShardCount",
  "StreamModeDetails",
  "StreamCreationTimestamp",
  "ConsumerARN",
  "ConsumerName",
  "StartingPosition",
];

Deno.test("fuzz: any fields for any operation are served, or refused by name", async () => {
  const engine = makeEngine();
  const protocol = new KinesisProtocol(engine, {});
  const { ShardIterator: iterator } = engine.call("GetShardIterator", {
    StreamName: STREAM,
    ShardId: SHARD,
    ShardIteratorType: "TRIM_HORIZON",
  }) as { readonly ShardIterator: string };
  const names = fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...FIELDS) }, magicNames);
  const fields = fc.array(fc.tuple(names, values(iterator)), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...OPERATIONS),
      fields,
      fc.boolean(),
      async (operation, fields, hasStream) => {
        const input = Object.fromEntries(
          hasStream ? [["StreamName", STREAM], ...fields] : fields,
        );
        // What makes thousands of shards costs memory, and is as good with a few.
        for (const name of ["ShardCount", "TargetShardCount"]) {
          if (typeof input[name] === "number" && input[name] > 8) delete input[name];
        }
        const reply = await protocol.dispatch(PREFIX + operation, JSON.stringify(input));
        assertIsGood(reply.status, reply.body);
      },
    ),
    { numRuns: 4_000 },
  );
});

Deno.test("fuzz: any target and any body are refused by name", async () => {
  const protocol = new KinesisProtocol(makeEngine(), {});
  const operations = fc.oneof(fc.constantFrom(...OPERATIONS), magicNames, anyText);
  const targets = fc.oneof(operations.map((name) => PREFIX + name), operations);
  const bodies = fc.oneof(
    rawBytes.map((bytes) => new TextDecoder().decode(bytes)),
    fc.json(),
    fc.constantFrom("null", "[]", '"x"', "1", "{", "", '{"a":'.repeat(5_000)),
  );
  await fc.assert(
    fc.asyncProperty(targets, bodies, async (target, body) => {
      const reply = await protocol.dispatch(target, body);
      assertIsGood(reply.status, reply.body);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("fuzz: over HTTP, too long, without a length, in another format, and cut off", async () => {
  await using server = serveLocalKinesis({ port: 0 });
  const ask = async (body: BodyInit, headers: Record<string, string> = {}): Promise<number> => {
    const reply = await fetch(server.url, {
      method: "POST",
      headers: {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": `${PREFIX}ListStreams`,
        ...headers,
      },
      body,
    });
    assertIsGood(reply.status, await reply.text());
    return reply.status;
  };
  assertEquals(await ask("{}"), 200);
  assertEquals(await ask(" ".repeat(11 * 1024 * 1024)), 413);
  assertEquals(await ask(ReadableStream.from([new TextEncoder().encode("{}")])), 413);
  assertEquals(await ask("{}", { "content-type": "application/x-amz-cbor-1.1" }), 400);
  await fc.assert(
    fc.asyncProperty(rawBytes, async (bytes) => assertLess(await ask(bytes), 500)),
    { numRuns: 100 },
  );
  await fc.assert(
    fc.asyncProperty(rawBytes, async (bytes) => await sendRaw(server.url, bytes)),
    { numRuns: 100 },
  );
  assertEquals(await ask("{}"), 200);
});

/** Sends bytes that are not HTTP, or a request of which the rest never comes, and goes away. */
async function sendRaw(url: string, bytes: Uint8Array): Promise<void> {
  const port = Number(new URL(url).port);
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.1\r\n` +
    `X-Amz-Target: ${PREFIX}PutRecord\r\nContent-Length: ${bytes.length + 10}\r\n\r\n`;
  if (bytes.length % 2 === 0) await connection.write(new TextEncoder().encode(head));
  if (bytes.length > 0) await connection.write(bytes);
}

function assertIsGood(status: number, body: string | ReadableStream<Uint8Array>): void {
  if (status === 200 && typeof body !== "string") return;
  assert(typeof body === "string");
  if (status === 200) return void (body === "" || JSON.parse(body));
  assert(status >= 400 && status < 500, `${status} ${body}`);
  const { __type, message } = JSON.parse(body);
  assertStringIncludes(__type, "");
  assert(typeof __type === "string" && /^[A-Z][A-Za-z]+$/.test(__type), body);
  assert(typeof message === "string" && message !== "", body);
}
