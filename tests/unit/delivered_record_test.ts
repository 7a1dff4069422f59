// Owns: a record as the user gets it: its payload is its own, and is copied when it is asked for, not before.
import { assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import type { KinesisRecord } from "../../src/processor.ts";
import { DeliveredRecord, payloadOf, positionAfter } from "../../src/runtime/delivered_record.ts";

const SOURCE = {
  sequenceNumber: "49",
  partitionKey: "key",
  data: new Uint8Array(8),
  approximateArrivalTimestamp: 1_000,
};

Deno.test("record: a payload in a buffer that others share is copied when it is asked for, once", () => {
  const shared = new TextEncoder().encode('before{"a":1}after');
  const record = new DeliveredRecord("s", { ...SOURCE, data: shared.subarray(6, 13) });
  assertEquals([record.text(), record.json()], ['{"a":1}', { a: 1 }]);
  assertStrictEquals(payloadOf(record).buffer, shared.buffer);
  const { data } = record;
  assertEquals([data.byteOffset, data.buffer.byteLength], [0, 7]);
  assertEquals(new TextDecoder().decode(data.buffer), '{"a":1}');
  shared.fill(0);
  assertEquals(record.text(), '{"a":1}');
  assertStrictEquals(record.data, data);
  assertStrictEquals(payloadOf(record), data);
});

Deno.test("record: a payload in a buffer of its own is not copied", () => {
  assertStrictEquals(new DeliveredRecord("s", SOURCE).data, SOURCE.data);
});

Deno.test("record: it prints with its payload", () => {
  const text = Deno.inspect(new DeliveredRecord("s", { ...SOURCE, subSequenceNumber: 3 }));
  assertMatch(text, /^KinesisRecord \{/);
  const names = ["shardId", "sequenceNumber", "subSequenceNumber", "partitionKey"];
  for (const name of [...names, "approximateArrivalTimestamp", "data"]) {
    assertMatch(text, new RegExp(`\\b${name}: `));
  }
});

Deno.test("record: what cannot be read is named, within an aggregate too", () => {
  const data = Uint8Array.of(0xff);
  const alone = new DeliveredRecord("s", { ...SOURCE, data });
  assertThrows(() => alone.text(), TypeError, "record 49 of s");
  const packed = new DeliveredRecord("s", { ...SOURCE, data, subSequenceNumber: 3 });
  assertThrows(() => packed.json(), TypeError, "record 49:3 of s");
});

Deno.test("record: a user's own record has a position too", () => {
  const own: KinesisRecord = {
    ...new DeliveredRecord("s", SOURCE),
    data: SOURCE.data,
    subSequenceNumber: 2,
    text: () => "",
    json: () => JSON.parse("null"),
  };
  assertEquals(positionAfter(own), {
    kind: "sequence",
    sequenceNumber: "49",
    subSequenceNumber: 2,
  });
  assertStrictEquals(payloadOf(own), SOURCE.data);
});
