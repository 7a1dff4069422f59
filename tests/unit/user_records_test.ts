// Owns: what is told of aggregates that cannot be taken apart, or hold records of other shards; nothing of them is dropped.
import { assert, assertEquals } from "@std/assert";
import { heldBytes, heldBytesOf } from "../../src/core/byte_size.ts";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import type { AppFact } from "../../src/events.ts";
import type { SourceRecord } from "../../src/ports.ts";
import { type Part, UserRecords, type UserRecordsOptions } from "../../src/runtime/user_records.ts";
import { aggregate, type Packed, sealed } from "../kpl.ts";

const START = { kind: "trimHorizon" } as const;
const HASH_KEYS = 2n ** 128n;
/** The lower half of the hash keys: it has the first of the partition keys below, not the second one. */
const LOWER = { start: "0", end: String(HASH_KEYS / 2n - 1n) };
const LOW = "low-1"; // its MD5 begins with 60
const HIGH = "high-1"; // its MD5 begins with 85

function source(sequence: number, data: Uint8Array<ArrayBuffer>): SourceRecord {
  return {
    sequenceNumber: String(sequence),
    partitionKey: "a",
    data,
    approximateArrivalTimestamp: 1_000,
  };
}

function packed(partitionKey: string, explicitHashKey?: string): Packed {
  return { partitionKey, explicitHashKey, data: new Uint8Array() };
}

/** What comes of records, and what is told. */
function taken(
  records: readonly SourceRecord[],
  options: Partial<UserRecordsOptions> & { readonly after?: Checkpoint } = {},
): {
  readonly parts: readonly (readonly SourceRecord[])[];
  readonly whole: readonly Part[];
  readonly facts: readonly AppFact[];
} {
  const facts: AppFact[] = [];
  const emit = (fact: AppFact): void => void facts.push(fact);
  const limits = { deaggregate: true, maxBatchSize: 10_000, room: () => Infinity };
  const defaults = { shardId: "s", hashKeyRange: null, ...limits, emit };
  const { after = START, ...more } = options;
  const parts = [...new UserRecords({ ...defaults, ...more }).of(records, after)];
  return { parts: parts.map(({ records }) => records), whole: parts, facts };
}

Deno.test("user records: without an aggregate the records are what was read, without a copy", () => {
  const records = [source(1, Uint8Array.of(0xf3, 0x89)), source(2, new Uint8Array())];
  const { parts, facts } = taken(records);
  assert(parts.length === 1 && parts[0] === records);
  assertEquals(facts, []);
  assertEquals(taken([]).parts, [[]], "the tip of a shard is a batch too");
});

Deno.test("user records: a checkpoint of the KCL within a record that stands alone is behind it", () => {
  const after: Checkpoint = { kind: "sequence", sequenceNumber: "1", subSequenceNumber: 0 };
  const records = [source(1, Uint8Array.of(7)), source(2, Uint8Array.of(8))];
  const { parts, whole } = taken(records, { after });
  assertEquals(parts.map((part) => part.map(({ sequenceNumber }) => sequenceNumber)), [["2"]]);
  assertEquals(whole[0]?.heldBytes, heldBytesOf(records), "what is passed over is let go of");
  const both = [source(1, aggregate([packed("a"), packed("b")]))];
  assertEquals(taken(both, { after }).parts[0]?.map((record) => record.subSequenceNumber), [1]);
  const whatever = taken(both, { after, deaggregate: false });
  assertEquals(whatever.parts, [both], "half of it may be unfinished");
});

Deno.test("user records: no more come at once than may, with aggregates or without", () => {
  const alone = [1, 2, 3, 4, 5].map((sequence) => source(sequence, new Uint8Array(8)));
  const whole = source(6, aggregate(Array.from({ length: 5 }, () => packed("a"))));
  for (const deaggregate of [true, false]) {
    const { parts } = taken([...alone, whole], { maxBatchSize: 2, deaggregate });
    assertEquals(parts.map(({ length }) => length), deaggregate ? [2, 2, 2, 2, 2] : [2, 2, 2]);
    assertEquals(taken(alone, { maxBatchSize: 5, deaggregate }).parts[0], alone);
  }
});

Deno.test("user records: what begins as an aggregate and is none is delivered as it is, and told once for a read", () => {
  const whole = aggregate([packed("a"), packed("b")]);
  const cut = whole.slice(0, -1);
  const strange = sealed(Uint8Array.of(0x0a));
  const text = new Uint8Array([
    0xf3,
    0x89,
    0x9a,
    0xc2,
    ...new TextEncoder().encode("no aggregate"),
  ]);
  const records = [source(1, text), source(2, whole), source(3, cut), source(4, strange)];
  const { parts, facts } = taken(records);
  assertEquals(
    parts.flat().map(({ sequenceNumber, subSequenceNumber }) => [
      sequenceNumber,
      subSequenceNumber,
    ]),
    [["1", undefined], ["2", 0], ["2", 1], ["3", undefined], ["4", undefined]],
  );
  assert(parts[0]?.[0] === records[0] && parts[0]?.[3] === records[2]);
  assertEquals(facts, [{
    type: "aggregate_malformed",
    shardId: "s",
    sequenceNumber: "1",
    reason: "it ends before its checksum",
    aggregates: 3,
  }]);
});

