// Owns: from a place to a processor that runs, and what is said of one that does not.
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { LeaseLostError } from "../../mod.ts";
import { fetchGraph } from "../../src/cli/load_processor/graph.ts";
import { loadProcessor } from "../../src/cli/load_processor/load_processor.ts";
import type { LoadOptions } from "../../src/cli/load_processor/options.ts";
import { entryUrl } from "../../src/cli/load_processor/specifier.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { ModuleServer, redirect, typed } from "./module_server.ts";
import { ownTemporaryFolder } from "./temporary_folder.ts";

function dataUrl(source: string, type = "text/javascript"): string {
  return `data:${type},${encodeURIComponent(source)}`;
}

/** Loads a processor whose `process()` gives what it wants to be seen; calls it once, and lets go of it. */
async function seenBy(place: string, options: LoadOptions = {}): Promise<unknown> {
  const loaded = await loadProcessor(place, options);
  try {
    const { process } = loaded.source as unknown as { process(): unknown };
    return await process();
  } finally {
    await loaded.dispose();
  }
}

/** The message of a processor that does not load. */
async function refusal(place: string, options: LoadOptions = {}): Promise<string> {
  const error = await assertRejects(() => loadProcessor(place, options), Error);
  assert(!error.message.includes("kinesix-processor-"), error.message);
  return error.message;
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a processor loads from a path, a file: URL and a data: URL", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/a processor #1.ts`;
    await Deno.writeTextFile(path, "export default { process: (_?: unknown): number => 5 };");
    assertEquals(await seenBy(path), 5);
    assertEquals(await seenBy(entryUrl(path).href), 5);
  });
  assertEquals(await seenBy(dataUrl("export default { process: () => 6 }")), 6);
  const typescript = "export default { process: (): number => 7 }";
  assertEquals(await seenBy(dataUrl(typescript, "application/typescript")), 7);
});

Deno.test("a relative path is one from the current folder", () => {
  assertEquals(entryUrl("x/y.ts").href, `file://${Deno.cwd()}/x/y.ts`);
});

const WHOLE: Readonly<Record<string, string>> = {
  "/app/processor.ts": `
    import { Color, twice, viaCycle } from "./lib/util.ts";
    import { absolute } from "/root.js";
    import data from "./lib/data.json" with { type: "json" };
    import { createHash } from "node:crypto";
    import { Unused } from "./lib/types.ts";
    export * from "./lib/util.ts";
    export const back = "back";
    class Pair { constructor(readonly a: number, private b: number) {} sum() { return this.a + this.b } }
    const hash = (x: Unused) => createHash("md5").update(String(x)).digest("hex").slice(0, 4);
    export default {
      process: () => ({
        color: Color.Red, name: Color[1], twice: twice(2), cycle: viaCycle(), absolute, data,
        hash: hash(1), sum: new Pair(1, 2).sum(), url: import.meta.url,
        resolved: import.meta.resolve("./x.ts"), main: import.meta.main, filename: import.meta.filename,
      }),
    };`,
  "/app/lib/util.ts": `
    import { back } from "../processor.ts";
    export enum Color { Red = 1 }
    export const twice = <T extends number>(n: T): number => n * 2;
    export function viaCycle(): string { return back; }`,
  "/root.js": `export const absolute = import.meta.url;`,
  "/app/lib/data.json": `{ "a": [1] }`,
  "/app/lib/types.ts": `export type Unused = number;`,
};

Deno.test("T1: everything that a module may contain works over http, and its URL is its own", async () => {
  await using server = new ModuleServer(WHOLE);
  assertEquals(await seenBy(server.url("/app/processor.ts")), {
    color: 1,
    name: "Red",
    twice: 4,
    cycle: "back",
    absolute: server.url("/root.js"),
    data: { a: [1] },
    hash: "c4ca",
    sum: 3,
    url: server.url("/app/processor.ts"),
    resolved: server.url("/app/x.ts"),
    main: false,
    filename: undefined,
  });
  assert(!server.paths.includes("/app/lib/types.ts"), "what is only a type is not fetched");
  assertEquals(server.paths.length, new Set(server.paths).size, "each module is fetched once");
});

Deno.test("T1: a module of this machine knows its path", async () => {
  await withFolder(async (folder) => {
    const source = "export default { process: () => [import.meta.filename, import.meta.dirname] }";
    await Deno.writeTextFile(`${folder}/p q.ts`, source);
    assertEquals(await seenBy(`${folder}/p q.ts`), [`${folder}/p q.ts`, folder]);
  });
});

