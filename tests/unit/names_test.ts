import { assertEquals, assertThrows } from "@std/assert";
import { checkNames, checkWorkerId } from "../../src/core/names.ts";

Deno.test("names of apps and streams are what DynamoDB and Kinesis take", () => {
  const names = { appName: "a.B-9_", streamName: "s".repeat(128) };
  assertEquals(checkNames(names), names);
  for (const appName of ["", "a b", "a".repeat(56), "ä", 1 as never, undefined as never]) {
    assertThrows(() => checkNames({ ...names, appName }), RangeError, "Cannot use appName");
  }
  const streamName = "s".repeat(129);
  assertThrows(() => checkNames({ ...names, streamName }), RangeError, "1 to 128 letters");
});

Deno.test("the name of a worker is anything that can be printed", () => {
  assertEquals(checkWorkerId("worker 1 (ä)"), "worker 1 (ä)");
  for (const workerId of ["", "a\nb", "\u001b[31m", "w".repeat(129), null]) {
    assertThrows(() => checkWorkerId(workerId), RangeError, "Cannot use workerId");
  }
});
