// Owns: answers of GetRecords as they come over the wire, clients that get them, and what the SDK makes of them.
// Must not: assert what is made of them.
// Called by: the tests of answers that are read late.
import { GetRecordsCommand, type GetRecordsOutput, KinesisClient } from "@aws-sdk/client-kinesis";
import { type HttpRequest, HttpResponse } from "@smithy/core/protocols";
import fc from "fast-check";
import { late, LateAnswer } from "../../src/adapters/late_answer.ts";
import { callGetRecordsLean } from "../../src/adapters/lean_get_records.ts";

/** One record of an answer. */
export interface WireRecord {
  readonly SequenceNumber: string;
  readonly ApproximateArrivalTimestamp: number;
  readonly Data: string;
  readonly PartitionKey: string;
  readonly EncryptionType?: string | null;
}

/** What a call is answered with, by the name of its operation. */
export type Respond = (operation: string, input: Record<string, unknown>) => string | Uint8Array;

/** What became of an answer: all that it says, or the error. */
export interface Outcome {
  readonly records?: readonly unknown[];
  readonly next?: string | undefined;
  readonly millisBehindLatest?: number;
  readonly children?: unknown;
  readonly error?: readonly unknown[];
}

const HEADERS = { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": "1" };
const UTF_8 = new TextEncoder();

/** A record with its number for a name, that arrived so many milliseconds after the one before it. */
export function wireRecord(
  number: number,
  { bytes = 5, everyMs = 10 }: { readonly bytes?: number; readonly everyMs?: number } = {},
): WireRecord {
  return {
    SequenceNumber: String(number),
    ApproximateArrivalTimestamp: (1_700_000_000_000 + number * everyMs) / 1_000,
    Data: new Uint8Array(bytes).fill(number).toBase64(),
    PartitionKey: `key ${number}`,
  };
}

/** A client that has learned how to call, unless it is to leave everything to the SDK. */
export async function clientOf(
  respond: Respond,
  by: "lean" | "sdk" = "lean",
): Promise<{ readonly client: KinesisClient; readonly buffers: readonly ArrayBuffer[] }> {
  let answer: Respond = () => "{}";
  const buffers: ArrayBuffer[] = [];
  const client = new KinesisClient({
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
    maxAttempts: 1,
    requestHandler: {
      handle({ headers, body }: HttpRequest) {
        const input = JSON.parse(typeof body === "string" ? body : new TextDecoder().decode(body));
        const said = answer((headers["x-amz-target"] ?? "").replace(/.*\./, ""), input);
        // What is read may be gone afterwards.
        const bytes = typeof said === "string" ? UTF_8.encode(said) : said.slice();
        buffers.push(bytes.buffer as ArrayBuffer);
        const response = new HttpResponse({ statusCode: 200, headers: HEADERS, body: bytes });
        return Promise.resolve({ response });
      },
    },
  });
  if (by === "lean") {
    callGetRecordsLean(client);
    await client.send(new GetRecordsCommand({ ShardIterator: "first" }));
  }
  answer = respond;
  return { client, buffers };
}

/** An answer as it came, and the memory that it takes. */
export async function lateAnswer(
  body: string | Uint8Array,
): Promise<{ readonly answer: LateAnswer; readonly buffer: ArrayBuffer | undefined }> {
  const { client, buffers } = await clientOf(() => body);
  const command = late(new GetRecordsCommand({ ShardIterator: "iterator" }));
  const answer: unknown = await client.send(command);
  if (!(answer instanceof LateAnswer)) throw new TypeError("the answer did not come late");
  return { answer, buffer: buffers.at(-1) };
}

/** What the SDK makes of an answer. */
export async function bySdk(body: string | Uint8Array): Promise<Outcome> {
  const { client } = await clientOf(() => body, "sdk");
  return await outcomeOf(() => client.send(new GetRecordsCommand({ ShardIterator: "iterator" })));
}

export async function outcomeOf(read: () => Promise<GetRecordsOutput>): Promise<Outcome> {
  try {
    const { Records, NextShardIterator, MillisBehindLatest, ChildShards } = await read();
    return {
      records: fieldsOf(Records),
      next: NextShardIterator,
      millisBehindLatest: MillisBehindLatest ?? 0,
      children: ChildShards,
    };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { error: [error.constructor, error.name, error.message] };
  }
}

/** What a worker looks at. */
export function fieldsOf(records: GetRecordsOutput["Records"]): readonly unknown[] {
  return (records ?? []).map((record) => [
    record.SequenceNumber,
    record.PartitionKey,
    record.Data && new Uint8Array(record.Data).toBase64(),
    record.ApproximateArrivalTimestamp?.getTime(),
  ]);
}

/** What may be taken for the end of a record, or for the beginning of something. */
const DECEPTIVE = ['},{"', "},{", "}]", "}", '"', "\\", '"Data":"', '"Records":[', '{"a":', "\n"];
const CHARACTERS = [..."aZ0 é漢", "\u{1f600}", "\ud800", "\udc00", "\ufeff"];
const partitionKeys = fc.array(fc.constantFrom(...DECEPTIVE, ...CHARACTERS), {
  minLength: 1,
  maxLength: 6,
}).map((pieces) => pieces.join(""));
const payloads = fc.oneof(
  { weight: 9, arbitrary: fc.uint8Array({ maxLength: 60 }) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.nat(300_000), fc.nat(255))
      .map(([length, byte]) => new Uint8Array(length).fill(byte)),
  },
);
const records = fc.record({
  SequenceNumber: fc.bigInt({ min: 0n, max: 2n ** 186n }).map(String),
  ApproximateArrivalTimestamp: fc.oneof(
    fc.integer({ min: 0, max: 4_000_000_000_000 }).map((ms) => ms / 1_000),
    fc.double({ min: 0, max: 4e9, noNaN: true }),
  ),
  Data: payloads.map((bytes) => bytes.toBase64()),
  PartitionKey: partitionKeys,
  EncryptionType: fc.constantFrom("NONE", "KMS", null),
}, { requiredKeys: ["SequenceNumber", "ApproximateArrivalTimestamp", "Data", "PartitionKey"] });

/** The JSON of an object, its fields in an order. */
function ordered(object: object): fc.Arbitrary<string> {
  const fields = Object.entries(object);
  return fc.shuffledSubarray(fields, { minLength: fields.length })
    .map((shuffled) => JSON.stringify(Object.fromEntries(shuffled)));
}

const edges = fc.record({
  NextShardIterator: fc.base64String({ minLength: 1, maxLength: 200 }),
  MillisBehindLatest: fc.oneof(fc.constantFrom(0, null), fc.nat(), fc.maxSafeNat()),
  EncryptionType: fc.constantFrom("NONE", null),
}, { requiredKeys: ["NextShardIterator"] });

/** Any answer as Kinesis may give it, whoever writes its JSON. */
export const usualBodies: fc.Arbitrary<string> = fc.tuple(
  fc.array(records.chain(ordered), { minLength: 1, maxLength: 12 }),
  edges.chain((edge) => ordered({ ...edge, Records: [] })),
  fc.boolean(),
).map(([texts, frame, isAscii]) => {
  const body = frame.replace('"Records":[]', () => `"Records":[${texts.join(",")}]`);
  return isAscii ? body.replace(/[\u0080-\uffff]/g, escaped) : body;
});

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
