// Owns: what a processor may be loaded from, what it must be, and what stands in for a source that is down.
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { fetchGraph } from "../../src/cli/load_processor/graph.ts";
import { parseIntegrity } from "../../src/cli/load_processor/integrity.ts";
import { loadProcessor } from "../../src/cli/load_processor/load_processor.ts";
import type { LoadOptions } from "../../src/cli/load_processor/options.ts";
import { checkPlace, checkRedirect } from "../../src/cli/load_processor/policy.ts";
import { digest, ModuleServer, redirect, typed } from "./module_server.ts";

/** Sets this when it is evaluated, which nothing that is refused may be. */
const EVALUATED = `(globalThis as any).wasEvaluated = true;`;
const PROCESSOR = "export default { process: () => 1 };";

async function refusal(place: string, options: LoadOptions = {}): Promise<string> {
  const error = await assertRejects(() => loadProcessor(place, options), Error);
  assert(!("wasEvaluated" in globalThis), "something ran before everything was checked");
  return error.message;
}

async function load(place: string, options: LoadOptions = {}): Promise<void> {
  await (await loadProcessor(place, options)).dispose();
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("T9: http is for this machine alone, https for the hosts that are trusted", () => {
  const trust = { hosts: ["example.com", "cdn.example.com:8443", "localhost:80"] };
  const at = (url: string, importer: string | null = null) =>
    checkPlace(new URL(url), importer === null ? null : new URL(importer), {
      hosts: [...trust.hosts, "localhost", "127.0.0.1", "[::1]", "127.9.9.9"],
    });
  at("https://example.com/p.ts");
  at("https://example.com:444/p.ts");
  at("https://cdn.example.com:8443/p.ts");
  for (const host of ["localhost:1", "127.0.0.1:1", "127.9.9.9", "[::1]:1"]) {
    at(`http://${host}/p.ts`);
  }
  const refused: readonly (readonly [string, string | null, string])[] = [
    ["http://example.com/p.ts", null, "use https:"],
    ["http://localhost.example.com/p.ts", null, "use https:"],
    ["http://127.0.0.1.example.com/p.ts", null, "use https:"],
    ["https://other.example.com/p.ts", null, "add --allow-host other.example.com"],
    ["https://example.com.evil.org/p.ts", null, "add --allow-host example.com.evil.org"],
    ["https://cdn.example.com/p.ts", null, "add --allow-host cdn.example.com"],
    ["https://user:secret@example.com/p.ts", null, "use --header instead"],
    ["file:///etc/passwd", "https://example.com/p.ts", "may not import file: URLs"],
    ["data:text/javascript,1", "http://localhost:1/p.ts", "may not import data: URLs"],
    ["blob:https://example.com/1", "https://example.com/p.ts", "there are no modules at blob:"],
  ];
  for (const [url, importer, expected] of refused) {
    const error = assertThrows(() => at(url, importer), Error, expected);
    assert(!error.message.includes("secret@"), error.message);
  }
});

Deno.test("a host with a port is that port, also when it is the usual one; the port of the processor is one", async () => {
  const at = (url: string, ...hosts: string[]) => checkPlace(new URL(url), null, { hosts });
  at("https://example.com/p.ts", "example.com:443");
  at("http://127.0.0.1/p.ts", "127.0.0.1:80");
  assertThrows(() => at("https://example.com:444/p.ts", "example.com:443"), Error, "--allow-host");
  await using server = new ModuleServer({
    "/p.js": `import "https://example.com:8443/a.js"; ${PROCESSOR}`,
  });
  const jsrUrl = "https://example.com/";
  assertStringIncludes(
    await refusal(server.url("/p.js"), { jsrUrl }),
    "add --allow-host example.com:8443",
  );
});

Deno.test("T3: a redirect may not leave https, nor the hosts that are trusted", () => {
  const trust = { hosts: ["example.com", "localhost"] };
  const go = (from: string, to: string) => checkRedirect(new URL(from), new URL(to), trust);
  go("https://example.com/a", "https://example.com/b");
  go("http://localhost/a", "https://example.com/b");
  assertThrows(
    () => go("https://example.com/a", "http://example.com/a"),
    Error,
    "away from https:",
  );
  assertThrows(() => go("https://example.com/a", "http://localhost/a"), Error, "away from https:");
  assertThrows(
    () => go("https://example.com/a", "https://evil.org/"),
    Error,
    "--allow-host evil.org",
  );
  assertThrows(
    () => go("https://example.com/a", "file:///etc/passwd"),
    Error,
    "may not import file:",
  );
});

Deno.test("T3: a host that is not on the list is refused, also behind a redirect or an import", async () => {
  await using other = new ModuleServer({ "/p.ts": PROCESSOR });
  await using server = new ModuleServer({
    "/import.ts": `import "${other.url("/p.ts")}"; ${EVALUATED} ${PROCESSOR}`,
    "/away.ts": redirect(other.url("/p.ts")),
    "/file.ts": `import "file:///etc/hostname"; ${EVALUATED} ${PROCESSOR}`,
  });
  for (const path of ["/import.ts", "/away.ts"]) {
    const message = await refusal(server.url(path));
    assertStringIncludes(
      message,
      `${other.url("/p.ts")} is refused: ${other.host} is not among the hosts`,
    );
    assertStringIncludes(message, `add --allow-host ${other.host}`);
  }
  assertEquals(other.requests, []);
  await load(server.url("/away.ts"), { allowedHosts: [other.host] });
  assertStringIncludes(
    await refusal(server.url("/file.ts")),
    `a module from ${server.host} may not import file:`,
  );
});

Deno.test("a module from elsewhere cannot reach into this machine, not even for what is loaded already", async () => {
  await withFolder(async (folder) => {
    const own = new URL(`file://${folder}/own.js`).href;
    await using server = new ModuleServer({
      "/static.js": `import "${own}"; ${EVALUATED}`,
      "/late.js": `export const answer = import("${own}").catch((error) => error.message);`,
      "/data.js": `import "data:text/javascript,1"; ${EVALUATED}`,
    });
    await Deno.writeTextFile(`${folder}/own.js`, "export const secret = 1;");
    const allowedHosts = [server.host];
    const processorOf = async (path: string): Promise<string> => {
      await Deno.writeTextFile(
        `${folder}/p.js`,
        `import "./own.js"; import * as other from "${server.url(path)}";
          export default { process: () => other.answer };`,
      );
      return `${folder}/p.js`;
    };
    for (
      const [path, kind] of [["/static.js", "file:"], ["/late.js", "file:"], [
        "/data.js",
        "data:",
      ]] as const
    ) {
      assertStringIncludes(
        await refusal(await processorOf(path), { allowedHosts }),
        `a module from ${server.host} may not import ${kind} URLs`,
      );
    }
    server.set(
      "/late.js",
      `export const answer = import("${own.slice(0, -1)}" + "s").catch((error) => error.message);`,
    );
    const loaded = await loadProcessor(await processorOf("/late.js"), { allowedHosts });
    const { process } = loaded.source as unknown as { process(): Promise<string> };
    assertStringIncludes(await process(), "may not import file: URLs");
    await loaded.dispose();
  });
});

Deno.test("a header goes to the origin of the entry alone, and no message shows it", async () => {
  const headers = { authorization: "Bearer hunter2" };
  await using other = new ModuleServer({ "/a.ts": "export const a = 1;" });
  await using server = new ModuleServer();
  server.set("/p.ts", (request) => {
    const isKnown = request.headers.get("authorization") === "Bearer hunter2";
    const body = `import "${other.url("/a.ts")}"; ${PROCESSOR}`;
    return new Response(body, {
      status: isKnown ? 200 : 401,
      headers: { "content-type": "application/typescript" },
    });
  });
  server.set("/away.ts", redirect(other.url("/p.ts")));
  const allowedHosts = [other.host];
  await load(server.url("/p.ts"), { headers, allowedHosts });
  assertEquals(other.headers("authorization"), [null]);
  assertStringIncludes(
    await refusal(server.url("/p.ts")),
    "answered 401 Unauthorized; give --header",
  );
  for (const path of ["/away.ts", "/gone.ts"]) {
    const message = await refusal(server.url(path), { headers, allowedHosts });
    assert(!message.includes("hunter2"), message);
  }
  assertEquals(other.headers("authorization"), [null, null]);
});

Deno.test("T10: an entry that does not have the hash that was given is refused before it runs", async () => {
  await using server = new ModuleServer({ "/p.js": PROCESSOR });
  const hex = await digest(PROCESSOR);
  const base64 = Uint8Array.fromHex(hex).toBase64();
  const bytes = new TextEncoder().encode(PROCESSOR);
  const sha384 = new Uint8Array(await crypto.subtle.digest("SHA-384", bytes)).toBase64();
  for (const integrity of [`sha256-${hex}`, `sha256-${base64}`, `sha384-${sha384}`]) {
    await load(server.url("/p.js"), { integrity });
  }
  server.set("/p.js", `globalThis.wasEvaluated = true; ${PROCESSOR}`);
  for (const integrity of [`sha256-${base64}`, `sha384-${sha384}`]) {
    const message = await refusal(server.url("/p.js"), { integrity });
    assertStringIncludes(message, "is not what --integrity says: its hash is sha");
    assertStringIncludes(message, `not ${integrity}`);
  }
  for (
    const wrong of ["md5-abc", "sha256-", "sha256-abc", `sha256-${base64}=`, `sha384-${base64}`]
  ) {
    assertEquals(parseIntegrity(wrong), undefined, wrong);
  }
});

Deno.test("T10: with a lock file, a module that changed is refused with its chain, one that is new only when it is frozen", async () => {
  await using server = new ModuleServer({
    "/p.ts": `import "./a.ts"; ${EVALUATED} ${PROCESSOR}`,
    "/a.ts": "export const a = 1;",
    "/new.ts": "export const b = 2;",
    "/latest.ts": redirect("/p.ts"),
  });
  await withFolder(async (folder) => {
    const path = `${folder}/kinesix.lock`;
    const place = server.url("/latest.ts");
    assertStringIncludes(await refusal(place, { lock: { path } }), "--lock-write makes it");
    await fetchGraph(place, { lock: { path, isWritten: true } });
    assertEquals(JSON.parse(await Deno.readTextFile(path)), {
      version: 1,
      redirects: { [server.url("/latest.ts")]: server.url("/p.ts") },
      modules: Object.fromEntries(
        await Promise.all(["/a.ts", "/p.ts"].map(async (name) => {
          const hash = Uint8Array.fromHex(await digest(String(server.answers.get(name))));
          return [server.url(name), `sha256-${hash.toBase64()}`];
        })),
      ),
    });
    await fetchGraph(place, { lock: { path, isFrozen: true } });

    server.set("/a.ts", "export const a = 2;");
    const changed = await refusal(place, { lock: { path } });
    assertStringIncludes(changed, `/a.ts is not the module that --lock "${path}" knows`);
    assertStringIncludes(changed, "make the file anew with --lock-write");
    assertStringIncludes(changed, `\n  imported by ${server.url("/p.ts")}:1:1`);

    // Also when nothing but an import() needs it.
    server.set("/p.ts", `import("./b.ts"); ${EVALUATED} ${PROCESSOR}`);
    server.set("/b.ts", "export const b = 1;");
    const late = { path: `${folder}/late.lock` };
    await fetchGraph(place, { lock: { ...late, isWritten: true } });
    server.set("/b.ts", "export const b = 2;");
    assertStringIncludes(
      await refusal(place, { lock: late }),
      "/b.ts is not the module that --lock",
    );
    server.set("/p.ts", `import "./a.ts"; ${EVALUATED} ${PROCESSOR}`);

    // A redirect that is locked is not asked for again.
    server.set("/a.ts", "export const a = 1;");
    server.set("/latest.ts", redirect("/elsewhere.ts"));
    await fetchGraph(place, { lock: { path, isFrozen: true } });

    await using more = new ModuleServer({
      "/p.ts": `import "${server.url("/new.ts")}"; ${EVALUATED} ${PROCESSOR}`,
    });
    const allowedHosts = [server.host];
    await fetchGraph(more.url("/p.ts"), { lock: { path }, allowedHosts });
    const unknown = await refusal(more.url("/p.ts"), {
      lock: { path, isFrozen: true },
      allowedHosts,
    });
    assertStringIncludes(
      unknown,
      `/p.ts is not in --lock "${path}", and --frozen allows nothing else`,
    );
  });
});

Deno.test("T10: a module of the lock file cannot be replaced by another one of it, nor can a redirect be new", async () => {
  await using server = new ModuleServer({
    "/p.ts": `import "./check.ts"; import "./nothing.ts"; ${EVALUATED} ${PROCESSOR}`,
    "/check.ts": "export const check = true;",
    "/nothing.ts": "export const nothing = true;",
  });
  await withFolder(async (folder) => {
    const path = `${folder}/kinesix.lock`;
    const place = server.url("/p.ts");
    await fetchGraph(place, { lock: { path, isWritten: true } });
    server.set("/check.ts", redirect("/nothing.ts"));
    for (const isFrozen of [false, true]) {
      assertStringIncludes(
        await refusal(place, { lock: { path, isFrozen } }),
        `/check.ts is a module in --lock "${path}", and redirects to ${server.url("/nothing.ts")}`,
      );
    }
    server.set("/other.ts", redirect("/p.ts"));
    server.set("/check.ts", "export const check = true;");
    await fetchGraph(server.url("/other.ts"), { lock: { path } });
    assertStringIncludes(
      await refusal(server.url("/other.ts"), { lock: { path, isFrozen: true } }),
      "/other.ts is not in --lock",
    );
  });
});

Deno.test("T10: with --frozen a computed import() reaches no package of npm either", async () => {
  await using server = new ModuleServer({
    "/p.js": `const name = ["npm:", "semver"].join("");
      export default { process: () => import(name) };`,
  });
  await withFolder(async (folder) => {
    const path = `${folder}/kinesix.lock`;
    await fetchGraph(server.url("/p.js"), { lock: { path, isWritten: true } });
    const loaded = await loadProcessor(server.url("/p.js"), { lock: { path, isFrozen: true } });
    const { process } = loaded.source as unknown as { process(): Promise<unknown> };
    await assertRejects(process, Error, "npm packages are not in the lock file");
    await loaded.dispose();
  });
});

Deno.test("T10: what is imported later must be in the lock file too, and is written into it", async () => {
  await using server = new ModuleServer({
    "/p.js":
      `export default { process: (name) => import(name).then((m) => m.n, (e) => e.message) };`,
    "/late.js": "export const n = 1;",
    "/other.js": "export const n = 2;",
  });
  await withFolder(async (folder) => {
    const path = `${folder}/kinesix.lock`;
    const call = async (lock: LoadOptions["lock"], name: string): Promise<unknown> => {
      const loaded = await loadProcessor(server.url("/p.js"), lock && { lock });
      const { process } = loaded.source as unknown as { process(name: string): Promise<unknown> };
      const answer = await process(name);
      await loaded.dispose();
      return answer;
    };
    assertEquals(await call({ path, isWritten: true }, "./late.js"), 1);
    assertEquals(await call({ path, isFrozen: true }, "./late.js"), 1);
    assertStringIncludes(
      String(await call({ path, isFrozen: true }, "./other.js")),
      "/other.js is not in --lock",
    );
    server.set("/late.js", "export const n = 3;");
    assertStringIncludes(
      String(await call({ path }, "./late.js")),
      "/late.js is not the module that --lock",
    );
  });
});

const SLOW = "slow";

Deno.test("T11: size, number and time of modules are limited", async () => {
  const stuck = Promise.withResolvers<void>();
  await using server = new ModuleServer({
    // Without a content-length, for ever.
    "/endless.js": () =>
      new Response(
        new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1_000)) }),
        { headers: { "content-type": "text/javascript" } },
      ),
    "/many.js": `import "./n/0.js"; ${PROCESSOR}`,
    "/two.js": `import "./one.js"; ${PROCESSOR}`,
    "/one.js": `export const text = "${"x".repeat(1_000)}";`,
    "/stuck.js": () => stuck.promise.then(() => new Response(SLOW)),
  });
  for (let n = 0; n < 20; n++) server.set(`/n/${n}.js`, `import "./${n + 1}.js";`);
  assertStringIncludes(
    await refusal(server.url("/endless.js"), { limits: { moduleBytesMax: 5_000 } }),
    "/endless.js has more than 5000 bytes, the most that a module may have; keep data out of it",
  );
  assertStringIncludes(
    await refusal(server.url("/two.js"), { limits: { graphBytesMax: 500 } }),
    "/one.js makes it more than 500 bytes, the most that a processor may have",
  );
  assertStringIncludes(
    await refusal(server.url("/many.js"), { limits: { modulesMax: 10 } }),
    "it has more than 10 modules, the most that a processor may have",
  );
  assertStringIncludes(
    await refusal(server.url("/stuck.js"), { limits: { timeoutMs: 100 } }),
    "/stuck.js cannot be reached: the time for loading is over (100 ms); see --load-timeout",
  );
  stuck.resolve();
});

