// Owns: T14: a new version of the processor is found, loaded whole, and changed to between two records; a broken one is not.
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ReactoKinesixApp } from "../../mod.ts";
import { MemoryLeaseStore, MemoryStream } from "../../src/adapters/memory.ts";
import {
  type LoadedProcessor,
  startProcessor,
} from "../../src/cli/load_processor/load_processor.ts";
import { checkForNewVersion } from "../../src/cli/load_processor/new_version.ts";
import type { LoadOptions } from "../../src/cli/load_processor/options.ts";
import { ProcessorWatch } from "../../src/cli/watch_processor.ts";
import type { AppFact } from "../../src/events.ts";
import { loadProcessor } from "./loading.ts";
import { digest, ModuleServer, redirect } from "./module_server.ts";
import { ownTemporaryFolder } from "./temporary_folder.ts";

const NEVER_MS = 3_600_000;

/** A module that says which version it is of each record that it gets. */
function versioned(version: number): string {
  return `const n: number = ${version};
    export default { process: (record: { text(): string }) => globalThis.tellTest(n, record.text()) };`;
}

/** What the modules told. */
class Told implements Disposable {
  readonly seen: (readonly [version: number, text: string])[] = [];
  constructor(onRecord: (version: number) => unknown = () => {}) {
    Object.assign(globalThis, {
      tellTest: (version: number, text: string) => {
        this.seen.push([version, text]);
        return onRecord(version);
      },
    });
  }
  [Symbol.dispose](): void {
    Reflect.deleteProperty(globalThis, "tellTest");
  }
}

/** A watch without a cluster: it changes what `current` is. */
async function watching(
  place: string,
  options: LoadOptions = {},
  intervalMs = NEVER_MS,
): Promise<
  AsyncDisposable & {
    readonly watch: ProcessorWatch;
    readonly facts: AppFact[];
    readonly first: LoadedProcessor;
    call(text: string): void;
    next(type: AppFact["type"]): Promise<AppFact>;
  }
> {
  const facts: AppFact[] = [];
  const wakers = new Set<() => void>();
  const first = await loadProcessor(place, options);
  let { source } = first;
  const watch = new ProcessorWatch({
    app: {
      changeProcessor: (next) => {
        source = next;
        return Promise.resolve();
      },
    },
    first,
    intervalMs,
    check: (current, signal) => checkForNewVersion(current, { ...options, signal }),
    start: (graph) => startProcessor(graph, options),
    tell: (fact) => {
      facts.push(fact);
      wakers.forEach((wake) => wake());
    },
  });
  return {
    watch,
    facts,
    first,
    call: (text) => {
      const { process } = source as unknown as { process(record: { text(): string }): void };
      process({ text: () => text });
    },
    async next(type) {
      const from = facts.length;
      while (true) {
        const fact = facts.slice(from).find((fact) => fact.type === type);
        if (fact) return fact;
        await new Promise<void>((resolve) => wakers.add(resolve));
      }
    },
    [Symbol.asyncDispose]: () => watch[Symbol.asyncDispose](),
  };
}

Deno.test("T14: nothing is fetched while tags stay the same, and nothing changes", async () => {
  await using server = new ModuleServer({
    "/p.ts": `import "./a.ts"; export default { process() {} };`,
    "/a.ts": "export const a = 1;",
  });
  const loaded = await loadProcessor(server.url("/p.ts"));
  assertEquals(await checkForNewVersion(loaded), null);
  assertEquals(server.headers("if-none-match").map((tag) => tag !== null), [
    false,
    false,
    true,
    true,
  ]);
  server.set("/a.ts", "export const a = 2;");
  const graph = await checkForNewVersion(loaded);
  assert(graph !== null && graph.version !== loaded.version);
  await loaded.dispose();
});

