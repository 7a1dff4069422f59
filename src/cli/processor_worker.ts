/**
 * Owns: what runs in a thread of the user's processor: the way from the first message to a processor that answers.
 * Must not: be imported; it is loaded by its address, as the main module of a Worker.
 * Called by: `processor_threads.ts`.
 *
 * @module
 */

import { systemClock } from "../adapters/system.ts";
import { packError } from "../sandbox/packed_error.ts";
import type { FromThread, ThreadSettings, ToThread } from "../sandbox/protocol.ts";
import { ThreadSide } from "../sandbox/thread_side.ts";
import { fitOutThread } from "../sandbox/thread_world.ts";
import { loadProcessor } from "./load_processor.ts";
import { sendConsoleToStderr } from "./processor_output.ts";

/** The first message that the thread gets. */
export interface ThreadSetup {
  readonly settings: ThreadSettings;
  /** The processor module. */
  readonly place: string;
  /** Whether what the processor prints goes to stderr. */
  readonly isConsoleOnStderr: boolean;
}

/** The thread as its own module sees it; the types of the main thread do not have it. */
const thread = globalThis as unknown as {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: FromThread): void;
};
// Taken before the processor can put anything in its place.
const post = thread.postMessage.bind(thread);

thread.onmessage = ({ data }: MessageEvent<ThreadSetup>) => {
  // It answers its own failures.
  void begin(data);
};

async function begin({ settings, place, isConsoleOnStderr }: ThreadSetup): Promise<void> {
  if (isConsoleOnStderr) sendConsoleToStderr();
  fitOutThread(settings, (error) => post({ kind: "stray", error: packError(error) }));
  try {
    const source = await loadProcessor(place);
    const side = new ThreadSide({ settings, clock: systemClock, source, post });
    thread.onmessage = ({ data }: MessageEvent<ToThread>) => side.receive(data);
  } catch (error) {
    post({ kind: "refused", error: packError(error) });
  }
}
