/**
 * Owns: the HTTP server of a worker: where it listens, and its end.
 * Must not: know any route.
 * Called by: `worker_server.ts`.
 *
 * @module
 */

import { messageOf } from "../../errors.ts";
import { type HttpAddress, isLoopbackAddress } from "./http_flags.ts";
import { type Route, router } from "./router.ts";

/** How a server is started. */
export interface HttpServerOptions {
  readonly address: HttpAddress;
  readonly routes: readonly Route[];
  /** What everything that changes state asks for; undefined: nothing does that here. */
  readonly token?: string | undefined;
  /** Is told what a route did not expect. */
  readonly onError: (error: unknown) => void;
}

/** A server that listens, until it is disposed. */
export interface HttpServer extends AsyncDisposable {
  /** Where, such as `http://127.0.0.1:8080`. */
  readonly url: string;
}

/** What is under way when the server closes has this long. */
const CLOSE_MS = 1_000;

/**
 * Starts to listen.
 *
 * @throws {Error} If the address cannot be had.
 */
export function serveHttp(options: HttpServerOptions): HttpServer {
  const { address, onError } = options;
  const closing = new AbortController();
  const handler = router({ ...options, isLoopback: isLoopbackAddress(address) });
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({
      ...address,
      signal: closing.signal,
      onListen: () => {},
      onError: (error) => {
        onError(error);
        return new Response(null, { status: 500 });
      },
    }, handler);
  } catch (error) {
    const reason = error instanceof Deno.errors.AddrInUse
      ? "another program listens there; give another port, or 0 for a free one"
      : messageOf(error);
    throw new Error(
      `Cannot listen on --http ${hostOf(address.hostname)}:${address.port}: ${reason}`,
      { cause: error },
    );
  }
  return {
    url: `http://${hostOf(address.hostname)}:${server.addr.port}`,
    async [Symbol.asyncDispose]() {
      const timer = setTimeout(() => closing.abort(), CLOSE_MS);
      try {
        await server.shutdown();
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

function hostOf(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
