/**
 * Owns: what Kinesis answers, as the types of the port.
 * Must not: call Kinesis.
 * Called by: `shard_reader.ts`, `shard_subscriber.ts`, `event_subscription.ts`, `stream_calls.ts`, and the doctor.
 *
 * @module
 */

import type {
  _Record,
  ChildShard,
  GetRecordsOutput,
  GetShardIteratorInput,
  Shard,
} from "@aws-sdk/client-kinesis";
import type { Checkpoint } from "../core/checkpoint.ts";
import { SourceError } from "../errors.ts";
import type { Batch, ShardInfo, SourceRecord } from "../ports.ts";
import { ReadOutput, ReadRecord } from "./fast_get_records.ts";

/** Where a reader may begin: a shard that was read to its end is not opened. */
export type OpenPosition = Exclude<Checkpoint, { kind: "shardEnd" }>;

/** A shard of a listing. */
export function toShardInfo(shard: Shard): ShardInfo {
  const parents = [shard.ParentShardId, shard.AdjacentParentShardId];
  return {
    id: required(shard.ShardId, "ShardId"),
    parents: parents.filter((parent) => parent !== undefined),
    hashKeyRange: toHashKeyRange(shard.HashKeyRange),
    isClosed: shard.SequenceNumberRange?.EndingSequenceNumber !== undefined,
  };
}

/** A shard that a closed shard was split or merged into. */
export function toChild(child: ChildShard): Omit<ShardInfo, "isClosed"> {
  return {
    id: required(child.ShardId, "ShardId"),
    parents: required(child.ParentShards, "ParentShards"),
    hashKeyRange: toHashKeyRange(child.HashKeyRange),
  };
}

/** The records of an answer. They are taken out of it if it is our own: a client of the user's may give the same one twice. */
export function takeOutRecords(output: GetRecordsOutput): readonly SourceRecord[] {
  if (!(output instanceof ReadOutput)) return output.Records?.map(toSourceRecord) ?? [];
  const { Records: records } = output;
  output.Records = [];
  return records;
}

/** A record. */
export function toSourceRecord(record: _Record): SourceRecord {
  if (record instanceof ReadRecord) return record;
  return {
    sequenceNumber: required(record.SequenceNumber, "SequenceNumber"),
    partitionKey: required(record.PartitionKey, "PartitionKey"),
    data: plain(required(record.Data, "Data")),
    approximateArrivalTimestamp: required(
      record.ApproximateArrivalTimestamp,
      "ApproximateArrivalTimestamp",
    ).getTime(),
  };
}

/** What a read gave. */
export class ReadBatch implements Batch {
  records: readonly SourceRecord[];
  readonly millisBehindLatest: number;
  declare readonly end?: NonNullable<Batch["end"]>;

  constructor({ records, millisBehindLatest, end }: Omit<Batch, "release">) {
    this.records = records;
    this.millisBehindLatest = millisBehindLatest;
    if (end !== undefined) Object.assign(this, { end });
  }

  /** Each promise that it comes through has waited for the network, and would carry the records along until the engine looks at it. */
  release(): void {
    this.records = [];
  }
}

/** Where an iterator starts that gives what comes after a position. */
export function toIteratorStart(
  after: OpenPosition,
): Pick<GetShardIteratorInput, "ShardIteratorType" | "Timestamp" | "StartingSequenceNumber"> {
  switch (after.kind) {
    case "trimHorizon":
      return { ShardIteratorType: "TRIM_HORIZON" };
    case "timestamp":
      return { ShardIteratorType: "AT_TIMESTAMP", Timestamp: new Date(after.timestamp) };
    case "sequence":
      return {
        // A record of which only a part is finished is read again.
        ShardIteratorType: after.subSequenceNumber === undefined
          ? "AFTER_SEQUENCE_NUMBER"
          : "AT_SEQUENCE_NUMBER",
        StartingSequenceNumber: after.sequenceNumber,
      };
    default:
      return after satisfies never;
  }
}

/**
 * A part of an answer that Kinesis always gives.
 *
 * @throws {SourceError} If it is not there.
 */
export function required<T>(value: T | undefined, name: string): T {
  if (value !== undefined) return value;
  throw new SourceError(`Cannot understand the answer of Kinesis: it has no ${name}`, {
    kind: "invalid",
  });
}

function toHashKeyRange(range: Shard["HashKeyRange"]): ShardInfo["hashKeyRange"] {
  if (range === undefined) return null;
  return {
    start: required(range.StartingHashKey, "StartingHashKey"),
    end: required(range.EndingHashKey, "EndingHashKey"),
  };
}

/** The same bytes, whatever class of its own the SDK has for them. */
function plain(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = data;
  if (!(buffer instanceof ArrayBuffer)) return new Uint8Array(data);
  return data.constructor === Uint8Array
    ? data as Uint8Array<ArrayBuffer>
    : new Uint8Array(buffer, byteOffset, byteLength);
}
