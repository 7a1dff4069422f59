/**
 * Owns: times and names of shards as a person reads them.
 * Must not: know what is told about them.
 * Called by: the commands that tell people something.
 *
 * @module
 */

/** A shard as a person reads it: the number at the end of its id. */
export function shortShard(shardId: string): string {
  return shardId.replace(/^shardId-0*(?=\d)/, "");
}

/** How long ago an ISO time was, by this machine's clock. */
export function ago(time: string): string {
  return `${spanText(Math.max(0, Date.now() - Date.parse(time)))} ago`;
}

/** When an ISO time comes, by this machine's clock. */
export function inTime(time: string): string {
  const ms = Date.parse(time) - Date.now();
  return ms <= 0 ? "now" : `in ${spanText(ms)}`;
}

/** A time as a person reads it: `4.2s`, `3m`, `5h`, `2d`. */
export function spanText(ms: number): string {
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)}s`;
  if (ms < 2 * 3_600_000) return `${Math.round(ms / 60_000)}m`;
  return ms < 2 * 86_400_000 ? `${Math.round(ms / 3_600_000)}h` : `${Math.round(ms / 86_400_000)}d`;
}
