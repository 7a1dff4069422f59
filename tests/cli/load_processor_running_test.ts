// Owns: a processor that was loaded: its stacks, what it imports later, and the files that it runs from.
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { dataUrl, ModuleServer } from "./module_server.ts";
import { ownTemporaryFolder } from "./temporary_folder.ts";
import { loadProcessor, refusal, seenBy } from "./loading.ts";

Deno.test("T7: an error in process() has a stack of URLs, lines and columns as they were written", async () => {
  await using server = new ModuleServer({
    "/p.ts": [
      `import { fail } from "./fail.ts"; import "node:fs";`,
      `interface Unused { a: number }`,
      `export default {`,
      `  process(): void { const a = 1 as number; if (a) fail(a as any); },`,
      `};`,
    ].join("\n"),
    "/fail.ts":
      `enum A { B }\nexport function fail(a: number): never {\n  throw new Error(\`failed \${a}\`);\n}`,
  });
  const loaded = await loadProcessor(server.url("/p.ts"));
  const { process } = loaded.source as unknown as { process(): void };
  const { stack = "" } = assertThrows(process, Error);
  assertStringIncludes(stack, `at fail (${server.url("/fail.ts")}:3:9)`);
  assertStringIncludes(stack, `${server.url("/p.ts")}:4:51`);
  assert(!stack.includes("kinesix-processor-"), stack);
  await loaded.dispose();
});

Deno.test("T8: imports that run later work, and those that cannot say why only then", async () => {
  await using server = new ModuleServer({
    "/p.ts": `export default { async process() {
      const computed = ["./la", "ter.ts"].join("");
      const [first, second] = await Promise.all([import(computed), import(computed)]);
      const { lit, same } = await import("./lit.ts");
      const json = await import("./data.json", { with: { type: "json" } });
      const fail = (p: Promise<unknown>) => p.then(() => "no error", (error: Error) => error.message);
      return [first.later, first === second, first.shared === same, lit, json.default,
        await fail(import("./gone.ts")), await fail(import("./needs_gone.ts")), await fail(import("./" + "gone2.ts")),
        await fail(import("file:///etc/" + "passwd")), await fail(import("nothing-" + "known"))];
    } };`,
    "/lit.ts": `export const lit: string = "lit"; export { shared as same } from "./shared.ts";`,
    "/shared.ts": "export const shared = {};",
    "/later.ts":
      `import { shared } from "./shared.ts"; export { shared }; export const later: number = 5;`,
    "/data.json": "[7]",
    "/needs_gone.ts": `import "./gone3.ts";`,
  });
  const seen = await seenBy(server.url("/p.ts")) as unknown[];
  assertEquals(seen.slice(0, 5), [5, true, true, "lit", [7]]);
  const [gone, needsGone, gone2, file, bare] = seen.slice(5).map(String);
  assertStringIncludes(gone ?? "", "/gone.ts answered 404");
  assertStringIncludes(needsGone ?? "", `/gone3.ts answered 404 Not Found`);
  assertStringIncludes(gone2 ?? "", "/gone2.ts answered 404");
  assertStringIncludes(file ?? "", "may not import file: URLs");
  assertStringIncludes(bare ?? "", "it is not part of this program");
});

Deno.test("T8: an import that runs days later does not need the files to be there still", async () => {
  await using server = new ModuleServer({
    "/p.ts": `export default { process: async () => (await import("./late.ts")).late };`,
    "/late.ts": `import { five } from "./five.ts"; export const late = five;`,
    "/five.ts": "export const five: number = 5;",
  });
  await using folder = await ownTemporaryFolder();
  const loaded = await loadProcessor(server.url("/p.ts"));
  for (const name of await folder.names()) {
    await Deno.remove(`${folder.path}/${name}`, { recursive: true });
  }
  const { process } = loaded.source as unknown as { process(): Promise<number> };
  assertEquals(await process(), 5);
  await loaded.dispose();
  assertEquals(await folder.names(), []);
});

