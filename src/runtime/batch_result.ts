/**
 * Owns: which records of a batch failed, by what `processBatch` returned.
 * Must not: decide what follows.
 * Called by: `runtime/batch_attempts.ts`; `sandbox/thread_side.ts`, where it was returned in another thread.
 *
 * @module
 */

import { RecordFailedError } from "../errors.ts";
import type { BatchFailure, BatchResult, KinesisRecord } from "../processor.ts";

/** A record that failed, by its index in the batch. */
export interface Failed {
  readonly index: number;
  readonly error: unknown;
}

/**
 * The records that failed, in the order of the batch; none if nothing of that kind was returned.
 *
 * @throws {TypeError} If it says something about failures that cannot be understood.
 * @throws {RangeError} If it names a record that is not in the batch: then nobody knows which ones are finished.
 */
export function failedOf(records: readonly KinesisRecord[], returned: unknown): readonly Failed[] {
  if (typeof returned !== "object" || returned === null) return [];
  if ("batchItemFailures" in returned) {
    throw wrong(`it has "batchItemFailures", as on AWS Lambda`);
  }
  const { failed } = returned as Partial<BatchResult>;
  if (failed === undefined) return [];
  if (!Array.isArray(failed)) throw wrong(`"failed" is no array`);
  if (failed.length === 0) return [];
  const indexes = Map.groupBy(records.keys(), (index) => records[index]?.sequenceNumber);
  const errors = new Map<number, unknown>();
  for (const item of failed as readonly BatchFailure[]) {
    const { sequenceNumber, subSequenceNumber, error } = read(item);
    const named = (indexes.get(sequenceNumber) ?? []).filter((index) =>
      subSequenceNumber === undefined || records[index]?.subSequenceNumber === subSequenceNumber
    );
    if (named.length === 0) {
      const name = nameOf({ sequenceNumber, subSequenceNumber });
      throw new RangeError(
        `Cannot use what processBatch returned: record "${name}" is not in the batch that it was given`,
      );
    }
    for (const index of named) {
      const record = records[index];
      if (record === undefined || errors.has(index)) continue;
      errors.set(index, error === undefined ? new RecordFailedError(nameOf(record)) : error);
    }
  }
  return [...errors].map(([index, error]) => ({ index, error })).sort((a, b) => a.index - b.index);
}

type Name = Pick<KinesisRecord, "sequenceNumber" | "subSequenceNumber">;

function read(item: BatchFailure): Name & { readonly error?: unknown } {
  if (typeof item === "string") {
    const [sequenceNumber = "", subSequenceNumber] = item.split(":");
    return {
      sequenceNumber,
      subSequenceNumber: subSequenceNumber === undefined ? undefined : Number(subSequenceNumber),
    };
  }
  if (typeof item === "object" && item !== null) {
    const { sequenceNumber, subSequenceNumber } = "record" in item ? item.record : item;
    const error = "record" in item ? item.error : undefined;
    if (typeof sequenceNumber === "string") return { sequenceNumber, subSequenceNumber, error };
  }
  throw wrong(`"failed" has something in it that is no record and no sequence number`);
}

function nameOf({ sequenceNumber, subSequenceNumber }: Name): string {
  return subSequenceNumber === undefined
    ? sequenceNumber
    : `${sequenceNumber}:${subSequenceNumber}`;
}

function wrong(reason: string): TypeError {
  return new TypeError(
    `Cannot use what processBatch returned: ${reason}; return { failed: [...] } with the records that ` +
      `failed, or nothing`,
  );
}
