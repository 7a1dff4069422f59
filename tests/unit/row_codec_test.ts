import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type Item,
  MalformedRowError,
  rangeKey,
  readRow,
  rowId,
  writeFields,
} from "../../src/adapters/row_codec.ts";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import type { Row, ShardRow, StreamRow, WorkerRow } from "../../src/core/lease.ts";

const name = fc.string({ minLength: 1, maxLength: 300 });
const wholeNumber = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const moment = fc.integer({ min: 0, max: 253_402_300_799_999 });
const decimal = fc.bigInt({ min: 0n, max: 2n ** 127n }).map(String);
const milliseconds = fc.oneof(wholeNumber, fc.double({ min: 0.001, max: 1e9, noNaN: true }));

const checkpoint: fc.Arbitrary<Checkpoint> = fc.oneof(
  fc.constant({ kind: "trimHorizon" as const }),
  fc.constant({ kind: "shardEnd" as const }),
  fc.record({ kind: fc.constant("timestamp" as const), timestamp: moment }),
  fc.record({ kind: fc.constant("sequence" as const), sequenceNumber: decimal }),
  fc.record({
    kind: fc.constant("sequence" as const),
    sequenceNumber: decimal,
    subSequenceNumber: fc.nat(),
  }),
);

const shardRow: fc.Arbitrary<ShardRow> = fc.record({
  kind: fc.constant("shard" as const),
  id: name,
  owner: fc.option(name),
  holder: fc.option(name),
  previousOwner: fc.option(name),
  term: wholeNumber,
  checkpoint,
  checkpointAt: fc.option(moment),
  millisBehindLatest: fc.option(milliseconds),
  parents: fc.array(name),
  hashKeyRange: fc.option(fc.record({ start: decimal, end: decimal })),
  stoppedBy: fc.array(name),
  handover: fc.option(
    fc.record({ to: name, id: name, isOrder: fc.constant(true), at: moment }, {
      requiredKeys: ["to", "id"],
    }),
  ),
  because: fc.option(fc.constantFrom("free" as const, "ended" as const)),
  order: fc.option(
    fc.record({ kind: fc.constantFrom("stop" as const, "start" as const), id: name, at: moment }),
  ),
  state: fc.option(fc.string({ minLength: 1 })),
});

const workerRow: fc.Arbitrary<WorkerRow> = fc.record({
  kind: fc.constant("worker" as const),
  id: name,
  incarnation: name,
  beat: wholeNumber,
  beatAt: moment,
  heartbeatTimeout: milliseconds,
  attention: fc.option(name),
  shards: wholeNumber,
  isDraining: fc.boolean(),
  version: name,
});

const streamRow: fc.Arbitrary<StreamRow> = fc.record({
  kind: fc.constant("stream" as const),
  id: fc.constant("orders"),
  startAt: checkpoint,
});

const anyRow: fc.Arbitrary<Row> = fc.oneof(shardRow, workerRow, streamRow);

Deno.test("a row is read as it was written", () => {
  fc.assert(fc.property(anyRow, (row) => {
    const item = itemOf(row);
    assertEquals(readRow(row.kind, row.id, item), row as typeof item & Row);
    assertEquals(rowId(row.kind, "orders", rangeKey(row.kind, row.id)), row.id);
  }));
});

Deno.test("an item is for people to read", () => {
  const row: ShardRow = {
    kind: "shard",
    id: "shardId-000000000001",
    owner: "anna",
    holder: null,
    previousOwner: "cleo",
    term: 7,
    checkpoint: { kind: "sequence", sequenceNumber: "4959" },
    checkpointAt: 1_700_000_000_000,
    millisBehindLatest: 120,
    parents: ["shardId-000000000000"],
    hashKeyRange: { start: "0", end: "9" },
    stoppedBy: [],
    handover: { to: "bert", id: "1", isOrder: true, at: 1_700_000_000_000 },
    because: "balance",
    order: { kind: "start", id: "2", at: 1_700_000_000_000 },
    state: '{"open":[]}',
  };
  assertEquals(rangeKey("shard", row.id), "shard/shardId-000000000001");
  assertEquals(itemOf(row), {
    Owner: { S: "anna" },
    PreviousOwner: { S: "cleo" },
    Term: { N: "7" },
    Checkpoint: { S: "4959" },
    CheckpointAt: { S: "2023-11-14T22:13:20.000Z" },
    MillisBehindLatest: { N: "120" },
    Parents: { L: [{ S: "shardId-000000000000" }] },
    StartingHashKey: { S: "0" },
    EndingHashKey: { S: "9" },
    StoppedBy: { L: [] },
    HandoverTo: { S: "bert" },
    HandoverId: { S: "1" },
    HandoverIsOrder: { BOOL: true },
    HandoverAt: { S: "2023-11-14T22:13:20.000Z" },
    Because: { S: "balance" },
    Order: { S: "start" },
    OrderId: { S: "2" },
    OrderAt: { S: "2023-11-14T22:13:20.000Z" },
    State: { S: '{"open":[]}' },
  } as Item);
});

