/**
 * Owns: the progress bar that a person sees on stderr.
 * Must not: appear where no person looks.
 * Called by: `put.ts` and `demo.ts`.
 *
 * @module
 */

import type { Terminal } from "./terminal.ts";

/** How far something is. */
export interface Progress {
  /** Tells how much is done by now. */
  update(done: number): void;
  /** Leaves the last state on the screen. */
  close(): void;
}

/** The part of cli-progress that is used; it comes without types. */
interface ProgressModule {
  readonly SingleBar: new (options: object) => {
    start(total: number, done: number): void;
    update(done: number): void;
    stop(): void;
  };
}

const HIDDEN: Progress = { update: () => {}, close: () => {} };

/** Shows a bar, or a counter when nobody knows the total. */
export async function openProgress(
  terminal: Terminal,
  options: { readonly label: string; readonly total?: number; readonly isHidden: boolean },
): Promise<Progress> {
  const { label, total, isHidden } = options;
  if (isHidden || !terminal.isStderrInteractive) return HIDDEN;
  const { SingleBar } = (await import("cli-progress")).default as ProgressModule;
  const bar = new SingleBar({
    format: total === undefined
      ? `${label} {value} records in {duration_formatted}`
      : `${label} {bar} {percentage}% {value}/{total}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 40,
    hideCursor: true,
  });
  // Without a total the bar is not shown, only the count; a total must be larger than any count then.
  bar.start(total ?? Number.MAX_SAFE_INTEGER, 0);
  return { update: (done) => bar.update(done), close: () => bar.stop() };
}
