// Proves that the events of a subscription are read as the SDK reads them, usual and odd ones.
import { type _Record, KinesisClient, SubscribeToShardCommand } from "@aws-sdk/client-kinesis";
import { EventStreamCodec, type MessageHeaders } from "@smithy/core/event-streams";
import { HttpResponse } from "@smithy/core/protocols";
import { fromUtf8, toUtf8 } from "@smithy/core/serde";
import { assertEquals } from "@std/assert";
import { Readable } from "node:stream";
import { FastEventMarshaller } from "../../src/adapters/fast_events.ts";

const ConsumerARN = "arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/c:1";
const IS_EVENT = { ":message-type": "event", ":event-type": "SubscribeToShardEvent" };
const RECORD = {
  SequenceNumber: "49590338271490256608559692538361571095921575989136588898",
  Data: "SGVsbG8=",
  ApproximateArrivalTimestamp: 1734567890.123,
  PartitionKey: "ключ",
};
const EVENT = {
  Records: [RECORD, { ...RECORD, Data: "", EncryptionType: "KMS" }],
  ContinuationSequenceNumber: "7",
  MillisBehindLatest: 12,
};
const CHILD = { ShardId: "shardId-1", ParentShards: ["shardId-0"], HashKeyRange: null };

const BODIES: readonly string[] = [
  ...[
    EVENT,
    { ...EVENT, Records: [] },
    { ...EVENT, Records: null },
    { ...EVENT, ContinuationSequenceNumber: null, ChildShards: [CHILD] },
    { ...EVENT, Records: [{ ...RECORD, Data: "SGVsb G8=" }] },
    { ...EVENT, Records: [{ ...RECORD, Data: "?" }] },
    { ...EVENT, Records: [null] },
    { ...EVENT, Records: [{ ...RECORD, ApproximateArrivalTimestamp: "x" }] },
    { MillisBehindLatest: 1 },
    {},
  ].map((event) => JSON.stringify(event)),
  "{",
];

Deno.test("events are read as the SDK reads them", async () => {
  for (const body of BODIES) {
    assertEquals(await read(body, true), await read(body, false), body);
  }
});

Deno.test("exceptions within a stream are those of the SDK", async () => {
  const exception = { ":message-type": "exception", ":exception-type": "ResourceInUseException" };
  const body = JSON.stringify({ message: "busy" });
  const told = await read(body, true, exception);
  assertEquals(told, await read(body, false, exception));
  assertEquals(told, ["ResourceInUseException", "busy"]);
});

Deno.test("the SDK is left with what is not records", async () => {
  const left: string[] = [];
  const marshaller = new FastEventMarshaller({ utf8Encoder: toUtf8, utf8Decoder: fromUtf8 });
  const events = marshaller.deserialize(
    Readable.from(framesOf(JSON.stringify(EVENT), IS_EVENT)),
    (messages) => {
      left.push(toUtf8(messages["SubscribeToShardEvent"]?.body ?? new Uint8Array()));
      return Promise.resolve({ SubscribeToShardEvent: {} });
    },
  );
  await Array.fromAsync(events);
  assertEquals(left.map((text) => text && JSON.parse(text)), [
    "",
    { ContinuationSequenceNumber: "7", MillisBehindLatest: 12 },
  ]);
});

/** What one of the two makes of an event: its fields, or the error. */
async function read(
  body: string,
  isFast: boolean,
  headers?: Readonly<Record<string, string>>,
): Promise<unknown> {
  try {
    const events = await eventsOf(body, isFast, headers);
    return JSON.parse(JSON.stringify(events, (_, value) => plain(value)));
  } catch (error) {
    return error instanceof Error ? [error.name, error.message] : error;
  }
}

/** Of a record what a worker looks at: to the SDK it is a plain object. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (typeof value !== "object" || value === null || !("SequenceNumber" in value)) return value;
  const { SequenceNumber, PartitionKey, Data, ApproximateArrivalTimestamp } = value as _Record;
  return [SequenceNumber, PartitionKey, Data, ApproximateArrivalTimestamp];
}

function framesOf(body: string, headers: Readonly<Record<string, string>>): Uint8Array[] {
  const codec = new EventStreamCodec(toUtf8, fromUtf8);
  const frame = (fields: Readonly<Record<string, string>>, content: string) =>
    codec.encode({
      headers: Object.fromEntries(
        Object.entries(fields).map(([name, value]) => [name, { type: "string", value }]),
      ) as MessageHeaders,
      body: fromUtf8(content),
    });
  const initial = { ":message-type": "event", ":event-type": "initial-response" };
  return [frame(initial, "{}"), frame(headers, body)];
}

async function eventsOf(
  body: string,
  isFast: boolean,
  headers: Readonly<Record<string, string>> = IS_EVENT,
) {
  const frames = framesOf(body, headers);
  const client = new KinesisClient({
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
    maxAttempts: 1,
    ...isFast && { eventStreamSerdeProvider: (options) => new FastEventMarshaller(options) },
    requestHandler: {
      handle: () =>
        Promise.resolve({
          response: new HttpResponse({ statusCode: 200, body: ReadableStream.from(frames) }),
        }),
    },
  });
  const input = { ConsumerARN, ShardId: "s", StartingPosition: { Type: "LATEST" } } as const;
  const { EventStream } = await client.send(new SubscribeToShardCommand(input));
  return await Array.fromAsync(EventStream ?? []);
}
