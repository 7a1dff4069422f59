import {
  GetRecordsCommand,
  type GetRecordsCommandOutput,
  KinesisClient,
  ListShardsCommand,
} from "@aws-sdk/client-kinesis";
import { HttpResponse } from "@smithy/core/protocols";
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { connectAws } from "../../src/adapters/aws_calls.ts";
import { classify } from "../../src/adapters/aws_errors.ts";
import { takeOutRecords, toSourceRecord } from "../../src/adapters/kinesis_shapes.ts";
import { callGetRecordsLean } from "../../src/adapters/lean_get_records.ts";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";

const AWS = {
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
};
const JSON_TYPE = "application/x-amz-json-1.1";
const RECORD = {
  SequenceNumber: "49590338271490256608559692538361571095921575989136588898",
  Data: "SGVsbG8=",
  ApproximateArrivalTimestamp: 1734567890.123,
  PartitionKey: "key",
};
const TIMESTAMPS = [0, 1734567890, 1734567890.1234, 1.7345678901239e9, -1.0005, 4102444800.9995];

interface Answer {
  readonly body: string | Uint8Array;
  readonly status?: number;
  readonly type?: string;
}

/** What one of the two decoders makes of an answer. */
type Outcome = { readonly output: unknown } | { readonly error: readonly unknown[] };

const usual = {
  record: fc.record({
    SequenceNumber: fc.bigInt({ min: 0n, max: 2n ** 186n }).map(String),
    Data: fc.uint8Array({ maxLength: 300 }).map((bytes) => bytes.toBase64()),
    ApproximateArrivalTimestamp: fc.oneof(
      fc.constantFrom(...TIMESTAMPS),
      fc.double({ min: 0, max: 4e9, noNaN: true }),
    ),
    PartitionKey: fc.string({ unit: "binary", minLength: 1, maxLength: 20 }),
    EncryptionType: fc.constantFrom("NONE", "KMS"),
  }, {
    requiredKeys: ["SequenceNumber", "Data", "ApproximateArrivalTimestamp", "PartitionKey"],
  }),
  rest: fc.record({
    NextShardIterator: fc.oneof(fc.string(), fc.constant(null)),
    MillisBehindLatest: fc.nat(),
    ChildShards: fc.constantFrom(null, [], [{
      ShardId: "shardId-1",
      ParentShards: ["shardId-0"],
      HashKeyRange: { StartingHashKey: "0", EndingHashKey: "9" },
    }]),
    Unknown: fc.jsonValue(),
  }, { requiredKeys: [] }),
};

Deno.test("any usual answer is read as the SDK reads it", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(usual.record, { maxLength: 5 }),
      usual.rest,
      async (records, rest) => {
        const answer = { body: JSON.stringify({ Records: records, ...rest }) };
        assertEquals(await read(answer, "fast"), await read(answer, "sdk"));
      },
    ),
    { numRuns: 200 },
  );
});

const oddValue = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom("", "SGVs bG8=", "SGVsbG8", "SGVsbG9=", "SGVsbG8=\n", "SGVsbG8-", "Infinity"),
);