Deno.test("loading can be given up", async () => {
  const stuck = Promise.withResolvers<void>();
  await using server = new ModuleServer({
    "/p.js": () => stuck.promise.then(() => new Response(SLOW)),
  });
  const controller = new AbortController();
  const loading = loadProcessor(server.url("/p.js"), { signal: controller.signal });
  controller.abort(new Error("stop now"));
  await assertRejects(() => loading, Error, "stop now");
  stuck.resolve();
});

Deno.test("a cache stands in for a source that is down, not for one that says no, and is verified", async () => {
  await withFolder(async (folder) => {
    const cacheDir = `${folder}/cache`;
    const modules = {
      "/p.ts":
        `import "./a.ts"; export default { process: () => import("./" + "late.ts").then((m) => m.n) };`,
      "/a.ts": "export const a = 1;",
      "/late.ts": "export const n = 9;",
    };
    const server = new ModuleServer(modules);
    const place = server.url("/p.ts");
    const first = await loadProcessor(place, { cacheDir });
    const { process } = first.source as unknown as { process(): Promise<unknown> };
    assertEquals([await process(), first.standInFor], [9, null]);
    await first.dispose();
    if (Deno.build.os !== "windows") {
      assertEquals((await Deno.stat(cacheDir)).mode ?? 0, 0o40700);
      for await (const { name } of Deno.readDir(cacheDir)) {
        assertEquals((await Deno.stat(`${cacheDir}/${name}`)).mode ?? 0, 0o100600, name);
      }
    }
    const asked = server.requests.length;
    await load(place, { cacheDir });
    assert(
      server.headers("if-none-match").slice(asked).every((tag) => tag !== null),
      "what is known is asked for by its tag",
    );

    server.set("/p.ts", () => new Response("no", { status: 404 }));
    assertStringIncludes(await refusal(place, { cacheDir }), "answered 404");
    // One half of a new version is worse than the whole old one.
    server.set("/p.ts", `import "./a.ts"; export default { process: () => "half" };`);
    server.set("/a.ts", () => new Response("trouble", { status: 503 }));
    const half = await loadProcessor(place, { cacheDir });
    assertEquals(half.version, first.version);
    assertStringIncludes(half.standInFor ?? "", "/a.ts answered 503 Service Unavailable");
    await half.dispose();
    await server[Symbol.asyncDispose]();

    const down = await loadProcessor(place, { cacheDir });
    const { process: fromCache } = down.source as unknown as { process(): Promise<unknown> };
    assertEquals(await fromCache(), 9, "what was imported later is there too");
    assertStringIncludes(down.standInFor ?? "", "/p.ts cannot be reached");
    assertEquals(down.modules.map(({ isFromCache }) => isFromCache), [true, true]);
    await down.dispose();

    // The source is back with something new: what runs from the cache goes on with what fits to it.
    const stillDown = await loadProcessor(place, { cacheDir });
    const { process: old } = stillDown.source as unknown as { process(): Promise<unknown> };
    {
      await using _ = new ModuleServer({ "/late.ts": "export const n = 10;" }, server.port);
      assertEquals(await old(), 9);
    }
    await stillDown.dispose();
    await load(place, { cacheDir, isOffline: true });
    assertStringIncludes(
      await refusal(place, { isOffline: true }),
      "--offline allows nothing else",
    );
    assertStringIncludes(await refusal(place), "/p.ts cannot be reached");

    for await (const { name } of Deno.readDir(cacheDir)) {
      if (name.endsWith(".module")) await Deno.writeTextFile(`${cacheDir}/${name}`, EVALUATED);
    }
    assertStringIncludes(
      await refusal(place, { cacheDir, isOffline: true }),
      "is not in the cache",
    );
    assertStringIncludes(await refusal(place, { cacheDir }), "/p.ts cannot be reached");
    await Deno.chmod(cacheDir, 0o777);
    assertStringIncludes(
      await refusal(place, { cacheDir }),
      "other users could change what is in it",
    );
  });
});

