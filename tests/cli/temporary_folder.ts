/**
 * Owns: folders that are there for as long as a test needs them.
 * Must not: assert.
 * Called by: tests that write files, or look at what is written.
 *
 * @module
 */

/** Uses a folder, and removes it. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

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
