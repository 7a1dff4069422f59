/**
 * Owns: the file that remembers which failure records were put back, and into which stream.
 * Must not: put anything back.
 * Called by: `redrive.ts`.
 *
 * @module
 */

import { AppendFile } from "../adapters/append_file.ts";
import type { StoredFailure } from "../adapters/failure_format.ts";
import { messageOf } from "../errors.ts";

/**
 * What was put back into one stream. A record is known by where it was: a failure record that is there twice, after a crash, is
 * put back once; a record that was put back and failed again is another one.
 */
export class RedriveMarks implements AsyncDisposable {
  readonly #file: AppendFile;
  readonly #path: string;
  readonly #into: string;
  readonly #known: Set<string>;
  /** Whether there was no file, and nothing was noted since. */
  #isForNothing: boolean;

  private constructor(path: string, into: string, text: string | undefined) {
    const prefix = `${into} `;
    // A line without its end was cut off; what it was about is put back again.
    const lines = (text ?? "").split("\n").slice(0, -1).filter((line) => line.startsWith(prefix));
    this.#file = new AppendFile(path);
    this.#path = path;
    this.#into = into;
    this.#known = new Set(lines.map((line) => line.slice(prefix.length)));
    this.#isForNothing = text === undefined;
  }

  /**
   * Reads the file, if there is one.
   *
   * @param into The stream that records are put back into.
   */
  static async open(path: string, into: string): Promise<RedriveMarks> {
    const text = await Deno.readTextFile(path).catch((error) => {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw new Error(`Cannot read --marks "${path}": ${messageOf(error)}`, { cause: error });
    });
    return new RedriveMarks(path, into, text);
  }

  /** Makes the file if there is none: better that it cannot be written before anything is put back. */
  async prepare(): Promise<void> {
    await this.#file.prepare().catch((error) => this.#fail(error));
  }

  /** Takes a file away again that was made for nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isForNothing) return;
    try {
      // Somebody else may have noted something there.
      if ((await Deno.stat(this.#path)).size === 0) await Deno.remove(this.#path);
    } catch {
      // An empty file does no harm; why the command ended is what counts.
    }
  }

  /** Takes a record on, unless it was taken on or put back before; gives its name, for {@linkcode RedriveMarks.note}. */
  take(failure: StoredFailure): string | undefined {
    const { streamName, shardId, sequenceNumber, subSequenceNumber } = failure;
    const sub = subSequenceNumber === undefined ? [] : [subSequenceNumber];
    const name = [streamName, shardId, sequenceNumber, ...sub].join(" ");
    if (this.#known.has(name)) return undefined;
    this.#known.add(name);
    return name;
  }

  /** Notes that records were put back. */
  async note(names: readonly string[]): Promise<void> {
    this.#isForNothing = false;
    const lines = names.map((name) => this.#file.append(`${this.#into} ${name}`));
    for (const noted of await Promise.allSettled(lines)) {
      if (noted.status === "rejected") this.#fail(noted.reason);
    }
  }

  #fail(error: unknown): never {
    throw new Error(
      `Cannot note in --marks "${this.#path}" what was put back: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
