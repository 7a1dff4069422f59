/**
 * Owns: `kinesix completions`: what a shell offers at the tab key, made from the table of commands.
 * Must not: contain a command or a flag of its own, or talk to AWS.
 * Called by: `commands/local_commands.ts`.
 *
 * @module
 */

import type { Command } from "./command.ts";
import { COMMANDS } from "./commands.ts";
import { COMMON_FLAGS, type Flag, settingFlag } from "./flags.ts";
import type { Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

/** Prints the script of a shell. */
export async function completions(values: Values, terminal: Terminal): Promise<number> {
  const shell = values.argument("SHELL") ?? "";
  const print = { bash, zsh, fish }[shell] ?? bash;
  const choices = COMMANDS.map(toChoices);
  await terminal.write(print(choices).join("\n") + "\n");
  return 0;
}

/** What may follow a command. */
interface Choices {
  /** One word or two. */
  readonly words: readonly [string, string?];
  readonly summary: string;
  readonly flags: readonly FlagChoices[];
  /** What its arguments may be. */
  readonly args: ValueChoices;
}

interface FlagChoices {
  readonly name: string;
  readonly doc: string;
  /** Undefined of a switch. */
  readonly value: ValueChoices | undefined;
}

/** What a value may be: one of a few words, a file, or what no shell knows. */
type ValueChoices =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "file" }
  | { readonly kind: "any" };

/** How the help names values that are paths. */
const PATHS = /^(FILE|FILE\.json|DIR|MODULE|PATH)$/;

function toChoices(command: Command): Choices {
  const [first = "", second] = command.name.split(" ");
  const flags = [...command.flags, ...command.settings.map(settingFlag), ...COMMON_FLAGS];
  const [argument] = command.args ?? [];
  return {
    words: second === undefined ? [first] : [first, second],
    summary: command.summary,
    flags: flags.map((flag) => ({
      name: flag.name,
      doc: flag.doc,
      value: flag.placeholder === undefined ? undefined : valueOf(flag, flag.placeholder),
    })),
    args: argument === undefined ? { kind: "any" } : valueOf(argument, argument.name),
  };
}

function valueOf({ accepts }: Pick<Flag, "accepts">, name: string): ValueChoices {
  if (accepts?.choices !== undefined) return { kind: "words", words: accepts.choices };
  return { kind: PATHS.test(name) ? "file" : "any" };
}

/** The first words of all commands, each with what to say about it. */
function firstWords(commands: readonly Choices[]): ReadonlyMap<string, string> {
  const groups = Map.groupBy(commands, ({ words }) => words[0]);
  return new Map(
    [...groups].map(([word, group]) => [
      word,
      group.map(({ words, summary }) => words[1] ?? summary).join(", "),
    ]),
  );
}

/** The second words of the commands that begin with a word. */
function secondWords(commands: readonly Choices[], first: string): ReadonlyMap<string, string> {
  return new Map(
    commands.flatMap(({ words: [word, second], summary }) =>
      word === first && second !== undefined ? [[second, summary]] : []
    ),
  );
}

function groupsOf(commands: readonly Choices[]): readonly string[] {
  const pairs = commands.filter(({ words }) => words[1] !== undefined);
  return [...new Set(pairs.map(({ words }) => words[0]))];
}

function bash(commands: readonly Choices[]): readonly string[] {
  return [
    "# kinesix completions for bash: source <(kinesix completions bash)",
    "_kinesix() {",
    '  local cur=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} name="${COMP_WORDS[1]}"',
    '  local first=2 words="" flags="" files=0',
    "  # Bash takes --flag=value for three words.",
    '  if [[ $cur == "=" ]]; then cur=""',
    '  elif [[ $flag == "=" ]]; then flag=${COMP_WORDS[COMP_CWORD-2]}; fi',
    '  case "$name" in',
    `    ${groupsOf(commands).join("|")}) name="$name \${COMP_WORDS[2]}" first=3;;`,
    "  esac",
    '  if (( COMP_CWORD == 1 )); then name="" flag=""',
    `    words="${[...firstWords(commands).keys(), "help"].join(" ")}" flags="--help --version"`,
    "  elif (( COMP_CWORD < first )); then",
    '    flag=""',
    '    case "${COMP_WORDS[1]}" in',
    ...groupsOf(commands).map((group) =>
      `      ${group}) words="${[...secondWords(commands, group).keys()].join(" ")}";;`
    ),
    "    esac",
    '    name=""',
    "  fi",
    '  case "$name" in',
    ...commands.flatMap(bashCase),
    "  esac",
    '  if [[ $cur == -* ]]; then words="$flags"; files=0; fi',
    '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
    '  if (( files )); then compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")); fi',
    "}",
    "complete -F _kinesix kinesix",
  ];
}