Deno.test("any odd answer is what it is to the SDK, errors included", async () => {
  const names = [...Object.keys(RECORD), "EncryptionType", "__type", "Unknown"];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...names),
      oddValue,
      fc.oneof(fc.constantFrom("Records", "ChildShards", "MillisBehindLatest", "__type", "x")),
      oddValue,
      fc.boolean(),
      async (inRecord, recordValue, inAnswer, answerValue, isOutside) => {
        const answer = {
          Records: [RECORD, { ...RECORD, [inRecord]: recordValue }],
          ...(isOutside && { [inAnswer]: answerValue }),
        };
        const body = JSON.stringify(answer);
        assertEquals(await read({ body }, "fast"), await read({ body }, "sdk"), body);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("an answer that is odd is read, or refused, as the SDK does", async () => {
  const bodies = [
    "",
    "{",
    "null",
    "[]",
    '"text"',
    "{}",
    '{"Records":null}',
    '{"Records":[]}',
    '{"Records":{}}',
    '{"Records":[null]}',
    '{"Records":[[]]}',
    '{"Records":[{}]}',
    '{"Records":[{"__proto__":1}],"__proto__":{"x":1}}',
    `{"Records":[${JSON.stringify(RECORD).replace("1734567890.123", "1e400")}]}`,
    `\uFEFF${JSON.stringify({ Records: [RECORD] })}`,
    JSON.stringify({ Records: [RECORD, { ...RECORD, Data: "SGVsbG8" }] }),
    JSON.stringify({ Records: [{ ...RECORD, Data: "" }] }),
    JSON.stringify({ Records: [{ ...RECORD, EncryptionType: "ROT13" }] }),
    JSON.stringify({ Records: [RECORD] }, null, 1),
    JSON.stringify({ Records: [RECORD, { ...RECORD, Data: "SGk=" }] }).replaceAll("=", "\\u003d"),
    JSON.stringify({ Records: [{ ...RECORD, Data: "//8=" }] }).replaceAll("/", "\\/"),
    JSON.stringify({ Records: [{ ...RECORD, PartitionKey: '{"Data":"SGk=",' }] }),
    JSON.stringify({ Records: [{ ...RECORD, PartitionKey: '",\\"Data":"SGk=' }, RECORD] }),
    JSON.stringify({ Records: [{ ...RECORD, 'x"Data': "SGk=" }] }),
    JSON.stringify({ Records: [{ Odd: { Data: "SGk=" }, ...RECORD }] }),
    JSON.stringify({ Odd: { Data: "SGk=" }, Records: [RECORD], Data: "SGk=" }),
    JSON.stringify({ Records: [{ Odd: { Data: "SGk=" }, ...RECORD }] }).replace('"SGVs', ' "SGVs'),
    `{"Records":[${'{"Data":"SGk=",'}${JSON.stringify(RECORD).slice(1)}]}`,
    JSON.stringify({ Records: [{ ...RECORD, Data: "#" }] }),
    JSON.stringify({ Records: [RECORD, { ...RECORD, Data: undefined }] }),
    JSON.stringify({ Records: [RECORD] }).slice(0, -40),
  ];
  for (const body of bodies) {
    assertEquals(await read({ body }, "fast"), await read({ body }, "sdk"), body);
  }
});

Deno.test("what is no answer of GetRecords in JSON is left to the SDK", async () => {
  const body = JSON.stringify({ __type: "ExpiredIteratorException", message: "too old" });
  const records = JSON.stringify({ Records: [RECORD] });
  const answers: readonly Answer[] = [
    { body, status: 400 },
    { body: "<html>", status: 502, type: "text/html" },
    { body: records, status: 201 },
    { body: records, type: "application/json" },
    { body: new Uint8Array([0xbf, 0xff]), type: "application/x-amz-cbor-1.1" },
  ];
  for (const answer of answers) {
    assertEquals(await read(answer, "fast"), await read(answer, "sdk"));
  }
  const error = await assertRejects(() => ask({ body, status: 400 }, "fast"));
  assertEquals((error as Error).name, "ExpiredIteratorException");
  const client = await clientFor({ body: '{"Shards":[]}' }, "fast");
  assertEquals((await client.send(new ListShardsCommand({ StreamName: "s" }))).Shards, []);
});

Deno.test("small payloads share a buffer, which is given to no two of them; large ones have their own", async () => {
  const payloads = Array.from({ length: 500 }, (_, i) => {
    return new Uint8Array(i % 50 === 0 ? 8_000 + i : i).map((_, at) => i + at);
  });
  const Records = payloads.map((payload) => ({ ...RECORD, Data: payload.toBase64() }));
  const client = await clientFor({ body: JSON.stringify({ Records }) }, "fast");
  const first = await client.send(getRecords());
  const second = await client.send(getRecords());
  const buffers = new Set<ArrayBufferLike>();
  for (const { Records: records } of [first, second]) {
    assertEquals(records?.map(({ Data }) => Data), payloads);
    for (const { Data } of records ?? []) {
      if (Data !== undefined) buffers.add(Data.buffer);
      if (Data !== undefined && Data.length > 8_192) {
        assertEquals(Data.buffer.byteLength, Data.length);
      }
    }
  }
  assert(buffers.size < 20, `${buffers.size}`);
});

Deno.test("records are taken out of an answer that is our own; one of somebody else's is left as it is", async () => {
  for (const [how, left] of [["fast", 0], ["sdk", 1]] as const) {
    const answer = await ask({ body: JSON.stringify({ Records: [RECORD] }) }, how);
    assertEquals(takeOutRecords(answer).map(({ partitionKey }) => partitionKey), ["key"]);
    assertEquals(answer.Records?.length, left);
  }
});

Deno.test("what a processor is given has a buffer of its own, whoever decoded it", async () => {
  for (const how of ["fast", "sdk"] as const) {
    const { Records } = await ask({ body: JSON.stringify({ Records: [RECORD, RECORD] }) }, how);
    const sources = Records?.map(toSourceRecord) ?? [];
    assert(sources.every(({ data }) => data.constructor === Uint8Array && data.length === 5));
    assert(sources.every(({ data }) => data.buffer.byteLength > 5), "they share one until then");
    const [first, second] = sources.map((source) => new DeliveredRecord("shard", source));
    assertEquals([first?.text(), second?.text()], ["Hello", "Hello"]);
    assertEquals([first?.data.byteOffset, first?.data.buffer.byteLength], [0, 5]);
    first?.data.fill(0);
    assertEquals(second?.text(), "Hello");
    assertStrictEquals(first?.data, first?.data);
  }
});

Deno.test("an answer that is cut off is a failure that may be tried again", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const connection of listener) {
      await connection.read(new Uint8Array(10_000));
      const head = `HTTP/1.1 200 OK\r\ncontent-type: ${JSON_TYPE}\r\ncontent-length: 9999\r\n\r\n`;
      await connection.write(new TextEncoder().encode(`${head}{"Records":[`));
      connection.close();
    }
  })();
  const kinesisEndpoint = `http://127.0.0.1:${listener.addr.port}`;
  const clients = connectAws({ ...AWS, kinesisEndpoint });
  const client = await clients.kinesis();
  const error = await assertRejects(() => client.send(getRecords()));
  assertEquals(classify(error).kind, "unavailable");
  clients.close();
  listener.close();
  await serving;
});

