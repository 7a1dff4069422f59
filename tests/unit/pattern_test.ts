// Owns: what event patterns match, operator by operator, and which are refused.
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { compilePattern } from "../../src/core/pattern.ts";

interface Row {
  readonly pattern: unknown;
  readonly matches: readonly unknown[];
  readonly not: readonly unknown[];
}

const a = (...values: readonly unknown[]): readonly unknown[] =>
  values.map((value) => ({ a: value }));

const TABLE: readonly Row[] = [
  {
    pattern: { a: ["x"] },
    matches: a("x", ["y", "x"], [["x"]]),
    not: [{}, ...a("X", "xx", null, 1, [], {}, ["y"])],
  },
  { pattern: { a: ["x", "y"] }, matches: a("x", "y"), not: a("z") },
  { pattern: { a: [1] }, matches: a(1, 1.0), not: a("1", 2, true) },
  { pattern: { a: [true, null] }, matches: a(true, null), not: [{}, ...a(false, "null", 0)] },
  { pattern: { a: [""] }, matches: a(""), not: [{}, ...a(" ", null)] },
  {
    pattern: { a: ["x"], b: ["y"] },
    matches: [{ a: "x", b: "y", c: 1 }],
    not: [{ a: "x" }, { a: "x", b: "x" }],
  },
  {
    pattern: { a: { b: ["x"] } },
    matches: a({ b: "x" }, [{ b: "y" }, { b: "x" }]),
    not: [{}, ...a("x", null, { b: "y" }, ["x"])],
  },
  // One member of a list must match as a whole.
  {
    pattern: { a: { b: [1], c: [2] } },
    matches: a([{ b: 1, c: 2 }]),
    not: a([{ b: 1 }, { c: 2 }]),
  },
  { pattern: { a: [{ prefix: "ab" }] }, matches: a("ab", "abc"), not: a("a", "AB", 1) },
  {
    pattern: { a: [{ prefix: { "equals-ignore-case": "aB" } }] },
    matches: a("Abc", "ab"),
    not: a("ba"),
  },
  { pattern: { a: [{ suffix: ".png" }] }, matches: a("x.png", ".png"), not: a("x.PNG", "png") },
  {
    pattern: { a: [{ suffix: { "equals-ignore-case": ".png" } }] },
    matches: a("x.PNG"),
    not: a("x.gif"),
  },
  {
    pattern: { a: [{ "equals-ignore-case": "Straße" }] },
    matches: a("straße", "STRAßE"),
    not: a("strasse", "x"),
  },
  {
    pattern: { a: [{ "anything-but": "x" }] },
    matches: a("y", 1, null, ["x", "y"]),
    not: [{}, ...a("x", ["x"], [])],
  },
  { pattern: { a: [{ "anything-but": ["x", 1] }] }, matches: a("y", 2), not: a("x", 1) },
  {
    pattern: { a: [{ "anything-but": { prefix: "x" } }] },
    matches: a("y", "yx"),
    not: a("x", "xy"),
  },
  {
    pattern: { a: [{ "anything-but": { suffix: ["x", "y"] } }] },
    matches: a("xz"),
    not: a("zx", "zy"),
  },
  {
    pattern: { a: [{ "anything-but": { "equals-ignore-case": ["x"] } }] },
    matches: a("y"),
    not: a("X"),
  },
  { pattern: { a: [{ "anything-but": { wildcard: "*x*" } }] }, matches: a("y"), not: a("axa") },
  { pattern: { a: [{ numeric: ["=", 5] }] }, matches: a(5, 5.0), not: a("5", 6, true, null) },
  { pattern: { a: [{ numeric: [">", 0, "<=", 5] }] }, matches: a(0.1, 5), not: a(0, 5.1, -1) },
  {
    pattern: { a: [{ numeric: ["<", 0] }, { numeric: [">=", 9] }] },
    matches: a(-1, 9),
    not: a(0, 8),
  },
  {
    pattern: { a: [{ exists: true }] },
    matches: a("x", null, 0, false, ""),
    not: [{}, ...a({ b: 1 }, [])],
  },
  {
    pattern: { a: [{ exists: false }] },
    matches: [{}, { b: 1 }, ...a({ b: 1 }, [])],
    not: a("x", null),
  },
  {
    pattern: { a: { b: [{ exists: false }] } },
    matches: [{}, ...a("x", {}, null)],
    not: a({ b: 1 }),
  },
  {
    pattern: { a: [{ wildcard: "a*c" }] },
    matches: a("ac", "abbc", "acc"),
    not: a("a", "abcd", "bac", 1),
  },
  {
    pattern: { a: [{ wildcard: "*/lib/*" }] },
    matches: a("/lib/", "x/lib/y/lib/z"),
    not: a("lib", "/lib"),
  },
  { pattern: { a: [{ wildcard: "aa*aa" }] }, matches: a("aaaa", "aaxaa"), not: a("aaa") },
  { pattern: { a: [{ wildcard: "\\*x\\\\*" }] }, matches: a("*x\\", "*x\\y"), not: a("ax\\") },
  { pattern: { a: [{ wildcard: "ab" }] }, matches: a("ab"), not: a("abc") },
  {
    pattern: { $or: [{ a: ["x"] }, { b: [1] }] },
    matches: [{ a: "x" }, { b: 1 }],
    not: [{}, { a: 1 }],
  },
  {
    pattern: { c: [1], $or: [{ a: ["x"] }, { b: [1] }] },
    matches: [{ a: "x", c: 1 }],
    not: [{ a: "x" }, { c: 1 }],
  },
  { pattern: { a: { $or: [{ b: [1] }, { c: [1] }] } }, matches: a({ b: 1 }, { c: 1 }), not: a({}) },
  { pattern: { constructor: [{ exists: true }] }, matches: [{ constructor: 1 }], not: [{}] },
];

