// Owns: how large a processor may be, and how long it may take to load.
import { assert, assertRejects, assertStringIncludes } from "@std/assert";
import { fetchGraph } from "../../src/cli/load_processor/graph.ts";
import { dataUrl, ModuleServer } from "./module_server.ts";
import { loadProcessor, PROCESSOR, refusal } from "./loading.ts";

Deno.test("a long module with many imports does not hold up the worker", async () => {
  const line = (n: number) =>
    `export const f${n} = () => import("./a.js");${"\n// x".repeat(1_000)}\n`;
  await using server = new ModuleServer({
    "/p.js": Array.from({ length: 500 }, (_, n) => line(n)).join("") + "export default {};",
    "/a.js": "export {};",
  });
  const startedAt = performance.now();
  await fetchGraph(server.url("/p.js"));
  assert(performance.now() - startedAt < 4_000, `${performance.now() - startedAt} ms`);
});

Deno.test("T11: what a module does at its start is limited in time, and can be given up", async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  Object.assign(globalThis, { endOfTest: ended });
  const stuck = (n: number) => dataUrl(`await globalThis.endOfTest; export default ${n}`);
  assertStringIncludes(
    await refusal(stuck(1), { limits: { timeoutMs: 50 } }),
    "did not finish what they do at the start within 50 ms; see --load-timeout",
  );
  const controller = new AbortController();
  const loading = loadProcessor(stuck(2), { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("stop now")), 20);
  await assertRejects(() => loading, Error, "stop now");
  resolve();
  Reflect.deleteProperty(globalThis, "endOfTest");
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
