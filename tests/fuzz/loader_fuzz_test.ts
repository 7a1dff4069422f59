// Places, imports, lock files, caches, registries and modules of any content: understood, or refused by the error that is named for it.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { fetchGraph } from "../../src/cli/load_processor/graph.ts";
import { parseIntegrity } from "../../src/cli/load_processor/integrity.ts";
import { JsrRegistry } from "../../src/cli/load_processor/jsr.ts";
import { LoadError } from "../../src/cli/load_processor/load_error.ts";
import { parseLock } from "../../src/cli/load_processor/lock_file.ts";
import { checkPlace, isLoopback } from "../../src/cli/load_processor/policy.ts";
import { parseImports, rewrite } from "../../src/cli/load_processor/rewrite.ts";
import { entryUrl, importTarget } from "../../src/cli/load_processor/specifier.ts";
import { transpile } from "../../src/cli/load_processor/transpile.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { ModuleServer } from "../cli/module_server.ts";
import { anyText, magicNames } from "./bytes.ts";

const schemes = fc.constantFrom(
  ...[
    "",
    "https:",
    "http:",
    "file:",
    "data:",
    "jsr:",
    "npm:",
    "node:",
    "blob:",
    "//",
    "./",
    "C:\\",
  ],
);
const places = fc.tuple(schemes, fc.oneof(anyText, fc.webUrl(), magicNames)).map((parts) =>
  parts.join("")
);

/** What a function gives, or undefined if it refuses in the right way. */
async function orRefused<T>(
  run: () => T | Promise<T>,
  kind: new (...args: never[]) => Error = LoadError,
): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    assert(error instanceof kind, `${error}`);
    assert(error.message.length < 3_000, "the message is one that a person reads");
    return undefined;
  }
}