Deno.test("pattern: what each one matches, and what not", () => {
  for (const { pattern, matches, not } of TABLE) {
    const test = compilePattern(pattern);
    for (const value of matches) {
      assert(test(value), `${JSON.stringify(pattern)} ${JSON.stringify(value)}`);
    }
    for (const value of not) {
      assert(!test(value), `not ${JSON.stringify(pattern)} ${JSON.stringify(value)}`);
    }
  }
});

Deno.test("pattern: what is none is refused, with its place", () => {
  const table: readonly (readonly [unknown, string])[] = [
    [null, "the pattern: it must be an object"],
    [[], "the pattern: it must be an object"],
    ["x", "the pattern: it must be an object"],
    [{}, "the pattern: it is empty"],
    [{ a: {} }, "the pattern.a: it is empty"],
    [{ a: "x" }, "the pattern.a: it must be a list"],
    [{ a: [] }, "the pattern.a: the list is empty"],
    [{ a: { b: 1 } }, "the pattern.a.b: it must be a list"],
    [{ a: [["x"]] }, "the pattern.a[0]: it must be a value"],
    [{ a: ["x", {}] }, 'the pattern.a[1]: there is no operator ""'],
    [
      { a: [{ prefx: "x" }] },
      'the pattern.a[0]: there is no operator "prefx"; there are exists, prefix,',
    ],
    [{ a: [{ toString: "x" }] }, 'there is no operator "toString"'],
    [{ a: [{ prefix: "x", suffix: "y" }] }, "it must have one operator"],
    [{ a: [{ prefix: 1 }] }, '"prefix" takes a text'],
    [{ a: [{ suffix: { "equals-ignore-case": 1 } }] }, '"suffix" takes a text'],
    [{ a: [{ "equals-ignore-case": null }] }, '"equals-ignore-case" takes a text'],
    [{ a: [{ wildcard: 1 }] }, '"wildcard" takes a text'],
    [{ a: [{ exists: "true" }] }, '"exists" takes true or false'],
    [{ a: [{ "anything-but": [] }] }, '"anything-but" takes values'],
    [{ a: [{ "anything-but": [[]] }] }, '"anything-but" takes values'],
    [{ a: [{ "anything-but": { numeric: ["=", 1] } }] }, '"anything-but" takes values, or one of'],
    [{ a: [{ "anything-but": { prefix: [] } }] }, '"anything-but" takes at least one'],
    [{ a: [{ numeric: [] }] }, '"numeric" takes a comparison or two'],
    [{ a: [{ numeric: [">"] }] }, '"numeric" takes'],
    [{ a: [{ numeric: ["~", 1] }] }, '"numeric" takes'],
    [{ a: [{ numeric: [">", "1"] }] }, '"numeric" takes'],
    [{ a: [{ numeric: [">", 1, "<"] }] }, '"numeric" takes'],
    [{ a: [{ numeric: [">", 1, "<", 2, "=", 3] }] }, '"numeric" takes'],
    [{ $or: [{ a: [1] }] }, "the pattern.$or: it must have two alternatives"],
    [{ $or: [{ a: [1] }, {}] }, "the pattern.$or[1]: it is empty"],
  ];
  for (const [pattern, message] of table) {
    const error = assertThrows(() => compilePattern(pattern), SyntaxError);
    assert(error.message.includes(message), `${JSON.stringify(pattern)}: ${error.message}`);
  }
});

Deno.test("pattern: whatever JSON comes, it is a pattern or refused as none, and matching never throws", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), (pattern, value) => {
    try {
      assertEquals(typeof compilePattern(pattern)(value), "boolean");
    } catch (error) {
      assert(error instanceof SyntaxError, String(error));
    }
  }));
  let deep: unknown = { a: [1] };
  for (let i = 0; i < 60; i++) deep = { a: deep };
  assertThrows(() => compilePattern(deep), SyntaxError, "nested more than 50 times");
});

Deno.test("pattern: an object of exact values matches itself", () => {
  const flat = fc.dictionary(
    fc.string({ minLength: 1 }).filter((name) => name !== "$or" && name !== "__proto__"),
    fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)),
    { minKeys: 1 },
  );
  fc.assert(fc.property(flat, (value) => {
    const entries = Object.entries(value);
    const matches = compilePattern(Object.fromEntries(entries.map(([name, one]) => [name, [one]])));
    assert(matches(value));
    for (const [name] of entries) assert(!matches({ ...value, [name]: { not: "that" } }));
  }));
});
