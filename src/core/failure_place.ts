/**
 * Owns: where failure records may be, and how that is written: `file:failures.jsonl`, `kinesis:orders-failed`.
 * Must not: look whether it is there.
 * Called by: `adapters/failure_destination.ts`, `cli/failure_flags.ts`, `kinesix redrive`.
 *
 * @module
 */

/** A place for failure records. */
export type FailurePlace =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "stream"; readonly streamName: string };

/** What completes "it must be ". */
export const FAILURE_PLACE_WORDS = "file:PATH or kinesis:STREAM";

const PLACE = /^(?:file:(?<path>[^\0]+)|kinesis:(?<streamName>[A-Za-z0-9_.-]{1,128}))$/;

/** The place that a text names; undefined if it names none. */
export function parseFailurePlace(text: string): FailurePlace | undefined {
  const { path, streamName } = PLACE.exec(text)?.groups ?? {};
  if (path !== undefined) return { kind: "file", path };
  if (streamName !== undefined) return { kind: "stream", streamName };
  return undefined;
}
