import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import packageFile from "../../deno.json" with { type: "json" };
import { COMMANDS } from "../../src/cli/commands.ts";
import { main, readCall } from "../../src/cli/main.ts";
import { environmentName } from "../../src/cli/values.ts";
import { SETTINGS } from "../../src/core/config.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { fakeTerminal } from "./cli_testing.ts";

const RUN = ["run", "--app", "A", "--stream", "S", "--processor", "p.ts"];

async function call(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const terminal = fakeTerminal({ env });
  const code = await main(args, terminal);
  return { code, stdout: terminal.stdout(), stderr: terminal.stderr() };
}

async function configOf(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<object> {
  const read = await readCall(args, fakeTerminal({ env }));
  assert(read.kind === "command");
  return read.values.config;
}

Deno.test("--version prints the version of deno.json", async () => {
  for (const flag of ["--version", "-V"]) {
    assertEquals(await call([flag]), {
      code: 0,
      stdout: `kinesix ${packageFile.version}\n`,
      stderr: "",
    });
  }
});

Deno.test("--help lists every command, and the help of a command its flags and settings", async () => {
  const general = await call(["--help"]);
  assertEquals([general.code, general.stderr], [0, ""]);
  for (const command of COMMANDS) {
    assertStringIncludes(general.stdout, command.summary);
    const { code, stdout } = await call([...command.name.split(" "), "--help"]);
    assertEquals(code, 0);
    assertEquals((await call(["help", ...command.name.split(" ")])).stdout, stdout);
    for (const flag of command.flags) assertStringIncludes(stdout, `--${flag.name}`);
    for (const setting of command.settings) assertStringIncludes(stdout, `--${setting.flag} `);
  }
  assertEquals(COMMANDS.find((command) => command.name === "run")?.settings, SETTINGS);
});

Deno.test("every command prints JSON for programs", () => {
  const without = COMMANDS.filter(({ flags }) => !flags.some(({ name }) => name === "json"));
  // The first has --log json, the second prints nothing else, the last one prints for shells.
  assertEquals(without.map(({ name }) => name), ["run", "checkpoint export", "completions"]);
});

Deno.test("help needs no permission and no time", async () => {
  const cli = new URL("../../cli.ts", import.meta.url).href;
  const startedMs = performance.now();
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", cli, "run", "--help"],
    stdin: "null",
  }).output();
  assertEquals(code, 0);
  assertStringIncludes(new TextDecoder().decode(stdout), "Settings:");
  // It takes less than 100 ms on an idle machine; this bound only catches that it loads the AWS SDK.
  assert(performance.now() - startedMs < 3_000);
});

const WRONG_CALLS: readonly (readonly [string, readonly string[], RegExp])[] = [
  [
    "no command",
    [],
    /without a command: there are run, status, explain, shard, checkpoint, tail, replay, put, redrive, consumer, doctor, cost, iam, table, local, demo, completions/,
  ],
  ["unknown command", ["rnu"], /Cannot run "rnu": .* did you mean run\?/],
  ["a group alone", ["shard"], /"shard" alone: there are shard stop, .*\n.*shard --help/],
  ["unknown in a group", ["shard", "stpo"], /did you mean shard stop\?\n.*shard --help/],
  ["argument missing", ["shard", "stop", "--app=A"], /Cannot run without SHARD: a shard id/],
  ["argument empty", ["shard", "stop", ""], /Cannot use "" as SHARD/],
  ["argument wrong", ["shard", "stop", "a b"], /Cannot use "a b" as SHARD: it must be 1 to 128/],
  ["argument too much", ["shard", "stop", "1", "2"], /"2": the command takes SHARD and flags/],
  ["position wrong", ["checkpoint", "rewind", "soon"], /Cannot use "soon" as POSITION: it must be/],
  ["unknown command far from all", ["zebra"], /there are run, status/],
  ["unknown flag before the command", ["--hlep"], /did you mean --help\?/],
  ["unknown flag", [...RUN, "--hearbeat", "3s"], /--hearbeat: .*did you mean --heartbeat\?/],
  ["unknown flag with =", [...RUN, "--streem=x"], /--streem: .*did you mean --stream\?/],
  ["unknown flag far from all", [...RUN, "--zebra"], /Cannot use --zebra: there is no such flag$/m],
  ["stray word", [...RUN, "more"], /Cannot use "more"/],
  ["stray word after --", [...RUN, "--", "more"], /Cannot use "more"/],
  ["missing value", ["run", "--app", "--stream", "S"], /--app without a value: it needs A/],
  ["missing last value", ["run", "--app"], /--app without a value/],
  ["flag twice", [...RUN, "--app", "B"], /--app twice: given "A" and "B"/],
  ["missing flag", ["run", "--app", "A"], /without --stream S \(or KINESIX_STREAM\)/],
  ["bad duration", [...RUN, "--heartbeat", "abc"], /--heartbeat "abc": it must be 100ms to 1h/],
  [
    "out of range",
    [...RUN, "--max-batch-size", "0"],
    /--max-batch-size "0": it must be 1 to 10000/,
  ],
  ["bad choice", [...RUN, "--log", "xml"], /--log "xml": it must be pretty or json/],
  ["bad switch", ["status", "--json=yes"], /--json "yes": it is a switch/],
  ["bad URL", [...RUN, "--endpoint-url", "localhost:1"], /--endpoint-url "localhost:1": .*http/],
  ["bad app name", ["run", "--app", "a b"], /--app "a b": it must be 1 to 55 letters/],
  ["contradiction", [...RUN, "--heartbeat", "5m"], /--heartbeat-timeout: .*twice --heartbeat/],
  ["no config file", [...RUN, "--config", "/no/such.json"], /--config "\/no\/such.json": No such/],
  ["port", ["local", "--kinesis-port", "70000"], /"70000": it must be a whole number from 0 to/],
  [
    "demo number",
    ["demo", "--shards", "0"],
    /--shards "0": it must be a whole number from 1 to 64/,
  ],
  ["ftp processor", [...RUN.slice(0, -1), "ftp://a/b.ts"], /are supported, not ftp:/],
  ["lock", [...RUN, "--frozen"], /--frozen without --lock FILE/],
  ["two uses of a lock", [...RUN, "--lock=a", "--frozen", "--lock-write"], /one changes the file/],
  ["bad hash", [...RUN, "--integrity", "md5-x"], /--integrity "md5-x": it must be sha256- or/],
  ["bad host", [...RUN, "--allow-host", "a.b,https://c"], /--allow-host .*names of hosts/],
  ["bad header", [...RUN, "--header", "Bearer x"], /Cannot use --header: it must be a header/],
  ["header twice", [...RUN, "--header", "a: b", "--header", "c: d"], /--header twice$/m],
  [
    "registry",
    [...RUN, "--jsr-url", "http://jsr.io"],
    /--jsr-url .*with http:\/\/ on this machine/,
  ],
  [
    "a number without its unit",
    [...RUN, "--heartbeat", "5"],
    /it must be 100ms to 1h, and a number without a unit is milliseconds \(time between/,
  ],
  ["what is good is said once", ["completions", "csh"], /it must be bash or zsh or fish$/m],
  [
    "what is good is said once, in more words",
    ["table", "print", "--app=A", "--format=yaml"],
    /it must be cloudformation or terraform or json$/m,
  ],
];

for (const [name, args, expected] of WRONG_CALLS) {
  Deno.test(`a wrong call ends in 2 and says what is wrong: ${name}`, async () => {
    const { code, stdout, stderr } = await call(args);
    assertMatch(stderr, expected);
    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, "--help");
  });
}

