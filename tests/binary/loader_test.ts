/**
 * The executable loads processors as `deno run` does, though its runtime refuses every remote import: T1 to T14 of the loader.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CliProcess, works } from "../cli/cli_testing.ts";
import { type Answer, digest, ModuleServer, redirect, typed } from "../cli/module_server.ts";
import { BINARY, binaryTest, startWorker } from "./binary.ts";
import { putLines, startStack } from "../cli/worker_testing.ts";

const PROGRAM = { command: BINARY ?? "", args: [] };

interface Given {
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A processor that shows what an expression gives, once for each record; `console.log` of a worker is on stderr. */
function show(expression: string): string {
  return `export default { async process(record) { console.log("seen " + JSON.stringify(${expression})); } };`;
}

function seenOf(worker: CliProcess): readonly unknown[] {
  return worker.stderr.filter((line) => line.startsWith("seen ")).map((line) =>
    JSON.parse(line.slice(5))
  );
}

/** Processes one record and stops; gives what its processor showed. */
async function seenBy(place: string, { flags = [], env = {} }: Given = {}): Promise<unknown> {
  await using stack = await startStack(1);
  await putLines(stack, ["a record"], { program: PROGRAM, clearEnv: true });
  await using worker = startWorker({ stack, processor: place, program: PROGRAM, flags, env });
  await worker.until(() => seenOf(worker).length > 0);
  await worker.stop();
  return seenOf(worker)[0];
}

/** What is said of a processor that does not load. */
async function refusal(place: string, { flags = [], env = {} }: Given = {}): Promise<string> {
  await using call = new CliProcess(
    ["run", "--app=A", "--stream=S", `--processor=${place}`, ...flags],
    { program: PROGRAM, clearEnv: true, env },
  );
  assertEquals(await call.ended(), 1, call.stderr.join("\n"));
  assertEquals(call.stdout, []);
  const said = call.stderr.join("\n");
  assert(!said.includes("evaluated"), said);
  assert(!said.includes("kinesix-processor-"), said);
  return said;
}

async function tempFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir({ prefix: "kinesix-loader-" });
  return {
    path,
    async [Symbol.asyncDispose]() {
      await Deno.chmod(path, 0o700);
      await Deno.remove(path, { recursive: true });
    },
  };
}

const EVERYTHING: Readonly<Record<string, Answer>> = {
  "/app/processor.ts": `
    import { Color, viaCycle } from "./lib/util.ts";
    import { absolute } from "/root.js";
    import data from "./lib/data.json" with { type: "json" };
    import { createHash } from "node:crypto";
    import { Unused } from "./lib/types.ts";
    import { retryAndSkip, type RecordProcessor } from "@reacto/kinesix";
    export const back = "back";
    class Pair { constructor(readonly a: number, private b: number) {} sum() { return this.a + this.b } }
    const hash = (x: Unused) => createHash("md5").update(String(x)).digest("hex").slice(0, 4);
    const later = ["./later", "ts"].join(".");
    ${
    show(`[Color.Red, viaCycle(), absolute, data, hash(1), new Pair(1, 2).sum(), import.meta.url,
      (await import("./lit.ts")).lit, (await import(later)).later, retryAndSkip(2).kind, record.text() as string]`)
  }`,
  "/app/lib/util.ts": `
    import { back } from "../processor.ts";
    export enum Color { Red = 1 }
    export function viaCycle(): string { return back; }`,
  "/root.js": "export const absolute = import.meta.url;",
  "/app/lib/data.json": '{ "a": [1] }',
  "/app/lib/types.ts": "export type Unused = number;",
  "/app/lit.ts": 'export const lit: string = "lit";',
  "/app/later.ts": 'export const later: string = "later";',
};

binaryTest("T1, T8: TypeScript with all that it may import runs from a URL", async () => {
  await using server = new ModuleServer(EVERYTHING);
  assertEquals(await seenBy(server.url("/app/processor.ts")), [
    ...[1, "back", server.url("/root.js"), { a: [1] }, "c4ca", 3, server.url("/app/processor.ts")],
    ...["lit", "later", "retryAndSkip", "a record"],
  ]);
});

binaryTest("T2: a path, file:, data:, and a URL without an extension", async () => {
  await using folder = await tempFolder();
  const path = `${folder.path}/p.ts`;
  await Deno.writeTextFile(`${folder.path}/one.ts`, "export const one = 1 as number;");
  await Deno.writeTextFile(path, `import { one } from "./one.ts";\n${show("one")}`);
  assertEquals(await seenBy(path), 1);
  assertEquals(await seenBy(`file://${path}`), 1);
  assertEquals(await seenBy(`data:text/javascript,${encodeURIComponent(show("2"))}`), 2);
  await using server = new ModuleServer({
    "/latest": typed(show("3 as number"), "application/typescript"),
    "/v.ts": typed(show("4 as number"), "video/mp2t"),
    "/moved.ts": redirect("/v2/p.ts"),
    "/v2/p.ts": `import { five } from "./five.ts";\n${show("five as number")}`,
    "/v2/five.ts": "export const five: number = 5;",
  });
  assertEquals(await seenBy(server.url("/latest")), 3);
  assertEquals(await seenBy(server.url("/v.ts")), 4);
  assertEquals(await seenBy(server.url("/moved.ts")), 5, "T3: the base is where a redirect led");
});

