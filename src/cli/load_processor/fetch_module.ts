/**
 * Owns: one module from its URL to its bytes: redirects, limits, headers, cache.
 * Must not: look into the bytes.
 * Called by: `module_source.ts` and `new_version.ts`.
 *
 * @module
 */

import { directConnection } from "../../adapters/direct_connection.ts";
import { messageOf } from "../../errors.ts";
import { LoadError, naming } from "./load_error.ts";
import type { ModuleCache } from "./module_cache.ts";
import type { LoadLimits } from "./options.ts";
import { checkPlace, checkRedirect, type Trust } from "./policy.ts";

/** A module as it came. */
export interface FetchedModule {
  /** Where it came from, after redirects. */
  readonly url: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Without parameters, in lower case; null if the source does not say. */
  readonly contentType: string | null;
  readonly etag: string | null;
  /** Whether the source could not be reached. */
  readonly isFromCache: boolean;
}

/** What fetching needs to know. */
export interface FetchContext {
  readonly trust: Trust;
  readonly limits: LoadLimits;
  /** Aborts when the time is over, or loading is given up. */
  readonly signal: AbortSignal;
  readonly cache: ModuleCache | undefined;
  readonly isOffline: boolean;
  /** What is sent to one origin alone. */
  readonly headers: { readonly origin: string; readonly values: Readonly<Record<string, string>> };
}

const REDIRECTS_MAX = 10;
const REDIRECT_STATUSES = [301, 302, 303, 307, 308];

/**
 * Fetches a module.
 *
 * @param importer The URL of the module that imports it; null for the entry.
 * @throws {LoadError} If it cannot or may not be had.
 */
export async function fetchModule(
  url: URL,
  importer: URL | null,
  context: FetchContext,
): Promise<FetchedModule> {
  checkPlace(url, importer, context.trust);
  if (url.protocol === "file:") return await readModule(url, context);
  if (url.protocol === "data:") return await decodeModule(url, context);
  const cached = await context.cache?.read(url);
  if (context.isOffline) {
    if (cached) {
      // Kept when more was trusted, maybe.
      checkPlace(new URL(cached.finalUrl), importer ?? url, context.trust);
      return { ...cached, url: cached.finalUrl, isFromCache: true };
    }
    throw new LoadError(
      `${naming(url)} is not in the cache, and --offline allows nothing else; ` +
        `load the processor once without --offline and with the same --cache-dir`,
    );
  }
  const known = cached && { url: cached.finalUrl, etag: cached.etag };
  const answer = await fetchRemote(url, context, known);
  const fetched = answer !== "unchanged"
    ? answer
    : cached && { ...cached, url: cached.finalUrl, isFromCache: false };
  if (!fetched) {
    throw new LoadError(`${naming(url)} answered 304 Not Modified to a question without a tag`);
  }
  const { bytes, contentType, etag } = fetched;
  context.cache?.put(url, { finalUrl: fetched.url, contentType, etag, bytes });
  return fetched;
}

/** What is known of a module. */
export interface KnownModule {
  /** Where it came from, after redirects. */
  readonly url: string;
  readonly etag: string | null;
}

/**
 * Asks a server for a module, following its redirects.
 *
 * @returns `unchanged` if it is still there, with its tag.
 * @throws {LoadError} If it cannot or may not be had.
 */
export async function fetchRemote(
  url: URL,
  context: FetchContext,
  known?: KnownModule,
): Promise<FetchedModule | "unchanged"> {
  let at = url;
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
    // Elsewhere, the same content is another module: what it imports begins there.
    const response = await ask(at, context, at.href === known?.url ? known.etag : null);
    if (REDIRECT_STATUSES.includes(response.status)) {
      await response.body?.cancel();
      at = redirectTarget(at, response, context.trust);
      continue;
    }
    if (response.status === 304) {
      await response.body?.cancel();
      return "unchanged";
    }
    await checkStatus(at, response);
    const contentType = mimeType(response.headers.get("content-type"));
    if (contentType === "text/html" || contentType === "application/xhtml+xml") {
      await response.body?.cancel();
      throw new LoadError(
        `${naming(at)} is a web page (${contentType}), not a module; name the raw file`,
      );
    }
    const bytes = await readBody(at, response, context);
    return {
      url: at.href,
      bytes,
      contentType,
      etag: response.headers.get("etag"),
      isFromCache: false,
    };
  }
  throw new LoadError(`${naming(url)} redirects more than ${REDIRECTS_MAX} times`);
}

