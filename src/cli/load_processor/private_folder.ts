/**
 * Owns: the folder that one version of a processor runs from: nobody else can read it, and it is gone afterwards.
 * Must not: know what is in the files.
 * Called by: `module_place.ts`.
 *
 * @module
 */

import { join } from "node:path";

const PREFIX = "kinesix-processor-";
const HELD_FILE = "held";

/** A folder of this process alone. */
export class PrivateFolder implements AsyncDisposable {
  /** Its path. */
  readonly path: string;
  readonly #held: Deno.FsFile;
  /** The user who made it; null on systems without. */
  readonly #uid: number | null;
  readonly #onUnload = (): void => this.#removeNow();
  #isRemoved = false;

  private constructor(path: string, held: Deno.FsFile, uid: number | null) {
    this.path = path;
    this.#held = held;
    this.#uid = uid;
    globalThis.addEventListener("unload", this.#onUnload);
  }

  /**
   * Makes a folder, and removes those that processes left behind that were killed.
   *
   * @throws {Error} If it cannot be made.
   */
  static async make(): Promise<PrivateFolder> {
    // Of mode 0700 on every system that has modes.
    const path = await Deno.makeTempDir({ prefix: PREFIX });
    const held = await Deno.open(join(path, HELD_FILE), { createNew: true, write: true });
    // The system lets go of it when this process ends, however it ends.
    await held.tryLock(true);
    const { uid } = await Deno.stat(path);
    await removeAbandoned(join(path, ".."), { path, uid });
    return new PrivateFolder(path, held, uid);
  }

  /**
   * Writes files, but those that are there; systems remove what nobody reads for some days from their temporary folder.
   *
   * @throws {Error} If they cannot be written, or somebody else has a folder of that name now.
   */
  async write(
    files: readonly { readonly fileName: string; readonly code: string }[],
  ): Promise<void> {
    await Deno.mkdir(this.path, { recursive: true, mode: 0o700 });
    await this.#checkOwner();
    for (const { fileName, code } of files) {
      const path = join(this.path, fileName);
      if (await isThere(path)) continue;
      // Whole or not at all: half of one, on a full disk, would be taken for it the next time.
      const temporary = `${path}.${crypto.randomUUID()}`;
      await Deno.writeTextFile(temporary, code, { createNew: true, mode: 0o600 });
      await Deno.rename(temporary, path);
    }
  }

  /** After it was removed anybody could have made it again, and put files into it. */
  async #checkOwner(): Promise<void> {
    const { isDirectory, uid, mode } = await Deno.lstat(this.path);
    const isOwn = isDirectory && uid === this.#uid && ((mode ?? 0) & 0o077) === 0;
    if (isOwn) return;
    throw new Error(
      `other users have access to the folder "${this.path}", which was removed before`,
    );
  }

  /** Removes it with everything in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isRemoved) return;
    this.#letGo();
    await removeIfThere(this.path);
  }

  /** At the exit of the process nothing is waited for any more. */
  #removeNow(): void {
    if (this.#isRemoved) return;
    this.#letGo();
    try {
      Deno.removeSync(this.path, { recursive: true });
    } catch {
      // Nobody is there any more to be told; the next process that starts tidies up.
    }
  }

  #letGo(): void {
    this.#isRemoved = true;
    globalThis.removeEventListener("unload", this.#onUnload);
    this.#held.close();
  }
}

/** Removes the folders of this user that nobody holds. */
async function removeAbandoned(
  parent: string,
  own: { readonly path: string; readonly uid: number | null },
): Promise<void> {
  for (const { name, isDirectory } of await entriesOf(parent)) {
    const path = join(parent, name);
    if (!isDirectory || !name.startsWith(PREFIX) || path === own.path) continue;
    try {
      if (await isAbandoned(path, own.uid)) await Deno.remove(path, { recursive: true });
    } catch {
      // Somebody else was faster, or made it so: tidying up is a courtesy, and no reason not to start.
    }
  }
}

/** One that is being made right now is not held yet. */
const MAKING_MS = 60_000;

async function isAbandoned(path: string, ownUid: number | null): Promise<boolean> {
  const { mtime, uid } = await Deno.stat(path);
  if (uid !== ownUid || mtime === null || Date.now() - mtime.getTime() < MAKING_MS) return false;
  try {
    using held = await Deno.open(join(path, HELD_FILE), { write: true });
    return await held.tryLock(true);
  } catch (error) {
    // Its making was cut off before there was one.
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
}

async function entriesOf(parent: string): Promise<readonly Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(parent));
  } catch {
    // Tidying up for others is a courtesy; one who may not look around cannot.
    return [];
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await Deno.lstat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    // Another worker that starts, or the system, was faster.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
