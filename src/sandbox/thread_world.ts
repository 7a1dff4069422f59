/**
 * Owns: what the globals of a processor thread are, beyond what its permissions say: what would end the thread unseen, or harm
 * the process, says so instead.
 * Must not: be taken for a wall: whoever wants to can find a way around it.
 * Called by: the entry module of the thread, before the processor is loaded.
 *
 * @module
 */

import process from "node:process";
import { Worker as NodeWorker } from "node:worker_threads";

/** Fits the globals of this thread to a processor. */
export function fitOutThread(
  { isSandboxed }: { readonly isSandboxed: boolean },
  onStray: (error: unknown) => void,
): void {
  // An exit would end this thread only, and nobody would be told.
  replace(Deno, "exit", refusal("exit", "only the thread of the processor would end, unseen"));
  replace(globalThis, "close", refusal("close the thread", "nobody would be told"));
  replace(globalThis, "postMessage", refusal("post a message", "nobody would read it"));
  if (isSandboxed) {
    // Each process may signal itself, whatever its permissions are.
    replace(Deno, "kill", refusal("send a signal", "the processor runs in a sandbox"));
    replace(process, "kill", refusal("send a signal", "the processor runs in a sandbox"));
    // A thread of its own would have globals that nobody fitted out.
    replace(globalThis, "Worker", refusal("start a Worker", "the processor runs in a sandbox"));
    // Under whatever name it is imported, it is this class, which calls what it extends first.
    Object.setPrototypeOf(NodeWorker, refusal("start a Worker", "the processor runs in a sandbox"));
    Object.preventExtensions(NodeWorker);
    // It is kept in files of the user, without end, and no permission is asked for. Whoever asks whether there is one, does without.
    replace(globalThis, "caches", undefined);
  }
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    onStray(event.reason);
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    onStray(event.error);
  });
}

function refusal(action: string, reason: string): () => never {
  // No arrow function: `new Worker` must come here too.
  return function refuse() {
    throw new Error(`Cannot ${action}: ${reason}; throw an error instead`);
  };
}

function replace(owner: object, name: string, value: (() => never) | undefined): void {
  Object.defineProperty(owner, name, { value, writable: false, configurable: false });
}
