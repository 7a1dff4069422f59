/**
 * Owns: `--filter`: an event pattern as the filter of an app, and what a pattern sees of a record.
 * Must not: know what the operators of a pattern mean.
 * Called by: `commands/worker_commands.ts` lists the flag, `run.ts` reads it.
 *
 * @module
 */

import { compilePattern } from "../core/pattern.ts";
import { messageOf } from "../errors.ts";
import type { KinesisRecord, RecordFilter } from "../processor.ts";
import type { Flag } from "./flags.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

/** The flag. */
export const FILTER: Flag = {
  name: "filter",
  placeholder: "PATTERN",
  doc:
    `process only the records that match this event pattern, such as '{"data": {"type": ["order"]}}'`,
  isInEnvironment: true,
};

/** What a pattern may say something of: the names that the filters of AWS Lambda have, and the shard. */
const READ: Readonly<Record<string, (record: KinesisRecord) => unknown>> = {
  data: dataOf,
  partitionKey: (record) => record.partitionKey,
  sequenceNumber: (record) => record.sequenceNumber,
  shardId: (record) => record.shardId,
  // In seconds, as there.
  approximateArrivalTimestamp: (record) => record.approximateArrivalTimestamp.getTime() / 1_000,
};

/**
 * The filter that was asked for; undefined if there is none.
 *
 * @throws {UsageError} If it is no pattern, or names what no record has.
 */
export function filterOf(values: Values): RecordFilter | undefined {
  const text = values.text("filter");
  return text === undefined ? undefined : patternFilter(text);
}

/**
 * Makes the text of a pattern a filter.
 *
 * @throws {UsageError} If it is no pattern, or names what no record has.
 */
export function patternFilter(text: string): RecordFilter {
  try {
    const pattern: unknown = JSON.parse(text);
    const matches = compilePattern(pattern);
    const names = [...new Set(topNames(pattern))];
    const strange = names.find((name) => !Object.hasOwn(READ, name));
    if (strange !== undefined) {
      throw new SyntaxError(
        `a record has no "${strange}"; it has ${Object.keys(READ).join(", ")}`,
      );
    }
    // Only what is asked for is read: most of all the data costs.
    return (record) =>
      matches(Object.fromEntries(names.map((name) => [name, READ[name]?.(record)])));
  } catch (error) {
    throw new UsageError(`Cannot use --filter: ${messageOf(error)}`);
  }
}

/** The data as JSON; as a text if it is no JSON; nothing if it is no text. */
function dataOf(record: KinesisRecord): unknown {
  let text: string;
  try {
    text = record.text();
  } catch {
    return undefined; // It is no UTF-8: no pattern can match it, and that is what a filter is to say.
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function topNames(pattern: unknown): readonly string[] {
  return Object.entries(pattern as Readonly<Record<string, unknown>>).flatMap(([name, what]) =>
    name === "$or" && Array.isArray(what) ? what.flatMap(topNames) : [name]
  );
}
