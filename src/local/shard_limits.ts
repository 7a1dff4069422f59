// Owns: how much one shard may serve in a second, and the counting of it.
// Must not: read a clock; the caller says what time it is.
// Called by: shard.ts (one window for reads, one for writes), account.ts (the settings).

const MEBIBYTE = 1024 * 1024;

/** What one shard serves per second; `Infinity` lifts a limit. */
export interface ShardLimits {
  readonly readsPerSecond: number;
  readonly readBytesPerSecond: number;
  readonly writeRecordsPerSecond: number;
  readonly writeBytesPerSecond: number;
}

/** https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html */
export const AWS_SHARD_LIMITS: ShardLimits = {
  readsPerSecond: 5,
  readBytesPerSecond: 2 * MEBIBYTE,
  writeRecordsPerSecond: 1000,
  writeBytesPerSecond: MEBIBYTE,
};

const NO_SHARD_LIMITS: ShardLimits = {
  readsPerSecond: Infinity,
  readBytesPerSecond: Infinity,
  writeRecordsPerSecond: Infinity,
  writeBytesPerSecond: Infinity,
};

/** As the caller sets them: those of AWS, none, or those of AWS with some replaced. */
export type ShardLimitsSetting = "aws" | "off" | Partial<ShardLimits>;

export function resolveShardLimits(setting: ShardLimitsSetting): ShardLimits {
  if (setting === "off") return NO_SHARD_LIMITS;
  return setting === "aws" ? AWS_SHARD_LIMITS : { ...AWS_SHARD_LIMITS, ...setting };
}

/**
 * What was served since the window opened. A window lasts a second, or for as long as its bytes take
 * at the permitted rate: after a read of 10 MiB at 2 MiB a second the shard refuses reads for 5 seconds
 * (https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html).
 */
export class RateWindow {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #openedMs = -Infinity;
  #count = 0;
  #bytes = 0;

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  /** Whether one more of that size fits; the first of a window always does, whatever its size. */
  admits(nowMs: number, payloadBytes: number): boolean {
    this.#reopenIfOver(nowMs);
    if (this.#count >= this.#countMax) return false;
    return this.#bytes === 0 || this.#bytes + payloadBytes <= this.#bytesMax;
  }

  take(nowMs: number, payloadBytes: number): void {
    this.#reopenIfOver(nowMs);
    if (this.#count === 0) this.#openedMs = nowMs;
    this.#count++;
    this.#bytes += payloadBytes;
  }

  #reopenIfOver(nowMs: number): void {
    const lastsMs = 1000 * Math.max(1, this.#bytes / this.#bytesMax);
    // A clock that steps back opens a new window, instead of closing the shard until it has caught up.
    if (nowMs >= this.#openedMs && nowMs < this.#openedMs + lastsMs) return;
    this.#count = 0;
    this.#bytes = 0;
  }
}
