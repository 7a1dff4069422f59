// That no code is in the documents that nobody runs: what it is says who does, or a test asks for it by its words.
import { assert, assertEquals } from "@std/assert";
import packageFile from "../../deno.json" with { type: "json" };
import { claimed } from "./claims.ts";
import { type CodeBlock, codeBlocks, readDocuments, readText } from "./markdown.ts";

/** What draws a picture. */
const PICTURE = /[┌│▶]/;

/** Whether it is run because of what it is: `deno test --doc` runs TypeScript, `guides_test.ts` has bash run commands. */
function isRun({ info, text, where }: CodeBlock): boolean {
  return (info === "ts" && !where.startsWith("tests/")) || info === "sh" ||
    (info === "text" && PICTURE.test(text));
}

/** The places of code that nobody runs. */
function unknown(blocks: readonly CodeBlock[], asked: ReadonlySet<string>): readonly string[] {
  return blocks.filter((block) => !isRun(block) && !asked.has(block.where))
    .map(({ where }) => where);
}

Deno.test("all code in the documents is run, or asked for by a test", async () => {
  const blocks = (await readDocuments()).flatMap(codeBlocks);
  assertEquals(unknown(blocks, await claimed()), []);
  assert(blocks.length > 60, `${blocks.length} pieces of code`);
});

Deno.test("code that nobody runs is seen", () => {
  const block = (info: string, text = "x") => ({ info, text, where: `a.md:${info}` });
  const blocks = ["", "ts", "ts ignore", "sh", "yaml", "text"].map((info) => block(info));
  const unread = { ...block("ts"), where: "tests/a.md:ts" };
  const picture = block("text", "│");
  assertEquals(
    unknown([...blocks, picture, unread], new Set(["a.md:yaml"])),
    ["a.md:", "a.md:ts ignore", "a.md:text", "tests/a.md:ts"],
  );
});

Deno.test("CI runs whole what takes minutes: all of `deno task ok`, every test and document, the executable", async () => {
  const script = await readText(".ci/run");
  const parts = packageFile.tasks.ok.command.split(" && ");
  assertEquals(["deno task compile", ...parts].filter((part) => !script.includes(part)), []);
  // All but tests is searched for TypeScript.
  assert((await readText("tests/run.ts")).includes('isWhole ? ["--ignore=tests"]'));
});