async function read(answer: Answer, how: "fast" | "sdk"): Promise<Outcome> {
  try {
    const { Records, $metadata, ...output } = await ask(answer, how);
    return {
      output: {
        ...output,
        // What a worker looks at; to the SDK a record is a plain object.
        Records: Records?.map((record) => [
          record?.SequenceNumber,
          record?.PartitionKey,
          record?.Data,
          record?.ApproximateArrivalTimestamp,
        ]),
        metadata: [$metadata.httpStatusCode, $metadata.requestId],
      },
    };
  } catch (error) {
    assert(error instanceof Error);
    return { error: [error.constructor, error.name, error.message] };
  }
}

async function ask(
  answer: Answer,
  how: "fast" | "sdk",
): Promise<GetRecordsCommandOutput> {
  return await (await clientFor(answer, how)).send(getRecords());
}

function getRecords(): GetRecordsCommand {
  return new GetRecordsCommand({ ShardIterator: "iterator" });
}

async function clientFor(answer: Answer, how: "fast" | "sdk"): Promise<KinesisClient> {
  let current: Answer = { body: "{}" };
  const client = new KinesisClient({
    ...AWS,
    requestHandler: {
      handle: () => {
        const { status = 200, type = JSON_TYPE, body } = current;
        return Promise.resolve({
          response: new HttpResponse({
            statusCode: status,
            headers: { "content-type": type, "x-amzn-requestid": "request-1" },
            // What is read may be gone afterwards.
            body: typeof body === "string" ? new TextEncoder().encode(body) : body.slice(),
          }),
        });
      },
    },
  });
  if (how === "fast") {
    callGetRecordsLean(client);
    // From which it learns how to call.
    await client.send(getRecords());
  }
  current = answer;
  return client;
}
