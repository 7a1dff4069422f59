// `| head`: whoever has read enough goes away, and that is no failure of a command that only shows something.
import { assertEquals } from "@std/assert";
import { main } from "../../src/cli/main.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { fakeTerminal } from "./cli_testing.ts";
import { formatFailure } from "../../src/adapters/failure_format.ts";
import { failedRecord } from "../failed_record.ts";
import { Clinic, shardRow, workerRow } from "./doctor_testing.ts";
import { FailureStack } from "./failures_testing.ts";

const LINES = ["1", "2", "3"].map((sequenceNumber) =>
  `${formatFailure(failedRecord({ streamName: "S", sequenceNumber }))}\n`
).join("");

/** A terminal whose reader goes away after so many writes. */
function closing(terminal: Terminal, writes: number): Terminal {
  let left = writes;
  const write = (text: string): Promise<void> =>
    left-- > 0 ? terminal.write(text) : Promise.reject(new Deno.errors.BrokenPipe("EPIPE"));
  return { ...terminal, write };
}

Deno.test("a dry run of redrive whose reader goes away ends with 0 and without a word", async () => {
  await using stack = await FailureStack.start({ S: 1 });
  const path = `${stack.folder}/f.jsonl`;
  await Deno.writeTextFile(path, LINES);
  const terminal = fakeTerminal();
  const args = ["redrive", "--stream=S", `--from=file:${path}`, "--dry-run", ...stack.flags];
  assertEquals(await main(args, closing(terminal, 1)), 0);
  assertEquals(terminal.stdout().split("\n").length, 2);
  assertEquals(terminal.stderr().includes("error"), false);
});

Deno.test("status that is repeated ends with 0 and without a word when its reader goes away", async () => {
  await using clinic = await Clinic.start();
  await clinic.rows(workerRow(), shardRow(0));
  const terminal = fakeTerminal();
  const [, endpoint = ""] = clinic.endpoints;
  const args = ["status", "--app=A", "--stream=S", "--watch", "--json", endpoint];
  assertEquals(await main(args, closing(terminal, 1)), 0);
  assertEquals(terminal.stdout().split("\n").length, 2);
  assertEquals(terminal.stderr().includes("error"), false);
});
