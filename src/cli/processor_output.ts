/**
 * Owns: keeping what a processor prints out of stdout, which belongs to the events.
 * Must not: lose any of it.
 * Called by: `run.ts`.
 *
 * @module
 */

import { Console } from "node:console";
import { Writable } from "node:stream";

/**
 * Makes every method of `console` write to stderr, for the rest of the life of this process.
 *
 * Replacing `console.log` alone is not enough: `table`, `count` and `timeEnd` reach stdout on ways of their own.
 */
export function sendConsoleToStderr(): void {
  const stderr = new Writable({
    // Written at once, so that nothing is on its way when the process exits.
    write(chunk: Uint8Array, _encoding, done) {
      let written = 0;
      while (written < chunk.length) written += Deno.stderr.writeSync(chunk.subarray(written));
      done();
    },
  });
  const colorMode = Deno.stderr.isTerminal() && !Deno.noColor;
  globalThis.console = Object.assign(
    globalThis.console,
    new Console({ stdout: stderr, stderr, colorMode }),
  );
}
