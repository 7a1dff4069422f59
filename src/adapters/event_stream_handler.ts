/**
 * Owns: the connection of an event stream: one for each, which ends when the stream ends or is aborted.
 * Must not: know what is asked for.
 * Called by: `aws_calls.ts`, as the request handler of an SDK client.
 *
 * @module
 */

import { FetchHttpHandler } from "@smithy/fetch-http-handler";

/**
 * Speaks HTTP/2 where TLS agrees on it, else HTTP/1.1. On a connection that they share, streams of which nobody reads
 * would fill the window of all the others, and a connection that died silently would be used again.
 */
export class EventStreamHandler extends FetchHttpHandler {
  constructor(options: { readonly requestTimeout: number }) {
    super({ ...options, customFetch: fetchOnOwnConnection });
  }

  override async handle(
    ...[request, options]: Parameters<FetchHttpHandler["handle"]>
  ): ReturnType<FetchHttpHandler["handle"]> {
    const reply = await super.handle(request, options);
    const { response } = reply;
    const signal = options?.abortSignal;
    // An abort does not reach the body by itself: Deno forgets the body of a Response that nobody holds any more.
    if (response.body instanceof ReadableStream && signal instanceof AbortSignal) {
      response.body = response.body.pipeThrough(new TransformStream(), { signal });
    }
    return reply;
  }
}

/** A client that is closed goes on with what is under way, and keeps no connection for later. */
async function fetchOnOwnConnection(input: Request | string | URL): Promise<Response> {
  using client = Deno.createHttpClient({});
  return await fetch(input, { client });
}
