/**
 * Owns: https://example.com with modules and a registry of packages on it, for whoever goes there through its proxy and trusts its
 * authority.
 * Must not: assert.
 * Called by: the tests of the documents.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import packageFile from "../../deno.json" with { type: "json" };
import { messageOf } from "../../src/errors.ts";

const HOST = "example.com";
const HEAD_BYTES_MAX = 4_096;
const TLS = new URL("./tls/", import.meta.url);

/** The packages that the registry has, and which version of each. */
const VERSIONS: ReadonlyMap<string, string> = new Map([
  [packageFile.name, packageFile.version],
  ["@std/assert", packageFile.imports["@std/assert"].replace(/^.*\^/, "")],
]);

/** The site, its proxy, and what of it was asked for. */
export class ExampleSite implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #proxy: Deno.TcpListener;
  readonly #tunnels = new Set<Deno.TcpConn>();
  readonly #accepting: Promise<void>;
  /** Paths, in the order in which they were asked for. */
  readonly paths: string[] = [];
  /** What the proxy was asked for and does not have. */
  readonly refused: string[] = [];

  private constructor(tls: { readonly cert: string; readonly key: string }, module: string) {
    const options = { hostname: "127.0.0.1", port: 0, onListen() {}, ...tls };
    this.#server = Deno.serve(options, (request) => {
      const { pathname } = new URL(request.url);
      this.paths.push(pathname);
      if (pathname.startsWith("/jsr/")) return registered(pathname);
      return new Response(module, { headers: { "content-type": "application/typescript" } });
    });
    this.#proxy = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#accepting = this.#accept();
  }

  /** Puts a module at every path. */
  static async open(module: string): Promise<ExampleSite> {
    const read = (name: string) => Deno.readTextFile(new URL(name, TLS));
    const [cert, key] = await Promise.all([read("certificate.pem"), read("key.pem")]);
    return new ExampleSite({ cert, key }, module);
  }

  /** What a program needs in its environment to get there. */
  get env(): Readonly<Record<string, string>> {
    return {
      HTTPS_PROXY: `http://127.0.0.1:${this.#proxy.addr.port}`,
      NO_PROXY: "",
      DENO_CERT: fileURLToPath(new URL("authority.pem", TLS)),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#proxy.close();
    for (const end of this.#tunnels) close(end);
    await this.#accepting;
    await this.#server.shutdown();
  }

  async #accept(): Promise<void> {
    const serving: Promise<void>[] = [];
    for await (const client of this.#proxy) serving.push(this.#serve(client));
    await Promise.all(serving);
  }

  async #serve(client: Deno.TcpConn): Promise<void> {
    const ends = [client];
    this.#tunnels.add(client);
    try {
      const [, target = ""] = /^CONNECT (\S+) HTTP/.exec(await readHead(client)) ?? [];
      if (target !== `${HOST}:443`) {
        this.refused.push(target);
        await client.write(new TextEncoder().encode("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
        return;
      }
      const { port } = this.#server.addr;
      const site = await Deno.connect({ hostname: "127.0.0.1", port });
      ends.push(site);
      this.#tunnels.add(site);
      await client.write(new TextEncoder().encode("HTTP/1.1 200 Connection established\r\n\r\n"));
      await Promise.all([pass(client, site), pass(site, client)]);
    } finally {
      for (const end of ends) {
        this.#tunnels.delete(end);
        close(end);
      }
    }
  }
}

/** What jsr.io says of a package: its versions. */
function registered(path: string): Response {
  const [, name = ""] = /^\/jsr\/(@[\w-]+\/[\w-]+)\/meta\.json$/.exec(path) ?? [];
  const latest = VERSIONS.get(name);
  if (latest === undefined) return new Response("nothing here", { status: 404 });
  return Response.json({ latest, versions: { [latest]: {} } });
}

/** Reads the head of a request, byte by byte: what follows is for the site. */
async function readHead(client: Deno.TcpConn): Promise<string> {
  const byte = new Uint8Array(1);
  let head = "";
  while (!head.endsWith("\r\n\r\n") && head.length < HEAD_BYTES_MAX) {
    if (await client.read(byte) === null) break;
    head += String.fromCharCode(...byte);
  }
  return head;
}

async function pass(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const bytes = new Uint8Array(16_384);
  try {
    for (let read = await from.read(bytes); read !== null; read = await from.read(bytes)) {
      for (let at = 0; at < read;) at += await to.write(bytes.subarray(at, read));
    }
    await to.closeWrite();
  } catch (error) {
    // One of them has gone, so that the other one need not stay.
    if (!isGone(error)) throw new Error(`Cannot pass on bytes: ${messageOf(error)}`);
    close(from);
    close(to);
  }
}

function isGone(error: unknown): boolean {
  return [
    Deno.errors.BadResource,
    Deno.errors.BrokenPipe,
    Deno.errors.ConnectionReset,
    Deno.errors.Interrupted,
    Deno.errors.NotConnected,
  ].some((kind) => error instanceof kind);
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch (error) {
    // Closed from the other end.
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
