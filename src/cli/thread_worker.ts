/**
 * Owns: the start of the Worker in which a user's processor runs.
 * Must not: know what is said to it.
 * Called by: `processor_threads.ts`; in a process of its own `processor_host.ts`.
 *
 * @module
 */

import type { ThreadSetup } from "./processor_worker.ts";

/**
 * Starts a Worker, and tells it what its processor is.
 *
 * @param permissions What it may do; undefined: whatever this process may.
 */
export function openWorker(
  setup: ThreadSetup,
  permissions: Deno.PermissionOptionsObject | undefined,
): Worker {
  const worker = new Worker(
    new URL("./processor_worker.ts", import.meta.url),
    { type: "module", ...permissions && { deno: { permissions } } },
  );
  worker.postMessage(setup);
  return worker;
}
