/**
 * Owns: what a call does from its arguments to its exit code: 0 clean, 1 failed, 2 called in a wrong way.
 * Must not: import the code of a command before it is called.
 * Called by: `cli.ts`.
 *
 * @module
 */

import packageFile from "../../deno.json" with { type: "json" };
import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { COMMON_FLAGS, shorten } from "./flags.ts";
import { commandHelp, generalHelp, groupHelp } from "./help.ts";
import { HOST_COMMAND } from "./own_program.ts";
import { sayError, systemTerminal, type Terminal } from "./terminal.ts";
import { suggestion, UsageError } from "./usage_error.ts";
import { readValues, type Values } from "./values.ts";

const FIRST_WORDS: readonly string[] = [
  ...new Set(COMMANDS.map(({ name }) => name.replace(/ .*/, ""))),
];

/** What a call asks for. */
export type Call =
  | { readonly kind: "print"; readonly text: string }
  | { readonly kind: "command"; readonly command: Command; readonly values: Values };

/**
 * Runs the command line.
 *
 * @param args The arguments, without the name of the program.
 * @param terminal Where to read and write; that of the process if none is given.
 * @returns The exit code.
 */
export async function main(
  args: readonly string[],
  terminal: Terminal = systemTerminal(),
): Promise<number> {
  try {
    if (args.length === 1 && args[0] === HOST_COMMAND && !Deno.stdin.isTerminal()) {
      const { hostProcessor } = await import("./processor_host.ts");
      return await hostProcessor();
    }
    const call = await readCall(args, terminal);
    if (call.kind === "print") {
      await terminal.write(call.text);
      return 0;
    }
    const code = await call.command.load();
    return await code(call.values, terminal);
  } catch (error) {
    return report(error, args, terminal);
  }
}

/**
 * Reads the arguments.
 *
 * @throws {UsageError} If they are wrong.
 */
export async function readCall(args: readonly string[], terminal: Terminal): Promise<Call> {
  const [name, ...rest] = args;
  if (name === undefined) {
    throw new UsageError(
      `Cannot run without a command: there are ${FIRST_WORDS.join(", ")}`,
    );
  }
  if (name === "--version" || name === "-V") {
    return { kind: "print", text: `kinesix ${packageFile.version}\n` };
  }
  if (name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) {
    return { kind: "print", text: generalHelp(packageFile.version) };
  }
  const isHelp = name === "help";
  const words = isHelp ? rest : args;
  const found = findCommand(words);
  const isHelpWanted = isHelp || rest.includes("--help") || rest.includes("-h");
  const group = groupOf(words[0]);
  if (found === undefined && isHelpWanted && group.length > 0) {
    return { kind: "print", text: groupHelp(group) };
  }
  if (found === undefined) throw await unknownCommand(words);
  const { command, after } = found;
  if (isHelpWanted) return { kind: "print", text: commandHelp(command) };
  const accepted = { ...command, flags: [...command.flags, ...COMMON_FLAGS] };
  return { kind: "command", command, values: await readValues(accepted, after, terminal) };
}

/** The command that arguments begin with, and those after it. */
function findCommand(
  [first = "", second, ...rest]: readonly string[],
): { readonly command: Command; readonly after: readonly string[] } | undefined {
  const alone = COMMANDS.find(({ name }) => name === first);
  if (alone) return { command: alone, after: second === undefined ? [] : [second, ...rest] };
  const pair = COMMANDS.find(({ name }) => name === `${first} ${second}`);
  return pair && { command: pair, after: rest };
}

/** The commands of two words whose first one this is. */
function groupOf(first = ""): readonly Command[] {
  return COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
}

async function unknownCommand([first = "", second]: readonly string[]): Promise<UsageError> {
  if (first.startsWith("-")) {
    const near = await suggestion(first, ["--help", "--version"]);
    return new UsageError(
      `Cannot use "${shorten(first)}" before a command: there is no such flag${near}`,
    );
  }
  const group = groupOf(first).map(({ name }) => name);
  const names = group.length > 0 ? group : [...FIRST_WORDS, "help"];
  const isWordMissing = group.length > 0 && (second === undefined || second.startsWith("-"));
  if (isWordMissing) {
    return new UsageError(`Cannot run "${shorten(first)}" alone: there are ${names.join(", ")}`);
  }
  const wrong = group.length > 0 ? `${first} ${second}` : first;
  const near = await suggestion(wrong, names);
  return new UsageError(
    `Cannot run "${shorten(wrong)}": there is no such command${
      near || `; there are ${names.join(", ")}`
    }`,
  );
}

function report(error: unknown, args: readonly string[], terminal: Terminal): number {
  const [first = ""] = args;
  const about = findCommand(args)?.command.name ?? (groupOf(first).length > 0 ? first : "");
  // What a signal cut off throws the name of the signal.
  const isSignal = typeof error === "string" && error.startsWith("SIG");
  sayError(isSignal ? new Error(`Cannot finish ${about}: stopped by ${error}`) : error, terminal);
  if (!(error instanceof UsageError)) return 1;
  terminal.say(`See kinesix ${about && `${about} `}--help`);
  return 2;
}
