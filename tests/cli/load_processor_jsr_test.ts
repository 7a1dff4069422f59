// Owns: processors and modules from a registry of jsr: packages.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { digest, ModuleServer, typed } from "./module_server.ts";
import { EVALUATED, load, loadProcessor, PROCESSOR, refusal } from "./loading.ts";
import { withFolder } from "./temporary_folder.ts";

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
