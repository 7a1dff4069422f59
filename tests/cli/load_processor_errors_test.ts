// Owns: what is said of a processor that does not load, or is none.
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { entryUrl } from "../../src/cli/load_processor/specifier.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { dataUrl, ModuleServer } from "./module_server.ts";
import { loadProcessor, refusal } from "./loading.ts";

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
