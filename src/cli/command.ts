/**
 * Owns: what a command is.
 * Must not: know any.
 * Called by: the tables of commands, `main.ts` and `help.ts`.
 *
 * @module
 */

import type { Terminal } from "./terminal.ts";
import type { Accepted, Values } from "./values.ts";

/** The code of a command; gives the exit code. */
export type CommandCode = (values: Values, terminal: Terminal) => Promise<number>;

/** A command. */
export interface Command extends Accepted {
  /** One word, or two of which the first is what it is about, such as `shard stop`. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows the summary in the help of the command. */
  readonly details: readonly string[];
  readonly examples: readonly string[];
  load(): Promise<CommandCode>;
}