Deno.test("T14: a redirect that leads elsewhere, a file that is written, and a new version of a package are changes", async () => {
  const source = "export default { process: () => 1 };";
  const published = JSON.stringify({
    exports: "./mod.js",
    manifest: { "/mod.js": { checksum: `sha256-${await digest(source)}` } },
  });
  await using server = new ModuleServer({
    "/latest.js": redirect("/v1.js"),
    "/v1.js": source,
    // The same content, but what it imports would begin elsewhere.
    "/there/v2.js": source,
  });
  await using registry = new ModuleServer({
    "/@a/b/meta.json": JSON.stringify({ versions: { "1.0.0": {} } }),
    "/@a/b/1.0.0_meta.json": published,
    "/@a/b/1.0.0/mod.js": source,
    "/@a/b/1.1.0_meta.json": published,
    "/@a/b/1.1.0/mod.js": source,
  });
  const options = { jsrUrl: registry.url("/") };
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(file, "export default { process: (): number => 1 };");
  const places = [server.url("/latest.js"), file, "jsr:@a/b@1"];
  const loaded = await Promise.all(places.map((place) => loadProcessor(place, options)));
  for (const one of loaded) assertEquals(await checkForNewVersion(one, options), null);
  assertEquals(registry.paths.filter((path) => path === "/@a/b/1.0.0/mod.js").length, 1);
  assertEquals(server.headers("if-none-match").filter((tag) => tag !== null).length, 1);
  server.set("/latest.js", redirect("/there/v2.js"));
  await Deno.writeTextFile(file, "export default { process: (): number => 2 };");
  registry.set("/@a/b/meta.json", JSON.stringify({ versions: { "1.0.0": {}, "1.1.0": {} } }));
  for (const one of loaded) assert(await checkForNewVersion(one, options) !== null, one.place);
  await Promise.all(loaded.map((one) => one.dispose()));
  await Deno.remove(file);
});

Deno.test("T14: one half of a new version is no version, and the cache does not hide that", async () => {
  await using server = new ModuleServer({
    "/p.ts": `import "./a.ts"; export default { process() {} };`,
    "/a.ts": "export const a = 1;",
  });
  const cacheDir = await Deno.makeTempDir();
  const loaded = await loadProcessor(server.url("/p.ts"), { cacheDir });
  server.set("/p.ts", `import "./a.ts"; export default { process: () => 2 };`);
  // It goes away after the look, before the whole is fetched.
  let isFirst = true;
  server.set("/a.ts", () => {
    const status = isFirst ? 304 : 503;
    isFirst = false;
    return new Response(null, { status });
  });
  await assertRejects(
    () => checkForNewVersion(loaded, { cacheDir }),
    Error,
    "/a.ts answered 503 Service Unavailable",
  );
  await loaded.dispose();
  await Deno.remove(cacheDir, { recursive: true });
});

Deno.test("T14: a broken new version leaves the old one at work, is told once, and is tried again when asked", async () => {
  using told = new Told();
  await using server = new ModuleServer({ "/p.ts": versioned(1) });
  await using one = await watching(server.url("/p.ts"));
  const broken: readonly (readonly [string, string])[] = [
    ["throw new Error('not today')", "not today"],
    ["export default {", "is not valid"],
    ["export default 5", "it is a number"],
    ['import "./gone.ts"; export default { process() {} }', "/gone.ts answered 404"],
  ];
  for (const [source, expected] of broken) {
    server.set("/p.ts", source);
    one.watch.lookNow();
    const fact = await one.next("processor_kept");
    assert(fact.type === "processor_kept");
    assertEquals(fact.version, one.first.version);
    assertStringIncludes(fact.error.message, expected);
    one.call("still");
  }
  assertEquals(told.seen, broken.map(() => [1, "still"]));
  server.set("/p.ts", versioned(2));
  one.watch.lookNow();
  const fact = await one.next("processor_loaded");
  assert(fact.type === "processor_loaded" && fact.version !== one.first.version);
  one.call("new");
  assertEquals(told.seen.at(-1), [2, "new"]);
});

Deno.test("T14: a version that does not start is not tried again and again", async () => {
  const counts = { starts: 0 };
  Object.assign(globalThis, { countsOfTest: counts });
  await using server = new ModuleServer({ "/p.js": "export default { process() {} };" });
  await using one = await watching(server.url("/p.js"), {}, 20);
  server.set("/p.js", "countsOfTest.starts += 1; throw new Error('no ' + countsOfTest.starts);");
  await one.next("processor_kept");
  const asked = server.requests.length;
  while (server.requests.length < asked + 6) await delay(10);
  assertEquals(counts.starts, 1);
  one.watch.lookNow();
  await one.next("processor_kept");
  assertEquals(counts.starts, 2);
  Reflect.deleteProperty(globalThis, "countsOfTest");
});

