/**
 * Owns: a web server on loopback whose modules a test can change, and what was asked of it.
 * Must not: assert.
 * Called by: the tests of the loader.
 *
 * @module
 */

/** What the server answers for a path; a text is a module of the type that its extension says. */
export type Answer = string | ((request: Request) => Response | Promise<Response>);

const TYPES: Readonly<Record<string, string>> = {
  ts: "application/typescript",
  js: "text/javascript",
  mjs: "text/javascript",
  json: "application/json",
};

/** A server of modules. */
export class ModuleServer implements AsyncDisposable {
  /** By path, such as `/processor.ts`. */
  readonly answers: Map<string, Answer>;
  readonly requests: { readonly path: string; readonly headers: Headers }[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor(answers: Readonly<Record<string, Answer>> = {}, port = 0) {
    this.answers = new Map(Object.entries(answers));
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port, onListen: () => {} },
      (request) => this.#answer(request),
    );
  }

  get port(): number {
    return this.#server.addr.port;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  url(path: string): string {
    return `http://${this.host}${path}`;
  }

  set(path: string, answer: Answer): void {
    this.answers.set(path, answer);
  }

  /** The paths that were asked for. */
  get paths(): readonly string[] {
    return this.requests.map(({ path }) => path);
  }

  /** What was sent of a header, request by request. */
  headers(name: string): readonly (string | null)[] {
    return this.requests.map(({ headers }) => headers.get(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    this.requests.push({ path: pathname, headers: new Headers(request.headers) });
    const answer = this.answers.get(pathname);
    if (answer === undefined) return new Response("nothing here", { status: 404 });
    if (typeof answer !== "string") return await answer(request);
    const etag = `"${(await digest(answer)).slice(0, 16)}"`;
    if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304 });
    const type = TYPES[pathname.split(".").at(-1) ?? ""] ?? "text/plain";
    return new Response(answer, { headers: { "content-type": type, etag } });
  }
}

/** A module without a server. */
export function dataUrl(source: string, type: string = "text/javascript"): string {
  return `data:${type},${encodeURIComponent(source)}`;
}

/** The SHA-256 of a text in hexadecimal digits. */
export async function digest(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(bytes).toHex();
}

/** A redirect. */
export function redirect(to: string, status = 302): Answer {
  return () => new Response(null, { status, headers: { location: to } });
}

/** A module of a type of its own. */
export function typed(body: string, type: string | null): () => Response {
  return () =>
    new Response(new TextEncoder().encode(body), {
      headers: type === null ? {} : { "content-type": type },
    });
}
