/**
 * Owns: a table as a person reads it on a terminal.
 * Must not: know what is in it.
 * Called by: the commands that print tables.
 *
 * @module
 */

import { type Terminal, wantsColor } from "./terminal.ts";

/** A table, in colours where they are wanted. */
export async function tableText(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  terminal: Terminal,
): Promise<string> {
  const { default: Table } = await import("cli-table3");
  const { Ansis } = await import("ansis");
  const paint = new Ansis(wantsColor(terminal, terminal.isStdoutInteractive) ? 1 : 0);
  // The colours of the table itself are ours, so that NO_COLOR holds for them too.
  const style = { head: [], border: [], compact: true };
  const table = new Table({ head: head.map((title) => paint.bold(title)), style });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}
