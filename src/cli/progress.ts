/**
 * Owns: the progress bars that a person sees on stderr, and lines that appear above them.
 * Must not: show a bar where no person looks.
 * Called by: `put.ts`, `redrive.ts`, `replay.ts`, `checkpoint.ts`, `demo.ts`, and the program that runs the simulator.
 *
 * @module
 */

import type { Terminal } from "./terminal.ts";

/** How far one thing is. */
export interface Progress {
  /** Tells how much is done by now, and what is to stand behind the bar. */
  update(done: number, note?: string): void;
}

/** Progress bars, one below the other. */
export interface ProgressBoard extends Disposable {
  /** Adds a bar, or a counter when nobody knows the total. A bar shows how much of it is done, unless that is a share of 1 alone. */
  add(label: string, total?: number): Progress;
  /** Writes a line above the bars. */
  say(line: string): void;
}

/** The part of cli-progress that is used; it comes without types. */
interface ProgressModule {
  readonly MultiBar: new (options: object) => {
    create(total: number, done: number, payload: object, options: object): {
      update(done: number, payload: object): void;
    };
    log(line: string): void;
    update(): void;
    stop(): void;
  };
}

/** The line is written where a bar was, which is longer. */
const ERASE_REST_OF_LINE = "\x1b[K";

/** Opens a board; disposing it leaves the last state on the screen. */
export async function openProgress(
  terminal: Terminal,
  options: { readonly isHidden: boolean },
): Promise<ProgressBoard> {
  if (options.isHidden || !terminal.isStderrInteractive) return withoutBars(terminal, options);
  const { MultiBar } = (await import("cli-progress")).default as ProgressModule;
  const bars = new MultiBar({
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 40,
    hideCursor: true,
    emptyOnZero: true,
    // A bar that did not change must be drawn again below the lines that took its place.
    forceRedraw: true,
    // Signals are ours.
    gracefulExit: false,
  });
  return {
    add: (label, total) => {
      // Without a total no bar is shown, only the count; the total must be larger than any count then.
      const bar = bars.create(total ?? Number.MAX_SAFE_INTEGER, 0, { note: "" }, {
        format: total === undefined
          ? `${label} {value} records in {duration_formatted}`
          : `${label} {bar} {percentage}% ${total === 1 ? "" : "{value}/{total} "}{note}`,
      });
      return { update: (done, note = "") => bar.update(done, { note }) };
    },
    say: (line) => bars.log(`${line}${ERASE_REST_OF_LINE}\n`),
    [Symbol.dispose]() {
      // Lines that were said last would not appear without another look.
      bars.update();
      bars.stop();
    },
  };
}

function withoutBars(
  terminal: Terminal,
  { isHidden }: { readonly isHidden: boolean },
): ProgressBoard {
  return {
    add: () => ({ update: () => {} }),
    say: (line) => isHidden ? undefined : terminal.say(line),
    [Symbol.dispose]: () => {},
  };
}
