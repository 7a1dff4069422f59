// Owns: a local DynamoDB on a loopback port: starting dynalite, watching its requests, keeping them apart from transactions,
// stopping it.
// Must not: implement DynamoDB; what dynalite lacks is in transactions.ts.
// Called by: the command line, integration tests.
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import module from "node:module";
import { type Answer, type Call, Transactions } from "./transactions.ts";

/** Where the local DynamoDB listens. */
export interface LocalDynamoDBOptions {
  /** The TCP port; 0 takes a free one. */
  readonly port: number;
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

const HOSTNAME = "127.0.0.1";

/** Starts a local DynamoDB whose tables are in memory and active at once. */
export async function startLocalDynamoDB(options: LocalDynamoDBOptions): Promise<LocalDynamoDB> {
  const dynalite = await loadDynalite();
  const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });
  wrapListener(server, options.onRequest ?? (() => {}));
  const port = await listen(server, options.port);
  const close = () => closeServer(server);
  return { url: `http://${HOSTNAME}:${port}`, close, [Symbol.asyncDispose]: close };
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

/** What dynalite takes too; it refuses more by itself. */
const REQUEST_BYTES_MAX = 16 * 1_048_576;

function wrapListener(server: Server, onRequest: (operation: string) => void): void {
  const listeners = server.listeners("request") as RequestListener[];
  const handle: RequestListener = (request, response) => {
    for (const listener of listeners) listener(request, response);
  };
  const gate = new Gate();
  const transactions = new Transactions(callOver(handle), Date.now);
  server.removeAllListeners("request");
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const operation = operationOf(request);
    onRequest(operation);
    // Read before it is its turn: a client that never sends the rest must keep nobody waiting.
    bodyOf(request).then((body) =>
      operation === "TransactWriteItems"
        ? gate.alone(async () => send(response, await transactions.write(body.toString())))
        : gate.together(() => passOn(handle, { request, response, body }))
    ).catch(() => response.destroy());
  });
}

/** A request that arrived, on its way to dynalite. */
interface Arrived {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > REQUEST_BYTES_MAX) break;
  }
  return Buffer.concat(chunks);
}

/** Resolves when it is answered, or whoever asked is gone. */
function passOn(handle: RequestListener, { request, response, body }: Arrived): Promise<void> {
  const { method, url, headers } = request;
  return new Promise((resolve) => {
    response.once("close", resolve).once("finish", resolve);
    if (response.destroyed) return resolve();
    ask(handle, { method, url, headers, body, response });
  });
}

/** Makes requests of dynalite without a connection. */
function callOver(handle: RequestListener): Call {
  const date = "20260101T000000Z";
  const authorization = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/" +
    "aws4_request, SignedHeaders=host, Signature=none";
  return (operation, body) =>
    new Promise<Answer>((resolve) => {
      const headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": `DynamoDB_20120810.${operation}`,
        "x-amz-date": date,
        authorization,
      };
      const response = {
        statusCode: 200,
        setHeader: () => {},
        end(text: string) {
          resolve({ status: this.statusCode, body: JSON.parse(text) });
        },
      };
      const bytes = Buffer.from(JSON.stringify(body));
      ask(handle, { method: "POST", url: "/", headers, body: bytes, response });
    });
}

/** Gives dynalite a request that is there as a whole. */
function ask(
  handle: RequestListener,
  { body, response, ...head }: {
    readonly method: string | undefined;
    readonly url: string | undefined;
    readonly headers: object;
    readonly body: Buffer;
    readonly response: object;
  },
): void {
  const request = Object.assign(new EventEmitter(), head);
  handle(request as unknown as IncomingMessage, response as ServerResponse);
  if (body.length > 0) request.emit("data", body);
  request.emit("end");
}

function send(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, { "content-type": "application/x-amz-json-1.0" });
  response.end(JSON.stringify(body));
}

/** Lets requests run together, and some alone, in the order in which they came. */
class Gate {
  #lastAlone: Promise<unknown> = Promise.resolve();
  /** Those that came since. */
  readonly #together = new Set<Promise<unknown>>();

  together(work: () => Promise<void>): Promise<void> {
    const result = this.#lastAlone.then(work);
    const settled = result.catch(() => {}).finally(() => this.#together.delete(settled));
    this.#together.add(settled);
    return result;
  }

  alone(work: () => Promise<void>): Promise<void> {
    const result = Promise.all([this.#lastAlone, ...this.#together]).then(work);
    this.#together.clear();
    this.#lastAlone = result.catch(() => {});
    return result;
  }
}

function operationOf(request: IncomingMessage): string {
  return String(request.headers["x-amz-target"] ?? "").split(".").at(-1) ?? "";
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, HOSTNAME, () => {
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