Deno.test("T14: a look leaves nothing behind for the next ones to add to", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let listeners = 0;
  const { addEventListener, removeEventListener } = AbortSignal.prototype;
  let looks = 0;
  Object.assign(AbortSignal.prototype, {
    addEventListener(this: AbortSignal, ...args: Parameters<typeof addEventListener>) {
      listeners += 1;
      return addEventListener.apply(this, args);
    },
    removeEventListener(this: AbortSignal, ...args: Parameters<typeof removeEventListener>) {
      listeners -= 1;
      return removeEventListener.apply(this, args);
    },
  });
  try {
    const first = await loadProcessor("data:text/javascript,export default { process() {} }");
    const before = listeners;
    await using _ = new ProcessorWatch({
      app: { changeProcessor: () => Promise.resolve() },
      first,
      intervalMs: 1,
      check: () => {
        looks += 1;
        if (looks === 20) resolve();
        return Promise.resolve(null);
      },
      start: (graph) => startProcessor(graph),
      tell: () => {},
    });
    await promise;
    assert(listeners - before <= 2, `${listeners - before} listeners after 20 looks`);
  } finally {
    for (const name of ["addEventListener", "removeEventListener"] as const) {
      Reflect.deleteProperty(AbortSignal.prototype, name);
    }
  }
});

Deno.test("T14: a source that is down is told once; when it is back nothing needs to happen", async () => {
  const options = { limits: { timeoutMs: 5_000 } };
  const server = new ModuleServer({
    "/p.js": versioned(1).replaceAll(/: (number|\{[^}]*\})/g, ""),
  });
  await using one = await watching(server.url("/p.js"), options, 20);
  await server[Symbol.asyncDispose]();
  await one.next("processor_kept");
  await delay(200);
  assertEquals(one.facts.length, 1, JSON.stringify(one.facts));
  await using again = new ModuleServer(Object.fromEntries(server.answers), server.port);
  while (again.requests.length < 3) await delay(10);
  assertEquals(one.facts.length, 1);
});

/** The heap after a collection, in bytes. */
function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  assert(typeof collect === "function");
  collect();
  collect();
  return Deno.memoryUsage().heapUsed;
}

const SWAPS = 200;
const RECORDS = 4_000;
/** The runtime never forgets a module, so each version costs about what its text and its functions take. */
const GROWTH_MAX_BYTES = 60_000;

Deno.test(`T14: ${SWAPS} swaps in a row lose no record, process none twice, and cost a bounded heap`, async () => {
  using told = new Told(() => delay(1));
  await using server = new ModuleServer({ "/p.ts": versioned(0) });
  const stream = new MemoryStream({ shards: 4 });
  for (let n = 0; n < RECORDS; n++) stream.put(`key-${n}`, String(n));
  await using folder = await ownTemporaryFolder();
  const place = server.url("/p.ts");
  const first = await loadProcessor(place);
  const app = await ReactoKinesixApp.createNew({
    appName: "Swaps",
    streamName: "S",
    workerId: "W",
    processor: first.source,
    ports: { store: new MemoryLeaseStore(), source: stream },
  });
  let onLoaded = (): void => {};
  const watch = new ProcessorWatch({
    app,
    first,
    intervalMs: NEVER_MS,
    check: (current, signal) => checkForNewVersion(current, { signal }),
    start: (graph) => startProcessor(graph),
    tell: (fact) => {
      assertEquals(fact.type, "processor_loaded", JSON.stringify(fact));
      onLoaded();
    },
  });
  let heapBefore = 0;
  for (let version = 1; version <= SWAPS; version++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    onLoaded = resolve;
    server.set("/p.ts", versioned(version));
    watch.lookNow();
    await promise;
    if (version === 20) heapBefore = heapBytes();
  }
  const growth = (heapBytes() - heapBefore) / (SWAPS - 20);
  while (told.seen.length < RECORDS) await delay(10);
  for (let i = 0; i < 200 && (await folder.names()).length > 1; i++) await delay(10);
  assertEquals((await folder.names()).length, 1, "the files of old versions are gone");
  await app.stop();
  await watch[Symbol.asyncDispose]();
  assertEquals((await folder.names()).length, 0);
  const numbers = told.seen.map(([, text]) => Number(text)).sort((a, b) => a - b);
  assertEquals(numbers, Array.from({ length: RECORDS }, (_, n) => n));
  const versions = new Set(told.seen.map(([version]) => version));
  assert(versions.size > SWAPS / 4, `${versions.size} versions got records`);
  assert(growth < GROWTH_MAX_BYTES, `${Math.round(growth)} bytes of heap for each swap`);
});
