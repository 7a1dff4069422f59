// Proves that an answer in parts is what the SDK makes of the whole, however it looks, and that its memory is given back.
import { assert, assertEquals, assertGreater, assertGreaterOrEqual } from "@std/assert";
import fc from "fast-check";
import type { LateAnswer } from "../../src/adapters/late_answer.ts";
import {
  bySdk,
  fieldsOf,
  lateAnswer,
  type Outcome,
  outcomeOf,
  usualBodies,
  wireRecord,
} from "./answer_testing.ts";

const partSizes = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 300 }),
    fc.integer({ min: 1, max: 400_000 }),
    fc.double({
      min: 1,
      max: 1e6,
      noNaN: true,
    }),
  ),
  { minLength: 1, maxLength: 5 },
);
const RECORD = wireRecord(1);
const NEXT = { NextShardIterator: "next", MillisBehindLatest: 7 };
const CHILD = {
  ShardId: "shardId-1",
  ParentShards: ["shardId-0"],
  HashKeyRange: { StartingHashKey: "0", EndingHashKey: "9" },
};

/** Takes an answer as a reader does: in parts if it has any. */
async function read(
  answer: LateAnswer,
  sizes: readonly number[],
): Promise<{ readonly outcome: Outcome; readonly given: readonly unknown[]; isWhole: boolean }> {
  const parts = answer.inParts();
  const given: unknown[] = [];
  if (parts === undefined) {
    return { outcome: await outcomeOf(() => answer.whole()), given, isWhole: true };
  }
  const { nextShardIterator: next, millisBehindLatest } = parts;
  let left: Outcome = {};
  for (let i = 0; parts.bytesLeft > 0 && left.error === undefined; i++) {
    left = await outcomeOf(async () => ({
      Records: await parts.next(sizes[i % sizes.length] ?? 1),
    }));
    given.push(...left.records ?? []);
  }
  const outcome = left.error === undefined
    ? { records: given, next, millisBehindLatest, children: undefined }
    : left;
  return { outcome, given, isWhole: false };
}

Deno.test("late answer: its parts are what the SDK makes of the whole, and its memory is given back with the last one", async () => {
  await fc.assert(
    fc.asyncProperty(usualBodies, partSizes, async (body, sizes) => {
      const { records: expected = [], next, millisBehindLatest } = await bySdk(body);
      const { answer, buffer } = await lateAnswer(body);
      const length = new TextEncoder().encode(body).length;
      assertEquals(answer.bytes, length);
      const parts = answer.inParts();
      assert(parts !== undefined && buffer !== undefined);
      assertEquals([parts.nextShardIterator, parts.millisBehindLatest], [next, millisBehindLatest]);
      const given = [];
      for (let i = 0; parts.bytesLeft > 0; i++) {
        const [size = 1, before] = [sizes[i % sizes.length], parts.bytesLeft];
        assertEquals([parts.bytesHeld, buffer.detached], [length, false]);
        assertEquals(parts.lastArrival, (expected.at(-1) as unknown[])[3]);
        const records = await parts.next(size);
        assertGreater(records.length, 0);
        assertGreaterOrEqual(before - parts.bytesLeft, Math.min(Math.floor(size), before));
        given.push(...records);
      }
      assertEquals([parts.bytesLeft, parts.bytesHeld, buffer.detached], [0, 0, true]);
      assertEquals(parts.lastArrival, (expected.at(-1) as unknown[])[3]);
      assertEquals(fieldsOf(given), expected);
    }),
    { numRuns: 150 },
  );
});

Deno.test("late answer: the smallest part is one record, whatever its key looks like", async () => {
  await fc.assert(
    fc.asyncProperty(usualBodies, async (body) => {
      const parts = (await lateAnswer(body)).answer.inParts();
      assert(parts !== undefined);
      while (parts.bytesLeft > 0) assertEquals((await parts.next(1)).length, 1);
    }),
    { numRuns: 100 },
  );
  const keys = ["},{", '},{"', '"},{', "\\},{", "a},{b", "}]"];
  const Records = keys.map((PartitionKey, i) => ({ ...wireRecord(i), PartitionKey }));
  const parts = (await lateAnswer(JSON.stringify({ Records, ...NEXT }))).answer.inParts();
  assert(parts !== undefined);
  assertEquals(parts.lastArrival, 1_700_000_000_050);
  const given = [];
  while (parts.bytesLeft > 0) given.push((await parts.next(1)).map((it) => it.PartitionKey));
  assertEquals(given, keys.map((key) => [key]));
});

Deno.test("late answer: a part is as long as is asked for, and goes on to the end of a record", async () => {
  const Records = Array.from({ length: 100 }, (_, i) => wireRecord(100 + i, { everyMs: 1_000 }));
  const { length } = JSON.stringify(Records[0]);
  const parts = (await lateAnswer(JSON.stringify({ Records, ...NEXT }))).answer.inParts();
  assert(parts !== undefined);
  const counts = [];
  for (const bytes of [length, length + 1, 10 * length, 20 * length + 30, 1e9]) {
    counts.push((await parts.next(bytes)).length);
  }
  // There is a comma between two of them.
  assertEquals(counts, [1, 2, 10, 21, 66]);
});

