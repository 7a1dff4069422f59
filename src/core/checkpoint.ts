/**
 * Owns: what a position in a shard is, how it is written in the state table, and which of two is further.
 * Must not: know who owns a shard or how records are read.
 * Called by: `core/lease.ts`, the runtime, and the adapters that turn a position into a shard iterator.
 *
 * @module
 */

/** A position in a shard: everything before it, and the named record itself, is finished. */
export type Checkpoint =
  /** Nothing is finished: read from the oldest record that the stream still holds. */
  | { readonly kind: "trimHorizon" }
  /** Read the records that arrived at or after this time, in milliseconds since the epoch. */
  | { readonly kind: "timestamp"; readonly timestamp: number }
  /** The record with this sequence number is finished, and within a KPL aggregate up to the sub-sequence number. */
  | {
    readonly kind: "sequence";
    readonly sequenceNumber: string;
    readonly subSequenceNumber?: number;
  }
  /** The shard was closed by a split or merge and its last record is finished. */
  | { readonly kind: "shardEnd" };

/** The position before the oldest record. */
export const TRIM_HORIZON: Checkpoint = { kind: "trimHorizon" };

/** The position after the last record of a closed shard. */
export const SHARD_END: Checkpoint = { kind: "shardEnd" };

const TIMESTAMP_PREFIX = "AT_TIMESTAMP:";
/** Kinesis writes sequence numbers with 56 digits; twice that is a generous bound for a hostile row. */
const SEQUENCE_NUMBER = /^(0|[1-9]\d{0,127})$/;
const SUB_SEQUENCE_NUMBER = /^(0|[1-9]\d{0,9})$/;

/** The text of a checkpoint in the state table, such as `4959…`, `4959…:3`, `TRIM_HORIZON` or `SHARD_END`. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  switch (checkpoint.kind) {
    case "trimHorizon":
      return "TRIM_HORIZON";
    case "timestamp":
      return TIMESTAMP_PREFIX + new Date(checkpoint.timestamp).toISOString();
    case "sequence":
      return checkpoint.subSequenceNumber === undefined
        ? checkpoint.sequenceNumber
        : `${checkpoint.sequenceNumber}:${checkpoint.subSequenceNumber}`;
    case "shardEnd":
      return "SHARD_END";
    default:
      return checkpoint satisfies never;
  }
}

/**
 * Reads what {@linkcode formatCheckpoint} wrote.
 *
 * @throws {SyntaxError} If the text is no checkpoint.
 */
export function parseCheckpoint(text: string): Checkpoint {
  if (text === "TRIM_HORIZON") return TRIM_HORIZON;
  if (text === "SHARD_END") return SHARD_END;
  if (text.startsWith(TIMESTAMP_PREFIX)) {
    const timestamp = Date.parse(text.slice(TIMESTAMP_PREFIX.length));
    if (Number.isFinite(timestamp)) return { kind: "timestamp", timestamp };
  }
  const [sequenceNumber = "", subSequenceNumber, ...rest] = text.split(":");
  if (SEQUENCE_NUMBER.test(sequenceNumber) && rest.length === 0) {
    if (subSequenceNumber === undefined) return { kind: "sequence", sequenceNumber };
    if (SUB_SEQUENCE_NUMBER.test(subSequenceNumber)) {
      return { kind: "sequence", sequenceNumber, subSequenceNumber: Number(subSequenceNumber) };
    }
  }
  throw new SyntaxError(
    `Cannot read checkpoint "${text.slice(0, 140)}": expected TRIM_HORIZON, SHARD_END, ` +
      `AT_TIMESTAMP:<ISO time>, or a sequence number`,
  );
}

const RANK = { trimHorizon: 0, timestamp: 1, sequence: 2, shardEnd: 3 } as const;

/** Negative if `a` is before `b`, positive if it is after, 0 if they are the same position. */
export function compareCheckpoints(a: Checkpoint, b: Checkpoint): number {
  if (a.kind === "sequence" && b.kind === "sequence") {
    const order = compareSequenceNumbers(a.sequenceNumber, b.sequenceNumber);
    if (order !== 0) return order;
    // Without a sub-sequence number the whole record is finished, with all that it may aggregate.
    return Math.sign((a.subSequenceNumber ?? Infinity) - (b.subSequenceNumber ?? Infinity)) || 0;
  }
  if (a.kind === "timestamp" && b.kind === "timestamp") return Math.sign(a.timestamp - b.timestamp);
  return RANK[a.kind] - RANK[b.kind];
}

/** Compares two sequence numbers as the integers that they are; they do not fit a JavaScript number. */
export function compareSequenceNumbers(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Whether a record is to be read by whoever begins at a position. A record of which only a part is finished is read again. */
export function isAfter(
  record: { readonly sequenceNumber: string; readonly approximateArrivalTimestamp: number },
  position: Checkpoint,
): boolean {
  switch (position.kind) {
    case "trimHorizon":
      return true;
    case "timestamp":
      return record.approximateArrivalTimestamp >= position.timestamp;
    case "sequence": {
      const order = compareSequenceNumbers(record.sequenceNumber, position.sequenceNumber);
      return position.subSequenceNumber === undefined ? order > 0 : order >= 0;
    }
    case "shardEnd":
      return false;
    default:
      return position satisfies never;
  }
}
