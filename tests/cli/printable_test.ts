// What comes from outside must not steer the terminal of whoever looks.
import { assertEquals } from "@std/assert";
import { printable } from "../../src/cli/terminal.ts";
import { statusText } from "../../src/cli/status.ts";
import { fakeTerminal } from "./cli_testing.ts";

Deno.test("control characters are replaced, lines and letters are not", () => {
  assertEquals(printable("a\x1b]0;pwn\x07b\r\nc é 漢 😀"), "a\ufffd]0;pwn\ufffdb\ufffd\nc é 漢 😀");
});

Deno.test("a worker's name cannot steer the terminal of an operator", async () => {
  const lastHeartbeatAt = new Date().toISOString();
  const workerId = "\x1b[2Jevil";
  const workers = [{ workerId, alive: true, shards: 0, lastHeartbeatAt, version: "\x07" }];
  const names = { appName: "app", streamName: "stream" };
  const text = await statusText({ workers, shards: [] }, names, fakeTerminal());
  assertEquals(text.includes("\x1b") || text.includes("\x07"), false);
});