Deno.test("T1: a processor gets the very package that runs it", async () => {
  for (const name of ["@reacto/kinesix", "jsr:@reacto/kinesix", "jsr:@reacto/kinesix@^0.1.0"]) {
    const source = `import { LeaseLostError, retryAndSkip } from "${name}";
      const error = await import("${name}").then((own) => own.LeaseLostError === LeaseLostError);
      export default { process: () => [LeaseLostError, retryAndSkip(3), error] };`;
    const [own, mode, isSame] = await seenBy(dataUrl(source)) as unknown[];
    assertEquals([own === LeaseLostError, isSame], [true, true]);
    assertEquals(mode, { kind: "retryAndSkip", retries: 3 });
  }
});

Deno.test("T2: the content type says what a module is, and where it says nothing the extension does", async () => {
  const typescript = "export default { process: (): string => 'ts' as string };";
  const javascript = "export default { process: () => 'js' };";
  await using server = new ModuleServer({
    "/latest": typed(typescript, "application/typescript; charset=utf-8"),
    "/video.ts": typed(typescript, "video/mp2t"),
    "/raw.ts": typed(typescript, "text/plain"),
    "/none.mts": typed(typescript, null),
    "/compiled.ts": typed(javascript, "application/javascript"),
    "/p.mjs": typed(`#!/usr/bin/env deno\n${javascript}`, "application/octet-stream"),
    "/bom.js": typed(`\ufeff${javascript}`, "text/javascript"),
    "/page.ts": typed("<html>", "text/html"),
    "/image": typed("PNG", "image/png"),
    "/latin.js": () =>
      new Response(new Uint8Array([0x2f, 0x2f, 0xe4]), {
        headers: { "content-type": "text/javascript" },
      }),
    "/view.tsx": typed("export default <a/>", "text/plain"),
    "/old.cjs": typed("module.exports = {}", "text/javascript"),
  });
  for (const path of ["/latest", "/video.ts", "/raw.ts", "/none.mts"]) {
    assertEquals(await seenBy(server.url(path)), "ts", path);
  }
  for (const path of ["/compiled.ts", "/p.mjs", "/bom.js"]) {
    assertEquals(await seenBy(server.url(path)), "js", path);
  }
  assertStringIncludes(await refusal(server.url("/page.ts")), "/page.ts is a web page (text/html)");
  assertStringIncludes(
    await refusal(server.url("/image")),
    "its content type is image/png; serve it as",
  );
  assertStringIncludes(await refusal(server.url("/latin.js")), "is not text in UTF-8");
  assertStringIncludes(
    await refusal(server.url("/view.tsx")),
    "is JSX, which is not supported; bundle",
  );
  assertStringIncludes(await refusal(server.url("/old.cjs")), "is CommonJS");
});

Deno.test("T3: after a redirect, relative imports begin where it led", async () => {
  await using server = new ModuleServer({
    "/latest.ts": redirect("/v2/processor.ts"),
    "/v2/processor.ts": `import { a } from "./a.ts";
      import { a as again } from "/moved.ts";
      export default { process: () => [a, again, import.meta.url] };`,
    "/moved.ts": redirect("v2/a.ts", 301),
    "/v2/a.ts": "let n = 0; export const a = ++n;",
    "/loop.ts": redirect("/loop.ts"),
    "/nowhere.ts": () => new Response(null, { status: 302 }),
  });
  assertEquals(await seenBy(server.url("/latest.ts")), [1, 1, server.url("/v2/processor.ts")]);
  assertStringIncludes(
    await refusal(server.url("/loop.ts")),
    "/loop.ts redirects more than 10 times",
  );
  assertStringIncludes(await refusal(server.url("/nowhere.ts")), "redirects to nowhere (302)");
});

Deno.test("T4: what is missing deep in the graph is told with the chain of imports", async () => {
  await using server = new ModuleServer({
    "/p.ts": `import "./a.ts";\nexport default {}`,
    "/a.ts": `const a: number = 1;\n  import "./b.ts";`,
    "/b.ts": `export * from "./gone.ts";`,
  });
  assertEquals(
    await refusal(server.url("/p.ts")),
    `Cannot load processor module "${server.url("/p.ts")}": ${
      server.url("/gone.ts")
    } answered 404 ` +
      `Not Found; check that it is published there\n  imported by ${server.url("/b.ts")}:1:1\n` +
      `  imported by ${server.url("/a.ts")}:2:3\n  imported by ${server.url("/p.ts")}:1:1`,
  );
});

Deno.test("T5: a package that is not part of the program is refused with how to bundle it", async () => {
  await using server = new ModuleServer({
    "/bare.ts": `import "no-such-package-of-anybody"; export default {}`,
    "/odd.ts": `import "ftp://example.com/x.ts"; export default {}`,
  });
  const bare = await refusal(server.url("/bare.ts"));
  assertStringIncludes(
    bare,
    'cannot import "no-such-package-of-anybody": it is not part of this program',
  );
  assertStringIncludes(bare, "deno bundle --output processor.js PROCESSOR.ts");
  assertStringIncludes(await refusal(server.url("/odd.ts")), "not ftp:");
});