binaryTest("T3 to T6, T11: what does not load says which URL, why, and through whom", async () => {
  await using server = new ModuleServer({
    "/loop.ts": redirect("/loop.ts"),
    "/chain.ts": 'console.log("evaluated"); import "./gone.ts";',
    "/bare.ts": 'console.log("evaluated"); import "no-such-package-of-anybody"; export default {}',
    "/syntax.ts": 'console.log("evaluated");\nexport default { process( { };',
    "/throw.ts": 'type T = 1;\n  throw new TypeError("boom" as string);',
    "/none.ts": "export const processor = {};",
    "/page.ts": typed("<html>", "text/html"),
    "/hang.ts": () => new Response(new ReadableStream({ start() {} })),
    "/big.ts": () =>
      new Response("// " + "x".repeat(60_000_000), {
        headers: { "content-type": "text/javascript" },
      }),
  });
  const url = (path: string) => server.url(path);
  const said = async (path: string, flags: readonly string[] = []) =>
    await refusal(url(path), { flags });
  assertStringIncludes(await said("/loop.ts"), "redirects more than 10 times");
  assertMatch(
    await said("/chain.ts"),
    /gone\.ts answered 404 .*imported by http.*chain\.ts:1:\d+/s,
  );
  assertStringIncludes(await said("/bare.ts"), "deno bundle --output processor.js");
  assertStringIncludes(await said("/syntax.ts"), `${url("/syntax.ts")}:2:`);
  assertStringIncludes(await said("/throw.ts"), `TypeError: boom at ${url("/throw.ts")}:2:9`);
  assertStringIncludes(await said("/none.ts"), "it has no default export");
  assertStringIncludes(await said("/page.ts"), "is a web page (text/html)");
  assertStringIncludes(await said("/hang.ts", ["--load-timeout=300ms"]), url("/hang.ts"));
  assertStringIncludes(await said("/big.ts"), url("/big.ts"));
});

binaryTest("T7: an error in process() shows where it was written", async () => {
  await using server = new ModuleServer({
    "/p.ts": `interface Unused { a: number }
 export default {
  process(): void { throw new Error("failed" as string); },
  getErrorHandlingMode: (_record: unknown, error: Error) => {
    console.log("seen " + JSON.stringify(error.stack));
    return { kind: "retryAndSkip", retries: 0 };
  },
};`,
  });
  assertStringIncludes(String(await seenBy(server.url("/p.ts"))), `${server.url("/p.ts")}:3:27`);
});

binaryTest("T9: http only from this machine", async () => {
  assertMatch(await refusal("http://203.0.113.1/p.ts"), /203\.0\.113\.1.*https/s);
});

binaryTest("T9: https with a certificate authority of one's own", async () => {
  await using folder = await tempFolder();
  const [key, cert] = [`${folder.path}/key.pem`, `${folder.path}/cert.pem`];
  await new Deno.Command("openssl", {
    args: [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-days", "2", "-keyout", key, "-out", cert, "-subj", "/CN=localhost"],
      ...["-addext", "subjectAltName=DNS:localhost"],
      ...["-addext", "basicConstraints=critical,CA:FALSE"],
    ],
    stderr: "null",
  }).output();
  await using server = Deno.serve(
    {
      hostname: "127.0.0.1",
      port: 0,
      onListen: () => {},
      key: await Deno.readTextFile(key),
      cert: await Deno.readTextFile(cert),
    },
    (request) =>
      new URL(request.url).pathname === "/down.ts"
        ? Response.redirect("http://localhost/p.ts", 302)
        : new Response(show("7"), { headers: { "content-type": "text/javascript" } }),
  );
  const url = `https://localhost:${server.addr.port}`;
  assertEquals(await seenBy(`${url}/p.js`, { env: { DENO_CERT: cert } }), 7);
  assertStringIncludes(await refusal(`${url}/p.js`), url);
  assertMatch(await refusal(`${url}/down.ts`, { env: { DENO_CERT: cert } }), /http:\/\/localhost/);
}, works("openssl", "version"));

