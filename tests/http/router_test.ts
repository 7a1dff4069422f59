// The HTTP server of a worker: who is answered, what may change state, and what is never sent.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { isLoopbackAddress, parseAddress } from "../../src/cli/http/http_flags.ts";
import { type Route, router } from "../../src/cli/http/router.ts";

const ROUTES: readonly Route[] = [
  { path: "/a", method: "GET", handle: () => new Response("A") },
  { path: "/do", method: "POST", handle: ({ body }) => Response.json({ got: body }) },
  { path: "/bad", method: "GET", handle: () => Promise.reject(new Error("a secret")) },
];
const TOKEN = "a-good-token";

function ask(
  path: string,
  init: RequestInit & { readonly headers?: Record<string, string> } = {},
  options: { readonly isLoopback?: boolean; readonly token?: string | undefined } = {},
): Promise<Response> {
  const { isLoopback = true } = options;
  const token = "token" in options ? options.token : TOKEN;
  const answer = router({ routes: ROUTES, token, isLoopback, onError: () => {} });
  return answer(
    new Request(`http://x${path}`, {
      ...init,
      headers: { host: "127.0.0.1:8080", ...init.headers },
    }),
  );
}

const GOOD = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };

function post(headers: Record<string, string>, body = '{"a":1}'): Promise<Response> {
  return ask("/do", { method: "POST", body, headers });
}

Deno.test("http: a path is answered, with headers that keep others out", async () => {
  const response = await ask("/a");
  assertEquals([response.status, await response.text()], [200, "A"]);
  assertStringIncludes(response.headers.get("content-security-policy") ?? "", "default-src 'none'");
  assertEquals(response.headers.get("x-content-type-options"), "nosniff");
  assertEquals(response.headers.get("access-control-allow-origin"), null);
  const head = await ask("/a", { method: "HEAD" });
  assertEquals([head.status, await head.text()], [200, ""]);
});

Deno.test("http: a stream that is asked for by HEAD is let go of, since nobody reads it", async () => {
  let isLetGo = false;
  const body = new ReadableStream({
    cancel() {
      isLetGo = true;
    },
  });
  const live: Route = { path: "/live", method: "GET", handle: () => new Response(body) };
  const answer = router({ routes: [live], isLoopback: false, onError: () => {} });
  const head = await answer(new Request("http://x/live", { method: "HEAD" }));
  assertEquals([head.status, head.body, isLetGo], [200, null, true]);
});

Deno.test("http: what is not there, and what may not be done there", async () => {
  assertEquals((await ask("/b")).status, 404);
  const wrong = await ask("/a", { method: "DELETE" });
  assertEquals([wrong.status, wrong.headers.get("allow")], [405, "GET"]);
});

Deno.test("http: a failure does not show what failed", async () => {
  const response = await ask("/bad");
  assertEquals(response.status, 500);
  assertEquals((await response.text()).includes("secret"), false);
});

Deno.test("http: on loopback a foreign name is refused, whatever a browser was made to believe", async () => {
  for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"]) {
    assertEquals((await ask("/a", { headers: { host } })).status, 421, host);
  }
  for (const host of ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"]) {
    assertEquals((await ask("/a", { headers: { host } })).status, 200, host);
  }
  assertEquals(
    (await ask("/a", { headers: { host: "worker-1" } }, { isLoopback: false })).status,
    200,
  );
});

Deno.test("http: what the page of another site asks for behind the back of its reader is refused, a link is not", async () => {
  const from = (site: string, mode: string, dest: string): Promise<Response> =>
    ask("/a", {
      headers: { "sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest },
    });
  for (const site of ["cross-site", "same-site"]) {
    assertEquals((await from(site, "no-cors", "empty")).status, 403, site);
    assertEquals((await from(site, "cors", "empty")).status, 403, site);
    assertEquals((await from(site, "no-cors", "image")).status, 403, site);
    assertEquals((await from(site, "navigate", "iframe")).status, 403, site);
    assertEquals((await from(site, "navigate", "document")).status, 200, site);
  }
  for (const site of ["same-origin", "none"]) {
    assertEquals((await from(site, "cors", "empty")).status, 200, site);
    assertEquals((await from(site, "navigate", "document")).status, 200, site);
  }
});

Deno.test("http: state changes with the token only, and not from a page of another origin", async () => {
  assertEquals(await (await post(GOOD)).json(), { got: { a: 1 } });
  assertEquals((await post({ ...GOOD, origin: "http://127.0.0.1:8080" })).status, 200);
  assertEquals((await post({ ...GOOD, origin: "http://evil.example" })).status, 403);
  assertEquals((await post({ ...GOOD, origin: "null" })).status, 403);
  for (const authorization of ["", "Bearer ", `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, TOKEN]) {
    assertEquals((await post({ ...GOOD, authorization })).status, 401, authorization);
  }
  const none = await ask("/do", { method: "POST", body: "{}", headers: GOOD }, {
    token: undefined,
  });
  assertEquals(none.status, 403);
  assertMatch((await none.json()).error, /without --http-token/);
});

Deno.test("http: a body is a JSON object of a modest size", async () => {
  assertEquals((await post({ ...GOOD, "content-type": "text/plain" })).status, 415);
  for (const body of ["", "[]", "1", "null", "{", "\u{0}"]) {
    assertEquals((await post(GOOD, body)).status, 400, body);
  }
  assertEquals((await post(GOOD, `{"a":"${"x".repeat(20_000)}"}`)).status, 413);
});

Deno.test("--http takes a port, or a host with one; what only this machine reaches is known", () => {
  assertEquals(parseAddress("8080"), { hostname: "127.0.0.1", port: 8080 });
  assertEquals(parseAddress("0.0.0.0:80"), { hostname: "0.0.0.0", port: 80 });
  assertEquals(parseAddress("[::1]:0"), { hostname: "::1", port: 0 });
  for (const wrong of ["", ":80", "a:b", "a:70000", "http://a:80", "a:80/", "::1:80", "a b:80"]) {
    assertEquals(parseAddress(wrong), undefined, wrong);
  }
  const loopback = ["127.0.0.1", "localhost", "::1", "127.9.9.9"];
  assertEquals(loopback.every((hostname) => isLoopbackAddress({ hostname, port: 1 })), true);
  const others = ["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example.com", "example.com"];
  assertEquals(others.some((hostname) => isLoopbackAddress({ hostname, port: 1 })), false);
});
