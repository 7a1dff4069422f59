/**
 * Owns: the calls of an SDK client over `fetch`: connections, time-outs, aborts, and errors with the codes of the system.
 * Must not: know what is asked for, or call again.
 * Called by: `aws_calls.ts`, as the request handler of the clients.
 *
 * The SDK's own handlers are not it: the one over `node:http` takes more CPU and leaves its memory scattered; the one over `fetch`
 * leaves a call that took too long running, waits for ever for a body, and does not say why there is no connection.
 *
 * @module
 */

import { buildQueryString, type HttpRequest, HttpResponse } from "@smithy/core/protocols";
import type { Clock } from "../ports.ts";
import { directConnection } from "./direct_connection.ts";
import { systemClock } from "./system.ts";

/** How calls are made. */
export interface FetchHandlerOptions {
  /** For how long nothing may come, in milliseconds: until the answer begins, and then between any two parts of it. */
  readonly silenceMaxMs: number;
  /**
   * `kept`: HTTP/1.1, connections are used again, one call at a time. A call that is given up takes its connection with it; over
   * HTTP/2 all others would stay on one that died silently. `own`: one for each call, HTTP/2 if TLS agrees on it, which ends with
   * the call. Streams that share one fill the window of all the others when nobody reads them.
   */
  readonly connections: "kept" | "own";
  /** @default {systemClock} */
  readonly clock?: Clock;
}

const EVENT_STREAM_TYPE = "application/vnd.amazon.eventstream";
/** More than that are closed after use: each keeps room for the largest piece that it ever read. */
const IDLE_CONNECTIONS_MAX = 32;
/** An answer that does not say how long it is begins with so much room. */
const UNKNOWN_BODY_BYTES = 64 * 1024;
/** Far more than any answer has; a length that is a lie is not believed beyond it. */
const TRUSTED_BODY_BYTES = 32 * 1024 * 1024;

/** A request handler for clients of the SDK. The body of an answer is whole, as bytes, unless it is a stream of events. */
export class FetchHandler {
  readonly metadata = { handlerProtocol: "http/1.1" };
  readonly #options: Required<FetchHandlerOptions>;
  /** By how long they let a call be silent. */
  readonly #watches = new Map<number, SilenceWatch>();
  /** By the address on this machine, or `elsewhere`. */
  readonly #kept = new Map<string, Deno.HttpClient>();
  #isDestroyed = false;

  constructor(options: FetchHandlerOptions) {
    this.#options = { clock: systemClock, ...options };
  }