Deno.test("late answer: whatever is unusual about it is as the SDK says, and nothing is lost or comes twice", async () => {
  const text = JSON.stringify({ Records: [1, 2, 3].map((n) => wireRecord(n)), ...NEXT });
  const withRecord = (odd: object) =>
    JSON.stringify({ Records: [RECORD, { ...wireRecord(2), ...odd }, wireRecord(3)], ...NEXT });
  const beside = (other: object) => JSON.stringify({ Records: [RECORD, wireRecord(2)], ...other });
  const invalid = new TextEncoder().encode(text.replaceAll("key ", "key~"));
  const bodies: readonly (string | Uint8Array)[] = [
    text,
    JSON.stringify(JSON.parse(text), null, 2),
    text.replaceAll("},{", "}, {"),
    text.replace("}]", "} ]"),
    text.replace('"Records":[', '"Records": ['),
    `\uFEFF${text}`,
    "{}",
    JSON.stringify({ Records: [], ...NEXT }),
    JSON.stringify({ Records: null, ...NEXT }),
    JSON.stringify({ Records: [null, RECORD], ...NEXT }),
    JSON.stringify({ Records: [RECORD, null, wireRecord(2)], ...NEXT }),
    JSON.stringify(NEXT),
    beside({ MillisBehindLatest: 0 }),
    beside({ NextShardIterator: null, ChildShards: [CHILD, { ...CHILD, ShardId: "shardId-2" }] }),
    beside({ ...NEXT, ChildShards: [CHILD, CHILD] }),
    JSON.stringify({ ChildShards: [CHILD, CHILD], Records: [RECORD, wireRecord(2)], ...NEXT }),
    beside({ ...NEXT, Unknown: [{ a: 1 }, { b: 2 }], Other: [{ c: [{ d: 1 }, { e: 2 }] }] }),
    JSON.stringify({ Odd: { Records: [RECORD] }, Records: [wireRecord(2), RECORD], ...NEXT }),
    JSON.stringify({ 'x"Records': [RECORD], Records: [wireRecord(2), RECORD], ...NEXT }),
    beside({ ...NEXT, MillisBehindLatest: "many" }),
    beside({ ...NEXT, MillisBehindLatest: "Infinity" }),
    beside({ NextShardIterator: 5 }),
    JSON.stringify({ "é漢": 1, Records: [RECORD, wireRecord(2)], ...NEXT }),
    beside({ NextShardIterator: 'a}],"b', MillisBehindLatest: 7 }),
    beside({ NextShardIterator: "é}]", MillisBehindLatest: 7 }),
    beside({ ...NEXT, __type: "Odd" }),
    withRecord({ __type: "Record" }),
    withRecord({ Data: "SGVsbG8" }),
    withRecord({ Data: "SGVsbG8=},{" }),
    withRecord({ Data: undefined }),
    withRecord({ PartitionKey: undefined }),
    withRecord({ PartitionKey: null }),
    withRecord({ SequenceNumber: 7 }),
    withRecord({ ApproximateArrivalTimestamp: "late" }),
    withRecord({ EncryptionType: "ROT13" }),
    withRecord({ Nested: [{ a: 1 }, { Data: "SGk=" }, { b: [{ c: 1 }, { d: 2 }] }] }),
    withRecord({ Nested: [{ ...RECORD }, { ...RECORD }] }),
    withRecord({ "": 1, Nested: [{ "": 1 }, { "": 2 }] }),
    ...[1, 30, 90, 130, 200, 330].map((cut) => text.slice(0, -cut)),
    invalid.map((byte) => byte === 0x7e ? 0xff : byte),
    invalid.map((byte) => byte === 0x7e ? 0xe2 : byte),
  ];
  for (const body of bodies) {
    const sdk = await bySdk(body);
    for (const size of [1, 100, 200, 1e6]) {
      const { outcome, given, isWhole } = await read((await lateAnswer(body)).answer, [size]);
      const about = `${size}: ${typeof body === "string" ? body : new TextDecoder().decode(body)}`;
      if (isWhole || sdk.error === undefined) {
        // Whoever goes on does not look at the children of a shard that has not ended.
        const expected = isWhole ? sdk : { ...sdk, children: undefined };
        assertEquals(outcome, expected, about);
      } else {
        // What it says about the place is another one.
        assertEquals(outcome.error?.slice(0, 2), sdk.error.slice(0, 2), about);
        assertEquals(given, fieldsThatCame(given.length), about);
      }
    }
  }
});

/** Those before the one that is broken. */
function fieldsThatCame(count: number): readonly unknown[] {
  return Array.from({ length: count }, (_, i) => wireRecord(i + 1)).map((record) => [
    record.SequenceNumber,
    record.PartitionKey,
    record.Data,
    Math.round(record.ApproximateArrivalTimestamp * 1_000),
  ]);
}

Deno.test("late answer: any odd record among usual ones is as the SDK says", async () => {
  const odd = fc.oneof(fc.jsonValue(), fc.constantFrom("", "SGVsbG8", "},{", [{ a: 1 }, { b: 2 }]));
  const names = [...Object.keys(RECORD), "EncryptionType", "__type", "Unknown"];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...names),
      odd,
      fc.nat(2),
      partSizes,
      async (name, value, place, sizes) => {
        const Records = [1, 2, 3].map((n, i) => ({
          ...wireRecord(n),
          ...(i === place && { [name]: value }),
        }));
        const body = JSON.stringify({ Records, ...NEXT });
        const [sdk, { answer }] = [await bySdk(body), await lateAnswer(body)];
        const { outcome, given } = await read(answer, sizes);
        assertEquals(outcome.error?.slice(0, 2), sdk.error?.slice(0, 2));
        if (sdk.error === undefined) assertEquals(outcome, { ...sdk, children: undefined });
        else assertEquals(given, fieldsThatCame(given.length));
      },
    ),
    { numRuns: 300 },
  );
});
