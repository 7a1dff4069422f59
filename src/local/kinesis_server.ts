// Owns: the HTTP face of the local Kinesis.
// Must not: know operations; check signatures (any credentials will do); log.
// Called by: the command line, integration tests; any AWS SDK that speaks JSON over HTTP/1.1 can connect.
import { KinesisEngine, type KinesisEngineOptions } from "./kinesis_engine.ts";
import { KinesisError } from "./kinesis_error.ts";
import { KinesisProtocol, type ProtocolOptions, type ProtocolReply } from "./kinesis_protocol.ts";

/** Where the local Kinesis listens and how it behaves. */
export interface LocalKinesisOptions extends KinesisEngineOptions, ProtocolOptions {
  /** The TCP port; 0 takes a free one. */
  readonly port: number;
}

/** A local Kinesis that is listening. */
export interface LocalKinesis extends AsyncDisposable {
  /** The endpoint to give to an SDK, as "http://127.0.0.1:4567". */
  readonly url: string;
  readonly engine: KinesisEngine;
  /** Stops listening and ends every connection; the records are gone with the engine. */
  close(): Promise<void>;
}

// The 5 MiB of a PutRecords in base64 with its JSON around; AWS closes the connection on more.
const BODY_BYTES_MAX = 10 * 1024 * 1024;

const HOSTNAME = "127.0.0.1";

/** Starts a local Kinesis for one process or for many. */
export function serveLocalKinesis(options: LocalKinesisOptions): LocalKinesis {
  const engine = new KinesisEngine(options);
  const protocol = new KinesisProtocol(engine, options);
  const closing = new AbortController();
  const server = Deno.serve(
    { port: options.port, hostname: HOSTNAME, signal: closing.signal, onListen: () => {} },
    (request) => handle(request, protocol),
  );
  const close = () => {
    // Not shutdown(): that waits for calls which an interceptor may hold for ever.
    closing.abort();
    return server.finished;
  };
  const url = `http://${HOSTNAME}:${server.addr.port}`;
  return { url, engine, close, [Symbol.asyncDispose]: close };
}

async function handle(request: Request, protocol: KinesisProtocol): Promise<Response> {
  try {
    const body = await readBody(request);
    const target = request.headers.get("x-amz-target") ?? "";
    return respond(await protocol.dispatch(target, body));
  } catch (error) {
    if (error instanceof KinesisError) return respond(protocol.refuse(error));
    const message = error instanceof Error ? error.message : String(error);
    return respond(protocol.refuse(new KinesisError("InternalFailure", message, 500)));
  }
}

function respond({ status, headers, body }: ProtocolReply): Response {
  return new Response(body, { status, headers });
}

/** The body as text, unless it is too long or in a format other than JSON (Java SDKs default to CBOR). */
async function readBody(request: Request): Promise<string> {
  const contentType = request.headers.get("content-type") ?? "";
  if (!contentType.startsWith("application/x-amz-json-1.")) {
    throw new KinesisError("SerializationException", `Cannot read content type "${contentType}"`);
  }
  const length = request.headers.get("content-length");
  if (length === null || Number(length) > BODY_BYTES_MAX) {
    throw new KinesisError(
      "RequestEntityTooLarge",
      "Request must say that it is under 10 MiB",
      413,
    );
  }
  return await request.text();
}
