/**
 * The loader as users meet it: `kinesix run` as a process of its own, on a local stack; the executable where there is one.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { delay } from "@std/async/delay";
import type { LocalStack } from "../../src/cli/local_stack.ts";
import { CliProcess } from "./cli_testing.ts";
import { digest, ModuleServer, typed } from "./module_server.ts";
import { withFolder } from "./temporary_folder.ts";
import { putLines, QUICK, runWorker, startStack, type WorkerProcess } from "./worker_testing.ts";

const RUN = ["run", "--app=A", "--stream=S"];

/** What a process may not share with others: a stack with records, and a folder for temporary files. */
async function withWorld(
  use: (world: {
    readonly stack: LocalStack;
    readonly folder: string;
    run(place: string, more?: readonly string[], env?: Record<string, string>): WorkerProcess;
    folders(): Promise<readonly string[]>;
  }) => Promise<void>,
): Promise<void> {
  await using stack = await startStack(1);
  await withFolder((folder) =>
    use({
      stack,
      folder,
      run: (place, more = [], env = {}) =>
        runWorker(stack, place, [...QUICK, ...more], { env: { TMPDIR: folder, ...env } }),
      folders: async () =>
        (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => `${folder}/${name}`),
    })
  );
}

Deno.test("T1, T7, T13: a processor from a URL processes, its errors name the URL, its files are private and gone after SIGTERM", async () => {
  await using server = new ModuleServer({
    "/p.ts": `import { seen } from "./seen.ts";
      import { retryAndSkip } from "@reacto/kinesix";
      export default {
        process(record: { text(): string }): void { seen(record.text()); },
        getErrorHandlingMode: () => retryAndSkip(0),
        onMaxRetryExceeded: (_r: unknown, _m: unknown, error: Error): void => console.log(error.stack),
      };`,
    "/seen.ts": `export const seen = (text: string): void => {
      console.log("saw", text, import.meta.url);
      if (text === "bad") throw new Error("cannot");
    };`,
  });
  await withWorld(async ({ stack, run, folders }) => {
    await putLines(stack, ["good", "bad"]);
    await using process = run(server.url("/p.ts"));
    await process.untilTold("record_skipped");
    const [folder = ""] = await folders();
    assertMatch(folder, /\/kinesix-processor-/);
    if (Deno.build.os !== "windows") {
      assertEquals((await Deno.stat(folder)).mode ?? 0, 0o40700);
    }
    await process.stop();
    assertEquals(await folders(), []);
    const [loaded] = process.told("processor_loaded");
    assertEquals(loaded?.url, server.url("/p.ts"));
    const said = process.stderr.join("\n");
    assertStringIncludes(said, `saw good ${server.url("/seen.ts")}`);
    assertStringIncludes(said, `Error: cannot\n    at seen (${server.url("/seen.ts")}:3:33)`);
    assert(!said.includes("kinesix-processor-"), said);
  });
});

Deno.test("T13: files are gone after a stop at once, and those of a killed process after the next start", async () => {
  await using server = new ModuleServer({
    "/p.js": "export default { process: () => (console.log('stuck'), new Promise(() => {})) };",
  });
  await withWorld(async ({ stack, run, folders }) => {
    await putLines(stack, ["1"]);
    await using stuck = run(server.url("/p.js"));
    await stuck.until(() => stuck.stderr.some((line) => line.includes("stuck")));
    const [living = ""] = await folders();
    await using killed = run(server.url("/p.js"));
    await killed.untilTold("processor_loaded");
    killed.kill("SIGKILL");
    await killed.ended();
    assertEquals((await folders()).length, 2);
    // However old they look, the one of the living process stays.
    for (const folder of await folders()) await Deno.utime(folder, new Date(0), new Date(0));
    await using third = run(server.url("/p.js"));
    await third.untilTold("processor_loaded");
    const now = await folders();
    assertEquals([now.length, now.includes(living)], [2, true]);
    await third.stop();
    assertEquals(await folders(), [living]);

    stuck.kill("SIGTERM");
    await delay(300);
    stuck.kill("SIGTERM");
    assertEquals(await stuck.ended(), 143);
    assertEquals(await folders(), []);
  });
});

