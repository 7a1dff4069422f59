/**
 * Owns: durations as people write them, `30s` or `3m`, and as code has them, in milliseconds.
 * Must not: know any setting.
 * Called by: `core/setting.ts` and the command line.
 *
 * @module
 */

const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1_000], [
  "ms",
  1,
]] as const;
const DURATION = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h|d)?$/;

/**
 * The milliseconds of a text such as `250ms`, `30s`, `1.5m`, `2h`, `1d`, or of a bare number of milliseconds;
 * undefined if it is none.
 */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text.trim());
  if (!match) return undefined;
  const unit = UNITS.find(([name]) => name === (match[2] ?? "ms"));
  return unit && Math.round(Number(match[1]) * unit[1]);
}

/** A time as a person reads it: to the second if it is long. */
export function roundDuration(ms: number): string {
  return formatDuration(ms < 10_000 ? Math.round(ms) : Math.round(ms / 1_000) * 1_000);
}

/** The shortest text that {@linkcode parseDuration} reads back as `ms`. */
export function formatDuration(ms: number): string {
  const [name, size] = UNITS.find(([, size]) => ms !== 0 && ms % size === 0) ?? ["ms", 1];
  return `${ms / size}${name}`;
}