Deno.test("a value in the environment is checked too, and named by its variable", async () => {
  const { code, stderr } = await call(RUN, { KINESIX_HEARTBEAT: "1" });
  assertEquals(code, 2);
  assertStringIncludes(stderr, 'Cannot use KINESIX_HEARTBEAT "1": it must be 100ms to 1h');
});

Deno.test("a value comes from the flag, else the environment, else the file", async () => {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    const content = {
      heartbeat: "10s",
      maxBatchSize: 7,
      createTable: false,
      emptyReceiveDelay: 900,
    };
    await Deno.writeTextFile(path, JSON.stringify(content));
    const env = { KINESIX_HEARTBEAT: "11s", KINESIX_MAX_BATCH_SIZE: "8", KINESIX_CONFIG: path };
    assertEquals(await configOf([...RUN, "--heartbeat", "12s"], env), {
      heartbeat: 12_000,
      maxBatchSize: 8,
      createTable: false,
      emptyReceiveDelay: 900,
    });
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("every setting can be given as a flag and in the environment", async () => {
  for (const setting of SETTINGS) {
    // One that is not set by default needs a value.
    const text = setting.type.kind === "boolean" ? "false" : String(setting.defaultValue) || "x";
    const given = await configOf([...RUN, `--${setting.flag}`, text]);
    assertEquals(Object.keys(given), [setting.name]);
    assertEquals(await configOf(RUN, { [environmentName(setting.flag)]: text }), given);
  }
});

const BAD_FILES: readonly (readonly [string, RegExp])[] = [
  ["{", /Cannot read --config/],
  ["[]", /it must hold one JSON object of settings/],
  ['{"hartbeat": 1}', /"hartbeat" in .*did you mean heartbeat\?/],
  ['{"heartbeat": {"a": 1}}', /"heartbeat" in .*, given "\{"a":1\}": it must be 100ms to 1h/],
  ['{"heartbeat": null}', /given "null": it must be 100ms to 1h/],
  ['{"heartbeat": "5m"}', /--heartbeat-timeout: .*twice --heartbeat/],
];

Deno.test("a bad configuration file ends in 2 and says what is wrong", async () => {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    for (const [content, expected] of BAD_FILES) {
      await Deno.writeTextFile(path, content);
      const { code, stderr } = await call([...RUN, "--config", path]);
      assertMatch(stderr, expected);
      assertEquals(code, 2);
    }
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("any arguments are either understood or refused with a message", async () => {
  const words = fc.oneof(
    fc.constantFrom(
      ...COMMANDS.map((command) => command.name),
      ...COMMANDS.flatMap((command) => command.flags.map((flag) => `--${flag.name}`)),
      ...SETTINGS.map((setting) => `--${setting.flag}`),
      "--",
      "-",
      "-h",
      "-V",
      "--help",
      "--__proto__=1",
      "--constructor",
      "--no-json",
      "30s",
      "S",
    ),
    fc.string(),
    fc.string({ unit: "binary" }).map((text) => `--${text}`),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(words, { maxLength: 8 }), async (args) => {
      try {
        const read = await readCall(args, fakeTerminal());
        assert(read.kind === "command" || read.text.length > 0);
      } catch (error) {
        assert(error instanceof UsageError, String(error));
        const { code, stdout, stderr } = await call(args);
        assertEquals([code, stdout], [2, ""]);
        assertMatch(stderr, /^error: Cannot /);
      }
    }),
    { numRuns: 1_000 },
  );
});
