// Owns: the in-memory face of the local Kinesis: a request handler for the AWS SDK, with no port behind it.
// Must not: know operations, or keep time of its own.
// Called by: tests, as `new KinesisClient({ requestHandler })`.
import { type HttpRequest, HttpResponse } from "@smithy/core/protocols";
import { KinesisEngine, type KinesisEngineOptions } from "../src/local/kinesis_engine.ts";
import { KinesisProtocol, type ProtocolOptions } from "../src/local/kinesis_protocol.ts";

/** How the local Kinesis behaves, and whether to share one. */
export interface InMemoryKinesisOptions extends KinesisEngineOptions, ProtocolOptions {
  /**
   * An engine to talk to, for clients that shall see the same streams.
   *
   * @default {new KinesisEngine(options)}
   */
  readonly engine?: KinesisEngine;
}

/** What an SDK client wants as its `requestHandler`. */
export interface InMemoryKinesis {
  readonly engine: KinesisEngine;
  readonly metadata: { readonly handlerProtocol: string };
  handle(
    request: HttpRequest,
    options?: { readonly abortSignal?: { readonly aborted: boolean } },
  ): Promise<{ response: HttpResponse }>;
  httpHandlerConfigs(): Record<never, never>;
  updateHttpClientConfig(): void;
  destroy(): void;
}

/** Makes a local Kinesis that an SDK client reaches without a port, at the pace of its clock. */
export function createInMemoryKinesis(options: InMemoryKinesisOptions = {}): InMemoryKinesis {
  const engine = options.engine ?? new KinesisEngine(options);
  const protocol = new KinesisProtocol(engine, options);
  return {
    engine,
    metadata: { handlerProtocol: "http/1.1" },
    async handle(request, { abortSignal } = {}) {
      const target = request.headers["x-amz-target"] ?? "";
      const dispatch = () => protocol.dispatch(target, bodyOf(request));
      const reply =
        await (abortSignal instanceof AbortSignal
          ? untilAborted(dispatch, abortSignal)
          : dispatch());
      const { status: statusCode, headers, body } = reply;
      return {
        response: new HttpResponse({
          statusCode,
          headers: { ...headers },
          body: typeof body === "string"
            ? new TextEncoder().encode(body)
            : abortSignal instanceof AbortSignal
            ? body.pipeThrough(new TransformStream(), { signal: abortSignal })
            : body,
        }),
      };
    },
    httpHandlerConfigs: () => ({}),
    updateHttpClientConfig: () => {},
    destroy: () => {},
  };
}

function bodyOf({ body }: HttpRequest): string {
  return typeof body === "string" ? body : new TextDecoder().decode(body);
}

/** Ends a call when its signal aborts, as the SDK's own handlers do; the engine may have acted by then. */
function untilAborted<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(Object.assign(new Error("Request aborted"), { name: "AbortError" }));
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    call().then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