/** A registry with one package in two versions, of which the second is broken off. */
async function registry(server: ModuleServer): Promise<void> {
  const files = {
    "/mod.ts": `export { n } from "./n.ts"; export { default } from "./p.ts";`,
    "/p.ts": `import { n } from "./n.ts"; import { s } from "jsr:@other/small@1/sub";
      export default { process: (): unknown => [n, s, import.meta.url] };`,
    "/n.ts": "export const n: number = 5;",
  };
  const manifest = Object.fromEntries(
    await Promise.all(
      Object.entries(files).map(async ([path, text]) =>
        [path, { size: text.length, checksum: `sha256-${await digest(text)}` }] as const
      ),
    ),
  );
  for (const [path, text] of Object.entries(files)) {
    server.set(`/@orders/billing/1.2.3${path}`, text);
  }
  const json = (value: unknown) => JSON.stringify(value);
  server.set(
    "/@orders/billing/meta.json",
    json({
      scope: "orders",
      name: "billing",
      latest: "2.0.0-rc.1",
      versions: { "1.2.3": {}, "1.9.0": { yanked: true }, "1.0.0": {}, "2.0.0-rc.1": {} },
    }),
  );
  server.set(
    "/@orders/billing/1.2.3_meta.json",
    json({ exports: { ".": "./mod.ts", "./p": "./p.ts" }, manifest }),
  );
  const sub = "export const s = 'sub';";
  server.set("/@other/small/meta.json", json({ versions: { "1.0.0": {} } }));
  server.set(
    "/@other/small/1.0.0_meta.json",
    json({
      exports: { "./sub": "./sub.js" },
      manifest: { "/sub.js": { size: sub.length, checksum: `sha256-${await digest(sub)}` } },
    }),
  );
  server.set("/@other/small/1.0.0/sub.js", sub);
}

