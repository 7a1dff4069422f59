/**
 * Owns: what a call does from its arguments to its exit code: 0 clean, 1 failed, 2 called in a wrong way.
 * Must not: import the code of a command before it is called.
 * Called by: `cli.ts`.
 *
 * @module
 */

import packageFile from "../../deno.json" with { type: "json" };
import { type Command, COMMANDS } from "./commands.ts";
import { COMMON_FLAGS, shorten } from "./flags.ts";
import { commandHelp, generalHelp } from "./help.ts";
import { HOST_COMMAND } from "./own_program.ts";
import { sayError, systemTerminal, type Terminal } from "./terminal.ts";
import { suggestion, UsageError } from "./usage_error.ts";
import { readValues, type Values } from "./values.ts";

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
    if (args.length === 1 && args[0] === HOST_COMMAND) {
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
      `Cannot run without a command: there are ${
        COMMANDS.map((command) => command.name).join(", ")
      }`,
    );
  }
  if (name === "--version" || name === "-V") {
    return { kind: "print", text: `kinesix ${packageFile.version}\n` };
  }
  if (name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) {
    return { kind: "print", text: generalHelp(packageFile.version) };
  }
  if (name === "help") {
    const [about = ""] = rest;
    return { kind: "print", text: commandHelp(await findCommand(about)) };
  }
  const command = await findCommand(name);
  if (rest.includes("--help") || rest.includes("-h")) {
    return { kind: "print", text: commandHelp(command) };
  }
  const accepted = { ...command, flags: [...command.flags, ...COMMON_FLAGS] };
  return { kind: "command", command, values: await readValues(accepted, rest, terminal) };
}

async function findCommand(name: string): Promise<Command> {
  const found = COMMANDS.find((command) => command.name === name);
  if (found) return found;
  if (name.startsWith("-")) {
    const near = await suggestion(name, ["--help", "--version"]);
    throw new UsageError(
      `Cannot use "${shorten(name)}" before a command: there is no such flag${near}`,
    );
  }
  const known = [...COMMANDS.map((command) => command.name), "help"];
  const near = await suggestion(name, known);
  throw new UsageError(
    `Cannot run "${shorten(name)}": there is no such command${
      near || `; there are ${known.join(", ")}`
    }`,
  );
}

function report(error: unknown, args: readonly string[], terminal: Terminal): number {
  sayError(error, terminal);
  if (!(error instanceof UsageError)) return 1;
  const command = COMMANDS.find((command) => command.name === args[0]);
  terminal.say(`See kinesix ${command ? `${command.name} ` : ""}--help`);
  return 2;
}