Deno.test("T5: with deno run, names of packages are what Deno resolves; frozen, they are refused", async () => {
  const source = `import { distance } from "fastest-levenshtein";
    import { distance as again } from "npm:fastest-levenshtein@^1.0.16";
    import { resolve } from "path";
    export default { process: () => [distance("a", "b"), again === distance, typeof resolve] };`;
  assertEquals(await seenBy(dataUrl(source)), [1, true, "function"]);
  await withFolder(async (folder) => {
    const path = `${folder}/kinesix.lock`;
    await Deno.writeTextFile(path, '{ "version": 1, "modules": {} }');
    const frozen = await refusal(dataUrl(source), { lock: { path, isFrozen: true } });
    assertStringIncludes(frozen, "npm packages are not in the lock file, and --frozen");
  });
});

Deno.test("T5: an npm package can be the processor", async () => {
  assertStringIncludes(
    await refusal("npm:fastest-levenshtein@^1.0.16"),
    'it has neither process(record, context) nor processBatch(records, context); it has "__esModule"',
  );
});

const NOT_VALID: readonly (readonly [string, string, string])[] = [
  [
    "/syntax.ts",
    "const a: number = 1;\n\nexport default {\n  process( {\n};",
    "/syntax.ts:5:2 is not valid",
  ],
  ["/syntax.js", "const a = 1;\nexport default { process() { let let; } };", "/syntax.js:2:"],
  ["/unclosed.js", "import {", "/unclosed.js:1:9 is not valid: something is unexpected here"],
  [
    "/decorator.ts",
    "const log = (): void => {};\n@log\nclass A {}\nexport default {}",
    "/decorator.ts:2:",
  ],
  [
    "/throw.ts",
    "type T = 1;\n  throw new TypeError('boom' as string);",
    "TypeError: boom at URL/throw.ts:2:9",
  ],
  ["/throw_text.js", "throw 'boom';", "boom"],
  ["/export.ts", 'import { nope } from "./util.ts";\nexport default { process: nope }', "'nope'"],
  [
    "/json.ts",
    'import data from "./data.json";\nexport default data',
    'write with { type: "json" }',
  ],
  [
    "/not_json.ts",
    'import a from "./util.ts" with { type: "json" };\nexport default a',
    "it is not JSON",
  ],
  [
    "/bytes.ts",
    'import a from "./util.ts" with { type: "text" };\nexport default a',
    "only json is supported",
  ],
  [
    "/bad_json.ts",
    'import a from "./bad.json" with { type: "json" };\nexport default a',
    "/bad.json is not valid JSON",
  ],
];

for (const [path, source, expected] of NOT_VALID) {
  Deno.test(`T6: a module that does not run says where and why: ${path}`, async () => {
    await using server = new ModuleServer({
      [path]: source,
      "/util.ts": "export const one = 1;",
      "/data.json": "{}",
      "/bad.json": "{",
    });
    const message = await refusal(server.url(path));
    assertStringIncludes(message, expected.replace("URL", server.url("")));
    assertStringIncludes(message, `Cannot load processor module "${server.url(path)}"`);
    assert(!message.includes("file:"), message);
    if (path === "/decorator.ts") {
      assertStringIncludes(message, "decorators and accessor fields are not");
    }
  });
}

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

const HOSTILE: readonly string[] = [
  "throw undefined",
  "throw null",
  "throw Symbol('x')",
  "throw Object.create(null)",
  "throw Object.freeze(new Error('cold'))",
  "throw Object.assign(new Error('x'), { stack: 5 })",
  "throw Object.defineProperty(new Error(), 'stack', { get() { throw 1 } })",
  "throw Object.defineProperty(new Error(), 'message', { get() { throw 1 } })",
  "throw new Proxy(new Error(), { get() { throw 1 }, getPrototypeOf() { throw 1 } })",
  "throw new Error('a'.repeat(10) + '\\n    at file:///1-x.mjs:1:1')",
];

Deno.test("a long module with many imports does not hold up the worker", async () => {
  const line = (n: number) =>
    `export const f${n} = () => import("./a.js");${"\n// x".repeat(1_000)}\n`;
  await using server = new ModuleServer({
    "/p.js": Array.from({ length: 500 }, (_, n) => line(n)).join("") + "export default {};",
    "/a.js": "export {};",
  });
  const startedAt = performance.now();
  await fetchGraph(server.url("/p.js"));
  assert(performance.now() - startedAt < 4_000, `${performance.now() - startedAt} ms`);
});

