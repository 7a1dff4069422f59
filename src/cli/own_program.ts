/**
 * Owns: how this program starts itself as another process.
 * Must not: start it.
 * Called by: `demo_worker.ts` and `processor_process.ts`; `main.ts` knows itself by it.
 *
 * @module
 */

/** What is to be started, and what of this process's rights a child of it shall have that is not compiled. */
export interface OwnProgramOptions {
  /** What it is for, such as `the workers of the demo`. */
  readonly purpose: string;
  /** Deno's flags. What a compiled program may do is baked in. */
  readonly flags: readonly string[];
}

/** The argument with which this program is the process of a sandboxed processor; no command for people. */
export const HOST_COMMAND = "host-processor";

/** A command and its first arguments. */
export interface OwnProgram {
  readonly command: string;
  readonly args: readonly string[];
}

/**
 * The program of this process; a compiled one may run nothing but itself, on Linux by the name that every process has for that.
 *
 * @throws {Error} If this process may not start it.
 */
export function ownProgram({ purpose, flags }: OwnProgramOptions): OwnProgram {
  const path = Deno.execPath();
  const isCompiled = Deno.build.standalone;
  const command = [path, ...isCompiled ? ["/proc/self/exe"] : []].find((command) =>
    Deno.permissions.querySync({ name: "run", command }).state === "granted"
  );
  if (command === undefined) {
    throw new Error(
      `Cannot start ${purpose}: ` +
        (isCompiled
          ? `"${path}" may run only "kinesix"; give it this name in a folder of PATH`
          : `they are processes of their own, which needs --allow-run=${path}`),
    );
  }
  // A compiled program is its own interpreter.
  if (isCompiled) return { command, args: [] };
  return {
    command,
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      ...flags,
      new URL("../../cli.ts", import.meta.url).href,
    ],
  };
}