Deno.test("fuzz: a place is a URL or a wrong call, an import leads somewhere or is refused", async () => {
  const bases = fc.constantFrom(
    "https://example.com/a/b.ts",
    "file:///a/b.ts",
    "data:text/javascript,1",
  );
  await fc.assert(
    fc.asyncProperty(places, bases, async (place, base) => {
      await orRefused(() => entryUrl(place), UsageError);
      const target = await orRefused(() => importTarget(place, base));
      if (target?.kind === "module") new URL(target.url);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("fuzz: only hosts that are trusted pass, and http only on this machine", async () => {
  const urls = fc.oneof(fc.webUrl({ withFragments: true, withQueryParameters: true }), places)
    .filter((text) => URL.canParse(text));
  await fc.assert(
    fc.asyncProperty(urls, fc.webUrl(), async (text, importer) => {
      const url = new URL(text);
      const isAllowed = await orRefused(() => {
        checkPlace(url, new URL(importer), { hosts: ["example.com"] });
        return true;
      });
      if (!isAllowed) return;
      assertEquals(url.hostname, "example.com");
      assert(url.protocol === "https:" || isLoopback(url.hostname));
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("fuzz: a lock file is understood or refused by name; a hash means one digest", async () => {
  const hashes = fc.oneof(
    fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => `sha256-${bytes.toBase64()}`),
    anyText,
  );
  const contents = fc.oneof(
    anyText,
    fc.json(),
    fc.record({
      version: fc.constantFrom(1, 2, "1"),
      modules: fc.dictionary(fc.oneof(fc.webUrl(), magicNames), hashes),
      redirects: fc.oneof(
        fc.dictionary(fc.oneof(fc.webUrl(), magicNames), fc.oneof(fc.webUrl(), anyText)),
        fc.jsonValue(),
      ),
    }, { requiredKeys: [] }).map((value) => JSON.stringify(value)),
  );
  await fc.assert(
    fc.asyncProperty(contents, async (text) => {
      const lock = await orRefused(() => parseLock(text, "kinesix.lock"));
      for (const digest of lock?.modules.values() ?? []) assert(/^[0-9a-f]{64}$/.test(digest));
    }),
    { numRuns: 2_000 },
  );
  await fc.assert(fc.property(hashes, (text) => {
    const integrity = parseIntegrity(text);
    if (integrity) assert(/^([0-9a-f]{64}|[0-9a-f]{96})$/.test(integrity.digest));
  }));
});

Deno.test("fuzz: whatever a registry answers, a module is found or refused", async () => {
  const answers = fc.oneof(
    fc.jsonValue(),
    fc.record({
      versions: fc.dictionary(
        fc.oneof(fc.constantFrom("1.0.0", "2.0.0"), magicNames),
        fc.jsonValue(),
      ),
      exports: fc.oneof(fc.constantFrom("./mod.ts", { ".": "/../../x.ts" }), fc.jsonValue()),
      manifest: fc.dictionary(fc.constantFrom("/mod.ts", "/x"), fc.jsonValue()),
    }, { requiredKeys: [] }),
  );
  const names = fc.oneof(fc.constantFrom("jsr:@a/b", "jsr:@a/b@1", "jsr:@a/b@%41/c"), places);
  await fc.assert(
    fc.asyncProperty(answers, names, async (answer, name) => {
      const registry = new JsrRegistry(new URL("https://jsr.io/"), () => Promise.resolve(answer));
      await orRefused(() => registry.resolve(name));
      await orRefused(() => registry.checksumOf(new URL("https://jsr.io/@a/b/1.0.0/mod.ts")));
    }),
    { numRuns: 1_000 },
  );
});

/** Pieces of which modules are made, so that more than the first character is read. */
const pieces = fc.constantFrom(
  ...[
    "import ",
    "export ",
    "default ",
    "from ",
    '"./a.ts"',
    "{",
    "}",
    "(",
    ")",
    "`${",
    "}`",
    "/",
    "*",
    "<T>",
    ": ",
    "=>",
  ],
  ...[
    "await import(",
    "with { type: 'json' }",
    "class A ",
    "enum E ",
    "@d ",
    "\n",
    ";",
    "import.meta",
    ".url",
    "x",
    "#!",
    "\ufeff",
  ],
);
const sources = fc.oneof(anyText, fc.array(pieces, { maxLength: 30 }).map((list) => list.join("")));

Deno.test("fuzz: any text becomes JavaScript with the same lines, or is refused", async () => {
  const types = fc.constantFrom(
    "application/typescript",
    "text/javascript",
    "application/json",
    null,
    "text/plain",
  );
  await fc.assert(
    fc.asyncProperty(sources, types, async (source, type) => {
      const url = "https://example.com/p.ts";
      const module = await orRefused(() => transpile(url, new TextEncoder().encode(source), type));
      const parsed = module && await orRefused(() => parseImports(url, module));
      if (!parsed) return;
      const code = await rewrite(parsed, { id: "1", fileOf: () => "./1-a.mjs" });
      if (parsed.kind === "json") return assertEquals(code, parsed.text);
      assertEquals(code.split("\n").length - 2, module.text.split("\n").length);
    }),
    { numRuns: 1_500 },
  );
});

Deno.test("fuzz: whatever a server answers, a graph is loaded or refused", async () => {
  await using server = new ModuleServer();
  const header = fc.constantFrom(
    ...["text/javascript", "application/typescript", "application/json", "text/html", ";", "a/b"],
  );
  const answers = fc.record({
    status: fc.constantFrom(200, 200, 200, 204, 301, 302, 304, 400, 404, 500, 503),
    body: sources,
    type: header,
    location: fc.option(fc.oneof(fc.constant("/p.ts"), places)),
  });
  await fc.assert(
    fc.asyncProperty(answers, async ({ status, body, type, location }) => {
      server.set("/p.ts", () => {
        const headers = new Headers({ "content-type": type });
        // What no header may contain no server sends.
        if (location !== null && /^[\x21-\x7e]*$/.test(location)) headers.set("location", location);
        return new Response([204, 304].includes(status) ? null : body, { status, headers });
      });
      await orRefused(() =>
        fetchGraph(server.url("/p.ts"), { isFresh: true, limits: { timeoutMs: 5_000 } })
      );
    }),
    { numRuns: 500 },
  );
});
