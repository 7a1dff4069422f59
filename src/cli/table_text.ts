/**
 * Owns: a table as a person reads it: framed, and without a frame where the terminal is too narrow for one.
 * Must not: know what is in it.
 * Called by: the commands that print tables.
 *
 * @module
 */

import { printableLine, type Terminal, wantsColor } from "./terminal.ts";

/** What stands in a cell: a text from anywhere. */
export type Cell = string | {
  readonly text: string;
  /** The same where there is little room. */
  readonly short?: string;
  /** Paints it, once nothing in it can steer the terminal. */
  readonly color?: (text: string) => string;
};

/** What a cell has that has nothing to say. */
const NOTHING = "-";
const GAP = "  ";

/** A table, in colours where they are wanted. Of no rows nothing is left, not even its head. */
export async function tableText(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  terminal: Terminal,
): Promise<string> {
  if (rows.length === 0) return "";
  const { Ansis } = await import("ansis");
  const paint = new Ansis(wantsColor(terminal, terminal.isStdoutInteractive) ? 1 : 0);
  const columns = terminal.columns() ?? Infinity;
  const framed = await framedText(head.map((title) => paint.bold(title)), rows.map(paintRow));
  const width = framed.slice(0, framed.indexOf("\n")).length;
  return width <= columns ? framed : plainText(head, rows, (title) => paint.bold(title));
}

async function framedText(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<string> {
  const { default: Table } = await import("cli-table3");
  // The colours of the table itself are ours, so that NO_COLOR holds for them too.
  const style = { head: [], border: [], compact: true };
  const table = new Table({ head: [...head], style });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}

/** Without a frame, short, and without the columns that say nothing. */
function plainText(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  paintTitle: (title: string) => string,
): string {
  const shown = head.flatMap((title, column) => {
    const cells = rows.map((row) => {
      const cell = row[column] ?? NOTHING;
      return typeof cell === "string" ? { text: cell } : { ...cell, text: cell.short ?? cell.text };
    });
    const isEmpty = cells.every(({ text }) => text === NOTHING);
    return isEmpty ? [] : [[{ text: title, color: paintTitle }, ...cells]];
  });
  const widths = shown.map((cells) => Math.max(...cells.map(({ text }) => text.length)));
  return [head, ...rows].map((_, line) =>
    shown.flatMap((cells, i) => {
      const cell = cells[line];
      if (cell === undefined) return [];
      const isLast = i === shown.length - 1;
      return [paintCell(cell) + " ".repeat(isLast ? 0 : (widths[i] ?? 0) - cell.text.length)];
    }).join(GAP)
  ).join("\n");
}

function paintRow(row: readonly Cell[]): readonly string[] {
  return row.map(paintCell);
}

function paintCell(cell: Cell): string {
  const { text, color } = typeof cell === "string" ? { text: cell } : cell;
  const harmless = printableLine(text);
  return color === undefined ? harmless : color(harmless);
}
