// Owns: the form of sequence numbers, and what can be read back out of one.
// Must not: compare them with what a shard holds.
// Called by: shard.ts, shard_iterators.ts.

/** What a sequence number says about the record that it names. */
export interface SequenceParts {
  /** When the shard was made, in seconds of the epoch; a child's is above its parents'. */
  readonly shardCreatedSeconds: number;
  /** The number in the shard's id. */
  readonly shardIndex: number;
  /** The record's place in the shard: 1 for the first; 0 is the shard's start. */
  readonly ordinal: bigint;
  /** When the record arrived, in seconds of the epoch. */
  readonly arrivedSeconds: number;
}

/** The ordinal of a closed shard's ending sequence number, above that of every record. */
export const ORDINAL_END: bigint = 0x7fff_ffff_ffff_ffffn;

// 186 bits, so that the decimal form has 56 digits and starts with 49 as the real ones do. From the top:
// 2 bits "10", 36 bits seconds of the shard's creation, 4 bits zero, 64 bits ordinal, 8 bits zero,
// 36 bits seconds of arrival, 32 bits shard index, 4 bits version.
const LEADING_BIT = 1n << 185n;
const VERSION = 2n;
const CREATED_SHIFT = 148n;
const ORDINAL_SHIFT = 80n;
const ARRIVED_SHIFT = 36n;
const INDEX_SHIFT = 4n;

export function formatSequenceNumber(parts: SequenceParts): string {
  return (LEADING_BIT +
    (BigInt(parts.shardCreatedSeconds) << CREATED_SHIFT) +
    (parts.ordinal << ORDINAL_SHIFT) +
    (BigInt(parts.arrivedSeconds) << ARRIVED_SHIFT) +
    (BigInt(parts.shardIndex) << INDEX_SHIFT) +
    VERSION).toString();
}

/** Reads a sequence number, or answers `undefined` when no shard can have given it. */
export function parseSequenceNumber(sequenceNumber: string): SequenceParts | undefined {
  if (!/^\d{56}$/.test(sequenceNumber)) return undefined;
  const value = BigInt(sequenceNumber);
  if (value >> 184n !== 2n || (value & 0xfn) !== VERSION) return undefined;
  return {
    shardCreatedSeconds: Number(BigInt.asUintN(36, value >> CREATED_SHIFT)),
    ordinal: BigInt.asUintN(64, value >> ORDINAL_SHIFT),
    arrivedSeconds: Number(BigInt.asUintN(36, value >> ARRIVED_SHIFT)),
    shardIndex: Number(BigInt.asUintN(32, value >> INDEX_SHIFT)),
  };
}
