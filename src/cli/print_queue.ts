/**
 * Owns: what processors in processes of their own print, on its way out: never waited for, and never more than so much of it.
 * Must not: know what it is.
 * Called by: `processor_process.ts` fills it, `processor_threads.ts` makes it.
 *
 * @module
 */

/** What a reader that is slow may lag behind. More is left out, since the worker and its heartbeats cannot wait for it. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;
/** At the end, a reader that does not read is not waited for. */
const FLUSH_MS = 1_000;

/** Bytes on their way out. */
export class PrintQueue {
  readonly #target: Pick<typeof Deno.stdout, "write">;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #leftOutBytes = 0;
  #pump: Promise<void> | undefined;

  constructor(target: Pick<typeof Deno.stdout, "write">) {
    this.#target = target;
  }

  /** Puts bytes at the end. What there is no room for is left out, and so is all that follows until everything is written. */
  push(bytes: Uint8Array): void {
    const isTooMuch = this.#waitingBytes + bytes.byteLength > WAITING_BYTES_MAX;
    if (isTooMuch || this.#leftOutBytes > 0) {
      this.#leftOutBytes += bytes.byteLength;
      return;
    }
    this.#waitingBytes += bytes.byteLength;
    // A piece of what arrived would keep the whole of it.
    this.#waiting.push(bytes.slice());
    this.#pump ??= this.#writeWaiting();
  }

  /** Resolves when everything is out, or the reader does not read. */
  async flushed(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const isLate = new Promise<void>((resolve) => timer = setTimeout(resolve, FLUSH_MS));
    await Promise.race([this.#pump, isLate]);
    clearTimeout(timer);
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0) {
      for (const bytes of this.#waiting.splice(0)) {
        await this.#write(bytes);
        this.#waitingBytes -= bytes.byteLength;
      }
      if (this.#waiting.length === 0 && this.#leftOutBytes > 0) {
        const note =
          `\n[kinesix: ${this.#leftOutBytes} bytes that the processor printed are left ` +
          "out: this was not read fast enough]\n";
        this.#leftOutBytes = 0;
        await this.#write(new TextEncoder().encode(note));
      }
    }
    this.#pump = undefined;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.byteLength;) at += await this.#target.write(bytes.subarray(at));
    } catch {
      // As with `console` in this process: that nobody reads it any more is no reason to end the processor.
    }
  }
}
