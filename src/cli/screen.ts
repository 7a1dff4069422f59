/**
 * Owns: the whole window of a terminal: drawing in place, keys, its size, and that the terminal is as before in the end.
 * Must not: know what is drawn.
 * Called by: `status_watch.ts`.
 *
 * @module
 */

/** A window that is drawn in place. Disposing it gives the terminal back as it was. */
export interface Screen extends Disposable {
  /** How much fits. */
  readonly size: { readonly columns: number; readonly rows: number };
  /** Shows these lines, and nothing else; what does not fit is cut off. */
  draw(lines: readonly string[]): void;
}

/** What a screen tells. */
export interface ScreenListener {
  /** A key was pressed; what it sends, such as `q`. */
  onKey(key: string): void;
  /** The window has another size. */
  onResize(): void;
}

// The alternate screen, so that what stood there comes back; without a cursor, and long lines end at the border.
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME = "\x1b[H";
const ERASE_REST_OF_LINE = "\x1b[K";
const ERASE_BELOW = "\x1b[J";
const USUAL_SIZE = { columns: 80, rows: 24 };
const WINDOWS_HAS_NONE = Deno.build.os === "windows";

/** Takes over the terminal of this process. */
export function openScreen(listener: ScreenListener): Screen {
  const hasKeys = Deno.stdin.isTerminal();
  let isOpen = true;
  const restore = (): void => {
    if (!isOpen) return;
    isOpen = false;
    if (hasKeys) Deno.stdin.setRaw(false);
    write(LEAVE);
    if (!WINDOWS_HAS_NONE) Deno.removeSignalListener("SIGWINCH", listener.onResize);
    globalThis.removeEventListener("unload", restore);
  };
  write(ENTER);
  // However this process ends.
  globalThis.addEventListener("unload", restore);
  if (!WINDOWS_HAS_NONE) Deno.addSignalListener("SIGWINCH", listener.onResize);
  if (hasKeys) {
    // Ctrl-C stays a signal where that can be had.
    Deno.stdin.setRaw(true, { cbreak: !WINDOWS_HAS_NONE });
    void readKeys((key) => isOpen && listener.onKey(key));
  }
  return {
    get size() {
      return sizeOfWindow();
    },
    draw(lines) {
      const shown = lines.slice(0, sizeOfWindow().rows);
      if (isOpen) write(HOME + shown.join(`${ERASE_REST_OF_LINE}\r\n`) + ERASE_BELOW);
    },
    [Symbol.dispose]: restore,
  };
}

/** Reads until the process ends: a read that waits cannot be taken back. */
async function readKeys(onKey: (key: string) => void): Promise<void> {
  const buffer = new Uint8Array(64);
  try {
    for (;;) {
      const length = await Deno.stdin.read(buffer);
      if (length === null) return;
      onKey(new TextDecoder().decode(buffer.subarray(0, length)));
    }
  } catch {
    // Without keys it goes on; signals end it.
  }
}

function sizeOfWindow(): Screen["size"] {
  try {
    const { columns, rows } = Deno.consoleSize();
    return columns > 0 && rows > 0 ? { columns, rows } : USUAL_SIZE;
  } catch {
    return USUAL_SIZE; // It is no window.
  }
}

function write(text: string): void {
  const bytes = new TextEncoder().encode(text);
  let written = 0;
  while (written < bytes.length) written += Deno.stdout.writeSync(bytes.subarray(written));
}
