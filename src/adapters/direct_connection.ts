/**
 * Owns: that what is on this machine is asked directly, whatever proxy the environment names.
 * Must not: ask it.
 * Called by: whoever calls `fetch`.
 *
 * @module
 */

/**
 * How to connect to a URL without encryption on this machine: `HTTP_PROXY` must not lead it to another one, which could read it and
 * answer in its name. Undefined for every other URL.
 */
export function directConnection(
  { protocol, hostname, port }: Pick<URL, "protocol" | "hostname" | "port">,
): Pick<Deno.CreateHttpClientOptions, "proxy"> | undefined {
  const host = hostname.replace(/^\[|\]$/g, "");
  const isHere = host === "localhost" || host.endsWith(".localhost") || host === "::1" ||
    /^127\.\d+\.\d+\.\d+$/.test(host);
  if (protocol !== "http:" || !isHere) return undefined;
  return { proxy: { transport: "tcp", hostname: host, port: Number(port || 80) } };
}
