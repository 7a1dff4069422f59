// Owns: writing and reading records.
// Must not: know how a shard keeps them or how an iterator is written.
// Called by: kinesis_engine.ts; subscription.ts describes records.
import type { Account } from "./account.ts";
import { HASH_KEY_MAX, hashKeyOf } from "./hash_ranges.ts";
import {
  type Input,
  isObject,
  list,
  optionalHashKey,
  optionalInteger,
  text,
  unsatisfied,
} from "./input.ts";
import { invalidArgument, KinesisError, rateExceeded } from "./kinesis_error.ts";
import type { NewRecord, Shard, StoredRecord } from "./shard.ts";
import { describeChild } from "./shard_operations.ts";
import {
  formatShardIterator,
  resolveShardIterator,
  type ShardPosition,
} from "./shard_iterators.ts";
import type { Stream } from "./stream.ts";

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html and API_GetRecords.html
const MEBIBYTE = 1024 * 1024;
const RECORD_BYTES_MAX = MEBIBYTE;
const PUT_RECORDS_MAX = 500;
const PUT_RECORDS_BYTES_MAX = 5 * MEBIBYTE;
const PARTITION_KEY_LENGTH_MAX = 256;
const GET_RECORDS_MAX = 10_000;
const GET_RECORDS_BYTES_MAX = 10 * MEBIBYTE;

interface Placed {
  readonly record: NewRecord;
  readonly hashKey: bigint;
}

// SequenceNumberForOrdering is accepted and not needed: a shard's numbers always increase here.
export function putRecord(account: Account, input: Input): object {
  const placed = readRecord(input);
  const stream = writableStream(account, input);
  const shard = stream.shardForHashKey(placed.hashKey);
  const stored = write(shard, placed.record, account.now());
  if (stored === undefined) throw rateExceeded(stream.streamName, shard.shardId);
  return { ShardId: shard.shardId, SequenceNumber: stored.sequenceNumber };
}

export function putRecords(account: Account, input: Input): object {
  const placed = list(input, "Records", PUT_RECORDS_MAX).map((entry) => {
    if (isObject(entry)) return readRecord(entry);
    throw new KinesisError("SerializationException", "Records can not be converted to List");
  });
  const payloadBytes = placed.reduce((sum, { record }) => sum + record.payloadBytes, 0);
  if (payloadBytes > PUT_RECORDS_BYTES_MAX) {
    throw invalidArgument("Records size exceeds 5 MB limit");
  }
  const stream = writableStream(account, input);
  const nowMs = account.now();
  let failed = 0;
  const results = placed.map(({ record, hashKey }) => {
    const shard = stream.shardForHashKey(hashKey);
    const stored = write(shard, record, nowMs);
    if (stored !== undefined) {
      return { ShardId: shard.shardId, SequenceNumber: stored.sequenceNumber };
    }
    failed++;
    const { name, message } = rateExceeded(stream.streamName, shard.shardId);
    return { ErrorCode: name, ErrorMessage: message };
  });
  return { FailedRecordCount: failed, Records: results };
}

export function getRecords(account: Account, input: Input): object {
  const limit = optionalInteger(input, "Limit", { min: 1, max: GET_RECORDS_MAX });
  const position = resolveShardIterator(account, text(input, "ShardIterator"));
  const { stream, shard, ordinal } = position;
  const nowMs = account.now();
  // How much will be read is not known yet: any room left in the second admits the read.
  if (!shard.reads.admits(nowMs, 1)) throw rateExceeded(stream.streamName, shard.shardId);
  const records = shard.read(ordinal, {
    records: limit ?? GET_RECORDS_MAX,
    payloadBytes: GET_RECORDS_BYTES_MAX,
  });
  shard.reads.take(nowMs, records.reduce((sum, record) => sum + record.payloadBytes, 0));
  return {
    Records: records.map(describeRecord),
    ...describeNext({ stream, shard, ordinal: ordinal + records.length }, nowMs),
  };
}

/** How late the reader is who has read everything before a position, in milliseconds. */
export function millisBehindLatest(shard: Shard, ordinal: number, nowMs: number): number {
  const nextArrivedMs = shard.arrivedMsAt(ordinal);
  // Zero means that nothing is left to read, so a record of this very millisecond counts as one.
  return nextArrivedMs === undefined ? 0 : Math.max(1, nowMs - nextArrivedMs);
}

/** What a reply says of the place behind its last record: how to go on, and how late it is. */
function describeNext(next: ShardPosition, nowMs: number): object {
  const { stream, shard, ordinal } = next;
  if (ordinal === shard.tipOrdinal && shard.closedMs !== undefined) {
    return {
      NextShardIterator: null,
      MillisBehindLatest: 0,
      ChildShards: shard.childIds.map((childId) => describeChild(stream.shard(childId))),
    };
  }
  return {
    NextShardIterator: formatShardIterator(next, nowMs),
    MillisBehindLatest: millisBehindLatest(shard, ordinal, nowMs),
  };
}

/** A record as GetRecords and SubscribeToShard show it. */
export function describeRecord(record: StoredRecord): object {
  return {
    SequenceNumber: record.sequenceNumber,
    ApproximateArrivalTimestamp: record.arrivedMs / 1000,
    Data: record.data,
    PartitionKey: record.partitionKey,
  };
}

function write(shard: Shard, record: NewRecord, nowMs: number): StoredRecord | undefined {
  if (!shard.writes.admits(nowMs, record.payloadBytes)) return undefined;
  shard.writes.take(nowMs, record.payloadBytes);
  return shard.append(record, nowMs);
}

/** Records may be written while a stream is ACTIVE or UPDATING. */
function writableStream(account: Account, input: Input): Stream {
  const stream = account.streamOf(input);
  if (stream.status !== "UPDATING") stream.requireActive();
  return stream;
}

function readRecord(input: Input): Placed {
  const partitionKey = text(input, "PartitionKey");
  if (partitionKey.length < 1 || partitionKey.length > PARTITION_KEY_LENGTH_MAX) {
    throw unsatisfied(
      partitionKey,
      "PartitionKey",
      `have length between 1 and ${PARTITION_KEY_LENGTH_MAX}`,
    );
  }
  const data = text(input, "Data");
  const dataBytes = decodedLength(data);
  if (dataBytes > RECORD_BYTES_MAX) {
    throw unsatisfied("...", "Data", `have length less than or equal to ${RECORD_BYTES_MAX}`);
  }
  const explicit = optionalHashKey(input, "ExplicitHashKey");
  if (explicit !== undefined && explicit > HASH_KEY_MAX) {
    throw invalidArgument(
      "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. " +
        `Specified value was ${explicit}`,
    );
  }
  return {
    record: { partitionKey, data, payloadBytes: dataBytes + partitionKey.length },
    hashKey: explicit ?? hashKeyOf(partitionKey),
  };
}

/** How many bytes a base64 string stands for. @throws {KinesisError} when it is not one. */
function decodedLength(base64: string): number {
  try {
    return Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" }).length;
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new KinesisError("SerializationException", "Data is not valid base64");
  }
}
