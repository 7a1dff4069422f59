// Owns: what a processor in a sandbox cannot do, and what follows when it tries.
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Rig } from "./thread_testing.ts";

/** What the code throws in a sandbox, as the event tells it. */
async function failureOf(
  code: string,
  flags: Readonly<Record<string, string>> = {},
  isServed = false,
): Promise<string> {
  await using rig = await Rig.start({
    code: `const r = await import("node:process").catch((e) => e);
      export default { async process() { ${code} }, getErrorHandlingMode: () => retryAndSkip(0) }`,
    isSandboxed: true,
    isServed,
    flags,
    records: [["k", "1"]],
  });
  await rig.until("the record is finished", () => rig.processed() === 1);
  const [failure] = rig.told("record_failed");
  return failure === undefined ? "" : `${failure.error.name}: ${failure.error.message}`;
}

Deno.test("sandbox: environment, files, programs, network and system are refused by name", async () => {
  assertMatch(await failureOf(`Deno.env.get("HOME")`), /NotCapable: .*env access to "HOME"/);
  assertMatch(
    await failureOf(`Deno.readTextFileSync("/etc/hosts")`),
    /read access to "\/etc\/hosts"/,
  );
  assertMatch(
    await failureOf(`Deno.writeTextFileSync("/tmp/x", "")`),
    /write access to "\/tmp\/x"/,
  );
  assertMatch(await failureOf(`new Deno.Command("true").spawn()`), /run access to "true"/);
  assertMatch(
    await failureOf(`await fetch("http://127.0.0.1:8080/")`),
    /net access to "127.0.0.1:8080"/,
  );
  assertMatch(await failureOf(`Deno.dlopen("x", {})`), /ffi access/);
  assertMatch(await failureOf(`Deno.hostname()`), /sys access to "hostname"/);
});

Deno.test("sandbox: Node's ways to the same are refused too", async () => {
  const fs = `const fs = await import("node:fs"); fs.readFileSync("/etc/hosts")`;
  assertMatch(await failureOf(fs), /read access to "\/etc\/hosts"|node:fs/);
  assertMatch(await failureOf(`process.env.HOME + ""`), /env access to "HOME"/);
  const run = `const c = await import("node:child_process"); c.execSync("true")`;
  assertMatch(await failureOf(run), /NotCapable: Requires (env|run) access/);
});

Deno.test("sandbox: what the flags allow is allowed, and nothing else", async () => {
  const env = { "sandbox-allow-env": "HOME,PATH" };
  assertEquals(await failureOf(`Deno.env.get("HOME"); Deno.env.get("PATH")`, env), "");
  assertMatch(await failureOf(`Deno.env.get("USER")`, env), /env access to "USER"/);
  const read = { "sandbox-allow-read": "/etc/hosts" };
  assertEquals(await failureOf(`Deno.readTextFileSync("/etc/hosts")`, read), "");
  assertMatch(await failureOf(`Deno.readTextFileSync("/etc/passwd")`, read), /read access/);
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response("x"),
  );
  const host = `127.0.0.1:${server.addr.port}`;
  const call = `await (await fetch("http://${host}/")).text()`;
  assertEquals(await failureOf(call, { "sandbox-allow-net": host }), "");
  assertMatch(await failureOf(call, { "sandbox-allow-net": "example.com" }), /net access to "127/);
});

Deno.test("sandbox: this package, Node's modules and modules of its own can be imported", async () => {
  await using rig = await Rig.start({
    code: `import { retryAndSkip as skip, LeaseLostError } from "@reacto/kinesix";
      import { createHash } from "node:crypto";
      import data from "./five.json" with { type: "json" };
      const { six } = await import("./six.js");
      export default {
        process() { throw new RangeError(createHash("md5").update("x").digest("hex").slice(0, 4) + data + six) },
        getErrorHandlingMode(_r, error) { return skip(error instanceof RangeError && LeaseLostError ? 0 : 1) } }`,
    isSandboxed: true,
    isServed: true,
    beside: { "five.json": "[5]", "six.js": "export const six = 6" },
    records: [["k", "1"]],
  });
  await rig.until("it is skipped", () => rig.told("record_skipped").length === 1);
  assertEquals(rig.told("record_failed").map(({ error }) => error.message), ["9dd456"]);
});

Deno.test("sandbox: an import of a file is refused, whatever it is imported as", async () => {
  const secret = await Deno.makeTempFile({ suffix: ".json" });
  await Deno.writeTextFile(secret, `{ "secret": 1 }`);
  try {
    for (const options of ["", `, { with: { type: "json" } }`, `, { with: { type: "text" } }`]) {
      const plain = `throw (await import("file://${secret}"${options})).default.secret`;
      const computed =
        `const p = "fi" + "le://${secret}"; throw (await import(p${options})).default.secret`;
      const text = JSON.stringify(`import("file://${secret}"${options})`);
      const hidden = `throw (await eval(${text})).default.secret`;
      const refused = await assertRejects(() => failureOf(plain, {}, true), Error);
      assertMatch(refused.message, /may not import file: URLs/);
      for (const code of [computed, hidden]) {
        assertMatch(await failureOf(code, {}, true), /Cannot|cannot|refused|read access/, code);
      }
      for (const code of [computed, hidden]) {
        assertMatch(await failureOf(code), /Cannot|cannot|read access/, code);
      }
    }
  } finally {
    await Deno.remove(secret);
  }
});

