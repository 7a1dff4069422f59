// Proves that an error of the user's code says where in that code it comes from, and nothing else does.
import { assertEquals, assertMatch } from "@std/assert";
import { toUserError } from "../../src/errors.ts";
import { tumblingWindows } from "../../src/windows/tumbling_windows.ts";
import { testKit } from "../../src/testing/test_kit.ts";

const OWN = new URL("../../src/runtime/record_run.ts:88:39", import.meta.url).href;

function withStack(frames: readonly string[], options?: ErrorOptions): Error {
  const error = new Error("broken", options);
  error.stack = ["Error: broken", ...frames.map((frame) => `    at ${frame}`)].join("\n");
  return error;
}

Deno.test("error place: the first frame that is the user's", () => {
  const cases: readonly (readonly [frames: readonly string[], at: string | undefined])[] = [
    [
      ["totalOf (file:///app/order.ts:7:17)", "process (file:///app/p.ts:2:3)"],
      "file:///app/order.ts:7:17",
    ],
    [["file:///app/order.ts:7:17"], "file:///app/order.ts:7:17"],
    [["async Object.process (file:///a%20(b)/p.ts:1:2)"], "file:///a%20(b)/p.ts:1:2"],
    [["process (https://example.com/p.ts:1:2)"], "https://example.com/p.ts:1:2"],
    [["process (file:///C:/app/p.ts:1:2)"], "file:///C:/app/p.ts:1:2"],
    [["JSON.parse (<anonymous>)", "process (file:///app/p.ts:1:2)"], "file:///app/p.ts:1:2"],
    [
      [
        "parse (file:///cache/npm/registry.npmjs.org/zod/1.0.0/index.js:1:2)",
        "parse (file:///app/node_modules/zod/index.js:1:2)",
        "assert (https://jsr.io/@std/assert/1.0.0/assert.ts:1:2)",
        "process (file:///app/p.ts:1:2)",
      ],
      "file:///app/p.ts:1:2",
    ],
    [[`runHere (${OWN})`, "async node:internal/x:1:2", "Promise.all (index 0)"], undefined],
    [["data:text/javascript,export default 1:1:2"], undefined],
    [[], undefined],
  ];
  for (const [frames, at] of cases) {
    const told = { name: "Error", message: "broken", ...at !== undefined && { at } };
    assertEquals(toUserError(withStack(frames)), told);
  }
});

Deno.test("error place: of an error about another one it is that of the other one", () => {
  const cause = withStack(["close (file:///app/p.ts:3:4)"]);
  assertEquals(toUserError(withStack([`f (${OWN})`], { cause })).at, "file:///app/p.ts:3:4");
  const circle = withStack([]);
  circle.cause = circle;
  assertEquals(toUserError(circle).at, undefined);
});

Deno.test("error place: anything may be thrown", () => {
  const refuses = new Proxy(new Error("x"), {
    get(_, name) {
      throw new Error(String(name));
    },
  });
  for (const thrown of [refuses, "text", undefined, null, { stack: "    at file:///a:1:1" }]) {
    assertEquals(Object.hasOwn(toUserError(thrown), "at"), false);
  }
});

Deno.test("error place: events of a failed record, and of a window that cannot be closed, have it", async () => {
  const here = /\/tests\/unit\/error_place_test\.ts:\d+:\d+$/;
  const fail = (): never => {
    throw new TypeError("broken");
  };
  await using records = await testKit({ processor: { process: fail } });
  records.put("key", "a");
  await records.advance(5_000);
  assertMatch(records.told("record_failed")[0]?.error.at ?? "", here);
  const processor = tumblingWindows({
    ...{ size: "1s", initial: () => 0, add: (count: number) => count + 1, close: fail },
  });
  await using windows = await testKit({ processor });
  windows.put("key", "a");
  await windows.advance(10_000);
  assertMatch(windows.told("processor_failed")[0]?.error.at ?? "", here);
});
