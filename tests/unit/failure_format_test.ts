// Owns: a failure record survives as one line of ASCII, whatever the record and the error are.
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { formatFailure, parseFailure } from "../../src/adapters/failure_format.ts";
import { failedRecord } from "../failed_record.ts";

Deno.test("failure format: these are the fields, in this order, and no more", () => {
  const error = Object.assign(new TypeError("broken"), { stack: "TypeError: broken\n    at x" });
  assertEquals(
    formatFailure(failedRecord({ error, subSequenceNumber: 0 })),
    '{"kinesixFailure":1,"appName":"billing","streamName":"orders","shardId":"shardId-000000000000",' +
      '"sequenceNumber":"4957","subSequenceNumber":0,"partitionKey":"customer-1",' +
      '"approximateArrivalTimestamp":"2023-11-14T22:13:20.000Z",' +
      '"error":{"name":"TypeError","message":"broken","stack":"TypeError: broken\\n    at x"},' +
      '"attempts":3,"mode":{"kind":"retryAndSkip","retries":2},"workerId":"A",' +
      '"time":"2023-11-14T22:13:21.000Z","data":"AP8K"}',
  );
  assert(!("subSequenceNumber" in JSON.parse(formatFailure(failedRecord()))));
});

Deno.test("failure format: whatever the record is, it is one line of ASCII, and comes back", () => {
  const bytes = fc.uint8Array({ maxLength: 2_000 }).map((data) => new Uint8Array(data));
  const record = fc.record({
    partitionKey: fc.string({ unit: "binary", minLength: 1, maxLength: 256 }),
    data: bytes,
    sub: fc.option(fc.nat(), { nil: undefined }),
    message: fc.string({ unit: "binary", maxLength: 300 }),
  });
  fc.assert(fc.property(record, ({ partitionKey, data, sub: subSequenceNumber, message }) => {
    const error = new RangeError(message);
    const failure = failedRecord({ partitionKey, data, subSequenceNumber, error });
    const line = formatFailure(failure);
    assertMatch(line, /^[\x20-\x7e]+$/);
    const { appName, streamName, shardId, sequenceNumber, time } = failure;
    assertEquals(parseFailure(line), {
      ...{ appName, streamName, shardId, sequenceNumber, subSequenceNumber, partitionKey },
      ...{ data, time, error: { name: "RangeError", message } },
    });
  }));
});

Deno.test("failure format: a large record with a chatty error grows by a third and 70 KB at most", () => {
  const error = Object.assign(new Error("ä".repeat(1_000_000)), { name: "ü".repeat(10_000) });
  const data = new Uint8Array(1_000_000).fill(7);
  const line = formatFailure(failedRecord({ data, error }));
  assert(line.length > 4 / 3 * data.length);
  assert(line.length < 4 / 3 * data.length + 70_000, `${line.length}`);
  assertEquals(JSON.parse(line).error.message.length, 2_000);
  const plain = Object.assign(new Error("m".repeat(9_000)), { stack: "s".repeat(90_000) });
  assertEquals(formatFailure(failedRecord({ error: plain })).length < 11_000, true);
});

Deno.test("failure format: anything can be thrown", () => {
  const trap = new Proxy({}, {
    get: () => {
      throw new Error("get");
    },
    getPrototypeOf: () => {
      throw new Error("proto");
    },
  });
  const stackless = Object.defineProperty(new Error("m"), "stack", {
    get: () => {
      throw new Error("stack");
    },
  });
  const cases: readonly (readonly [thrown: unknown, message: RegExp])[] = [
    [undefined, /^undefined$/],
    [null, /^null$/],
    ["text", /^text$/],
    [Symbol("s"), /^Symbol\(s\)$/],
    [Object.create(null), /cannot be written/],
    [trap, /cannot be written/],
    [stackless, /^m$/],
    [Object.assign(new Error("m"), { stack: 7 }), /^m$/],
  ];
  for (const [error, message] of cases) {
    const parsed = parseFailure(formatFailure(failedRecord({ error })));
    assert(typeof parsed === "object");
    assertMatch(parsed.error.message, message);
  }
});

Deno.test("failure format: what is no failure record is told, and why", () => {
  const line = formatFailure(failedRecord());
  const without = (field: string): string => JSON.stringify({ ...JSON.parse(line), [field]: 7 });
  const cases: readonly (readonly [line: string, why: RegExp])[] = [
    ["", /not one object/],
    [line.slice(0, -1), /not one object/],
    [line.slice(10), /not one object/],
    ["null", /not one object/],
    ["[]", /kinesixFailure/],
    ['{"a":1}', /kinesixFailure/],
    [without("data"), /no "data"/],
    [without("partitionKey"), /no "partitionKey"/],
    [line.replace('"AP8K"', '"AP8"'), /not base64/],
    [line.replace('"AP8K"', '"AP8K AP"'), /not base64/],
    [line.replace("2023-11-14T22:13:21", "yesterday"), /not a time/],
  ];
  for (const [text, why] of cases) {
    const parsed = parseFailure(text);
    assert(typeof parsed === "string", text);
    assertMatch(parsed, why);
  }
  fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => {
    assertEquals(typeof parseFailure(text), "string");
  }));
  fc.assert(fc.property(fc.json(), (text) => {
    assertEquals(typeof parseFailure(text), "string");
  }));
});

Deno.test("failure format: a later format is refused, not passed over", () => {
  const line = formatFailure(failedRecord()).replace(":1,", ":2,");
  assertThrows(() => parseFailure(line), RangeError, "of format 2: this version knows 1");
});