Deno.test("sandbox: a processor cannot end the process, nor its thread unseen, nor start another thread", async () => {
  assertMatch(await failureOf(`Deno.exit(3)`), /Cannot exit/);
  assertMatch(await failureOf(`process.exit(3)`), /Cannot exit/);
  assertMatch(await failureOf(`process.reallyExit(3)`), /Cannot exit/);
  assertMatch(await failureOf(`self.close()`), /Cannot close the thread/);
  // The Cache API writes into Deno's folder, which no permission forbids.
  assertMatch(await failureOf(`await caches.open("x")`), /undefined/);
  assertMatch(await failureOf(`Deno.kill(Deno.pid)`), /Cannot send a signal/);
  assertMatch(await failureOf(`process.kill(process.pid)`), /Cannot send a signal/);
  assertMatch(await failureOf(`process.abort()`), /not supported/);
  assertMatch(
    await failureOf(`new Worker("data:text/javascript,", { type: "module" })`),
    /Cannot start a Worker/,
  );
  for (
    const module of [
      `await import("node:worker_threads")`,
      `(await import("node:worker_threads")).default`,
      `process.getBuiltinModule("node:worker_threads")`,
      `(await import("node:module")).createRequire("/").call(null, "worker_threads")`,
    ]
  ) {
    const code = `new (${module}).Worker("", { eval: true })`;
    assertMatch(await failureOf(code), /Cannot start a Worker/, module);
  }
});

Deno.test("sandbox: an endless loop is ended at the deadline, and the policy of the record goes on", async () => {
  await using rig = await Rig.start({
    code: `export default { process(record) { if (record.text() === "3") for (;;); },
      getErrorHandlingMode: () => retryAndSkip(1) }`,
    isSandboxed: true,
    config: { processTimeout: 300 },
    records: ["1", "2", "3", "4"].map((text) => ["k", text]),
  });
  await rig.until("all are finished", () => rig.processed() === 4);
  assertEquals(
    rig.told("record_failed").map(({ sequenceNumber, attempt, error }) => [
      sequenceNumber,
      attempt,
      error.name,
    ]),
    [["3", 1, "ProcessTimeoutError"], ["3", 2, "ProcessTimeoutError"]],
  );
  assertEquals(rig.told("record_skipped").map(({ sequenceNumber }) => sequenceNumber), ["3"]);
});

Deno.test("threads: an endless loop after a wait, in a batch, in a question and in a factory is ended too", async () => {
  const once = `if (logged() === 0) { log("loop"); for (;;); }`;
  for (
    const code of [
      `export default { async process() { await 0; ${once} } }`,
      `export default { processBatch() { ${once} } }`,
      `export default { process(r, { attempt }) { if (attempt === 1) throw 1 },
        getErrorHandlingMode() { ${once} return retryAndSkip(1) } }`,
      `export default () => { ${once} return { process() {} } }`,
    ]
  ) {
    await using rig = await Rig.start({
      code,
      threads: 1,
      config: { processTimeout: 200 },
      records: [["k", "1"], ["k", "2"]],
    });
    await rig.until("all are finished", () => rig.processed() === 2);
    const failures = [...rig.told("record_failed"), ...rig.told("processor_failed")];
    const late = failures.filter(({ error }) => error.name === "ProcessTimeoutError");
    assertEquals(late.length, 1, code);
    assertEquals(rig.told("record_skipped"), []);
  }
});

Deno.test("sandbox: a failure that nobody waits for is told, and the work goes on", async () => {
  await using rig = await Rig.start({
    code: `export default { process(record) {
      if (record.text() === "1") setTimeout(() => { throw new RangeError("late") });
      if (record.text() === "2") Promise.reject(new TypeError("unseen"));
      return new Promise((done) => setTimeout(done, 20)) } }`,
    isSandboxed: true,
    records: ["1", "2", "3"].map((text) => ["k", text]),
  });
  await rig.until("all are finished", () => rig.processed() === 3);
  assertEquals(rig.strays.map(String), ["RangeError: late", "TypeError: unseen"]);
  assertEquals(rig.told("record_failed"), []);
});

Deno.test("sandbox: a processor that cannot be loaded there is refused at the start", async () => {
  for (
    const [code, message] of [
      [`Deno.env.get("HOME"); export default { process() {} }`, /env access to "HOME"/],
      [`export default 5`, /Cannot use/],
      [`export const processor = {}`, /no default export/],
      [`throw new Error("at the top"); export default {}`, /at the top/],
    ] as const
  ) {
    const error = await assertRejects(() => Rig.start({ code, isSandboxed: true }), Error);
    assertMatch(error.message, message);
  }
});
