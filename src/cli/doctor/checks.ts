/**
 * Owns: which checks there are, in the order in which they are told.
 * Must not: make one.
 * Called by: `doctor.ts`.
 *
 * @module
 */

import { ACCESS_CHECKS } from "./access_checks.ts";
import { CLUSTER_CHECKS } from "./cluster_checks.ts";
import type { Check, Finding, Observation } from "./observation.ts";
import { STREAM_CHECKS } from "./stream_checks.ts";
import { TABLE_CHECKS } from "./table_checks.ts";

/** A finding, and what was checked. */
export interface CheckedFinding extends Finding {
  readonly check: string;
}

const CHECKS: readonly Check[] = [
  ...ACCESS_CHECKS,
  ...STREAM_CHECKS,
  ...TABLE_CHECKS,
  ...CLUSTER_CHECKS,
];

/** Makes every check that has something to say. */
export function judge(seen: Observation): readonly CheckedFinding[] {
  return CHECKS.flatMap((check) => {
    const finding = check.judge(seen);
    return finding === undefined ? [] : [{ check: check.name, ...finding }];
  });
}