Deno.test("what is in the cache must come from a host that is trusted today, and the folder must be one's own", async () => {
  await using other = new ModuleServer({ "/a.js": "export const a = 1;" });
  await using server = new ModuleServer({
    "/p.js": `import "./a.js"; ${PROCESSOR}`,
    "/a.js": redirect(other.url("/a.js")),
  });
  await withFolder(async (cacheDir) => {
    const options = { cacheDir, isOffline: true };
    await load(server.url("/p.js"), { cacheDir, allowedHosts: [other.host] });
    await load(server.url("/p.js"), { ...options, allowedHosts: [other.host] });
    assertStringIncludes(await refusal(server.url("/p.js"), options), `${other.host} is not among`);
    if (Deno.uid() !== 0) return;
    await Deno.chown(cacheDir, 12_345, null);
    assertStringIncludes(
      await refusal(server.url("/p.js"), { cacheDir, allowedHosts: [other.host] }),
      "other users could change what is in it",
    );
  });
});

Deno.test("T5: what follows a question mark does not save a module of a package from its checksum; odd names are refused by name", async () => {
  const registry = new ModuleServer({
    "/@a/b/meta.json": JSON.stringify({ versions: { "1.0.0": {} } }),
    "/@a/b/1.0.0_meta.json": JSON.stringify({
      exports: "./mod.js",
      manifest: {
        "/mod.js": { checksum: `sha256-${await digest(`import "./a.js?x"; ${PROCESSOR}`)}` },
        "/a.js": { checksum: `sha256-${"0".repeat(64)}` },
      },
    }),
    "/@a/b/1.0.0/mod.js": `import "./a.js?x"; ${PROCESSOR}`,
    "/@a/b/1.0.0/a.js": EVALUATED,
  });
  await using _ = registry;
  const options = { jsrUrl: registry.url("/") };
  assertStringIncludes(await refusal("jsr:@a/b", options), "a.js?x is not what was published");
  assertStringIncludes(await refusal("jsr:@a/b@%E0%A4%A", options), "is no range of versions");
  registry.set("/p.constructor", typed(PROCESSOR, "text/plain"));
  assertStringIncludes(
    await refusal(registry.url("/p.constructor")),
    "its content type is text/plain",
  );
});

