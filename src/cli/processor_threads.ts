/**
 * Owns: the flags of the threads that a processor runs in, and what such a thread may do.
 * Must not: know what is said to a thread.
 * Called by: `run.ts`.
 *
 * @module
 */

import { systemClock } from "../adapters/system.ts";
import { type ProcessorThreads, startProcessorThreads } from "../sandbox/processor_threads.ts";
import type { Flag } from "./flags.ts";
import { matching, wholeNumber } from "./flags.ts";
import type { ThreadSetup } from "./processor_worker.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

/** What is taken away by `--sandbox`, and the lists that give some of it back. */
const PERMISSIONS = ["net", "env", "read"] as const;

/** The flags, for the table of commands. */
export const THREAD_FLAGS: readonly Flag[] = [