Deno.test("an attribute that this version does not know is left alone", () => {
  fc.assert(fc.property(anyRow, (row) => {
    const item = { ...itemOf(row), FromTheFuture: { S: "?" } };
    assertEquals(readRow(row.kind, row.id, item) as Row, row);
  }));
});

Deno.test("a hostile item is a row or malformed, and nothing else", () => {
  const hostile = fc.oneof(
    fc.anything(),
    fc.record({ S: fc.anything() }),
    fc.record({ N: fc.oneof(fc.anything(), fc.double().map(String), fc.bigInt().map(String)) }),
    fc.record({ L: fc.oneof(fc.anything(), fc.array(fc.anything())) }),
    fc.record({ BOOL: fc.anything() }),
  );
  fc.assert(
    fc.property(anyRow, fc.nat(), hostile, (row, pick, value) => {
      const item = itemOf(row);
      const attributes = Object.keys(item);
      const attribute = attributes[pick % attributes.length] ?? "Term";
      item[attribute] = value as AttributeValue;
      try {
        const read = readRow(row.kind, row.id, item);
        assertEquals(readRow(row.kind, row.id, itemOf(read as Row)) as Row, read as Row);
      } catch (error) {
        assert(error instanceof MalformedRowError, `${error}`);
      }
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("a required attribute is missed by its name", () => {
  fc.assert(fc.property(anyRow, (row) => {
    for (const attribute of ["Term", "Parents", "StoppedBy", "Beat", "IsDraining", "StartAt"]) {
      const item = itemOf(row);
      if (!(attribute in item)) continue;
      delete item[attribute];
      assertThrows(
        () => readRow(row.kind, row.id, item),
        MalformedRowError,
        `${attribute} is missing`,
      );
    }
  }));
});

const BAD: readonly (readonly [attribute: string, value: AttributeValue])[] = [
  ["Term", { N: "-1" }],
  ["Term", { N: "1.5" }],
  ["Term", { N: "1E+2" }],
  ["Term", { N: "9007199254740993" }],
  ["Term", { N: "NaN" }],
  ["Term", { S: "1" }],
  ["Owner", { S: "" }],
  ["Owner", { S: "x".repeat(2_000) }],
  ["Owner", { NULL: true }],
  ["Checkpoint", { S: "LATEST" }],
  ["Checkpoint", { S: "-5" }],
  ["CheckpointAt", { S: "14/11/2023" }],
  ["CheckpointAt", { S: "2023-11-14" }],
  ["CheckpointAt", { N: "1700000000000" }],
  ["MillisBehindLatest", { N: "1".repeat(38) }],
  ["Parents", { SS: ["a"] }],
  ["Parents", { L: [{ N: "1" }] }],
  ["StartingHashKey", { S: "0x10" }],
];

for (const [attribute, value] of BAD) {
  Deno.test(`${attribute} ${JSON.stringify(value).slice(0, 40)} is malformed`, () => {
    const item: Item = {
      Term: { N: "1" },
      Checkpoint: { S: "TRIM_HORIZON" },
      Parents: { L: [] },
      StoppedBy: { L: [] },
      [attribute]: value,
    };
    assertThrows(() => readRow("shard", "s", item), MalformedRowError, `${attribute} must be `);
  });
}

Deno.test("half a pair is malformed", () => {
  const item: Item = {
    Term: { N: "1" },
    Checkpoint: { S: "TRIM_HORIZON" },
    Parents: { L: [] },
    StoppedBy: { L: [] },
  };
  for (const half of ["HandoverTo", "HandoverId", "StartingHashKey", "EndingHashKey"]) {
    assertThrows(
      () => readRow("shard", "s", { ...item, [half]: { S: "1" } }),
      MalformedRowError,
      "must be there together",
    );
  }
});

function itemOf(row: Row): Item {
  const { kind, id: _, ...fields } = row;
  const attributes = Object.entries(writeFields(kind, fields));
  return Object.fromEntries(attributes.filter(([, value]) => value !== null)) as Item;
}
