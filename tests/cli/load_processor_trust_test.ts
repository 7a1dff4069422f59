// Owns: which module may come from where, and who gets a header.
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { checkPlace, checkRedirect } from "../../src/cli/load_processor/policy.ts";
import { ModuleServer, redirect } from "./module_server.ts";
import { EVALUATED, load, loadProcessor, PROCESSOR, refusal } from "./loading.ts";
import { withFolder } from "./temporary_folder.ts";

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