binaryTest("T10: what has another hash than it must have is not run", async () => {
  await using folder = await tempFolder();
  const processor = `console.log("evaluated"); import { a } from "./a.ts";\n${show("a")}`;
  await using server = new ModuleServer({
    "/p.ts": processor,
    "/a.ts": "export const a: number = 1;",
  });
  const place = server.url("/p.ts");
  const integrity = `--integrity=sha256-${await digest(processor)}`;
  const lock = `--lock=${folder.path}/kinesix.lock`;
  assertEquals(await seenBy(place, { flags: [integrity, lock, "--lock-write"] }), 1);
  assertEquals(await seenBy(place, { flags: [lock, "--frozen"] }), 1);
  server.set("/a.ts", "export const a: number = 2;");
  const changed = await refusal(place, { flags: [lock] });
  assertMatch(changed, /a\.ts.*imported by .*p\.ts/s);
  server.set("/p.ts", `${processor}\n`);
  assertStringIncludes(await refusal(place, { flags: [integrity] }), place);
  server.set("/p.ts", processor.replace("./a.ts", "./b.ts"));
  server.set("/b.ts", "export const a: number = 3;");
  assertStringIncludes(await refusal(place, { flags: [lock, "--frozen"] }), "p.ts");
});

binaryTest("T12: one module needs no temporary folder; several say that they do", async () => {
  await using folder = await tempFolder();
  // Not a folder: that stops root too.
  const env = { TMPDIR: `${folder.path}/file` };
  await Deno.writeTextFile(env.TMPDIR, "");
  await using server = new ModuleServer({
    "/one.ts": show("1 as number"),
    "/two.ts": `import "./a.ts"; console.log("evaluated");\n${show("2")}`,
    "/a.ts": "export {}",
  });
  assertEquals(await seenBy(server.url("/one.ts"), { env }), 1);
  assertStringIncludes(await refusal(server.url("/two.ts"), { env }), "TMPDIR");
});

binaryTest("T13: its files are its own, and gone after a signal and after a failure", async () => {
  await using folder = await tempFolder();
  const env = { TMPDIR: folder.path };
  const left = async () =>
    (await Array.fromAsync(Deno.readDir(folder.path))).map(({ name }) => name);
  await using server = new ModuleServer({
    "/p.ts": `import "./a.ts";\n${
      show(`Array.from(Deno.readDirSync(${JSON.stringify(folder.path)}), ({ name }) =>
        (Deno.statSync(${JSON.stringify(folder.path)} + "/" + name).mode! & 0o777).toString(8))`)
    }`,
    "/a.ts": "export {}",
    "/throw.ts": 'import "./a.ts"; throw new Error("boom");',
  });
  assertEquals(await seenBy(server.url("/p.ts"), { env }), ["700"]);
  assertEquals(await left(), []);
  await refusal(server.url("/throw.ts"), { env });
  assertEquals(await left(), []);
});

binaryTest("T14: a new version is taken between two records, a broken one is not", async () => {
  await using stack = await startStack(1);
  await using server = new ModuleServer({
    "/p.ts": `import { version } from "./version.ts";\n${show("version + record.text()")}`,
    "/version.ts": "export const version: string = 'one ';",
  });
  await using worker = startWorker({
    stack,
    processor: server.url("/p.ts"),
    program: PROGRAM,
    flags: ["--watch-processor=250ms"],
  });
  const told = async (text: string) =>
    await worker.until((lines) => lines.some((line) => line.includes(text)));
  const shown = async (count: number) => await worker.until(() => seenOf(worker).length >= count);
  await putLines(stack, ["a"], { program: PROGRAM, clearEnv: true });
  await shown(1);
  server.set("/version.ts", "export const version: string = 'two ';");
  await told('"processor_changed"');
  await putLines(stack, ["b"], { program: PROGRAM, clearEnv: true });
  await shown(2);
  server.set("/version.ts", "export const version: string = ;");
  await told('"processor_kept"');
  await putLines(stack, ["c"], { program: PROGRAM, clearEnv: true });
  await shown(3);
  await worker.stop();
  assertEquals(seenOf(worker), ["one a", "two b", "two c"]);
});

binaryTest("two workers with a processor from a URL share a stream", async () => {
  await using stack = await startStack(4);
  const lines = Array.from({ length: 400 }, (_, index) => String(index));
  await putLines(stack, lines, { program: PROGRAM, clearEnv: true });
  await using server = new ModuleServer({
    "/p.ts": `import { text } from "./text.ts";\n${show("text(record)")}`,
    "/text.ts": "export const text = (record: { text(): string }): string => record.text();",
  });
  const start = (id: string) =>
    startWorker({
      stack,
      processor: server.url("/p.ts"),
      program: PROGRAM,
      flags: [`--worker-id=${id}`],
    });
  await using first = start("w1");
  await using second = start("w2");
  const isDone = () => seenOf(first).length + seenOf(second).length >= lines.length;
  await Promise.race([first.until(isDone), second.until(isDone)]);
  for (const worker of [first, second]) worker.kill("SIGTERM");
  assertEquals([await first.ended(), await second.ended()], [0, 0]);
  assertEquals([...seenOf(first), ...seenOf(second)].toSorted(), lines.toSorted());
});
