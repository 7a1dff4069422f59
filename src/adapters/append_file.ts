/**
 * Owns: appending lines to a file that others append to as well, so that each one is on the disk, whole, when it counts.
 * Must not: know what the lines say.
 * Called by: `failure_destination.ts`; `kinesix redrive`.
 *
 * @module
 */

/** A line that waits to be written. */
interface Waiting {
  readonly line: string;
  readonly done: PromiseWithResolvers<void>;
}

const ENCODER = new TextEncoder();
const LF = 10;
/** What is written together; a line is never cut. */
const TOGETHER_MAX = 500;

/**
 * A file that lines are appended to. It is opened for each write, so that it may be moved away at any time (`logrotate`), and
 * is made with the mode 0600.
 */
export class AppendFile {
  readonly #path: string;
  readonly #waiting: Waiting[] = [];
  #isWriting = false;

  constructor(path: string) {
    this.#path = path;
  }

  /** Makes the file if there is none. Throws what the system says if it cannot be appended to. */
  async prepare(): Promise<void> {
    using _ = await this.#open();
    await this.#syncFolder();
  }

  /**
   * Appends a line. Resolves when it is on the disk. What comes while others are written is written together.
   *
   * @throws What the system says, such as that the disk is full. Part of the line may be there then; no later line begins in it.
   */
  append(line: string): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push({ line, done });
    if (!this.#isWriting) void this.#writeAll();
    return done.promise;
  }

  /** Does not fail: whoever waits for a line is told. */
  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0) {
      const together = this.#waiting.splice(0, TOGETHER_MAX);
      try {
        await this.#write(together.map(({ line }) => `${line}\n`));
        for (const { done } of together) done.resolve();
      } catch (error) {
        for (const { done } of together) done.reject(error);
      }
    }
    // No wait before this: who is told that a line is there may append the next one at once.
    this.#isWriting = false;
  }

  async #write(lines: readonly string[]): Promise<void> {
    using file = await this.#open();
    const { size } = await file.stat();
    // Whoever died, or ran out of disk, in the middle of a line left it without its end.
    const isCut = size > 0 && await lastByte(file, size) !== LF;
    for (const [i, line] of lines.entries()) {
      await writeAtOnce(file, ENCODER.encode(isCut && i === 0 ? `\n${line}` : line));
    }
    await file.sync();
    if (size === 0) await this.#syncFolder();
  }

  /** A new file is safe when its folder knows it. On Windows a folder cannot be opened. */
  async #syncFolder(): Promise<void> {
    if (Deno.build.os === "windows") return;
    using folder = await Deno.open(folderOf(this.#path));
    await folder.sync();
  }

  #open(): Promise<Deno.FsFile> {
    return Deno.open(this.#path, { read: true, append: true, create: true, mode: 0o600 });
  }
}

/** In one write, so that what several processes append does not mix. */
async function writeAtOnce(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  const written = await file.write(bytes);
  if (written < bytes.length) {
    throw new Error(`only ${written} of ${bytes.length} bytes were written; is the disk full?`);
  }
}

async function lastByte(file: Deno.FsFile, size: number): Promise<number | undefined> {
  await file.seek(size - 1, Deno.SeekMode.Start);
  const byte = new Uint8Array(1);
  return await file.read(byte) === 1 ? byte[0] : undefined;
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
}