Deno.test("T5: jsr: modules come from the registry, in the highest version of the range, and are what was published", async () => {
  await using server = new ModuleServer();
  await registry(server);
  const jsrUrl = server.url("/");
  const expected = [5, "sub", server.url("/@orders/billing/1.2.3/p.ts")];
  for (
    const place of ["jsr:@orders/billing@^1", "jsr:@orders/billing@1.2/p", "jsr:/@orders/billing"]
  ) {
    const loaded = await loadProcessor(place, { jsrUrl });
    const { process } = loaded.source as unknown as { process(): unknown };
    assertEquals(process(), expected, place);
    await loaded.dispose();
  }
  await withFolder(async (folder) => {
    const lock = { path: `${folder}/lock`, isWritten: true };
    await load("jsr:@orders/billing@^1", { jsrUrl, lock });
    const before = server.requests.length;
    await load("jsr:@orders/billing@^1", { jsrUrl, lock: { path: lock.path, isFrozen: true } });
    const asked = server.paths.slice(before);
    assert(
      asked.every((path) => !path.endsWith("meta.json")),
      `what is locked is not looked up: ${asked}`,
    );
    const unknown = await refusal("jsr:@orders/billing@1.2", {
      jsrUrl,
      lock: { path: lock.path, isFrozen: true },
    });
    assertStringIncludes(unknown, "jsr:@orders/billing@1.2 is not in --lock");
  });
  const refused: readonly (readonly [string, string])[] = [
    ["jsr:@orders/billing@^3", "no version of it is ^3; there are 1.2.3"],
    ["jsr:@orders/billing/nope", 'does not export "./nope"; it exports ., ./p'],
    ["jsr:@orders/billing@x.y.z.", "is no range of versions"],
    ["jsr:orders", "it must be such as jsr:@scope/name@^1"],
    ["jsr:@no/such", "/@no/such/meta.json answered 404"],
  ];
  for (const [place, message] of refused) {
    assertStringIncludes(await refusal(place, { jsrUrl }), message);
  }
  server.set("/@orders/billing/1.2.3/n.ts", `${EVALUATED} export const n = 6;`);
  assertStringIncludes(
    await refusal("jsr:@orders/billing@^1", { jsrUrl }),
    "/n.ts is not what was published",
  );
  server.set("/@orders/billing/1.2.3/p.ts", `import "./sneaked_in.ts"; ${PROCESSOR}`);
  server.set("/@orders/billing/meta.json", typed("[1", "application/json"));
  assertStringIncludes(await refusal("jsr:@orders/billing@^1", { jsrUrl }), "it is not JSON");
});
