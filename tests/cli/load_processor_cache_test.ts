// Owns: what stands in for a source that is down.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ModuleServer, redirect } from "./module_server.ts";
import { EVALUATED, load, loadProcessor, PROCESSOR, refusal } from "./loading.ts";
import { withFolder } from "./temporary_folder.ts";

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