Deno.test("T14: --watch-processor and SIGHUP change to a new version, and keep the old one when the new one is broken", async () => {
  const versioned = (n: number) =>
    `export default { process: (record: { text(): string }): void => console.log("version ${n} saw", record.text()) };`;
  await using server = new ModuleServer({ "/p.ts": versioned(1) });
  await withWorld(async ({ stack, run, folders }) => {
    await using process = run(server.url("/p.ts"), ["--watch-processor=250ms"]);
    await process.untilTold("processor_loaded");
    await putLines(stack, ["a"]);
    await process.untilTold("checkpoint_written");
    server.set("/p.ts", "export default nothing;");
    await process.untilTold("processor_kept");
    server.set("/p.ts", versioned(2));
    await process.untilTold("processor_loaded", 2);
    await putLines(stack, ["b"]);
    await process.untilTold("checkpoint_written", 2);
    assertEquals((await folders()).length, 1);
    await process.stop();
    const [kept] = process.told("processor_kept");
    assertStringIncludes(
      kept?.error?.message ?? "",
      `nothing is not defined at ${server.url("/p.ts")}:1:`,
    );
    const said = process.stderr.join("\n");
    assertStringIncludes(said, "version 1 saw a");
    assertStringIncludes(said, "version 2 saw b");
    assertEquals(await folders(), []);

    await using slow = run(server.url("/p.ts"), ["--watch-processor=1h"]);
    await slow.untilTold("processor_loaded");
    server.set("/p.ts", versioned(3));
    slow.kill("SIGHUP");
    await slow.untilTold("processor_loaded", 2);
    await slow.stop();
  });
});

Deno.test("T14: a SIGHUP while the processor is loaded does not end the process: it looks again, afterwards", async () => {
  const { promise: isAsked, resolve: ask } = Promise.withResolvers<void>();
  const { promise: isSent, resolve: send } = Promise.withResolvers<void>();
  await using server: ModuleServer = new ModuleServer({
    "/p.js": async (): Promise<Response> => {
      const number: number = server.requests.length;
      ask();
      await isSent;
      return typed(`export default { process: () => ${number} };`, "text/javascript")();
    },
  });
  await withWorld(async ({ run }) => {
    await using process = run(server.url("/p.js"), ["--watch-processor=1h"]);
    await isAsked;
    process.kill("SIGHUP");
    send();
    await process.untilTold("processor_loaded", 2);
    await process.stop();
  });
});

Deno.test("T9: what is on this machine is not asked for through a proxy", async () => {
  const source = "export default { process() {} };";
  await using server = new ModuleServer({ "/p.js": source });
  await using proxy = new ModuleServer({ "/p.js": source });
  await withWorld(async ({ run }) => {
    await using process = run(server.url("/p.js"), [], {
      HTTP_PROXY: proxy.url("/"),
      NO_PROXY: "",
      KINESIX_HEADER: "Authorization: Bearer hunter2",
    });
    await process.untilTold("processor_loaded");
    await process.stop();
    assertEquals(proxy.requests.filter(({ path }) => path === "/p.js"), []);
    assertEquals(server.headers("authorization"), ["Bearer hunter2"]);
  });
});

Deno.test("a cache keeps a worker going while the source is down, which it tells; a header is never told", async () => {
  const server = new ModuleServer({ "/p.js": "export default { process() {} };" });
  await withWorld(async ({ folder, run }) => {
    const flags = [`--cache-dir=${folder}/cache`];
    const env = { KINESIX_HEADER: "Authorization: Bearer hunter2", KINESIX_DEBUG: "1" };
    await using first = run(server.url("/p.js"), flags, env);
    await first.untilTold("processor_loaded");
    await first.stop();
    assertEquals(server.headers("authorization"), ["Bearer hunter2"]);
    await server[Symbol.asyncDispose]();
    await using second = run(server.url("/p.js"), flags, env);
    await second.untilTold("processor_loaded");
    await second.stop();
    const [loaded] = second.told("processor_loaded");
    assertStringIncludes(loaded?.standInFor ?? "", "/p.js cannot be reached");
    await using third = run(server.url("/p.js"), [], env);
    assertEquals(await third.ended(), 1);
    const said = [first, second, third].flatMap(({ stdout, stderr }) => [...stdout, ...stderr]);
    assert(!said.join("\n").includes("hunter2"), said.join("\n"));
  });
});

Deno.test("T12: without a folder for temporary files one module runs all the same, several say what is missing", async () => {
  await using server = new ModuleServer({
    "/one.ts": `import { retryAndSkip } from "@reacto/kinesix"; import "node:fs";
      export default { process: (): unknown => console.log("one", retryAndSkip(1).kind, import.meta.url) };`,
    "/two.ts": `import "./one.ts"; export default { process() {} };`,
  });
  await withWorld(async ({ stack, run, folder }) => {
    await putLines(stack, ["1"]);
    const env = { TMPDIR: `${folder}/no/such` };
    await using one = run(server.url("/one.ts"), [], env);
    await one.untilTold("checkpoint_written");
    await one.stop();
    assertStringIncludes(one.stderr.join("\n"), `one retryAndSkip ${server.url("/one.ts")}`);
    await using two = run(server.url("/two.ts"), [], env);
    assertEquals(await two.ended(), 1);
    assertMatch(
      two.stderr.join("\n"),
      /its modules need a folder for temporary files: .*; let TMPDIR name one/,
    );
  });
});

