// Owns: `--filter`: what a pattern sees of a record, and what is refused.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { patternFilter } from "../../src/cli/pattern_filter.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { DeliveredRecord } from "../../src/runtime/delivered_record.ts";

function record(data: string | Uint8Array<ArrayBuffer>): DeliveredRecord {
  return new DeliveredRecord("shardId-1", {
    sequenceNumber: "4711",
    partitionKey: "customer-1",
    data: typeof data === "string" ? new TextEncoder().encode(data) : data,
    approximateArrivalTimestamp: 1_700_000_000_500,
  });
}

function matches(pattern: unknown, data: string | Uint8Array<ArrayBuffer> = "{}"): boolean {
  return patternFilter(JSON.stringify(pattern))(record(data));
}

Deno.test("filter: the data is JSON, or a text, or nothing", () => {
  const order = { data: { type: ["order"], total: [{ numeric: [">", 10] }] } };
  assert(matches(order, '{"type":"order","total":11,"more":[]}'));
  for (const data of ['{"type":"order","total":9}', '{"type":"x","total":11}', "order", "", "{"]) {
    assertEquals(matches(order, data), false, data);
  }
  assert(matches({ data: [{ prefix: "abc" }] }, "abcdef"));
  assert(matches({ data: ["abc"] }, '"abc"'));
  const binary = new Uint8Array([0xff, 0xfe]);
  assertEquals(matches({ data: [{ "anything-but": "x" }] }, binary), false);
  assert(matches({ data: [{ exists: false }] }, binary));
});

Deno.test("filter: what else there is of a record", () => {
  assert(matches({ partitionKey: [{ prefix: "customer-" }] }));
  assertEquals(matches({ partitionKey: ["customer-2"] }), false);
  assert(matches({ sequenceNumber: ["4711"], shardId: ["shardId-1"] }));
  assert(matches({ approximateArrivalTimestamp: [{ numeric: [">=", 1_700_000_000.5] }] }));
  assert(matches({ $or: [{ partitionKey: ["x"] }, { data: { a: [1] } }] }, '{"a":1}'));
});

Deno.test("filter: the data is read only by a pattern that asks for it", () => {
  const data = record("{}");
  Object.assign(data, {
    text: () => {
      throw new Error("read");
    },
  });
  assert(patternFilter('{"partitionKey":["customer-1"]}')(data));
});

Deno.test("filter: what is no pattern is refused, with its place", () => {
  for (
    const [text, message] of [
      ["{", "Cannot use --filter: "],
      ["[]", "Cannot use --filter: the pattern: it must be an object"],
      ['{"data":{"a":"x"}}', "Cannot use --filter: the pattern.data.a: it must be a list"],
      ['{"Data":["x"]}', 'Cannot use --filter: a record has no "Data"; it has data, partitionKey,'],
      ['{"$or":[{"data":["x"]},{"key":["x"]}]}', 'a record has no "key"'],
    ] as const
  ) {
    const error = assertThrows(() => patternFilter(text), UsageError);
    assert(error.message.includes(message), error.message);
  }
});
