import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { loadProcessor, processorUrl } from "../../src/cli/load_processor.ts";
import { UsageError } from "../../src/cli/usage_error.ts";

function dataUrl(source: string): string {
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

Deno.test("a processor loads from a path, a file: URL and a data: URL", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/a processor #1.ts`;
    await Deno.writeTextFile(path, "export default { process(_: unknown): void {} };");
    for (const place of [path, processorUrl(path).href]) {
      const processor = await loadProcessor(place);
      assert(typeof processor === "object" && typeof processor.process === "function");
    }
    const relative = await loadProcessor(dataUrl("export default { processBatch() {} }"));
    assert(typeof relative === "object" && typeof relative.processBatch === "function");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a relative path is one from the current folder", () => {
  assertEquals(
    processorUrl("x/y.ts").href,
    `file://${Deno.cwd()}/x/y.ts`,
  );
});

Deno.test("a factory is asked for each shard, and what it returns is checked", async () => {
  const good = await loadProcessor(
    dataUrl("export default async (shardId) => ({ process() {}, shardId })"),
  );
  assert(typeof good === "function");
  assertEquals((await good("shard-1") as { shardId?: string }).shardId, "shard-1");

  const bad = await loadProcessor(dataUrl("export default () => ({ proces() {} })"));
  assert(typeof bad === "function");
  const error = await assertRejects(async () => await bad("shard-1"), TypeError);
  assertStringIncludes(error.message, "what the factory of");
  assertStringIncludes(error.message, 'it has "proces"');
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
  ["import 'file:///no/such/module.js'", "Cannot load processor module"],
];

for (const [source, expected] of WRONG_MODULES) {
  Deno.test(`a module that is no processor says why: ${source || "empty"}`, async () => {
    const error = await assertRejects(() => loadProcessor(dataUrl(source)));
    assertStringIncludes(error.message, expected);
    assert(!(error instanceof UsageError));
  });
}

Deno.test("a file that is not there, or is a folder, says so", async () => {
  const missing = await assertRejects(() => loadProcessor("./no/such.ts"));
  assertStringIncludes(
    missing.message,
    'Cannot load processor module "./no/such.ts": No such file',
  );
  const folder = await assertRejects(() => loadProcessor("."));
  assertStringIncludes(folder.message, "it is not a file");
});

Deno.test("other kinds of places are refused by name", () => {
  for (const place of ["https://example.com/p.ts", "npm:p", "jsr:@a/b", "http://a/b"]) {
    const error = assertThrows(() => processorUrl(place), UsageError);
    assertStringIncludes(error.message, "only a path, file: and data: are supported, not ");
  }
});
