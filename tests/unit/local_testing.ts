// Owns: a local Kinesis at a clock that tests move, and typed short-hands for its calls.
// Must not: assert anything.
// Called by: the local_*_test.ts files.
import { KinesisEngine, type KinesisEngineOptions } from "../../src/local/kinesis_engine.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";

const STREAM = "orders";
export const HASH_KEY_HALF: string = (2n ** 127n).toString();
export const HOUR_MS = 3_600_000;

export interface ShardOutput {
  readonly ShardId: string;
  readonly ParentShardId?: string;
  readonly AdjacentParentShardId?: string;
  readonly HashKeyRange: { readonly StartingHashKey: string; readonly EndingHashKey: string };
  readonly SequenceNumberRange: {
    readonly StartingSequenceNumber: string;
    readonly EndingSequenceNumber?: string;
  };
}

export interface GetRecordsOutput {
  readonly Records: readonly {
    readonly SequenceNumber: string;
    readonly PartitionKey: string;
    readonly Data: string;
    readonly ApproximateArrivalTimestamp: number;
  }[];
  readonly NextShardIterator: string | null;
  readonly MillisBehindLatest: number;
  readonly ChildShards?: readonly { readonly ShardId: string; readonly ParentShards: string[] }[];
}

export interface PutOutput {
  readonly ShardId: string;
  readonly SequenceNumber: string;
}

type Fields = Readonly<Record<string, unknown>>;

export class TestKinesis {
  nowMs = 1_700_000_000_000;
  readonly engine: KinesisEngine;

  constructor(options: KinesisEngineOptions = {}) {
    this.engine = new KinesisEngine({ now: () => this.nowMs, ...options });
  }

  call<Output = object>(operation: string, input: Fields = {}): Output {
    return this.engine.call(operation, { StreamName: STREAM, ...input }) as Output;
  }

  /** The name of the error that the call must end in. */
  errorOf(operation: string, input: Fields = {}): string {
    return this.failure(operation, input).name;
  }

  failure(operation: string, input: Fields = {}): KinesisError {
    try {
      this.call(operation, input);
    } catch (error) {
      if (error instanceof KinesisError) return error;
      throw error;
    }
    throw new Error(`${operation} succeeded`);
  }

  put(partitionKey: string, fields: Fields = {}): PutOutput {
    return this.call("PutRecord", { PartitionKey: partitionKey, Data: btoa("x"), ...fields });
  }

  iterator(type: string, fields: Fields = {}): string {
    const output = this.call<{ ShardIterator: string }>("GetShardIterator", {
      ShardId: shardId(0),
      ShardIteratorType: type,
      ...fields,
    });
    return output.ShardIterator;
  }

  get(shardIterator: string | null, fields: Fields = {}): GetRecordsOutput {
    return this.call("GetRecords", { ShardIterator: shardIterator, ...fields });
  }

  /** The partition keys that a read from a new iterator answers. */
  keysFrom(type: string, fields: Fields = {}): string[] {
    return this.get(this.iterator(type, fields)).Records.map((record) => record.PartitionKey);
  }

  shards(fields: Fields = {}): readonly ShardOutput[] {
    return this.call<{ Shards: ShardOutput[] }>("ListShards", fields).Shards;
  }

  shardIds(fields: Fields = {}): number[] {
    return this.shards(fields).map(({ ShardId }) => Number(ShardId.slice(-12)));
  }
}

export function shardId(index: number): string {
  return `shardId-${String(index).padStart(12, "0")}`;
}

/** A local Kinesis that has the stream already. */
export function kinesisWithStream(
  shardCount: number,
  options: KinesisEngineOptions = {},
): TestKinesis {
  const kinesis = new TestKinesis(options);
  kinesis.call("CreateStream", { ShardCount: shardCount });
  return kinesis;
}
