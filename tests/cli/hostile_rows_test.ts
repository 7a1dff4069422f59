// Whoever writes into the state table, or into a stream, must not steer the terminal of whoever looks: no command passes on what
// moves a cursor, sets a title, turns the order of letters round, or makes a name look like another line.
import { assertEquals, assertMatch } from "@std/assert";
import { main } from "../../src/cli/main.ts";
import { harmlessJson, jsonText } from "../../src/cli/terminal.ts";
import type { MoveReason } from "../../src/core/lease.ts";
import { fakeTerminal } from "./cli_testing.ts";
import { Clinic, shardRow, workerRow } from "./doctor_testing.ts";

const EVIL = "\x1b]0;pwn\x07\x9b2J\u202e\nfaked: all is well";
// deno-lint-ignore no-control-regex -- these are what colours are
const COLOURS = /\x1b\[\d{1,2}m/g;

const COMMANDS: readonly (readonly string[])[] = [
  ["status"],
  ["explain", "0"],
  ["explain", "1"],
  ["checkpoint", "list"],
  ["doctor", "--looks-apart=1ms", "--verbose"],
];

Deno.test("no command passes on what is in the state table to steer a terminal", async (t) => {
  await using clinic = await Clinic.start();
  await clinic.rows(
    workerRow({ id: EVIL, version: EVIL, incarnation: EVIL }),
    workerRow({ id: `${EVIL} dead`, version: "0.0.1", heartbeatTimeout: 1, beatAt: 1 }),
    shardRow(0, {
      owner: EVIL,
      previousOwner: EVIL,
      because: EVIL as MoveReason,
      handover: { to: EVIL, id: EVIL, isOrder: true, at: Date.now() },
      parents: [EVIL],
      stoppedBy: [EVIL],
    }),
    shardRow(1, { owner: null, holder: null, stoppedBy: [EVIL, `${EVIL} dead`] }),
  );
  for (const command of COMMANDS) {
    for (const more of [[], ["--json"]]) {
      for (const columns of [undefined, 60]) {
        const args = [...command, "--app=A", "--stream=S", ...more];
        const endpoints = clinic.endpoints.slice(command[0] === "doctor" ? 0 : 1);
        await t.step(`${args.join(" ")}, ${columns ?? "no"} columns`, async () => {
          const terminal = fakeTerminal(
            columns === undefined ? {} : { isInteractive: true, columns },
          );
          await main([...args, ...endpoints], terminal);
          const output = terminal.stdout().replaceAll(COLOURS, "") + terminal.stderr();
          assertMatch(output, /pwn/);
          assertEquals(output.match(/(?!\n)[\p{Cc}\p{Cf}]/gu), null, output);
          if (command[0] !== "doctor") assertEquals(output.match(/^faked/gm), null, output);
          // What colours become when they are taken for something from outside.
          assertEquals(output.includes("\ufffd[1m") || output.includes("\ufffd[2m"), false, output);
        });
      }
    }
  }
});

Deno.test("a reason to move that only a later version knows is shown as it is", async () => {
  await using clinic = await Clinic.start();
  await clinic.rows(workerRow(), shardRow(0, { because: "constructor" as MoveReason }));
  const terminal = fakeTerminal();
  const endpoints = clinic.endpoints.slice(1);
  assertEquals(await main(["explain", "0", "--app=A", "--stream=S", ...endpoints], terminal), 0);
  assertMatch(terminal.stdout(), /^ {2}last move +constructor$/m);
});

Deno.test("JSON keeps its value when what a terminal obeys is escaped", () => {
  const value = { "\x9b": "\x1b\x7f\x85\u202e\u2066\u2028 é 漢 😀" };
  assertEquals(jsonText(value).match(/(?!\n)[\p{Cc}\p{Cf}]/gu), null);
  assertEquals(JSON.parse(jsonText(value)), value);
  assertEquals(harmlessJson('{"a": "é"}\n'), '{"a": "é"}\n');
});
