/**
 * Owns: the commands in the shell code of a document.
 * Must not: run them.
 * Called by: the tests of the documents.
 *
 * @module
 */

// @ts-types="@types/shell-quote"
import { parse as parseShell } from "shell-quote";
import { COMMANDS } from "../../src/cli/commands.ts";

/** What `...` in a command stands for. */
const REST: Readonly<Record<string, string>> = {
  app: "orders-billing",
  stream: "orders",
  processor: "./processor.ts",
  region: "us-east-1",
  account: "123456789012",
};

/** The commands of a script, as words. */
export function commandsOf(script: string): readonly (readonly string[])[] {
  const lines = script.replaceAll("\\\n", " ").split("\n");
  return lines.flatMap((line) => {
    const commands: string[][] = [[]];
    let isTarget = false;
    for (const entry of parseShell(line, (name) => `$${name}`)) {
      const word = typeof entry === "string"
        ? entry
        : "pattern" in entry
        ? entry.pattern
        : undefined;
      if (word !== undefined) {
        if (!isTarget) commands.at(-1)?.push(word);
        isTarget = false;
      } else if (typeof entry === "object" && "op" in entry) {
        isTarget = /[<>]/.test(entry.op);
        if (!isTarget) commands.push([]);
      }
    }
    return commands.map(withoutPrefix).filter((words) => words.length > 0);
  });
}

/** A command without what stands before it: variables, sudo, npx. */
function withoutPrefix(words: readonly string[]): readonly string[] {
  const first = words.findIndex((word) => !/^([A-Z_]+=.*|sudo|npx|-y)$/.test(word));
  return first === -1 ? [] : words.slice(first);
}

/** The arguments of `kinesix` with `...` filled in. */
export function filledIn(args: readonly string[]): readonly string[] {
  const command = COMMANDS.find(({ name }) => `${args.join(" ")} `.startsWith(`${name} `));
  return args.flatMap((arg) => {
    if (arg !== "...") return [arg];
    const missing = (command?.flags ?? []).filter(({ name, isRequired }) =>
      isRequired && !args.includes(`--${name}`)
    );
    return missing.flatMap(({ name }) => [`--${name}`, REST[name] ?? ""]);
  });
}
