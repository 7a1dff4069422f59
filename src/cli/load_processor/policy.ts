/**
 * Owns: which module may come from where.
 * Must not: fetch anything.
 * Called by: `fetch_module.ts`, for every URL, redirects included.
 *
 * @module
 */

import { LoadError, naming } from "./load_error.ts";

/** Which hosts are trusted. */
export interface Trust {
  /** `example.com`, which is any port of it, or `example.com:8443`. */
  readonly hosts: readonly string[];
}

/**
 * Checks that a module may import another one, wherever that is fetched from.
 *
 * @throws {LoadError} If it may not: what comes from elsewhere has no business with this machine.
 */
export function checkImport(url: URL, importer: URL): void {
  const isLocal = url.protocol === "file:" || url.protocol === "data:";
  if (!isLocal || !isRemote(importer)) return;
  throw refusal(
    url,
    `a module from ${naming(importer.host)} may not import ${url.protocol} URLs`,
  );
}

/**
 * Checks that a module may be fetched.
 *
 * @param importer The URL of the module that imports it; null for the entry.
 * @throws {LoadError} If it may not; it says what would allow it.
 */
export function checkPlace(url: URL, importer: URL | null, trust: Trust): void {
  if (importer !== null) checkImport(url, importer);
  if (url.protocol === "file:" || url.protocol === "data:") return;
  if (url.username !== "" || url.password !== "") {
    url.username = url.password = "";
    throw refusal(
      url,
      "a URL with a password would be written to logs; use --header instead",
    );
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw refusal(
      url,
      "http: is for this machine only, since anybody on the way could change it; use https:",
    );
  }
  if (!isRemote(url)) throw refusal(url, `there are no modules at ${url.protocol}`);
  if (isTrusted(url, trust)) return;
  const host = naming(url.host);
  throw refusal(
    url,
    `${host} is not among the hosts it may come from; add --allow-host ${host}`,
  );
}

/**
 * Checks that a module may be fetched from where a server sent us.
 *
 * @throws {LoadError} If it may not.
 */
export function checkRedirect(from: URL, to: URL, trust: Trust): void {
  if (from.protocol === "https:" && to.protocol === "http:") {
    throw new LoadError(
      `${naming(from)} is refused: it redirects to ${naming(to)}, away from https:`,
      { isDistrusted: true },
    );
  }
  checkPlace(to, from, trust);
}

/** Whether a URL leads to another program. */
export function isRemote(url: URL): boolean {
  return url.protocol === "https:" || url.protocol === "http:";
}

/** Whether a host name can only mean this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

/** The host of a URL with its port, also if that is the one of the protocol. */
export function hostAndPort({ hostname, port, protocol }: URL): string {
  return `${hostname}:${port || (protocol === "http:" ? 80 : 443)}`;
}

function isTrusted(url: URL, { hosts }: Trust): boolean {
  return hosts.includes(url.hostname) || hosts.includes(hostAndPort(url));
}

function refusal(url: URL, reason: string): LoadError {
  return new LoadError(`${naming(url)} is refused: ${reason}`, { isDistrusted: true });
}
