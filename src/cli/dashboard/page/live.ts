/**
 * Owns: the connection to the worker, and coming back when it was lost.
 * Must not: understand what comes.
 * Called by: `main.ts`.
 *
 * @module
 */
/// <reference lib="dom" />

import type { Snapshot, Update } from "../protocol.ts";

/** How the connection is. */
export type ConnectionState = "connecting" | "live" | "lost";

/** Who is told what. */
export interface LiveOptions {
  onSnapshot(snapshot: Snapshot): void;
  onUpdate(update: Update): void;
  onState(state: ConnectionState): void;
}

const RETRY_MS = 1_000;
/** Something comes at least every 15 s; after that long the connection is dead, whatever the browser believes. */
const SILENCE_MS = 40_000;

/** Listens to the worker for as long as the page is there. */
export function listen(options: LiveOptions): void {
  let retry: ReturnType<typeof setTimeout> | undefined;
  let silence: ReturnType<typeof setTimeout> | undefined;
  let source: EventSource | null = null;
  const again = (): void => {
    source?.close();
    options.onState("lost");
    clearTimeout(retry);
    clearTimeout(silence);
    retry = setTimeout(open, RETRY_MS);
  };
  const isHeard = (): void => {
    clearTimeout(silence);
    silence = setTimeout(again, SILENCE_MS);
  };
  const open = (): void => {
    const opened = new EventSource("/dashboard/live");
    source = opened;
    // The browser's own way to come back gives up when it gets an answer that is no stream.
    opened.addEventListener("error", () => opened === source && again());
    opened.addEventListener("snapshot", (event) => {
      isHeard();
      options.onState("live");
      options.onSnapshot(JSON.parse(event.data));
    });
    opened.addEventListener("update", (event) => {
      isHeard();
      options.onUpdate(JSON.parse(event.data));
    });
    opened.addEventListener("still", isHeard);
  };
  options.onState("connecting");
  open();
}
