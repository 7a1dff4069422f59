/**
 * Owns: that a file has its old content or the new one, whatever happens while it is written.
 * Must not: know what is in it.
 * Called by: `lock_file.ts` and `module_cache.ts`.
 *
 * @module
 */

/**
 * Replaces the content of a file at once, for others that read it and for a process that is killed meanwhile.
 *
 * @param mode Who may read and write it.
 * @throws {Error} If it cannot be written; it is as it was then.
 */
export async function replaceFile(
  path: string,
  bytes: Uint8Array<ArrayBuffer>,
  mode: number,
): Promise<void> {
  const target = await targetOf(path);
  const temporary = `${target}.${crypto.randomUUID()}`;
  try {
    await Deno.writeFile(temporary, bytes, { mode, createNew: true });
    await Deno.rename(temporary, target);
  } catch (error) {
    // What was the matter counts; there may be nothing to remove.
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

/** A link goes on leading to where it leads. */
async function targetOf(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return path;
    throw error;
  }
}
