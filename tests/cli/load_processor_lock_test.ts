// Owns: that a module has to be the one that is known: --integrity and the lock file.
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { fetchGraph } from "../../src/cli/load_processor/graph.ts";
import { parseIntegrity } from "../../src/cli/load_processor/integrity.ts";
import type { LoadOptions } from "../../src/cli/load_processor/options.ts";
import { digest, ModuleServer, redirect } from "./module_server.ts";
import { EVALUATED, load, loadProcessor, PROCESSOR, refusal } from "./loading.ts";
import { withFolder } from "./temporary_folder.ts";

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
