// Owns: which texts name a place for failure records.
import { assertEquals } from "@std/assert";
import { parseFailurePlace } from "../../src/core/failure_place.ts";

Deno.test("failure place: a file or a stream, and nothing else", () => {
  assertEquals(parseFailurePlace("file:a b/c:d.jsonl"), { kind: "file", path: "a b/c:d.jsonl" });
  assertEquals(parseFailurePlace("file:/var/x"), { kind: "file", path: "/var/x" });
  assertEquals(parseFailurePlace("kinesis:a_B-1.x"), { kind: "stream", streamName: "a_B-1.x" });
  const none = ["", "file:", "file:a\0b", "kinesis:", "kinesis:a b", `kinesis:${"x".repeat(129)}`];
  for (const text of [...none, "File:x", " file:x", "s3:x", "orders", "kinesis:arn:aws:kinesis"]) {
    assertEquals(parseFailurePlace(text), undefined, text);
  }
});
