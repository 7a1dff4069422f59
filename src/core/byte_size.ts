/**
 * Owns: sizes in memory as people write them, `64MiB` or `1GiB`, and as code has them, in bytes; what a record counts for.
 * Must not: know any setting.
 * Called by: `core/setting.ts`, `runtime/shard_runner.ts`, and the sources, which read no more than there is room for.
 *
 * @module
 */

const UNITS = [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10], ["B", 1]] as const;
const SIZE = /^(\d{1,15}(?:\.\d{1,6})?)(B|KiB|MiB|GiB)?$/;

/** The bytes of a text such as `512KiB`, `64MiB`, `1.5GiB`, or of a bare number of bytes; undefined if it is none. */
export function parseByteSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (!match) return undefined;
  const unit = UNITS.find(([name]) => name === (match[2] ?? "B"));
  return unit && Math.round(Number(match[1]) * unit[1]);
}

/** The shortest text that {@linkcode parseByteSize} reads back as `bytes`. */
export function formatByteSize(bytes: number): string {
  const [name, size] = UNITS.find(([, size]) => bytes !== 0 && bytes % size === 0) ?? ["B", 1];
  return `${bytes / size}${name}`;
}

/** What a record takes besides its payload and key: its objects, its numbers and its stamps. Measured, and rounded up. */
export const RECORD_OVERHEAD_BYTES = 768;

/** What a record that is held in memory counts for. */
export function heldBytes(
  record: { readonly data: Uint8Array; readonly partitionKey: string },
): number {
  return record.data.byteLength + record.partitionKey.length + RECORD_OVERHEAD_BYTES;
}

/** What records that are held in memory count for. */
export function heldBytesOf(records: readonly Parameters<typeof heldBytes>[0][]): number {
  let bytes = 0;
  for (const record of records) bytes += heldBytes(record);
  return bytes;
}