Deno.test("a bad processor ends in 1, a wrong flag in 2, each with a message that says what to do", async () => {
  await using other = new ModuleServer({ "/p.js": "export default {}" });
  const good = "export default { process() {} };";
  await using server = new ModuleServer({
    "/good.js": good,
    "/chain.ts": `import "./gone.ts"; throw new Error("was evaluated");`,
    "/syntax.ts": "export default {\n  process(: {}\n};",
    "/throw.ts": "const a: string = 'top';\nthrow new RangeError(a);",
    "/never.js": "await new Promise(() => {});",
    "/class.js": "export default class { process() {} }",
    "/none.js": "export const processor = {};",
    "/bare.js": `import "no-such-package-of-anybody"; ${good}`,
    "/away.js": `import "${other.url("/p.js")}"; throw new Error("was evaluated");`,
    "/file.js": `import "file:///etc/passwd"; ${good}`,
    "/page.js": typed("<html>", "text/html"),
    "/decorator.ts": "const d = () => {};\nclass A { @d b() {} }\nexport default new A();",
  });
  const hash = `sha256-${await digest("something else")}`;
  const refused: readonly (readonly [
    place: string,
    code: number,
    expected: string,
    flags?: readonly string[],
  ])[] = [
    [
      server.url("/chain.ts"),
      1,
      "/gone.ts answered 404 Not Found; check that it is published there",
    ],
    [server.url("/syntax.ts"), 1, "/syntax.ts:2:11 is not valid: Unexpected token"],
    [server.url("/throw.ts"), 1, `RangeError: top at ${server.url("/throw.ts")}:2:7`],
    [server.url("/class.js"), 1, 'write "export default new ..."'],
    [server.url("/none.js"), 1, "it has no default export (it exports processor)"],
    [server.url("/bare.js"), 1, "bundle the processor first"],
    [server.url("/away.js"), 1, `add --allow-host ${other.host}`],
    [server.url("/file.js"), 1, "may not import file: URLs"],
    [server.url("/page.js"), 1, "is a web page (text/html)"],
    [server.url("/decorator.ts"), 1, "decorators and accessor fields are not supported"],
    [server.url("/good.js"), 1, "is not what --integrity says", [`--integrity=${hash}`]],
    [server.url("/good.js"), 1, "--lock-write makes it", ["--lock=/no/such.lock", "--frozen"]],
    ["http://example.com/p.ts", 1, "use https:"],
    ["npm:no-such-package-of-anybody@1", 1, "bundle the processor first"],
    [
      server.url("/never.js"),
      1,
      "did not finish what they do at the start within 500 ms; see --load-timeout",
      ["--load-timeout=500ms"],
    ],
    ["./no/such.ts", 1, "cannot be read: No such file"],
    ["ftp://example.com/p.ts", 2, "not ftp:"],
    ["https://me:secret@example.com/p.ts", 2, "use --header instead"],
    [server.url("/good.js"), 2, "without --lock FILE", ["--frozen"]],
    [server.url("/good.js"), 2, "Cannot use --integrity", ["--integrity=sha1-abc"]],
    [server.url("/good.js"), 2, "Cannot use --header: it must be a header", ["--header=secret"]],
    [server.url("/good.js"), 2, "Cannot use --allow-host", ["--allow-host=https://a.b/"]],
    [server.url("/good.js"), 2, "Cannot use --watch-processor", ["--watch-processor=1ms"]],
  ];
  await withWorld(async ({ folder, folders }) => {
    for (const [place, code, expected, flags = []] of refused) {
      await using process = new CliProcess([...RUN, `--processor=${place}`, ...flags], {
        env: { TMPDIR: folder, KINESIX_DEBUG: "" },
      });
      assertEquals(await process.ended(), code, process.stderr.join("\n"));
      const said = process.stderr.join("\n");
      assertStringIncludes(said, expected);
      assertMatch(said, /^error: Cannot /);
      assert(
        !/kinesix-processor-|was evaluated|secret/.test(said.replace("use --header", "")),
        said,
      );
    }
    assertEquals(await folders(), []);
    assertEquals(other.requests, []);
  });
});
