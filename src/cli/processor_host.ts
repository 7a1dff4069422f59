/**
 * Owns: what runs in the process of a sandboxed processor, beside its thread.
 * Must not: end before the worker that started it does, or outlive it.
 * Called by: `main.ts`, when `processor_process.ts` started this program.
 *
 * @module
 */

import { encodePieces, readFrames, type ReadInto } from "../sandbox/frames.ts";
import type { ProcessSetup } from "../sandbox/process_port.ts";
import { Relay } from "../sandbox/relay.ts";
import type { FromProcess, ThreadSettings, ToProcess } from "../sandbox/protocol.ts";
import type { ThreadSetup } from "./processor_worker.ts";
import { openWorker } from "./thread_worker.ts";

/** What such a process is told. */
export interface HostSetup {
  /** What the thread may do; undefined: everything. */
  readonly permissions: Deno.PermissionOptionsObject | undefined;
  readonly thread: Omit<ThreadSetup, "settings"> & {
    readonly settings: Omit<ThreadSettings, "running">;
  };
}

/** Has a processor run until the worker closes stdin, or is gone: the system closes it then. */
export async function hostProcessor(): Promise<number> {
  ignoreSignals();
  const frames = readFrames(readStdin);
  const { value: begin } = await frames.next();
  if (begin === undefined) return 0;
  const { marker, setup } = begin.message as ProcessSetup<HostSetup>;
  const say = (message: FromProcess): void => {
    for (const piece of encodePieces(message, marker)) writeStdout(piece);
  };
  const running = new SharedArrayBuffer(4);
  const { permissions, thread } = setup;
  const settings = { ...thread.settings, running };
  const relay = new Relay({
    worker: openWorker({ ...thread, settings }, permissions),
    running,
    say,
  });
  for await (const { message, records } of frames) relay.receive(message as ToProcess, records);
  return 0;
}

/** The worker decides when this process ends. A service manager and a terminal send their signals to both. */
function ignoreSignals(): void {
  const signals: readonly Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT", "SIGBREAK"]
    : ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) Deno.addSignalListener(signal, () => {});
}

const readStdin: ReadInto = (room) =>
  room.byteLength === 0 ? Promise.resolve(0) : Deno.stdin.read(room);

/** A pipe takes it whole; what comes back is how much it took, all the same. */
function writeStdout(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
