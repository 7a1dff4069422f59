// JSON that says all that a value holds, or nothing.
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { plainJson } from "../../src/core/plain_json.ts";

Deno.test("plain JSON: what is written comes back", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    // JSON has no negative zero.
    const given = JSON.parse(JSON.stringify(value));
    assertEquals(JSON.parse(plainJson(given)), given);
  }));
  assertEquals(plainJson({ a: 1, b: undefined }), '{"a":1}');
  assertEquals(plainJson({ "": { x: [1] } }), '{"":{"x":[1]}}');
  assertEquals(plainJson(Object.assign(Object.create(null), { a: 1 })), '{"a":1}');
});

class Counter {
  count = 1;
}

const LOSSES: readonly (readonly [name: string, value: unknown, message: string])[] = [
  ["a Map", { open: [{ state: new Map() }] }, '"open.0.state" is a Map'],
  ["a Date", { at: new Date(0) }, '"at" is a Date'],
  ["NaN", { mean: NaN }, '"mean" is NaN'],
  ["a bigint", { sum: 1n }, '"sum" is a bigint'],
  ["a function", { f() {} }, '"f" is a function'],
  ["a class", new Counter(), "it is a Counter"],
  ["a hole", { list: [undefined] }, '"list.0" is undefined'],
  ["nothing", undefined, "it is undefined"],
  ["what says something else", { a: { toJSON: () => 1 } }, '"a" is a Object'],
];

for (const [name, value, message] of LOSSES) {
  Deno.test(`plain JSON: ${name} is refused, with its place`, () => {
    assertThrows(() => plainJson(value), TypeError, message);
  });
}

Deno.test("plain JSON: a circle is refused", () => {
  const circle: Record<string, unknown> = {};
  circle["self"] = circle;
  assertThrows(() => plainJson(circle), TypeError);
});