Deno.test("user records: those that belong to another shard are delivered, and told of once for a read", () => {
  const mixed = aggregate([packed(LOW), packed(HIGH), packed(LOW)]);
  const records = [source(1, aggregate([packed(LOW)])), source(2, mixed), source(3, mixed)];
  const { parts, facts } = taken(records, { hashKeyRange: LOWER });
  assertEquals(parts.flat().length, 7);
  assertEquals(facts, [
    { type: "aggregate_misplaced", shardId: "s", sequenceNumber: "2", aggregates: 2 },
  ]);
  for (const hashKeyRange of [null, { start: "", end: "?" }]) {
    assertEquals(taken(records, { hashKeyRange }).facts, [], "a shard whose range is not known");
  }
});

Deno.test("user records: an explicit hash key counts instead of the partition key", () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    [HIGH, "0", true],
    [HIGH, LOWER.end, true],
    [LOW, String(HASH_KEYS / 2n), false],
    [LOW, String(HASH_KEYS - 1n), false],
    [LOW, "no number", false],
    [LOW, "9".repeat(40), false],
  ];
  for (const [partitionKey, explicitHashKey, isOfShard] of cases) {
    const record = source(1, aggregate([packed(partitionKey, explicitHashKey)]));
    const { parts, facts } = taken([record], { hashKeyRange: LOWER });
    assertEquals([parts.flat().length, facts.length], [1, isOfShard ? 0 : 1], explicitHashKey);
  }
});

Deno.test("user records: of an aggregate the first 4 keys are looked at", () => {
  const told = (first: number): number => {
    const keys = [...Array(first).fill(LOW), HIGH];
    const record = source(1, aggregate(keys.map((key) => packed(key))));
    return taken([record], { hashKeyRange: LOWER }).facts.length;
  };
  assertEquals([told(3), told(4)], [1, 0]);
});

Deno.test("user records: they come in parts, as they are asked for; what was found so far is told when no more are", () => {
  const facts: AppFact[] = [];
  const emit = (fact: AppFact): void => void facts.push(fact);
  const limits = { deaggregate: true, maxBatchSize: 2, room: () => Infinity };
  const options = { shardId: "s", hashKeyRange: LOWER, ...limits, emit };
  const broken = source(1, aggregate([packed(LOW)]).fill(0, 8));
  const long = source(2, aggregate(Array.from({ length: 5 }, () => packed(HIGH))));
  const sizes: number[] = [];
  for (const { records } of new UserRecords(options).of([broken, long], START)) {
    sizes.push(records.length);
    if (sizes.length === 2) break;
  }
  assertEquals(sizes, [2, 2]);
  assertEquals(facts.map(({ type }) => type), ["aggregate_malformed", "aggregate_misplaced"]);
});

Deno.test("user records: what is held beside the aggregates counts, and there is no more of it than there is room for", () => {
  const long = Array.from(
    { length: 6 },
    (_, i) => source(i, aggregate(Array.from({ length: 250 }, () => packed("a")))),
  );
  const each = heldBytes({ partitionKey: "a", data: new Uint8Array() });
  for (
    const [room, sizes] of [
      [Infinity, [1_500]],
      [600 * each, [600, 600, 300]],
      [0, Array(15).fill(100)],
    ] as const
  ) {
    const { whole } = taken(long, { room: () => room });
    assertEquals(whole.map(({ records }) => records.length), sizes);
    assertEquals(whole.map(({ addedBytes }) => addedBytes / each), sizes);
    const held = whole.reduce((sum, part) => sum + part.heldBytes - part.addedBytes, 0);
    assertEquals(held, heldBytesOf(long), "all that arrived is given back");
  }
  const [alone] = taken([source(1, new Uint8Array(9))]).whole;
  assertEquals([alone?.heldBytes, alone?.addedBytes], [each + 9, 0]);
});

Deno.test("user records: a read of which all is finished is a batch without records, and gives back what it holds", () => {
  const record = source(1, aggregate([packed("a"), packed("b")]));
  const options = { shardId: "s", hashKeyRange: null, deaggregate: true, maxBatchSize: 5 };
  const records = new UserRecords({ ...options, room: () => 0, emit: () => {} });
  const after = { kind: "sequence", sequenceNumber: "1", subSequenceNumber: 1 } as const;
  const [part, ...rest] = records.of([record], after);
  assertEquals([part?.records, part?.heldBytes, rest], [[], heldBytes(record), []]);
});