  /**
   * Makes one call.
   *
   * @throws An error whose `name` is `TimeoutError` or `AbortError`, or whose `code` is that of the system if there is one.
   */
  async handle(
    request: HttpRequest,
    options: { readonly abortSignal?: unknown; readonly requestTimeout?: number } = {},
  ): Promise<{ readonly response: HttpResponse }> {
    const signal = options.abortSignal instanceof AbortSignal ? options.abortSignal : undefined;
    const silenceMaxMs = options.requestTimeout ?? this.#options.silenceMaxMs;
    using call = new WatchedCall(signal, this.#watchFor(silenceMaxMs));
    try {
      call.signal.throwIfAborted();
      const response = await this.#fetch(request, call.signal);
      const headers = Object.fromEntries(response.headers);
      const isStream = headers["content-type"] === EVENT_STREAM_TYPE;
      const body = isStream ? streamOf(response, signal) : await readWhole(response, call);
      const { status: statusCode, statusText: reason } = response;
      return { response: new HttpResponse({ statusCode, reason, headers, body }) };
    } catch (error) {
      // Whatever an abort breaks, it is the abort that is told.
      throw call.signal.aborted ? call.signal.reason : withCode(error);
    }
  }

  /** Closes the connections that are kept. Calls that are under way go on; of later ones each has a connection of its own. */
  destroy(): void {
    this.#isDestroyed = true;
    for (const client of this.#kept.values()) client.close();
    this.#kept.clear();
  }

  /** Nothing can be changed later. */
  updateHttpClientConfig(): void {}

  /** Nothing that could be changed. */
  httpHandlerConfigs(): Record<string, never> {
    return {};
  }

  async #fetch(request: HttpRequest, signal: AbortSignal): Promise<Response> {
    const { method, headers, body } = request;
    const init: RequestInit = {
      method,
      // What is compressed would be as long as nobody says, and cost more to unpack than to send within a region.
      headers: { ...headers, "accept-encoding": "identity" },
      body,
      // A request is signed for one place.
      redirect: "manual",
      signal,
    };
    const url = new URL(urlOf(request));
    const direct = directConnection(url);
    if (this.#options.connections === "kept" && !this.#isDestroyed) {
      return await fetch(url, { ...init, client: this.#keptFor(url, direct) });
    }
    // Once it is closed it goes on with what is under way, and keeps no connection for later.
    using client = Deno.createHttpClient({ ...direct });
    return await fetch(url, { ...init, client });
  }

  #watchFor(silenceMaxMs: number): SilenceWatch {
    const known = this.#watches.get(silenceMaxMs);
    if (known !== undefined) return known;
    const watch = new SilenceWatch(silenceMaxMs, this.#options.clock);
    this.#watches.set(silenceMaxMs, watch);
    return watch;
  }

  #keptFor(url: URL, direct: ReturnType<typeof directConnection>): Deno.HttpClient {
    const key = direct === undefined ? "elsewhere" : url.host;
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const pool = { http2: false, poolMaxIdlePerHost: IDLE_CONNECTIONS_MAX };
    const client = Deno.createHttpClient({ ...pool, ...direct });
    this.#kept.set(key, client);
    return client;
  }
}

function urlOf({ protocol, hostname, port, path, query }: HttpRequest): string {
  const search = buildQueryString(query ?? {});
  return `${protocol}//${hostname}${port === undefined ? "" : `:${port}`}${path}${
    search === "" ? "" : `?${search}`
  }`;
}

/** An abort does not reach a body by itself: Deno forgets the body of a Response that nobody holds any more. */
function streamOf({ body }: Response, signal: AbortSignal | undefined): ReadableStream | undefined {
  if (body === null || signal === undefined) return body ?? undefined;
  return body.pipeThrough(new TransformStream(), { signal });
}

/** Into one piece of memory that is as large as the answer: pieces would be collected late, and have to be put together. */
async function readWhole({ body, headers }: Response, call: WatchedCall): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const length = Number(headers.get("content-length") ?? UNKNOWN_BODY_BYTES);
  // One byte more than there are, since the end is seen only by who asks for more.
  let bytes = new Uint8Array(Math.min(length, TRUSTED_BODY_BYTES) + 1);
  let filled = 0;
  const reader = body.getReader({ mode: "byob" });
  const cancel = (): void =>
    void reader.cancel().catch(() => {
      // The connection may have failed by then: what is told is the abort.
    });
  call.signal.addEventListener("abort", cancel, { once: true });
  while (true) {
    const { value, done } = await reader.read(bytes.subarray(filled));
    call.signal.throwIfAborted();
    if (value !== undefined) bytes = new Uint8Array(value.buffer);
    if (done) return bytes.subarray(0, filled);
    filled += value.byteLength;
    call.noticeLife();
    if (filled === bytes.length) bytes = enlarged(bytes);
  }
}

function enlarged(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(bytes.length * 2);
  larger.set(bytes);
  return larger;
}

/** How often somebody looks while nothing comes. A process that stood still meanwhile counts that as one look. */
const LOOKS = 8;
const NOBODY_LEFT = new Error("no call is under way");

/** Ends calls of which nothing comes for too long, and at most an eighth longer. All have one timer, since few of them ever need it. */
class SilenceWatch {
  readonly #calls = new Set<WatchedCall>();
  readonly #silenceMaxMs: number;
  readonly #clock: Clock;
  #resting = new AbortController();

