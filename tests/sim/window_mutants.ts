/**
 * Owns: the mutants of what is kept of a shard.
 * Called by: `mutants.ts`.
 *
 * @module
 */

import type { Mutant } from "./mutants.ts";

/** One line each, between a record and the window that is closed. */
export const WINDOW_MUTANTS: readonly Mutant[] = [
  {
    name: "a state is not written with its checkpoint",
    file: "runtime/lease_keeper.ts",
    from: "...state !== this.row.state && { state },",
    to: "...state === null && { state },",
  },
  {
    name: "what a parent left is dropped when one of its children has begun",
    file: "core/shard_state.ts",
    from: "!children.every(hasBegun)",
    to: "!children.some(hasBegun)",
  },
  {
    name: "a shard is read before its processor has begun with what there is",
    file: "runtime/shard_runner.ts",
    from: "const begun = await turn.reads.begin();",
    to: 'const begun = "done" as string as "done";',
  },
  {
    name: "what is in a window already is added again",
    file: "windows/tumbling_windows.ts",
    from: "if (this.#windows.has(record)) return;",
    to: 'if (record.sequenceNumber === "") return;',
  },
  {
    name: "a state that was written earlier and arrives late is taken",
    file: "core/lease.ts",
    from: "const last = progress.state === undefined ? {} : { checkpointAt: row.checkpointAt };",
    to: "const last = {};",
  },
  {
    name: "a child does not take up what its parents left",
    file: "runtime/shard_state.ts",
    from: "this.#left === null && !this.#hasBegun",
    to: "this.#left !== null && !this.#hasBegun",
  },
  {
    name: "what a parent left is dropped before each of its children has a row",
    file: "core/shard_state.ts",
    from: "|| covers(ranges, hashKeyRange)",
    to: "|| covers(ranges, hashKeyRange) || true",
  },
  {
    name: "a record is to blame for a window that takes too long to close",
    file: "runtime/record_run.ts",
    from: "if (!isStateful(processor) || !(error",
    to: "if (isStateful(processor) || !(error",
  },
];
