// Owns: a local DynamoDB on a loopback port: starting dynalite, watching its requests, stopping it.
// Must not: implement DynamoDB.
// Called by: the command line, integration tests.
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import module from "node:module";

/** Where the local DynamoDB listens. */
export interface LocalDynamoDBOptions {
  /** The TCP port; 0 takes a free one. */
  readonly port: number;
  /** @default {"127.0.0.1"} */
  readonly hostname?: string;
  /** Called with the operation of each request, as "UpdateItem", before it is carried out. */
  readonly onRequest?: (operation: string) => void;
}

/** A local DynamoDB that is listening. */
export interface LocalDynamoDB extends AsyncDisposable {
  /** The endpoint to give to an SDK, as "http://127.0.0.1:8000". */
  readonly url: string;
  /** Stops listening and ends every connection; the tables are gone. */
  close(): Promise<void>;
}

type RequestListener = (request: IncomingMessage, response: ServerResponse) => void;

/** Starts a local DynamoDB whose tables are in memory and active at once. */
export async function startLocalDynamoDB(options: LocalDynamoDBOptions): Promise<LocalDynamoDB> {
  const hostname = options.hostname ?? "127.0.0.1";
  const dynalite = await loadDynalite();
  const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });
  wrapListener(server, options.onRequest ?? (() => {}));
  const port = await listen(server, options.port, hostname);
  const close = () => closeServer(server);
  return { url: `http://${hostname}:${port}`, close, [Symbol.asyncDispose]: close };
}

/**
 * Without the database that dynalite would keep files in: that is native code, which needs a permission of its own to be loaded,
 * and nothing here is on a disk.
 */
async function loadDynalite(): Promise<typeof import("./dynalite.d.ts").default> {
  // An executable is bundled without it, and its runtime may be older than these hooks.
  const hooks = module.registerHooks?.({
    load: (url, context, next) =>
      url.includes("/classic-level/")
        ? { format: "commonjs", source: "", shortCircuit: true }
        : next(url, context),
  });
  try {
    // @ts-types="./dynalite.d.ts"
    const { default: dynalite } = await import("dynalite");
    return dynalite;
  } finally {
    hooks?.deregister();
  }
}

function wrapListener(server: Server, onRequest: (operation: string) => void): void {
  const listeners = server.listeners("request") as RequestListener[];
  server.removeAllListeners("request");
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    onRequest(operationOf(request));
    for (const listener of listeners) listener(request, response);
    // dynalite throws when a client goes away in mid-request, which would end this whole process.
    request.removeAllListeners("error");
    request.on("error", () => response.destroy());
  });
}

function operationOf(request: IncomingMessage): string {
  return String(request.headers["x-amz-target"] ?? "").split(".").at(-1) ?? "";
}

function listen(server: Server, port: number, hostname: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, () => {
      server.removeListener("error", reject);
      const address = server.address();
      if (typeof address === "object" && address !== null) resolve(address.port);
      else reject(new Error("The local DynamoDB listens on no port"));
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => error ? reject(error) : resolve());
    // Without this it would wait for clients to let go of the connections they keep alive.
    server.closeAllConnections();
  });
}
