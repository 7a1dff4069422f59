/**
 * Owns: hashes of modules, and the form in which people write them down.
 * Must not: read anything.
 * Called by: everything of the loader.
 *
 * @module
 */

import { Buffer } from "node:buffer";

const ALGORITHMS = { sha256: "SHA-256", sha384: "SHA-384" } as const;
const BYTES = { sha256: 32, sha384: 48 } as const;

/** What a module must hash to. */
export interface Integrity {
  readonly algorithm: keyof typeof ALGORITHMS;
  /** In hexadecimal digits. */
  readonly digest: string;
}

/** Reads `sha256-...` or `sha384-...`, in base64 as browsers have it or in hexadecimal digits; undefined if it is neither. */
export function parseIntegrity(text: string): Integrity | undefined {
  const [, algorithm, digest = ""] = /^(sha256|sha384)-([A-Za-z0-9+/]+=*)$/.exec(text) ?? [];
  if (algorithm !== "sha256" && algorithm !== "sha384") return undefined;
  const length = BYTES[algorithm];
  if (/^[0-9a-fA-F]+$/.test(digest) && digest.length === 2 * length) {
    return { algorithm, digest: digest.toLowerCase() };
  }
  const bytes = Buffer.from(digest, "base64");
  // Base64 that is not written as it should be may hide a mistake.
  if (bytes.length !== length || bytes.toString("base64") !== digest) return undefined;
  return { algorithm, digest: bytes.toString("hex") };
}

/** What would be written down for a content. */
export async function integrityOf(
  bytes: Uint8Array<ArrayBuffer>,
  algorithm: Integrity["algorithm"],
): Promise<string> {
  return `${algorithm}-${Buffer.from(await digestOf(bytes, algorithm), "hex").toString("base64")}`;
}

/** The SHA-256 of a content, or of a text, in hexadecimal digits. */
export function sha256(content: Uint8Array<ArrayBuffer> | string): Promise<string> {
  return digestOf(
    typeof content === "string" ? new TextEncoder().encode(content) : content,
    "sha256",
  );
}

/** A SHA-256 in hexadecimal digits as it is written down. */
export function writtenSha256(digest: string): string {
  return `sha256-${Buffer.from(digest, "hex").toString("base64")}`;
}

/** Whether a content is what was expected. */
export async function matches(
  bytes: Uint8Array<ArrayBuffer>,
  { algorithm, digest }: Integrity,
): Promise<boolean> {
  return await digestOf(bytes, algorithm) === digest;
}

async function digestOf(
  bytes: Uint8Array<ArrayBuffer>,
  algorithm: Integrity["algorithm"],
): Promise<string> {
  return Buffer.from(await crypto.subtle.digest(ALGORITHMS[algorithm], bytes)).toString("hex");
}
