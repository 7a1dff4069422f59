/**
 * Owns: reading the lines that the processors append to the ledger, each once.
 * Called by: `arena.ts`.
 *
 * @module
 */

import type { Processed } from "../local/cluster.ts";

const CHUNK_BYTES = 65_536;

/** Reads on where it stopped. */
export class LedgerTail implements Disposable {
  readonly #path: string;
  readonly #decoder = new TextDecoder();
  readonly #buffer = new Uint8Array(CHUNK_BYTES);
  #file: Deno.FsFile | undefined;
  #rest = "";

  constructor(path: string) {
    this.#path = path;
  }

  /** The lines since the last call; none while there is no file. */
  async read(): Promise<readonly Processed[]> {
    this.#file ??= await Deno.open(this.#path, { read: true, write: true, create: true });
    let text = this.#rest;
    for (let n; (n = await this.#file.read(this.#buffer)) !== null;) {
      text += this.#decoder.decode(this.#buffer.subarray(0, n), { stream: true });
    }
    const lines = text.split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.map((line) => JSON.parse(line));
  }

  [Symbol.dispose](): void {
    this.#file?.close();
  }
}