async function ask(url: URL, context: FetchContext, etag: string | null): Promise<Response> {
  const { origin, values } = context.headers;
  const headers = new Headers(url.origin === origin ? values : {});
  headers.set("accept", "application/typescript, text/javascript, application/json, */*;q=0.1");
  if (etag !== null) headers.set("if-none-match", etag);
  try {
    const connection = directConnection(url);
    using client = connection && Deno.createHttpClient(connection);
    const { signal } = context;
    return await fetch(url, { headers, redirect: "manual", signal, ...client && { client } });
  } catch (error) {
    throw unreachable(url, error, context);
  }
}

function unreachable(url: URL, error: unknown, { signal, limits }: FetchContext): LoadError {
  if (signal.aborted && signal.reason?.name !== "TimeoutError") throw signal.reason;
  if (error instanceof Deno.errors.NotCapable) {
    return new LoadError(`${naming(url)} cannot be fetched: ${messageOf(error)}`, { cause: error });
  }
  const reason = signal.aborted
    ? `the time for loading is over (${limits.timeoutMs} ms); see --load-timeout`
    : messageOf(error instanceof Error ? error.cause ?? error : error);
  return new LoadError(`${naming(url)} cannot be reached: ${reason}`, {
    cause: error,
    isUnreachable: true,
  });
}

function redirectTarget(from: URL, response: Response, trust: Trust): URL {
  const location = response.headers.get("location");
  const to = location === null ? null : URL.parse(location, from);
  if (!to) throw new LoadError(`${naming(from)} redirects to nowhere (${response.status})`);
  checkRedirect(from, to, trust);
  return to;
}

const REMEDIES: Readonly<Record<number, string>> = {
  401: "; give --header",
  403: "; give --header",
  404: "; check that it is published there",
};

async function checkStatus(url: URL, response: Response): Promise<void> {
  const { status, statusText } = response;
  if (status === 200) return;
  await response.body?.cancel();
  throw new LoadError(
    `${naming(url)} answered ${status} ${statusText}`.trimEnd() + (REMEDIES[status] ?? ""),
    { isUnreachable: status >= 500 || status === 429 },
  );
}

/** Counts while it reads: what a server says of its length need not be true. */
async function readBody(
  url: URL,
  response: Response,
  context: FetchContext,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      checkSize(url, length, context);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof LoadError) throw error;
    throw unreachable(url, error, context);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

async function readModule(url: URL, context: FetchContext): Promise<FetchedModule> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    const { isFile, size } = await Deno.stat(url);
    if (!isFile) throw new LoadError(`${naming(url)} is not a file; name the module itself`);
    checkSize(url, size, context);
    bytes = await Deno.readFile(url, { signal: context.signal });
  } catch (error) {
    if (error instanceof LoadError) throw error;
    if (context.signal.aborted) throw unreachable(url, error, context);
    throw new LoadError(`${naming(url)} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  checkSize(url, bytes.length, context);
  return { url: url.href, bytes, contentType: null, etag: null, isFromCache: false };
}

async function decodeModule(url: URL, context: FetchContext): Promise<FetchedModule> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new LoadError(`${naming(url)} cannot be decoded: ${messageOf(error)}`, { cause: error });
  }
  const bytes = await readBody(url, response, context);
  const contentType = mimeType(response.headers.get("content-type"));
  return { url: url.href, bytes, contentType, etag: null, isFromCache: false };
}

function checkSize(url: URL, length: number, { limits }: FetchContext): void {
  if (length <= limits.moduleBytesMax) return;
  throw new LoadError(
    `${
      naming(url)
    } has more than ${limits.moduleBytesMax} bytes, the most that a module may have; ` +
      `keep data out of it`,
  );
}

function mimeType(header: string | null): string | null {
  return header?.split(";", 1)[0]?.trim().toLowerCase() || null;
}
