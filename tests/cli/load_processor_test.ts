// Owns: from a place to a processor: the kinds of places, modules and imports that there are.
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LeaseLostError } from "../../mod.ts";
import { entryUrl } from "../../src/cli/load_processor/specifier.ts";
import { dataUrl, ModuleServer, redirect, typed } from "./module_server.ts";
import { loadProcessor, refusal, seenBy } from "./loading.ts";
import { withFolder } from "./temporary_folder.ts";

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
