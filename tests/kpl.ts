// Owns: aggregates as a producer makes them, by the published schema and an encoder that has nothing to do with the code under test.
// Must not: know how aggregates are taken apart.
// Called by: the tests of aggregates, the simulator, the benchmarks.
import { hash } from "node:crypto";
import protobuf from "protobufjs";

/** A record for an aggregate. */
export interface Packed {
  readonly partitionKey: string;
  readonly explicitHashKey?: string | undefined;
  readonly data: Uint8Array;
}

// https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md, without the tags, which nobody uses.
const { root } = protobuf.parse(`
  syntax = "proto2";
  message AggregatedRecord {
    repeated string partition_key_table = 1;
    repeated string explicit_hash_key_table = 2;
    repeated Record records = 3;
  }
  message Record {
    required uint64 partition_key_index = 1;
    optional uint64 explicit_hash_key_index = 2;
    required bytes data = 3;
  }
`);
const MESSAGE = root.lookupType("AggregatedRecord");

/** Records in one, each key once in its table. */
export function aggregate(records: readonly Packed[]): Uint8Array<ArrayBuffer> {
  const partitionKeys = [...new Set(records.map(({ partitionKey }) => partitionKey))];
  const explicitHashKeys = [
    ...new Set(records.flatMap(({ explicitHashKey }) => explicitHashKey ?? [])),
  ];
  const message = MESSAGE.encode({
    partitionKeyTable: partitionKeys,
    explicitHashKeyTable: explicitHashKeys,
    records: records.map(({ partitionKey, explicitHashKey, data }) => ({
      partitionKeyIndex: partitionKeys.indexOf(partitionKey),
      ...explicitHashKey !== undefined && {
        explicitHashKeyIndex: explicitHashKeys.indexOf(explicitHashKey),
      },
      data,
    })),
  }).finish();
  return sealed(message);
}

/** A message with what comes before and after it. */
export function sealed(message: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([
    ...[0xf3, 0x89, 0x9a, 0xc2],
    ...message,
    ...hash("md5", message, "buffer"),
  ]);
}

/** What another decoder makes of a message: the records, or undefined if it finds none, or finds it malformed. */
export function decoded(message: Uint8Array): readonly Packed[] | undefined {
  try {
    const { partitionKeyTable, explicitHashKeyTable, records } = MESSAGE.toObject(
      MESSAGE.decode(message),
      { longs: Number, arrays: true },
    );
    const found = records.map((record: Record<string, never>) => ({
      partitionKey: partitionKeyTable[record.partitionKeyIndex ?? NaN],
      explicitHashKey: explicitHashKeyTable[record.explicitHashKeyIndex ?? NaN],
      data: record.data,
      isWhole: (record.explicitHashKeyIndex ?? -1) < explicitHashKeyTable.length,
    }));
    const isSound = found.length > 0 && found.every(({ partitionKey, isWhole }: {
      readonly partitionKey: unknown;
      readonly isWhole: boolean;
    }) => partitionKey !== undefined && isWhole);
    return isSound
      ? found.map(({ isWhole: _, ...packed }: { readonly isWhole: boolean }) => packed)
      : undefined;
  } catch {
    return undefined; // Malformed.
  }
}
