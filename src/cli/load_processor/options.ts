/**
 * Owns: what a user may say about loading a processor, and the limits.
 * Must not: know flags.
 * Called by: everything of the loader.
 *
 * @module
 */

/** How a processor is loaded. */
export interface LoadOptions {
  /** What the entry must hash to: `sha256-` or `sha384-` and the digest, in base64 or hexadecimal digits. */
  readonly integrity?: string;
  /** The file of hashes that the modules from elsewhere must have. */
  readonly lock?: LockOptions;
  /** Hosts from which modules may come, besides that of the entry: `example.com` or `example.com:8443`. */
  readonly allowedHosts?: readonly string[];
  /** Is sent to the origin of the entry, and to no other. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The folder that keeps what was fetched, for the time when its source cannot be reached. */
  readonly cacheDir?: string;
  /** Whether to use the cache alone. */
  readonly isOffline?: boolean;
  /** Whether the cache may not stand in for a source that cannot be reached. */
  readonly isFresh?: boolean;
  /**
   * The JSR registry.
   *
   * @default {"https://jsr.io/"}
   */
  readonly jsrUrl?: string;
  /** Gives up loading. */
  readonly signal?: AbortSignal;
  /** What a processor may take at most. */
  readonly limits?: Partial<LoadLimits>;
}

/** The file of hashes. */
export interface LockOptions {
  readonly path: string;
  /** Whether to write the file instead of obeying it. */
  readonly isWritten?: boolean;
  /** Whether to refuse modules that the file does not know. */
  readonly isFrozen?: boolean;
}

/** What a processor may take at most. */
export interface LoadLimits {
  readonly moduleBytesMax: number;
  readonly graphBytesMax: number;
  readonly modulesMax: number;
  /** The most time for all modules together, in milliseconds. */
  readonly timeoutMs: number;
}

/** Generous for code, too little for data: a processor of this size would take minutes to start. */
export const LOAD_LIMITS: LoadLimits = {
  moduleBytesMax: 10_000_000,
  graphBytesMax: 50_000_000,
  modulesMax: 1_000,
  timeoutMs: 30_000,
};
