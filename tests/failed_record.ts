// Owns: a record that was given up, as failure destinations get it.
// Called by: the tests of failure destinations, and of what puts their records back.
import { retryAndSkip } from "../src/core/policy.ts";
import type { FailedRecord } from "../src/ports.ts";

export function failedRecord(fields: Partial<FailedRecord> = {}): FailedRecord {
  return {
    appName: "billing",
    streamName: "orders",
    shardId: "shardId-000000000000",
    sequenceNumber: "4957",
    subSequenceNumber: undefined,
    partitionKey: "customer-1",
    data: new Uint8Array([0, 255, 10]),
    approximateArrivalTimestamp: new Date(1_700_000_000_000),
    error: new TypeError("broken"),
    attempts: 3,
    mode: retryAndSkip(2),
    workerId: "A",
    time: new Date(1_700_000_001_000),
    ...fields,
  };
}
