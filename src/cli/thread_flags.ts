/**
 * Owns: the flags of a processor in threads of its own: how many, and what a sandboxed one may do.
 * Must not: start a thread.
 * Called by: `commands/worker_commands.ts` and `commands/watch_commands.ts` list them, `run.ts` reads them.
 *
 * @module
 */

import { type ReactoKinesixConfig, resolveConfig } from "../core/config.ts";
import { type Flag, matching, wholeNumber } from "./flags.ts";
import { UsageError } from "./usage_error.ts";
import type { Values } from "./values.ts";

/** The threads that were asked for. */
export interface ThreadPlan {
  readonly count: number;
  /** Whether each has a process of its own, which can be ended. */
  readonly hasProcesses: boolean;
  /** What a sandboxed thread may do; undefined without a sandbox: whatever the process may. */
  readonly sandbox: SandboxAccess | undefined;
  /** The settings of the worker, with what threads need. */
  readonly config: ReactoKinesixConfig;
}

/** What a sandboxed thread may do: the lists of Deno's permissions. */
export interface SandboxAccess {
  /** Hosts, with a port if need be. */
  readonly net: readonly string[];
  /** Variables of the environment. */
  readonly env: readonly string[];
  /** Paths. */
  readonly read: readonly string[];
}

/** Of a sandbox that nobody gave a limit: what it is for is that no processor can hold up the worker for ever. */
const SANDBOX_PROCESS_TIMEOUT_MS = 60_000;

const COMMA_LIST = matching(
  /^[^,]+(,[^,]+)*$/,
  "a list with commas and without spaces around them",
);

/** The flags of a processor in threads of its own. */
export const THREAD_FLAGS: readonly Flag[] = [
  {
    name: "threads",
    placeholder: "N",
    doc: "run the processor in N threads; records of one partition key stay in order",
    accepts: wholeNumber(1, 64),
    isInEnvironment: true,
  },
  {
    name: "sandbox",
    doc:
      "run the processor in a process of its own, without access to network, environment, files and programs; " +
      "--process-timeout is then 1m, if it is not given",
  },
  {
    name: "sandbox-allow-net",
    placeholder: "HOST,...",
    doc: "what it may reach nevertheless: hosts, with a port if need be",
    accepts: COMMA_LIST,
    isInEnvironment: true,
  },
  {
    name: "sandbox-allow-env",
    placeholder: "NAME,...",
    doc: "variables of the environment that it may read nevertheless",
    accepts: COMMA_LIST,
    isInEnvironment: true,
  },
  {
    name: "sandbox-allow-read",
    placeholder: "PATH,...",
    doc: "files and folders that it may read nevertheless",
    accepts: COMMA_LIST,
    isInEnvironment: true,
  },
];

/**
 * The threads that the flags ask for; undefined if the processor runs in the main thread.
 *
 * @throws {UsageError} If flags contradict each other.
 */
export function planThreads(values: Values): ThreadPlan | undefined {
  const isSandboxed = values.isOn("sandbox");
  const listOf = (name: keyof SandboxAccess): readonly string[] => {
    const list = values.text(`sandbox-allow-${name}`)?.split(",") ?? [];
    if (list.length === 0 || isSandboxed) return list;
    throw new UsageError(
      `Cannot use --sandbox-allow-${name} without --sandbox: there is nothing to allow`,
    );
  };
  const access = { net: listOf("net"), env: listOf("env"), read: listOf("read") };
  const asked = values.text("threads");
  const count = Number(asked ?? 1);
  if (asked === undefined && !isSandboxed) return undefined;
  const config = { ...values.config };
  const { checkpointMode, checkpointFrequency, concurrency, orderBy } = resolveConfig(config);
  if (count > 1 && checkpointMode === "manual") {
    throw new UsageError(
      `Cannot use --threads ${count} with --checkpoint-mode manual: threads finish their records ` +
        `in any order; use one thread, or the mode auto`,
    );
  }
  if (count > 1 && orderBy === "shard") {
    throw new UsageError(
      `Cannot use --threads ${count} with --order-by shard: one record comes after the other; use ` +
        `one thread, or the order partitionKey or none`,
    );
  }
  if (isSandboxed && config.processTimeout === undefined) {
    // In the manual mode a record waits for its checkpoint.
    const wait = checkpointMode === "manual" ? 2 * checkpointFrequency : 0;
    Object.assign(config, { processTimeout: Math.max(SANDBOX_PROCESS_TIMEOUT_MS, wait) });
  }
  if (count > concurrency) Object.assign(config, { concurrency: count });
  return { count, hasProcesses: isSandboxed, sandbox: isSandboxed ? access : undefined, config };
}
