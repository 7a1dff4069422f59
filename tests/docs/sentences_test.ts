// That what the sentences of the documents say of commands is so; the code between them is run.
import { assertEquals } from "@std/assert";
import packageFile from "../../deno.json" with { type: "json" };
import { COMMANDS } from "../../src/cli/commands.ts";
import { COMMON_FLAGS } from "../../src/cli/flags.ts";
import { proseOf, readDocuments, readText } from "./markdown.ts";

const DOCUMENTS = await readDocuments();

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
const FOREIGN = /^(allow-[a-z]+|no-prompt|only|check|stop-timeout|v8-flags)$/;

Deno.test("every flag within a sentence of the guides is one", () => {
  const known = new Set([...COMMANDS, { flags: COMMON_FLAGS, settings: [] }].flatMap(
    (
      { flags, settings },
    ) => [...flags.map(({ name }) => name), ...settings.map(({ flag }) => flag)],
  ));
  const guides = DOCUMENTS.filter(({ path }) => /^(README\.md|SECURITY\.md|docs\/.+)$/.test(path));
  const unknown = guides.flatMap((document) =>
    Array.from(proseOf(document).matchAll(/`--([a-z][a-z0-9-]*)[^`]*`/g), ([, flag = ""]) => flag)
      .filter((flag) => !known.has(flag) && !FOREIGN.test(flag))
      .map((flag) => `${document.path}: --${flag}`)
  );
  assertEquals(unknown, []);
});

Deno.test("every deno task within a sentence is one, with flags that its program knows", async () => {
  const tasks = new Map(Object.entries(packageFile.tasks));
  const wrong: string[] = [];
  for (const document of DOCUMENTS.filter(({ path }) => path !== "CHANGELOG.md")) {
    for (const [, call = ""] of proseOf(document).matchAll(/deno task ([a-z][^`]*)`/g)) {
      const [name = "", ...words] = call.split(/\s+/);
      const [, program] = / (\S+\.ts)\b/.exec(tasks.get(name)?.command ?? "") ?? [];
      const flags = words.filter((word) => /^--[a-z]/.test(word) && !word.startsWith("--allow-"))
        .map((word) => word.slice(2));
      const known = flags.length === 0 ? "" : await sourceOf(program ?? "");
      const unknown = flags.filter((flag) => !new RegExp(`\\b${flag}\\b`).test(known));
      if (!tasks.has(name) || unknown.length > 0) wrong.push(`${document.path}: deno task ${call}`);
    }
  }
  assertEquals(wrong, []);
});

/** A program with what reads its arguments. */
async function sourceOf(path: string): Promise<string> {
  const others = path.startsWith("tests/sim/") ? ["tests/sim/arguments.ts"] : [];
  return (await Promise.all([path, ...others].map(readText))).join("\n");
}