Deno.test("a worker that stops does not fail the import() of a record in hand", async () => {
  await using server = new ModuleServer({
    "/p.js":
      `const late = ["./late", "js"].join("."); export default { process: async () => (await import(late)).five };`,
    "/late.js": "export const five = 5;",
  });
  const stop = new AbortController();
  const loaded = await loadProcessor(server.url("/p.js"), { signal: stop.signal });
  stop.abort("SIGTERM");
  const { process } = loaded.source as unknown as { process(): Promise<number> };
  assertEquals(await process(), 5);
  await loaded.dispose();
});

Deno.test("what runs on after its version was removed cannot import any more", async () => {
  await using server = new ModuleServer({
    "/p.ts": `export default { process: () => import("./late.ts") };`,
    "/late.ts": "export {}",
  });
  const loaded = await loadProcessor(server.url("/p.ts"));
  await loaded.dispose();
  const { process } = loaded.source as unknown as { process(): Promise<unknown> };
  const error = await assertRejects(process, Error);
  assertStringIncludes(error.message, "this version of the processor is not in use any more");
});

/** A disk that has no room for a file. */
async function withFullDisk(use: () => Promise<void>): Promise<void> {
  const { writeTextFile } = Deno;
  Deno.writeTextFile = () => Promise.reject(new Error("No space left on device"));
  try {
    await use();
  } finally {
    Deno.writeTextFile = writeTextFile;
  }
}

Deno.test("T13: what others left in the temporary folder is no obstacle, and is left to them", async () => {
  await using folder = await ownTemporaryFolder();
  const left = `${folder.path}/kinesix-processor-1`;
  // One whose file is a folder cannot be looked at; one that is a link leads elsewhere.
  await Deno.mkdir(`${left}2/held`, { recursive: true });
  await Deno.mkdir(left);
  await Deno.mkdir(`${folder.path}/elsewhere`);
  await Deno.symlink(`${folder.path}/elsewhere`, `${left}3`);
  await Deno.writeTextFile(`${folder.path}/kinesix-processor-4`, "a file");
  await Deno.mkdir(`${left}5`);
  for (const path of [left, `${left}2`]) await Deno.utime(path, new Date(0), new Date(0));
  assertEquals(await seenBy(dataUrl("export default { process: () => 1 }")), 1);
  const names = await folder.names();
  assertEquals(names, [
    "elsewhere",
    ...["12", "13", "15", "4"].map((name) => `kinesix-processor-${name}`),
  ]);
});

Deno.test("T12: when the files cannot be written a single module runs without, and its errors are as clear", async () => {
  await using server = new ModuleServer({
    "/one.ts":
      `import { retryAndSkip } from "@reacto/kinesix"; import { basename } from "node:path";
      const late = ["./late", "js"].join(".");
      export default { process: () => import(late).catch((error: Error) => error.message + basename("/x") + retryAndSkip(1).kind) };`,
    "/late.js": "export const late = 1;",
    "/two.ts": `import "./late.js"; export default { process() {} };`,
    "/syntax.js": "export default {\n  process() { let let; } };",
    "/throw.ts": "type T = 1;\n  throw new TypeError('boom' as string);",
  });
  await using folder = await ownTemporaryFolder();
  await withFullDisk(async () => {
    const late = String(await seenBy(server.url("/one.ts")));
    assertStringIncludes(
      late,
      "its modules need a folder for temporary files: none could be made",
    );
    assertStringIncludes(late, "xretryAndSkip");
    assertStringIncludes(
      await refusal(server.url("/two.ts")),
      "No space left on device; let TMPDIR",
    );
    const syntax = await refusal(server.url("/syntax.js"));
    assertStringIncludes(syntax, `at ${server.url("/syntax.js")}:2:`);
    assert(!syntax.includes("data:"), syntax);
    assertStringIncludes(
      await refusal(server.url("/throw.ts")),
      `boom at ${server.url("/throw.ts")}:2:9`,
    );
  });
  assertEquals(await folder.names(), []);
});
