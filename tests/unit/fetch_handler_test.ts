// Proves that calls over fetch end in time, are told by the codes of the system, and leave no connection behind that nobody wants.
import { HttpRequest } from "@smithy/core/protocols";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { FetchHandler, type FetchHandlerOptions } from "../../src/adapters/fetch_handler.ts";

const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");
const OK = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";
/** Long enough for a machine that has other things to do. */
const LONG_MS = 10_000;

type Serve = (connection: Deno.TcpConn) => Promise<unknown>;

/** A server that is told what to do with each connection, once a request has come. */
function listen(serve: Serve) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections: Promise<void>[] = [];
  /** Of the connections that the other side has closed, what it sent before. */
  const ended: string[] = [];
  const serveOne = async (connection: Deno.TcpConn): Promise<void> => {
    using _ = connection;
    const buffer = new Uint8Array(10_000);
    const read = await connection.read(buffer) ?? 0;
    await serve(connection);
    const rest = await connection.read(new Uint8Array(1)).catch(() => null);
    if (rest === null) ended.push(new TextDecoder().decode(buffer.subarray(0, read)));
  };
  const accepting = (async () => {
    for await (const connection of listener) connections.push(serveOne(connection).catch(() => {}));
  })();
  return {
    port: listener.addr.port,
    ended,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      await Promise.all(connections);
    },
  };
}

function open(options: Partial<FetchHandlerOptions> = {}) {
  const handler = new FetchHandler({ silenceMaxMs: LONG_MS, connections: "kept", ...options });
  return {
    handler,
    async call(
      to: { readonly port: number; readonly protocol?: string; readonly hostname?: string },
      options: { readonly abortSignal?: AbortSignal; readonly requestTimeout?: number } = {},
    ) {
      const { port, protocol = "http:", hostname = "127.0.0.1" } = to;
      const headers = { "content-type": "application/x-amz-json-1.1" };
      const request = new HttpRequest({
        ...{ method: "POST", protocol, hostname, port, path: "/", headers },
        body: "{}",
      });
      return (await handler.handle(request, options)).response;
    },
    [Symbol.dispose]: () => handler.destroy(),
  };
}

/** How a call fails. */
async function failureOf(call: Promise<unknown>): Promise<{ name: string; code: unknown }> {
  const error = await assertRejects(() => call, Error);
  return { name: error.name, code: "code" in error ? error.code : undefined };
}

Deno.test("fetch handler: why there is no answer is told by the codes of the system", async () => {
  using client = open();
  const unused = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = unused.addr;
  unused.close();
  const codeOf = async (call: Promise<unknown>) => (await failureOf(call)).code;
  assertEquals(await codeOf(client.call({ port })), "ECONNREFUSED");
  assertEquals(await codeOf(client.call({ port, hostname: "nowhere.invalid" })), "ENOTFOUND");
  await using closing = listen((connection) => Promise.resolve(connection.close()));
  assertEquals(await codeOf(client.call(closing)), "ECONNRESET");
  await using cutting = listen(async (connection) => {
    await connection.write(encode(`${OK}content-length: 100\r\n\r\nshort`));
    connection.close();
  });
  assertEquals(await codeOf(client.call(cutting)), "ECONNRESET");
});

Deno.test("fetch handler: a server that nobody vouches for is told as such, and is sent nothing", async () => {
  const folder = new URL("../local/tls/", import.meta.url);
  let requests = 0;
  const server = Deno.serve({
    ...{ hostname: "127.0.0.1", port: 0, onListen: () => {} },
    cert: await Deno.readTextFile(new URL("certificate.pem", folder)),
    key: await Deno.readTextFile(new URL("key.pem", folder)),
  }, () => new Response(`${requests++}`));
  using client = open();
  const error = await assertRejects(
    () => client.call({ ...server.addr, protocol: "https:", hostname: "localhost" }),
    TypeError,
  );
  assert(error.cause instanceof Error && error.cause.message.includes("certificate"));
  assertEquals(requests, 0);
  await server.shutdown();
});

Deno.test("fetch handler: an answer that does not begin, or stops, is given up with its connection", async () => {
  for (
    const begun of [
      "",
      OK,
      `${OK}content-length: 100\r\n\r\n`,
      `${OK}content-length: 9\r\n\r\nsome`,
    ]
  ) {
    using client = open({ silenceMaxMs: 200 });
    await using server = listen((connection) => connection.write(encode(begun)));
    assertEquals((await failureOf(client.call(server))).name, "TimeoutError");
    while (server.ended.length === 0) await delay(1);
  }
});

Deno.test("fetch handler: a call has the time-out that is asked for", async () => {
  using client = open();
  await using server = listen(() => Promise.resolve());
  const call = client.call(server, { requestTimeout: 50 });
  assertEquals((await failureOf(call)).name, "TimeoutError");
});

