/**
 * Owns: the flags that say which processor is loaded, from where, and what it must be.
 * Must not: load it.
 * Called by: `commands/worker_commands.ts` and `commands/watch_commands.ts` list them, `run.ts` reads them.
 *
 * @module
 */

import { parseDuration } from "../core/duration.ts";
import { type Accepts, type Flag, timeFrom } from "./flags.ts";
import { parseIntegrity } from "./load_processor/integrity.ts";
import type { LoadOptions } from "./load_processor/options.ts";
import { isLoopback } from "./load_processor/policy.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

const HOST: RegExp = /^(\[[0-9a-f:]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:\d{1,5})?$/;

const INTEGRITY: Accepts = {
  words: "sha256- or sha384- and a digest in base64 or hexadecimal digits",
  test: (text) => parseIntegrity(text) !== undefined,
};

const HOSTS: Accepts = {
  words: "names of hosts with commas between them, such as example.com,cdn.example.com:8443",
  test: (text) => hostsOf(text).every((host) => HOST.test(host)),
};

const HEADERS: Accepts = {
  words: 'a header such as "Authorization: Bearer TOKEN", or several on lines of their own',
  test: (text) => headersOf(text) !== undefined,
};

const REGISTRY: Accepts = {
  words: "a URL that starts with https://, or with http:// on this machine",
  test: (text) => {
    const url = URL.parse(text);
    return url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(url.hostname));
  },
};

/** The flags about the processor. */
export const PROCESSOR_FLAGS: readonly Flag[] = [
  {
    name: "processor",
    placeholder: "MODULE",
    doc:
      "the processor module: a path, or a URL of https:, file:, data:, jsr:, npm: or, from this " +
      "machine, http:",
    isRequired: true,
    isInEnvironment: true,
  },
  {
    name: "watch-processor",
    placeholder: "TIME",
    doc:
      "look this often whether any of its modules changed, and change to the new version between " +
      "two records; SIGHUP looks at once",
    accepts: timeFrom(250, 86_400_000),
    isInEnvironment: true,
  },
  {
    name: "integrity",
    placeholder: "HASH",
    doc: "what the processor module itself must hash to: sha256-... or sha384-...",
    accepts: INTEGRITY,
    isInEnvironment: true,
  },
  {
    name: "lock",
    placeholder: "FILE",
    doc: "a file with the hash that each module from elsewhere must have",
    isInEnvironment: true,
  },
  { name: "lock-write", doc: "make the file of --lock from what is loaded now" },
  { name: "frozen", doc: "refuse modules that --lock does not know" },
  {
    name: "allow-host",
    placeholder: "HOSTS",
    doc:
      "hosts that modules may come from, besides that of the processor: example.com,cdn.example.com",
    accepts: HOSTS,
    isInEnvironment: true,
  },
  {
    name: "header",
    placeholder: "HEADER",
    doc:
      'is sent to the host of the processor alone: "Authorization: Bearer TOKEN"; better from the ' +
      "environment, where other users do not see it",
    accepts: HEADERS,
    isSecret: true,
    isInEnvironment: true,
  },
  {
    name: "cache-dir",
    placeholder: "DIR",
    doc: "keep the modules here, and take them from here when their source cannot be reached",
    isInEnvironment: true,
  },
  { name: "offline", doc: "take the modules from --cache-dir alone" },
  {
    name: "load-timeout",
    placeholder: "TIME",
    doc: "the most time for fetching all modules, and again for what they do at their start",
    accepts: timeFrom(100, 3_600_000),
    defaultValue: "30s",
    isInEnvironment: true,
  },
  {
    name: "jsr-url",
    placeholder: "URL",
    doc: "the registry of jsr: modules (default: https://jsr.io)",
    accepts: REGISTRY,
    isInEnvironment: true,
  },
];

/**
 * How to load the processor.
 *
 * @throws {UsageError} If two flags contradict each other.
 */
export function loadOptions(values: Values): LoadOptions {
  const [lock, isWritten, isFrozen] = [
    values.text("lock"),
    values.isOn("lock-write"),
    values.isOn("frozen"),
  ];
  if (lock === undefined && (isWritten || isFrozen)) {
    throw new UsageError(
      `Cannot use --${
        isWritten ? "lock-write" : "frozen"
      } without --lock FILE: it is about that file`,
    );
  }
  if (isWritten && isFrozen) {
    throw new UsageError(
      "Cannot use --lock-write with --frozen: one changes the file, one obeys it",
    );
  }
  const [integrity, cacheDir, jsrUrl] = [
    values.text("integrity"),
    values.text("cache-dir"),
    values.text("jsr-url"),
  ];
  return {
    ...integrity !== undefined && { integrity },
    ...lock !== undefined && { lock: { path: lock, isWritten, isFrozen } },
    allowedHosts: hostsOf(values.text("allow-host") ?? ""),
    headers: headersOf(values.text("header") ?? "") ?? {},
    ...cacheDir !== undefined && { cacheDir },
    isOffline: values.isOn("offline"),
    // A folder: what is in it is named relative to it.
    ...jsrUrl !== undefined && { jsrUrl: jsrUrl.replace(/\/*$/, "/") },
    limits: { timeoutMs: parseDuration(values.need("load-timeout")) ?? 0 },
  };
}

/** How often to look for a new version, in milliseconds; undefined if never. */
export function watchInterval(values: Values): number | undefined {
  const text = values.text("watch-processor");
  return text === undefined ? undefined : parseDuration(text);
}

function hostsOf(text: string): readonly string[] {
  return text.toLowerCase().split(",").map((host) => host.trim()).filter((host) => host !== "");
}

/** Undefined if that is not what they are. */
function headersOf(text: string): Readonly<Record<string, string>> | undefined {
  const headers = new Headers();
  for (const line of text.split("\n").filter((line) => line.trim() !== "")) {
    const colon = line.indexOf(":");
    try {
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    } catch {
      // A name or value that HTTP does not allow; the message must not show it.
      return undefined;
    }
    if (colon < 1) return undefined;
  }
  return Object.fromEntries(headers);
}
