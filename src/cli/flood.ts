/**
 * Owns: how many sentences of one kind a person is told before the rest is only counted.
 * Must not: hold back anything that is read by programs.
 * Called by: `event_log.ts` and `dashboard/activity.ts`.
 *
 * @module
 */

const WINDOW_MS = 10_000;

/** As many as a cluster of a usual size says at a start or a stop. */
const SENTENCES_MAX = 50;

interface Window {
  readonly sinceMs: number;
  said: number;
  heldBack: number;
}

/** Counts the sentences of each kind: when every record fails, a line for each would bury all others. */
export class Flood {
  readonly #windows = new Map<string, Window>();

  /** Whether to say another sentence of a kind; if not it is counted. */
  lets(kind: string, nowMs: number): boolean {
    const window = this.#windows.get(kind) ?? { sinceMs: nowMs, said: 0, heldBack: 0 };
    this.#windows.set(kind, window);
    if (window.said === SENTENCES_MAX) {
      window.heldBack++;
      return false;
    }
    window.said++;
    return true;
  }

  /** How many of each kind were held back in the windows that are over. */
  drain(nowMs: number): ReadonlyMap<string, number> {
    const heldBack = new Map<string, number>();
    for (const [kind, window] of this.#windows) {
      if (nowMs - window.sinceMs < WINDOW_MS) continue;
      this.#windows.delete(kind);
      if (window.heldBack > 0) heldBack.set(kind, window.heldBack);
    }
    return heldBack;
  }
}