Deno.test("T6: what is CommonJS is told so", async () => {
  for (const source of ['const fs = require("fs");', "module.exports = {};", "exports.a = 1;"]) {
    assertStringIncludes(await refusal(dataUrl(source)), "it is CommonJS, and only ES modules");
  }
});

Deno.test("T6: whatever a module throws, the message says which module it was", async () => {
  for (const source of HOSTILE) {
    const message = await refusal(dataUrl(source));
    assertStringIncludes(message, 'Cannot load processor module "data:', source);
  }
});

Deno.test("T11: what a module does at its start is limited in time, and can be given up", async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  Object.assign(globalThis, { endOfTest: ended });
  const stuck = (n: number) => dataUrl(`await globalThis.endOfTest; export default ${n}`);
  assertStringIncludes(
    await refusal(stuck(1), { limits: { timeoutMs: 50 } }),
    "did not finish what they do at the start within 50 ms; see --load-timeout",
  );
  const controller = new AbortController();
  const loading = loadProcessor(stuck(2), { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("stop now")), 20);
  await assertRejects(() => loading, Error, "stop now");
  resolve();
  Reflect.deleteProperty(globalThis, "endOfTest");
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

Deno.test("the version follows the content of every module", async () => {
  await using server = new ModuleServer({
    "/p.ts": `import "./a.ts"; export default { process() {} };`,
    "/a.ts": "export const a = 1;",
  });
  const versionOf = async (): Promise<string> => {
    await using loaded = await withDispose(server.url("/p.ts"));
    return loaded.version;
  };
  const first = await versionOf();
  assertEquals(await versionOf(), first);
  server.set("/a.ts", "export const a = 2;");
  assert(await versionOf() !== first);
});

async function withDispose(place: string): Promise<AsyncDisposable & { readonly version: string }> {
  const { version, dispose } = await loadProcessor(place);
  return { version, [Symbol.asyncDispose]: dispose };
}

Deno.test("a factory is asked for each shard, and what it returns is checked", async () => {
  const good = await loadProcessor(
    dataUrl("export default async (shardId) => ({ process() {}, shardId })"),
  );
  assert(typeof good.source === "function");
  assertEquals((await good.source("shard-1") as { shardId?: string }).shardId, "shard-1");
  await good.dispose();

  const bad = await loadProcessor(dataUrl("export default () => ({ proces() {} })"));
  const { source } = bad;
  assert(typeof source === "function");
  const error = await assertRejects(async () => await source("shard-1"), TypeError);
  assertStringIncludes(error.message, "what the factory of");
  assertStringIncludes(error.message, 'it has "proces"');
  await bad.dispose();
});

const WRONG_MODULES: readonly (readonly [string, string])[] = [
  ["export const processor = {}", "it has no default export (it exports processor)"],
  ["", 'write "export default" before the processor'],
  ["export default 5", "it is a number; it must be an object with a method process(record"],
  ["export default null", "it is null"],
  ["export default {}", "it has neither process(record, context) nor processBatch"],
  ["export default { process: 1 }", 'its "process" is a number; it must be a function'],
  ["export default { process() {}, onMaxRetryExceeded: {} }", 'its "onMaxRetryExceeded" is an'],
  ["export default class { process() {} }", 'write "export default new ..."'],
  ["throw new Error('boom')", "boom"],
  ["export default {", "Cannot load processor module"],
  ["import 'file:///no/such/module.js'", "file:///no/such/module.js cannot be read: No such file"],
];

for (const [source, expected] of WRONG_MODULES) {
  Deno.test(`a module that is no processor says why: ${source || "empty"}`, async () => {
    const error = await assertRejects(() => loadProcessor(dataUrl(source)), Error);
    assertStringIncludes(error.message, expected);
    assert(!(error instanceof UsageError));
  });
}

Deno.test("a file that is not there, or is a folder, says so", async () => {
  const missing = await refusal("./no/such.ts");
  assertStringIncludes(missing, 'Cannot load processor module "./no/such.ts": file:///');
  assertStringIncludes(missing, "/no/such.ts cannot be read: No such file");
  assertStringIncludes(await refusal("."), "is not a file; name the module itself");
});

Deno.test("other kinds of places are refused by name", () => {
  for (const place of ["ftp://example.com/p.ts", "node:fs", "blob:x"]) {
    const error = assertThrows(() => entryUrl(place), UsageError);
    assertStringIncludes(error.message, "are supported, not ");
  }
  const secret = assertThrows(() => entryUrl("https://user:secret@example.com/p.ts"), UsageError);
  assertStringIncludes(secret.message, "use --header instead");
  assert(!secret.message.includes("secret@"), secret.message);
});
