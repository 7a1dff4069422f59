/**
 * Owns: what a person reads of a demo: who did what while it ran, and the outcome.
 * Must not: compute the outcome.
 * Called by: `demo.ts`.
 *
 * @module
 */

import { Ansis } from "ansis";
import type { AppEvent } from "../events.ts";
import type { DemoSummary } from "./demo_ledger.ts";
import { count, eventText } from "./event_text.ts";
import { type Terminal, wantsColor } from "./terminal.ts";

/** What the workers do with the shards, as lines on stderr. */
export function eventTeller(
  terminal: Terminal,
  say: (line: string) => void,
): (event: AppEvent) => void {
  const paint = paintFor(terminal, terminal.isStderrInteractive);
  return (event) => {
    const said = eventText(event);
    if (!said || said.tone === "quiet") return;
    // Every line begins with its worker here.
    const text = said.text.replace(`worker ${event.workerId} `, "");
    say(`${paint.cyan(event.workerId)} ${text}`);
  };
}

/** The outcome of a demo. */
export async function demoText(summary: DemoSummary, terminal: Terminal): Promise<string> {
  const { default: Table } = await import("cli-table3");
  const paint = paintFor(terminal, terminal.isStdoutInteractive);
  const lost = summary.put - summary.processed;
  const verdict = (isGood: boolean, text: string): string =>
    isGood ? paint.green(`✔ ${text}`) : paint.red(`✘ ${text}`);
  const table = new Table({
    head: ["Worker", "Records", "Shards"].map((title) => paint.bold(title)),
    style: { head: [], border: [], compact: true },
    colAligns: ["left", "right", "right"],
  });
  table.push(...summary.workers.map((worker) => [
    worker.workerId,
    worker.records.toLocaleString("en-US"),
    worker.shards,
  ]));
  return [
    "",
    table.toString(),
    `${count(summary.put, "record")} put, ${
      summary.processed.toLocaleString("en-US")
    } processed in ${summary.seconds.toFixed(1)}s, with the first worker stopped half-way`,
    verdict(lost === 0, `${lost} lost`),
    verdict(summary.outOfOrder === 0, `${summary.outOfOrder} out of order within a partition key`),
    // At-least-once permits them, but a clean stop makes none.
    verdict(summary.duplicates === 0, `${summary.duplicates} processed twice`),
    "",
  ].join("\n");
}

function paintFor(terminal: Terminal, isInteractive: boolean): Ansis {
  return new Ansis(wantsColor(terminal, isInteractive) ? 1 : 0);
}
