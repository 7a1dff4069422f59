/**
 * Owns: a folder for the temporary files of this process alone.
 * Must not: assert.
 * Called by: the tests of the loader that look at what is in it.
 *
 * @module
 */

/** A folder that `Deno.makeTempDir` uses until it is disposed. */
export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
  /** What is in it, sorted. */
  names(): Promise<readonly string[]>;
}

/** Makes the folder. */
export async function ownTemporaryFolder(): Promise<TemporaryFolder> {
  const path = await Deno.realPath(await Deno.makeTempDir());
  const before = Deno.env.get("TMPDIR");
  Deno.env.set("TMPDIR", path);
  return {
    path,
    names: async () => (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort(),
    async [Symbol.asyncDispose]() {
      // An empty one would mean the current folder.
      if (before === undefined) Deno.env.delete("TMPDIR");
      else Deno.env.set("TMPDIR", before);
      await Deno.remove(path, { recursive: true });
    },
  };
}