  constructor(silenceMaxMs: number, clock: Clock) {
    this.#silenceMaxMs = silenceMaxMs;
    this.#clock = clock;
  }

  add(call: WatchedCall): void {
    this.#calls.add(call);
    if (this.#calls.size > 1) return;
    this.#resting = new AbortController();
    void this.#watch(this.#resting.signal);
  }

  /** The call is over. */
  remove(call: WatchedCall): void {
    // A timer would hold the process.
    if (this.#calls.delete(call) && this.#calls.size === 0) this.#resting.abort(NOBODY_LEFT);
  }

  async #watch(resting: AbortSignal): Promise<void> {
    while (!resting.aborted) {
      // The only reason why it fails is that it is not needed any more.
      await this.#clock.sleep(this.#silenceMaxMs / LOOKS, resting).catch(() => {});
      if (resting.aborted) return;
      for (const call of this.#calls) {
        // The first look came early: the call began after the one before.
        if (call.silentLooks() > LOOKS) call.end(new SilenceError(this.#silenceMaxMs));
      }
    }
  }
}

/** A call that ends when it is aborted, or silent for too long. */
class WatchedCall implements Disposable {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal | undefined;
  readonly #watch: SilenceWatch;
  readonly #onAbort = (): void => this.end(abortError(this.#parent?.reason));
  #looks = 0;

  constructor(parent: AbortSignal | undefined, watch: SilenceWatch) {
    this.#parent = parent;
    this.#watch = watch;
    if (parent?.aborted) this.#onAbort();
    parent?.addEventListener("abort", this.#onAbort);
    watch.add(this);
  }

  /** Aborted when the call is to end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(reason: Error): void {
    this.#controller.abort(reason);
  }

  /** Something came. */
  noticeLife(): void {
    this.#looks = 0;
  }

  /** Counts one more look since something came. */
  silentLooks(): number {
    return ++this.#looks;
  }

  [Symbol.dispose](): void {
    this.#parent?.removeEventListener("abort", this.#onAbort);
    this.#watch.remove(this);
  }
}

/** Thrown when nothing came for too long. */
class SilenceError extends Error {
  override readonly name = "TimeoutError";

  constructor(silenceMaxMs: number) {
    super(`nothing came for ${silenceMaxMs / 1_000} s`);
  }
}

function abortError(reason: unknown): Error {
  return Object.assign(new Error("Request aborted", { cause: reason }), { name: "AbortError" });
}

/** What the system calls its errors on Linux, macOS and Windows; the words are in the language of the machine. */
const SYSTEM_CODES: readonly (readonly [code: string, numbers: readonly number[]])[] = [
  ["ECONNREFUSED", [111, 61, 10061]],
  ["EHOSTUNREACH", [113, 65, 10065]],
  ["ENETUNREACH", [101, 51, 10051]],
  ["ETIMEDOUT", [110, 60, 10060]],
  ["ECONNABORTED", [103, 53, 10053]],
  ["ECONNRESET", [104, 54, 10054]],
  ["EPIPE", [32]],
];
/** What the platform says itself. */
const PLATFORM_CODES: readonly (readonly [code: string, words: string])[] = [
  ["ENOTFOUND", "dns error"],
  ["ECONNRESET", "connection closed before message completed"],
  ["ECONNRESET", "error reading a body from connection"],
];

/** The platform says why there is no answer in words, and those in the cause; the rest of the program goes by codes. */
function withCode(error: unknown): unknown {
  if (!(error instanceof TypeError)) return error;
  const words = error.cause instanceof Error ? error.cause.message : error.message;
  const systemNumber = Number(/\(os error (\d+)\)/.exec(words)?.[1]);
  const code = SYSTEM_CODES.find(([, numbers]) => numbers.includes(systemNumber))?.[0] ??
    PLATFORM_CODES.find(([, part]) => words.includes(part))?.[0];
  return code === undefined ? error : Object.assign(error, { code });
}
