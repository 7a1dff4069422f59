/**
 * Owns: what runs in a thread of the user's processor: the way from the first message to a processor that answers.
 * Must not: be imported; it is loaded by its address, as the main module of a Worker.
 * Called by: `thread_worker.ts`, as the main module of a Worker.
 *
 * @module
 */

import { systemClock } from "../adapters/system.ts";
import { packError } from "../sandbox/packed_error.ts";
import type { FromThread, ThreadSettings, ToThread } from "../sandbox/protocol.ts";
import { ThreadSide } from "../sandbox/thread_side.ts";
import { fitOutThread } from "../sandbox/thread_world.ts";
import { processorOf } from "./load_processor/check_processor.ts";
import { instantiate } from "./load_processor/instantiate.ts";
import type { ModuleGraph } from "./load_processor/module_graph.ts";
import { sendConsoleToStderr } from "./processor_output.ts";

/** The first message that the thread gets. */
export interface ThreadSetup {
  readonly settings: ThreadSettings;
  /** The processor module with everything that it imports. */
  readonly graph: ModuleGraph;
  /** Where the files of the graph are; undefined for a module that needs none. */
  readonly folder: string | undefined;
  /** Whether what the processor prints goes to stderr. */
  readonly isConsoleOnStderr: boolean;
}

/** The thread as its own module sees it; the types of the main thread do not have it. */
const thread = globalThis as unknown as {
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  postMessage(message: FromThread): void;
};
// Taken before the processor can put anything in its place.
const post = thread.postMessage.bind(thread);

// No `onmessage`, which the processor may set too.
let receive = (message: ThreadSetup | ToThread): void => {
  // The first one; it answers its own failures.
  void begin(message as ThreadSetup);
};
thread.addEventListener("message", ({ data }) => receive(data));

async function begin(setup: ThreadSetup): Promise<void> {
  const { settings, graph, folder } = setup;
  if (setup.isConsoleOnStderr) sendConsoleToStderr();
  fitOutThread(settings, (error) => post({ kind: "stray", error: packError(error) }));
  try {
    const { module } = await instantiate(graph, { ...folder !== undefined && { folder } });
    const source = processorOf(module, graph.place);
    const side = new ThreadSide({ settings, clock: systemClock, source, post });
    receive = (message) => side.receive(message as ToThread);
  } catch (error) {
    post({ kind: "refused", error: packError(error) });
  }
}
