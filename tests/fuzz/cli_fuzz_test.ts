// Arguments, environment, configuration files and events: understood, or refused with a message and exit code 2.
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Ansis } from "ansis";
import fc from "fast-check";
import { COMMANDS } from "../../src/cli/commands.ts";
import { openJsonLog, PrettyLog } from "../../src/cli/event_log.ts";
import { main } from "../../src/cli/main.ts";
import { environmentName } from "../../src/cli/values.ts";
import { SETTINGS } from "../../src/core/config.ts";
import type { AppEvent } from "../../src/events.ts";
import { fakeTerminal } from "../cli/cli_testing.ts";
import { anyText, magicNames, rawBytes } from "./bytes.ts";

/** A call that is wrong in one place, so that nothing is started even when the rest is right. */
const WRONG = "--no-such-flag";
const RUN = ["run", "--app", "A", "--stream", "S", "--processor", "p.ts"];

async function refusal(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const terminal = fakeTerminal({ env });
  assertEquals(await main(args, terminal), 2);
  assertEquals(terminal.stdout(), "");
  assertMatch(terminal.stderr(), /^error: Cannot [^]*--help\n$/);
  assert(terminal.stderr().length < 3_000, `${terminal.stderr().length} characters`);
  return terminal.stderr();
}

const flags = fc.constantFrom(
  ...COMMANDS.flatMap((command) => command.flags.map((flag) => flag.name)),
  ...SETTINGS.map((setting) => setting.flag),
);

Deno.test("fuzz: whatever stands around a wrong flag, the call is refused", async () => {
  const words = fc.oneof(
    flags.map((flag) => `--${flag}`),
    fc.tuple(flags, anyText).map(([flag, text]) => `--${flag}=${text}`),
    magicNames.map((name) => `--${name}=1`),
    anyText,
  ).filter((word) => word !== "-h" && word !== "--help");
  const command = fc.constantFrom(...COMMANDS.map(({ name }) => name));
  await fc.assert(
    fc.asyncProperty(command, fc.array(words, { maxLength: 5 }), async (command, words) => {
      await refusal([...command.split(" "), ...words, WRONG]);
    }),
    { numRuns: 500 },
  );
});

Deno.test("fuzz: what is no command is refused, help is always given", async () => {
  const firstWords = COMMANDS.map(({ name }) => name.split(" ")[0]);
  const known = new Set([...firstWords, "help", "-h", "-V"]);
  const names = anyText.filter((text) => !known.has(text) && !/^--(help|version)$/.test(text));
  await fc.assert(
    fc.asyncProperty(names, fc.array(anyText, { maxLength: 3 }), async (name, words) => {
      await refusal([name, ...words]);
      await refusal(["help", name]);
      for (const command of COMMANDS) {
        const terminal = fakeTerminal();
        assertEquals(await main([...command.name.split(" "), ...words, "--help"], terminal), 0);
        assertStringIncludes(terminal.stdout(), command.summary);
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("fuzz: a value of the environment is refused by the name of its variable", async () => {
  const numeric = SETTINGS.filter(({ type }) => type.kind === "duration" || type.kind === "count");
  const texts = anyText.filter((text) =>
    text !== "" && !/^\s*[\d.]+\s*(ms|s|m|h|d)?\s*$/.test(text)
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...numeric), texts, async ({ flag }, text) => {
      const variable = environmentName(flag);
      assertStringIncludes(await refusal(RUN, { [variable]: text }), variable);
    }),
    { numRuns: 300 },
  );
});

Deno.test("fuzz: a configuration file of any bytes is refused, unless it holds settings", async () => {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  const settings = fc.oneof({
    weight: 4,
    arbitrary: fc.constantFrom(...SETTINGS.map(({ name }) => name)),
  }, magicNames);
  const objects = fc.array(fc.tuple(settings, fc.oneof(fc.jsonValue(), anyText)), { maxLength: 4 })
    .map((entries) =>
      `{${entries.map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`)}}`
    );
  try {
    await fc.assert(
      fc.asyncProperty(fc.oneof(rawBytes, objects), async (content) => {
        const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
        await Deno.writeFile(path, bytes);
        await refusal([...RUN, "--config", path, "--log", "xml"]);
        const terminal = fakeTerminal();
        // The flag after it is right here, so that a file that is right is read to the end.
        const code = await main(["status", "--config", path, "--app", "A b"], terminal);
        assertEquals(code, 2, terminal.stderr());
      }),
      { numRuns: 300 },
    );
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("fuzz: any event is a line of JSON that can be read back, and a line for people", async () => {
  const types = fc.constantFrom(
    "worker_started",
    "worker_stopped",
    "worker_lost",
    "worker_fenced",
    "heartbeat_failed",
    "shard_found",
    "shard_claimed",
    "batch_processed",
    "record_failed",
    "checkpoint_written",
    "shard_handed_over",
    "shard_stopped",
    "shard_ended",
    "lease_lost",
    "throttled",
    "task_failed",
    "row_malformed",
    "listener_failed",
  );
  // What is known is of the right type; every text in it comes from outside.
  const events = fc.tuple(types, fc.array(anyText, { minLength: 8, maxLength: 8 })).map(
    ([type, [a = "", b = "", c = "", d = "", e = "", f = "", g = "", h = ""]]) =>
      ({
        type,
        time: "2026-01-02T03:04:05.678Z",
        workerId: a,
        shardId: b,
        version: c,
        streamName: d,
        lostWorkerId: e,
        from: f,
        to: g,
        checkpoint: h,
        sequenceNumber: h,
        operation: e,
        task: c,
        kind: c,
        id: d,
        reason: e,
        eventType: f,
        parents: [b],
        children: [c, d],
        stoppedBy: [e],
        error: { name: g, message: h },
        term: 1,
        shards: 1,
        records: 1,
        bytes: 1,
        attempt: 1,
        attempts: 1,
        retryInMs: 1,
        millisBehindLatest: 1,
        wasTrimmed: false,
      }) as unknown as AppEvent,
  );
  await fc.assert(
    fc.asyncProperty(events, async (event) => {
      const terminal = fakeTerminal();
      const log = openJsonLog(terminal);
      log.onEvent(event);
      await log.close();
      const [line = "", ...rest] = terminal.stdout().split("\n");
      assertEquals(rest, [""], "one event is one line");
      assertEquals(JSON.parse(line), event);
      const lines: string[] = [];
      const pretty = new PrettyLog({
        push: (text) => lines.push(text),
        paint: new Ansis(0),
        nowMs: () => 0,
      });
      pretty.onEvent(event);
      pretty.summarize();
    }),
    { numRuns: 1_000 },
  );
});
