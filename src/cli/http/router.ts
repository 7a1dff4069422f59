/**
 * Owns: which request goes to which route, and what every request must be before it gets there.
 * Must not: know what a route does.
 * Called by: `server.ts`.
 *
 * @module
 */

import { messageOf } from "../../errors.ts";
import { printable } from "../terminal.ts";

/** What a route is given. */
export interface HttpRequest {
  readonly url: URL;
  readonly headers: Headers;
  /** Of a POST: the JSON object in its body; otherwise empty. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** An answer to a path. */
export interface Route {
  readonly path: string;
  /** `POST` changes state: it needs the token. */
  readonly method: "GET" | "POST";
  handle(request: HttpRequest): Response | Promise<Response>;
}

/** What is refused to whom. */
export interface RouterOptions {
  readonly routes: readonly Route[];
  /** What everything that changes state asks for; undefined: nothing does that here. */
  readonly token?: string | undefined;
  /** Whether only this machine reaches the server: then a name that is not this machine's is somebody else's trick. */
  readonly isLoopback: boolean;
  /** Is told what a route did not expect. */
  readonly onError: (error: unknown) => void;
}

/** Nothing that is asked for is longer. */
const BODY_BYTES_MAX = 16_384;
const BODY_TIMEOUT_MS = 10_000;

/** Makes the function that answers requests. */
export function router(options: RouterOptions): (request: Request) => Promise<Response> {
  return async (request) => {
    const response = await answer(request, options).catch((error) => {
      options.onError(error);
      return problem(500, "Cannot answer: something unexpected happened; the log tells what");
    });
    for (const [name, value] of SECURITY_HEADERS) {
      if (!response.headers.has(name)) response.headers.set(name, value);
    }
    if (request.method !== "HEAD") return response;
    // A stream that nobody reads must not go on waiting for its reader.
    await response.body?.cancel();
    return new Response(null, response);
  };
}

/** A refusal, or a failure: `{ "error": "..." }`. */
export function problem(status: number, message: string, headers: HeadersInit = {}): Response {
  return Response.json({ error: printable(message) }, { status, headers });
}

const SECURITY_HEADERS: ReadonlyMap<string, string> = new Map(Object.entries({
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
}));

async function answer(request: Request, options: RouterOptions): Promise<Response> {
  const host = request.headers.get("host") ?? "";
  if (options.isLoopback && !isThisMachine(host)) {
    return problem(421, `Cannot answer for host "${host.slice(0, 100)}": use 127.0.0.1`);
  }
  if (isFromAnotherSite(request)) {
    return problem(403, "Cannot answer the page of another site: open this address by itself");
  }
  const url = new URL(request.url);
  const method = request.method === "HEAD" ? "GET" : request.method;
  const found = options.routes.filter(({ path }) => path === url.pathname);
  const route = found.find((route) => route.method === method);
  if (route === undefined) {
    if (found.length === 0) return problem(404, "Cannot find that: there is nothing at this path");
    const allow = found.map((route) => route.method).join(", ");
    return problem(405, `Cannot ${method.slice(0, 20)} here: only ${allow}`, { Allow: allow });
  }
  const { headers } = request;
  if (route.method === "GET") return await route.handle({ url, headers, body: {} });
  const refusal = await refuse(request, options);
  if (refusal !== undefined) return refusal;
  const body = await readBody(request);
  return body instanceof Response ? body : await route.handle({ url, headers, body });
}

/** DNS rebinding makes a browser ask this server under a name of its own, which only a page of that name may read. */
function isThisMachine(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i.test(host);
}

/**
 * A page of another site cannot read an answer, but what it asks for costs something all the same: its hidden request for the
 * live data would take the place of a page, and have the state table read. A link that somebody follows is welcome. Browsers say
 * where a request comes from to servers on this machine and those behind TLS; other programs do not.
 */
function isFromAnotherSite({ headers }: Request): boolean {
  const isLink = headers.get("sec-fetch-mode") === "navigate" &&
    headers.get("sec-fetch-dest") === "document";
  return ["cross-site", "same-site"].includes(headers.get("sec-fetch-site") ?? "") && !isLink;
}

/** Why a request may not change state; undefined if it may. */
async function refuse(request: Request, options: RouterOptions): Promise<Response | undefined> {
  const { headers } = request;
  const origin = headers.get("origin");
  if (origin !== null && URL.parse(origin)?.host !== headers.get("host")) {
    return problem(403, "Cannot do that: the request comes from a page of another origin");
  }
  if (options.token === undefined) {
    return problem(403, "Cannot do that: the worker was started without --http-token");
  }
  const given = /^Bearer (.+)$/.exec(headers.get("authorization") ?? "")?.[1] ?? "";
  if (await isSame(given, options.token)) return undefined;
  return problem(401, "Cannot do that: it needs the token of --http-token", {
    "WWW-Authenticate": "Bearer",
  });
}

/** Compares in a time that tells nothing about where they differ. */
async function isSame(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all(
    [a, b].map(async (text) =>
      new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)))
    ),
  );
  return first?.every((byte, i) => byte === second?.[i]) ?? false;
}

async function readBody(
  request: Request,
): Promise<Readonly<Record<string, unknown>> | Response> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^application\/json\b/i.test(type)) {
    return problem(415, "Cannot read the request: its Content-Type must be application/json");
  }
  try {
    const text = await readText(request);
    if (text === undefined) {
      return problem(413, `Cannot read the request: it has more than ${BODY_BYTES_MAX} bytes`);
    }
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null && !Array.isArray(body)) return { ...body };
    return problem(400, "Cannot read the request: it must hold one JSON object");
  } catch (error) {
    return problem(400, `Cannot read the request: ${messageOf(error)}`);
  }
}

/** The text of a body; undefined if it is too long. */
async function readText(request: Request): Promise<string | undefined> {
  const signal = AbortSignal.timeout(BODY_TIMEOUT_MS);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  const body = request.body ?? new Blob([]).stream();
  for await (const chunk of body.pipeThrough(new TransformStream(), { signal })) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
