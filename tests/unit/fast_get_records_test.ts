import {
  GetRecordsCommand,
  type GetRecordsOutput,
  KinesisClient,
  ListShardsCommand,
} from "@aws-sdk/client-kinesis";
import { HttpResponse } from "@smithy/core/protocols";
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import { connectAws } from "../../src/adapters/aws_calls.ts";
import { classify } from "../../src/adapters/aws_errors.ts";
import { readRecordsFast } from "../../src/adapters/fast_get_records.ts";
import { toSourceRecord } from "../../src/adapters/kinesis_shapes.ts";
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

/** The part of the SDK that is replaced, as loosely as it is typed there. */
interface Protocol {
  deserializeResponse(
    operation: object,
    context: object,
    response: Answered,
  ): Promise<object>;
}

interface Answered {
  readonly body?: unknown;
  /** What the SDK gave, if this is another likeness of it. */
  readonly usual?: Answered;
}

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

Deno.test("odd answers, by name", async () => {
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
  const client = clientFor({ body: '{"Shards":[]}' }, "fast");
  assertEquals((await client.send(new ListShardsCommand({ StreamName: "s" }))).Shards, []);
});

Deno.test("small payloads share a buffer, which is given to no two of them; large ones have their own", async () => {
  const payloads = Array.from({ length: 500 }, (_, i) => {
    return new Uint8Array(i % 50 === 0 ? 8_000 + i : i).map((_, at) => i + at);
  });
  const Records = payloads.map((payload) => ({ ...RECORD, Data: payload.toBase64() }));
  const client = clientFor({ body: JSON.stringify({ Records }) }, "fast");
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

Deno.test("an SDK that is built otherwise reads by itself", async () => {
  const answer = { body: JSON.stringify({ Records: [RECORD] }) };
  const outcome = await read(answer, "sdk");
  for (const protocol of [undefined, null, {}, { deserializeResponse: 1 }]) {
    const client = { config: { protocol } } as unknown as KinesisClient;
    readRecordsFast(client);
    assertStrictEquals(client.config.protocol, protocol);
  }
  // One that names its operations, or the parts of an answer, in another way.
  for (const odd of ["operation", "statusCode", "headers", "body"]) {
    const client = clientFor(answer, "sdk");
    const protocol: Protocol = client.config.protocol;
    const inner = protocol.deserializeResponse.bind(protocol);
    // Its own decoder is to get the whole answer, not what is left of it.
    let isWhole = false;
    protocol.deserializeResponse = (operation, context, response) => {
      isWhole = response.body === (odd === "body" ? undefined : response.usual?.body);
      return inner(operation, context, response.usual ?? response);
    };
    readRecordsFast(client);
    const outer = protocol.deserializeResponse.bind(protocol);
    protocol.deserializeResponse = (operation, context, response) =>
      odd === "operation"
        ? outer({ ...operation, name: undefined }, context, { ...response, usual: response })
        : outer(operation, context, { ...response, [odd]: undefined, usual: response });
    assertEquals({ output: await client.send(getRecords()) }, outcome);
    assert(isWhole, odd);
  }
});

Deno.test("a client of the user's is left as it is, ours are fast", async () => {
  const kinesis = clientFor({ body: "{}" }, "sdk");
  const { protocol } = kinesis.config;
  await connectAws({ kinesis }).kinesis();
  assert(!Object.hasOwn(protocol, "deserializeResponse"));
  const ours = connectAws({ ...AWS });
  assert(Object.hasOwn((await ours.kinesis()).config.protocol, "deserializeResponse"));
  ours.close();
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
    return { output: await ask(answer, how) };
  } catch (error) {
    assert(error instanceof Error);
    return { error: [error.constructor, error.name, error.message] };
  }
}

function ask(answer: Answer, how: "fast" | "sdk"): Promise<GetRecordsOutput> {
  return clientFor(answer, how).send(getRecords());
}

function getRecords(): GetRecordsCommand {
  return new GetRecordsCommand({ ShardIterator: "iterator" });
}

function clientFor(answer: Answer, how: "fast" | "sdk"): KinesisClient {
  const { status = 200, type = JSON_TYPE, body } = answer;
  const client = new KinesisClient({
    ...AWS,
    requestHandler: {
      handle: () =>
        Promise.resolve({
          response: new HttpResponse({
            statusCode: status,
            headers: { "content-type": type, "x-amzn-RequestId": "request-1" },
            // What is read may be gone afterwards.
            body: typeof body === "string" ? new TextEncoder().encode(body) : body.slice(),
          }),
        }),
    },
  });
  if (how === "fast") readRecordsFast(client);
  return client;
}
