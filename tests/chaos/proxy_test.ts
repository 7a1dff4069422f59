import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { Proxy } from "./proxy.ts";

/** A server that answers with how often it was called, behind a proxy, and a client that asks it. */
async function start(): Promise<
  AsyncDisposable & { readonly proxy: Proxy; ask(ms?: number): Promise<string>; calls(): number }
> {
  let calls = 0;
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => new Response(`${++calls}`),
  );
  const proxy = await Proxy.start(`http://127.0.0.1:${server.addr.port}`);
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  return {
    proxy,
    calls: () => calls,
    async ask(ms = 5_000) {
      const timer = new AbortController();
      const id = setTimeout(() => timer.abort(), ms);
      try {
        return await (await fetch(proxy.url, { client, signal: timer.signal })).text();
      } finally {
        clearTimeout(id);
      }
    },
    async [Symbol.asyncDispose]() {
      client.close();
      await proxy[Symbol.asyncDispose]();
      await server.shutdown();
    },
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("proxy: what passes arrives, and a delay delays it both ways", async () => {
  await using stand = await start();
  assertEquals(await stand.ask(), "1");
  stand.proxy.set({ kind: "delay", ms: 100 });
  const before = performance.now();
  assertEquals(await stand.ask(), "2");
  assertGreater(performance.now() - before, 190);
});

Deno.test("proxy: requests that are held arrive late, even if the client has gone", async () => {
  await using stand = await start();
  stand.proxy.set({ kind: "hold", direction: "requests" });
  await assertRejects(() => stand.ask(200), DOMException);
  assertEquals(stand.calls(), 0);
  stand.proxy.set({ kind: "none" });
  for (let i = 0; i < 100 && stand.calls() === 0; i++) await pause(20);
  assertEquals(stand.calls(), 1);
});

Deno.test("proxy: of replies that are held the request has happened", async () => {
  await using stand = await start();
  stand.proxy.set({ kind: "hold", direction: "replies" });
  const asked = stand.ask();
  for (let i = 0; i < 100 && stand.calls() === 0; i++) await pause(20);
  assertEquals(stand.calls(), 1);
  stand.proxy.set({ kind: "none" });
  assertEquals(await asked, "1");
});

Deno.test("proxy: a cut breaks what is there, and a refusal what comes", async () => {
  await using stand = await start();
  stand.proxy.set({ kind: "hold", direction: "both" });
  const asked = assertRejects(() => stand.ask(), TypeError);
  await pause(100);
  stand.proxy.cut();
  await asked;
  stand.proxy.set({ kind: "refuse" });
  await assertRejects(() => stand.ask(), TypeError);
  stand.proxy.set({ kind: "none" });
  assert(Number(await stand.ask()) >= 1);
});
