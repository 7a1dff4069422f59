/**
 * Owns: which records of a read are left out, by the filter of the app.
 * Must not: finish them.
 * Called by: `runtime/record_runner.ts`; `app.ts` checks what it is given.
 *
 * @module
 */

import type { KinesisRecord, RecordFilter } from "../processor.ts";
import type { UserCode } from "./user_code.ts";

/**
 * The indexes of the records that the filter leaves out. One that the filter cannot judge is let through: it is told, once for
 * each read, and nothing is lost.
 */
export async function leftOut(
  records: readonly KinesisRecord[],
  filter: RecordFilter,
  user: UserCode,
): Promise<ReadonlySet<number>> {
  const indexes = new Set<number>();
  let isTold = false;
  for (const [index, record] of records.entries()) {
    try {
      if (!isWanted(record, filter)) indexes.add(index);
    } catch (error) {
      if (!isTold) user.tellFailed("filter", error);
      isTold = true;
    }
    const pause = user.letOthersRun(user.now());
    if (pause !== undefined) await pause;
  }
  return indexes;
}

function isWanted(record: KinesisRecord, filter: RecordFilter): boolean {
  const answer: unknown = filter(record);
  if (typeof answer === "boolean") return answer;
  // A promise, above all, would be taken for a yes.
  throw new TypeError(
    `Cannot use what the filter returned: it must be true or false, at once; it is of type ${typeof answer}`,
  );
}

/**
 * Checks what a user gives as a filter.
 *
 * @throws {TypeError} If it is no function.
 */
export function checkFilter(filter: unknown): RecordFilter | undefined {
  if (filter === undefined || typeof filter === "function") return filter as RecordFilter;
  throw new TypeError(
    `Cannot use filter ${
      JSON.stringify(filter)?.slice(0, 150)
    }: it must be a function that says for a ` +
      `record whether it is to be processed`,
  );
}
