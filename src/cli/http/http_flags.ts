/**
 * Owns: the flags that say whether and where a worker answers HTTP, and to whom.
 * Must not: listen.
 * Called by: the table of commands lists them, `run.ts` reads them.
 *
 * @module
 */

import { type Flag, matching } from "../flags.ts";
import type { Values } from "../values.ts";

/** Where a server listens. */
export interface HttpAddress {
  /** A name or an address, without brackets. */
  readonly hostname: string;
  /** 0 is a free one. */
  readonly port: number;
}

const ADDRESS = /^(?:(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+)):)?(\d{1,5})$/i;

/** The flags about HTTP. */
export const HTTP_FLAGS: readonly Flag[] = [
  {
    name: "http",
    placeholder: "ADDRESS",
    doc:
      "answer HTTP here, the dashboard at /: 127.0.0.1:8080, or a port alone on this machine only",
    accepts: {
      words: "a port from 0 to 65535, also after a host and a colon, such as 127.0.0.1:8080",
      test: (text) => parseAddress(text) !== undefined,
    },
    isInEnvironment: true,
  },
  {
    name: "http-token",
    placeholder: "TOKEN",
    doc:
      "what an HTTP request that changes something must show; without it none may; better from the " +
      "environment, where other users do not see it",
    accepts: matching(/^[!-~]{8,256}$/, "8 to 256 ASCII characters without blanks"),
    isSecret: true,
    isInEnvironment: true,
  },
];

/** Where to answer HTTP; undefined if nowhere. */
export function httpAddress(values: Values): HttpAddress | undefined {
  return parseAddress(values.text("http") ?? "");
}

/** Reads an address; undefined if that is not what it is. */
export function parseAddress(text: string): HttpAddress | undefined {
  const [, v6, name, digits] = ADDRESS.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  return { hostname: v6 ?? name ?? "127.0.0.1", port };
}

/** Whether only this machine reaches an address. */
export function isLoopbackAddress({ hostname }: HttpAddress): boolean {
  return hostname === "localhost" || hostname === "::1" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
