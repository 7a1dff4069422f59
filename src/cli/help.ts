/**
 * Owns: the help texts, made from the table of commands and the table of settings.
 * Must not: contain a flag or a default of its own.
 * Called by: `main.ts`.
 *
 * @module
 */

import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { type Argument, COMMON_FLAGS, type Flag, settingFlag } from "./flags.ts";
import { environmentName } from "./values.ts";

const LINE_LENGTH_MAX = 110;

/** What `kinesix --help` prints. */
export function generalHelp(version: string): string {
  return [
    `kinesix ${version}: consume an Amazon Kinesis stream with a cluster of workers without a leader`,
    "",
    "Usage: kinesix COMMAND [FLAGS]",
    "",
    "Commands:",
    ...columns(COMMANDS.map((command) => [command.name, command.summary])),
    "",
    "Flags:",
    ...columns([["-h, --help", "print this help, or that of a command"], [
      "-V, --version",
      "print the version",
    ]]),
    "",
    "Exit codes: 0 clean, 1 failed, 2 called in a wrong way. KINESIX_DEBUG=1 shows where an error comes from.",
    "",
  ].join("\n");
}

/** What `kinesix shard --help` prints: the commands whose first word that is. */
export function groupHelp(commands: readonly Command[]): string {
  return [
    "Commands:",
    ...columns(commands.map((command) => [command.name, command.summary])),
    "",
    "--help after each tells the rest.",
    "",
  ].join("\n");
}

/** What `kinesix COMMAND --help` prints. */
export function commandHelp(command: Command): string {
  const { flags, args = [] } = command;
  const settings = command.settings.map(settingFlag);
  const required = flags.filter((flag) => flag.isRequired);
  const usage = [
    ...args.map(usageOf),
    ...required.map((flag) => `--${flag.name} ${flag.placeholder}`),
  ].map((part) => ` ${part}`).join("");
  return [
    `kinesix ${command.name}: ${command.summary}`,
    "",
    `Usage: kinesix ${command.name}${usage} [FLAGS]`,
    ...command.details.length > 0 ? ["", ...command.details] : [],
    ...args.length > 0 ? ["", "Arguments:", ...columns(args.map(argumentRow))] : [],
    "",
    "Flags:",
    ...columns([...flags, ...COMMON_FLAGS].map(flagRow)),
    ...settings.length > 0 ? ["", "Settings:", ...columns(settings.map(flagRow))] : [],
    ...environmentNote(command),
    "",
    command.examples.length === 1 ? "Example:" : "Examples:",
    ...command.examples.map((example) => `  ${example}`),
    "",
  ].join("\n");
}

function usageOf({ name, isOptional }: Argument): string {
  return isOptional ? `[${name}]` : name;
}

function argumentRow({ name, doc }: Argument): readonly [string, string] {
  return [name, doc];
}

function flagRow(flag: Flag): readonly [string, string] {
  const letter = flag.letter ? `-${flag.letter}, ` : "";
  const value = flag.placeholder ? ` ${flag.placeholder}` : "";
  const isTold = flag.accepts?.choices?.every((choice) => flag.doc.includes(choice)) ?? false;
  const range = flag.accepts && !isTold ? `${flag.accepts.words}; ` : "";
  const rest = flag.isRequired
    ? " (required)"
    : flag.defaultValue !== undefined
    ? ` (${range}default ${flag.defaultValue})`
    : "";
  return [`${letter}--${flag.name}${value}`, flag.doc + rest];
}

function environmentNote({ flags, settings }: Command): readonly string[] {
  const example = flags.find((flag) => flag.isInEnvironment);
  if (!example) return [];
  const file = flags.some((flag) => flag.name === "config") ? " the file of --config, then" : "";
  return [
    "",
    `Each flag with a value can come from the environment: --${example.name} from ${
      environmentName(example.name)
    }.`,
    `A flag comes first, then the environment, then${file} the default.`,
    ...settings.some((setting) => setting.type.kind === "duration")
      ? ["TIME is such as 250ms, 30s or 3m; without a unit it is milliseconds."]
      : [],
  ];
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.flatMap(([left, right]) => {
    const [first = "", ...more] = wrap(right, LINE_LENGTH_MAX - width - 4);
    return [
      `  ${left.padEnd(width)}  ${first}`,
      ...more.map((line) => " ".repeat(width + 4) + line),
    ];
  });
}

function wrap(text: string, lengthMax: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > lengthMax) {
      lines.push(line);
      line = word;
    } else {
      line += (line === "" ? "" : " ") + word;
    }
  }
  return [...lines, line];
}
