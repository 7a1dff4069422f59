/**
 * Owns: lines on their way out: in order, never mixed, never waited for by the one who writes them.
 * Must not: know what is in them.
 * Called by: `event_log.ts`.
 *
 * @module
 */

/** Whoever reads our output may lag behind this many characters; it is memory that would grow without end. */
const WAITING_CHARACTERS_MAX = 64 * 1024 * 1024;

/** Lines on their way out. */
export class OutputQueue {
  /** Resolves with the reason when the lines cannot be written any more; they are dropped from then on. */
  readonly failed: Promise<Error>;
  readonly #write: (text: string) => Promise<void>;
  #fail: (error: Error) => void = () => {};
  #hasFailed = false;
  #waiting: string[] = [];
  #waitingCharacters = 0;
  #pump: Promise<void> | null = null;

  /** @param write Writes a text; it is called again when it has resolved. */
  constructor(write: (text: string) => Promise<void>) {
    this.#write = write;
    this.failed = new Promise((resolve) => {
      this.#fail = (error) => {
        this.#hasFailed = true;
        this.#waiting = [];
        resolve(error);
      };
    });
  }

  /** Puts a line at the end of the queue. */
  push(line: string): void {
    if (this.#hasFailed) return;
    this.#waiting.push(line);
    this.#waitingCharacters += line.length + 1;
    if (this.#waitingCharacters > WAITING_CHARACTERS_MAX) {
      this.#fail(new Error("Cannot write the log: its reader is too far behind"));
      return;
    }
    this.#pump ??= this.#writeWaiting();
  }

  /** Resolves when every line is out, or cannot be. */
  async flushed(): Promise<void> {
    // After a failure a write may be stuck for ever in a reader that does not read.
    while (this.#pump && !this.#hasFailed) await Promise.race([this.#pump, this.failed]);
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      const text = this.#waiting.join("\n") + "\n";
      this.#waiting = [];
      try {
        await this.#write(text);
      } catch (error) {
        this.#fail(new Error("Cannot write the log: nobody reads it any more", { cause: error }));
      }
      this.#waitingCharacters = this.#waiting.reduce((sum, line) => sum + line.length + 1, 0);
    }
    this.#pump = null;
  }
}
