/**
 * Owns: the way to a thread and back, whatever the thread is in; and the one to a Worker of this process.
 * Must not: know what is said.
 * Called by: `sandbox/live_thread.ts`; `sandbox/process_port.ts` is the way to a thread in another process.
 *
 * @module
 */

import type { FromThread, ToThread } from "./protocol.ts";

/** What a thread tells of itself. */
export interface ThreadListener {
  receive(message: FromThread): void;
  /** It ended by itself. Whose doing it was, the memory says that it shares with the outside. */
  broke(message: string): void;
  /** It ended, and nothing says because of what. */
  died(message: string): void;
}

/** The way to one thread. */
export interface ThreadPort {
  post(message: ToThread): void;
  /** No further record of a run is to be started, also when the thread has no time for messages. */
  stopRun(call: number): void;
  /** Brings the memory up to date that the thread shares with the outside; undefined if it always is. */
  look(): Promise<void> | undefined;
  /** Ends the thread. */
  end(): void;
  /** Whether `end` also ends code that never waits. */
  readonly endsLoops: boolean;
  /** Resolves when nothing is left of it, as far as that can be known. */
  readonly gone: Promise<void>;
}

/** The way to a Worker. */
export function workerPort(worker: Worker, listener: ThreadListener): ThreadPort {
  worker.onmessage = ({ data }: MessageEvent<FromThread>) => listener.receive(data);
  worker.onerror = (event) => {
    event.preventDefault();
    listener.broke(event.message);
  };
  worker.onmessageerror = () => listener.broke("a message could not be read");
  return {
    post: (message) => worker.postMessage(message, recordsOf(message)),
    stopRun: () => {}, // It sees that in the memory.
    look: () => undefined,
    end: () => worker.terminate(),
    endsLoops: false,
    gone: Promise.resolve(),
  };
}

/** The records change hands; nobody needs them here any more. */
export function recordsOf(message: ToThread): ArrayBuffer[] {
  return message.kind === "call" && "records" in message.work ? [message.work.records] : [];
}