Deno.test("fetch handler: an answer that is slow, but comes, is waited for", async () => {
  await using server = listen(async (connection) => {
    await connection.write(encode(`${OK}content-length: 20\r\n\r\n`));
    for (let i = 0; i < 20; i++) {
      await delay(50);
      await connection.write(encode("x"));
    }
  });
  using client = open({ silenceMaxMs: 400 });
  const { body } = await client.call(server);
  assertEquals(new TextDecoder().decode(body), "x".repeat(20));
});

Deno.test("fetch handler: a process that stood still blames nobody", async () => {
  using client = open({ silenceMaxMs: 400 });
  const worker = `
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    postMessage(listener.addr.port);
    for await (const connection of listener) {
      await connection.read(new Uint8Array(10_000));
      setTimeout(() => connection.write(new TextEncoder().encode("${
    OK.replaceAll("\r\n", "\\r\\n")
  }content-length: 2\\r\\n\\r\\nok")), 600);
    }`;
  const server = new Worker(`data:text/javascript,${encodeURIComponent(worker)}`, {
    type: "module",
  });
  const port: number = await new Promise((resolve) => {
    server.onmessage = ({ data }) => resolve(data);
  });
  const call = client.call({ port });
  await delay(50);
  const until = performance.now() + 1_000;
  while (performance.now() < until);
  assertEquals(new TextDecoder().decode((await call).body), "ok");
  server.terminate();
});

Deno.test("fetch handler: an abort ends a call at any time, with its connection", async () => {
  const reason = new RangeError("enough");
  for (const begun of ["", OK, `${OK}content-length: 9\r\n\r\nsome`]) {
    using client = open();
    const aborter = new AbortController();
    await using server = listen(async (connection) => {
      await connection.write(encode(begun));
      await delay(20);
      // An abort does not reach a body whose Response was collected.
      collectGarbage();
      aborter.abort(reason);
    });
    const error = await assertRejects(
      () => client.call(server, { abortSignal: aborter.signal }),
      Error,
    );
    assertEquals([error.name, error.cause], ["AbortError", reason]);
    while (server.ended.length === 0) await delay(1);
    const again = client.call(server, { abortSignal: aborter.signal });
    assertEquals((await failureOf(again)).name, "AbortError");
    assertEquals(server.ended.length, 1);
  }
});

Deno.test("fetch handler: a body is the same in whatever pieces it comes, and whether or not its length is told", async () => {
  const whole = new Uint8Array(300_000).map((_, i) => i * 7 + (i >> 8));
  for (const size of [0, 1, 65_535, 65_536, 65_537, whole.length]) {
    for (const piece of [1_000, 70_000, whole.length]) {
      for (const isLengthTold of [true, false]) {
        const body = whole.subarray(0, size);
        await using server = Deno.serve(
          { hostname: "127.0.0.1", port: 0, onListen: () => {} },
          () => {
            if (isLengthTold && piece === whole.length) return new Response(body);
            const pieces = Array.from(
              { length: Math.ceil(size / piece) },
              (_, i) => body.slice(i * piece, (i + 1) * piece),
            );
            const headers: HeadersInit = isLengthTold ? { "content-length": `${size}` } : {};
            return new Response(ReadableStream.from(pieces), { headers });
          },
        );
        using client = open();
        for (let call = 0; call < 2; call++) {
          assertEquals((await client.call(server.addr)).body, body);
        }
      }
    }
  }
});

Deno.test("fetch handler: connections are kept, or each call has its own", async () => {
  for (const [connections, expected] of [["kept", 1], ["own", 3]] as const) {
    const ports = new Set<number>();
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request, { remoteAddr }) => {
        ports.add(remoteAddr.port);
        assertEquals(request.headers.get("accept-encoding"), "identity");
        return new Response(await request.text(), { status: 202 });
      },
    );
    using client = open({ connections });
    for (let call = 0; call < 3; call++) {
      const { statusCode, body } = await client.call(server.addr);
      assertEquals([statusCode, new TextDecoder().decode(body)], [202, "{}"]);
    }
    assertEquals(ports.size, expected);
    // As the handlers of the SDK do, what is late connects again; nobody would close what it kept.
    client.handler.destroy();
    for (let call = 0; call < 2; call++) {
      assertEquals((await client.call(server.addr)).statusCode, 202);
    }
    assertEquals(ports.size, expected + 2);
  }
});

Deno.test("fetch handler: a signed request goes nowhere else", async () => {
  const paths: string[] = [];
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    ({ url }) => {
      paths.push(new URL(url).pathname);
      return Response.redirect(`${new URL("/elsewhere", url)}`, 307);
    },
  );
  using client = open();
  assertEquals((await client.call(server.addr)).statusCode, 307);
  assertEquals(paths, ["/"]);
});