function bashCase({ words, flags, args }: Choices): readonly string[] {
  const withValue = flags.filter(({ value }) => value !== undefined);
  const settle = (value: ValueChoices): string =>
    value.kind === "words"
      ? `words="${value.words.join(" ")}"`
      : value.kind === "file"
      ? "files=1"
      : ":";
  return [
    `    "${words.join(" ")}")`,
    `      flags="${flags.map(({ name }) => `--${name}`).join(" ")}"`,
    '      case "$flag" in',
    // After a flag with a value comes that, whatever it begins with.
    ...withValue.map(({ name, value = { kind: "any" } }) =>
      `        --${name}) flags=""; ${settle(value)};;`
    ),
    `        *) ${settle(args)};;`,
    "      esac;;",
  ];
}

function zsh(commands: readonly Choices[]): readonly string[] {
  const describe = (words: ReadonlyMap<string, string>): string =>
    [...words].map(([word, doc]) => zshWord(`${word}:${doc}`)).join(" ");
  return [
    "#compdef kinesix",
    "# kinesix completions for zsh: kinesix completions zsh > a folder of $fpath, as _kinesix",
    "_kinesix() {",
    "  local -a choices",
    "  if (( CURRENT == 2 )); then",
    `    choices=(${describe(firstWords(commands))} 'help:print the help')`,
    "    _describe command choices",
    "    return",
    "  fi",
    '  local name="$words[2]" skip=1',
    '  case "$name" in',
    ...groupsOf(commands).flatMap((group) => [
      `    ${group})`,
      "      if (( CURRENT == 3 )); then",
      `        choices=(${describe(secondWords(commands, group))})`,
      "        _describe command choices",
      "        return",
      "      fi",
      '      name="$name $words[3]" skip=2;;',
    ]),
    "  esac",
    "  shift $skip words",
    "  (( CURRENT -= skip ))",
    '  case "$name" in',
    ...commands.flatMap(({ words, flags, args }) => [
      `    ${zshWord(words.join(" "))}) _arguments ${
        [...flags.map(zshFlag), zshWord(`*:value:${zshAction(args)}`)].join(" ")
      };;`,
    ]),
    "  esac",
    "}",
    // Both as a file of $fpath, where it is called at once, and as what is sourced.
    'if [[ "$funcstack[1]" == "_kinesix" ]]; then _kinesix "$@"; else compdef _kinesix kinesix; fi',
  ];
}

function zshFlag({ name, doc, value }: FlagChoices): string {
  const about = `[${doc.replaceAll(/[[\]\\]/g, "\\$&")}]`;
  return zshWord(
    value === undefined ? `--${name}${about}` : `--${name}=${about}:value:${zshAction(value)}`,
  );
}

function zshAction(value: ValueChoices): string {
  if (value.kind === "words") return `(${value.words.join(" ")})`;
  return value.kind === "file" ? "_files" : " ";
}

function fish(commands: readonly Choices[]): readonly string[] {
  const add = (condition: string, rest: string): string =>
    `complete -c kinesix -n ${fishWord(condition)} ${rest}`;
  const words = (at: string, choices: ReadonlyMap<string, string>): readonly string[] =>
    [...choices].map(([word, doc]) =>
      add(`__kinesix_is ${fishWord(at)}`, `-a ${word} -d ${fishWord(doc)}`)
    );
  return [
    "# kinesix completions for fish: kinesix completions fish | source",
    "function __kinesix_words",
    "  set -l words (commandline -poc)",
    "  set -e words[1]",
    '  echo -- "$words "',
    "end",
    "function __kinesix_is",
    '  test (__kinesix_words | string trim) = "$argv"',
    "end",
    "function __kinesix_at",
    '  string match -q -- "$argv *" (__kinesix_words)',
    "end",
    "complete -c kinesix -f",
    ...words("", new Map([...firstWords(commands), ["help", "print the help"]])),
    ...groupsOf(commands).flatMap((group) => words(group, secondWords(commands, group))),
    ...commands.flatMap(({ words, flags, args }) => {
      const at = `__kinesix_at ${fishWord(words.join(" "))}`;
      return [
        ...flags.map(({ name, doc, value }) =>
          add(at, `-l ${name}${fishValue(value)} -d ${fishWord(doc)}`)
        ),
        ...args.kind === "words"
          ? [add(at, `-a ${fishWord(args.words.join(" "))}`)]
          : args.kind === "file"
          ? [add(at, "-F")]
          : [],
      ];
    }),
  ];
}

function fishValue(value: ValueChoices | undefined): string {
  if (value === undefined) return "";
  if (value.kind === "words") return ` -x -a ${fishWord(value.words.join(" "))}`;
  return value.kind === "file" ? " -r -F" : " -x";
}

/** A text as a word of zsh. */
function zshWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A text as a word of fish. */
function fishWord(text: string): string {
  return `'${text.replaceAll(/[\\']/g, "\\$&")}'`;
}
