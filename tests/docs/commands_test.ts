// That every command in the documents can be called as it stands there, and that all code in them is run or read.
import { assert, assertEquals } from "@std/assert";
import packageFile from "../../deno.json" with { type: "json" };
import { COMMANDS } from "../../src/cli/commands.ts";
import { COMMON_FLAGS } from "../../src/cli/flags.ts";
import { readCall } from "../../src/cli/main.ts";
import { messageOf } from "../../src/errors.ts";
import { fakeTerminal } from "../cli/cli_testing.ts";
import {
  type CodeBlock,
  codeBlocks,
  isThere,
  proseOf,
  readDocuments,
  readText,
} from "./markdown.ts";
import { commandsOf, filledIn } from "./shell.ts";

const DOCUMENTS = await readDocuments();
const BLOCKS = DOCUMENTS.flatMap(codeBlocks);

/** Why a command cannot be called; undefined if it can. */
async function problemOf(words: readonly string[]): Promise<string | undefined> {
  const [program, ...args] = words;
  if (program === "kinesix") {
    try {
      await readCall(filledIn(args), fakeTerminal());
    } catch (error) {
      return messageOf(error);
    }
  }
  if (
    program === "deno" && args[0] === "task" && !Object.hasOwn(packageFile.tasks, args[1] ?? "")
  ) {
    return `there is no task ${args[1]}`;
  }
  for (const word of words) {
    const isOurs = /^(\.\/)?(tests|src|examples|bench|\.ci)\//.test(word);
    if (isOurs && !await isThere(word)) return `there is no ${word}`;
    const [, name] = /^jsr:@reacto\/kinesix(?:@[^/]+)?(\/.*)?$/.exec(word) ?? [];
    if (name !== undefined && !Object.hasOwn(packageFile.exports, `.${name}`)) {
      return `the package has no ${name}`;
    }
  }
  return undefined;
}

Deno.test("every command in the documents can be called as it stands there", async () => {
  const problems: string[] = [];
  let count = 0;
  for (const { text, where } of BLOCKS.filter(({ info }) => info === "sh")) {
    for (const words of commandsOf(text)) {
      count++;
      const problem = await problemOf(words);
      if (problem !== undefined) problems.push(`${where} ${words.join(" ")}: ${problem}`);
    }
  }
  assertEquals(problems, []);
  assert(count > 30, `${count} commands are found`);
});

Deno.test("every kinesix within a sentence is a command with flags that it has", () => {
  const problems: string[] = [];
  for (const document of DOCUMENTS.filter(({ path }) => path !== "CHANGELOG.md")) {
    for (const [, call = ""] of proseOf(document).matchAll(/`kinesix ([^`]+)`/g)) {
      const words = call.split(/\s+/);
      const names = words.slice(0, words.findIndex((word) => !/^[a-z]+$/.test(word)) >>> 0);
      const about = names.join(" ");
      const meant = COMMANDS.filter(({ name }) =>
        name === about || name.startsWith(`${about} `) || about.startsWith(`${name} `)
      );
      const flags = meant.flatMap((command) => [
        ...COMMON_FLAGS.map(({ name }) => name),
        ...command.flags.map(({ name }) => name),
        ...command.settings.map(({ flag }) => flag),
      ]);
      const wrong = words.filter((word) => word.startsWith("--"))
        .filter((word) => word !== "--version" && !flags.includes(word.slice(2)));
      const isCommand = meant.length > 0 || names.length === 0;
      if (!isCommand || wrong.length > 0) problems.push(`${document.path}: kinesix ${call}`);
    }
  }
  assertEquals(problems, []);
});

/** Flags of other programs that a sentence may name: Deno, its tasks, Docker. */
const FOREIGN = /^(allow-[a-z]+|no-prompt|only|check|stop-timeout)$/;

Deno.test("every flag within a sentence of the guides is one", () => {
  const known = new Set([...COMMANDS, { flags: COMMON_FLAGS, settings: [] }].flatMap(
    (
      { flags, settings },
    ) => [...flags.map(({ name }) => name), ...settings.map(({ flag }) => flag)],
  ));
  const guides = DOCUMENTS.filter(({ path }) => /^(README\.md|SECURITY\.md|docs\/.+)$/.test(path));
  const unknown = guides.flatMap((document) =>
    Array.from(proseOf(document).matchAll(/`--([a-z][a-z-]*)[^`]*`/g), ([, flag = ""]) => flag)
      .filter((flag) => !known.has(flag) && !FOREIGN.test(flag))
      .map((flag) => `${document.path}: --${flag}`)
  );
  assertEquals(unknown, []);
});

Deno.test("all TypeScript in the documents is run by the tests, and all JSON is JSON", async () => {
  // `deno test --doc` runs what is ts.
  const known = ["", "sh", "ts", "json", "text"];
  const walked = await readText("tests/docs/start_guide_test.ts");
  const isWalked = ({ info, where }: CodeBlock): boolean =>
    info === "ts ignore" && where.startsWith("docs/start.md:") && walked.includes("docs/start.md");
  const unknown = BLOCKS.filter((block) => !known.includes(block.info) && !isWalked(block));
  assertEquals(unknown.map(({ where }) => where), []);
  for (const { text } of BLOCKS.filter(({ info }) => info === "json")) JSON.parse(text);
  assert(BLOCKS.some(({ info }) => info === "ts"));
});

Deno.test("the check of the commands sees a wrong flag, command, task and file", async () => {
  const script = [
    "kinesix run ... --no-such-flag   # comment",
    "seq 10 | kinesix putt --stream s > out",
    "KINESIX_APP=a npx -y deno task none && kinesix local \\",
    "  --shards many",
    "deno run -A tests/none.ts",
    "kinesix run ... --threads 4",
  ].join("\n");
  const problems = await Promise.all(commandsOf(script).map(problemOf));
  const seen = problems.map((problem) => problem?.slice(0, 24));
  assertEquals(
    seen,
    [
      "Cannot use --no-such-flag",
      undefined,
      'Cannot run "putt": there',
      "there is no task none",
      'Cannot use --shards "man',
      "there is no tests/none.t",
      undefined,
    ].map((text) => text?.slice(0, 24)),
  );
});
