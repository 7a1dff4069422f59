// Owns: what a tab completes in bash, zsh and fish, asked of these shells; a shell that is not there is passed over.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { COMMANDS } from "../../src/cli/commands.ts";
import { main } from "../../src/cli/main.ts";
import { fakeTerminal } from "./cli_testing.ts";
import { withFolder } from "./temporary_folder.ts";

async function script(shell: string): Promise<string> {
  const terminal = fakeTerminal();
  assertEquals(await main(["completions", shell], terminal), 0);
  return terminal.stdout();
}

function isThere(shell: string): boolean {
  try {
    return new Deno.Command(shell, { args: ["-c", "exit 0"] }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** What a shell prints that is given the completions and a program of its own. */
async function ask(
  shell: string,
  args: readonly string[],
  program: (path: string) => string,
): Promise<string> {
  return await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/script`, await script(shell));
    await Deno.writeTextFile(`${folder}/events.jsonl`, "");
    const { success, stdout, stderr } = await new Deno.Command(shell, {
      args: [...args, "-c", program(`${folder}/script`)],
      cwd: folder,
    }).output();
    assertEquals(new TextDecoder().decode(stderr), "");
    assert(success);
    return new TextDecoder().decode(stdout);
  });
}

const FIRST_WORDS = [...new Set(COMMANDS.map(({ name }) => name.split(" ")[0] ?? "")), "help"];
const FLAGS_OF_STOP = [
  ...COMMANDS.find(({ name }) => name === "shard stop")?.flags ?? [],
  { name: "dynamodb-table-suffix" },
  { name: "help" },
].map(({ name }) => `--${name}`);

/** Words, of which the last one is begun, and what they may become. */
const CASES: readonly (readonly [words: readonly string[], choices: readonly string[]])[] = [
  [[""], FIRST_WORDS],
  [["sha"], ["shard"]],
  [["shard", "st"], ["start", "stop"]],
  [["shard", "stop", "--"], FLAGS_OF_STOP],
  [["shard", "stop", "--json", "--wa"], ["--wait"]],
  [["run", "--log", ""], ["json", "pretty"]],
  [["run", "--checkpoint-mode", "m"], ["manual"]],
  [["run", "--deaggregate", ""], ["false", "true"]],
  [["completions", ""], ["bash", "fish", "zsh"]],
  [["run", "--processor", "ev"], ["events.jsonl"]],
  [["checkpoint", "import", "ev"], ["events.jsonl"]],
  [["run", "--app", "e"], []],
];

Deno.test({
  name: "completions: bash completes commands, flags, values and files",
  ignore: !isThere("bash"),
  fn: async () => {
    const cases = [...CASES, [["run", "--log", "=", "p"], ["pretty"]] as const];
    const output = await ask("bash", ["--norc"], (path) =>
      [
        `source ${path}`,
        'try() { COMP_WORDS=(kinesix "$@"); COMP_CWORD=$#; _kinesix; echo "${COMPREPLY[*]}"; }',
        ...cases.map(([words]) => `try ${words.map((word) => `'${word}'`).join(" ")}`),
      ].join("\n"));
    const lines = output.split("\n");
    cases.forEach(([words, choices], i) => {
      const found = lines[i]?.split(" ").filter((word) => word !== "").toSorted();
      assertEquals(found, choices.toSorted(), words.join(" "));
    });
  },
});

Deno.test({
  name: "completions: fish completes commands, flags, values and files",
  ignore: !isThere("fish"),
  fn: async () => {
    const output = await ask("fish", ["--no-config"], (path) =>
      [
        `source ${path}`,
        ...CASES.map(([words]) => `complete -C 'kinesix ${words.join(" ")}'; echo ;`),
      ].join("\n"));
    const blocks = output.split("\n\n");
    CASES.forEach(([words, choices], i) => {
      const lines = blocks[i]?.split("\n").filter((line) => line !== "") ?? [];
      const found = lines.map((line) => line.split("\t")[0] ?? "").toSorted();
      assertEquals(found, choices.toSorted(), words.join(" "));
    });
  },
});

Deno.test({
  name: "completions: zsh completes at the prompt of a terminal",
  ignore: !isThere("zsh"),
  fn: async () => {
    const cases = [
      ["kinesix sha", /kinesix shard/],
      ["kinesix shard sta", /kinesix shard start/],
      ["kinesix shard stop --wa", /--wait +-- wait so long/],
      ["kinesix run --log p", /kinesix run --log pretty/],
      ["kinesix run --checkpoint-mode=m", /--checkpoint-mode=manual/],
      ["kinesix completions f", /kinesix completions fish/],
      ["kinesix run --processor ev", /kinesix run --processor events\.jsonl/],
    ] as const;
    const output = await ask("zsh", ["-f"], (path) =>
      [
        "zmodload zsh/zpty",
        "zpty shell zsh -f -i",
        `zpty -w shell 'PS1=""; autoload -U compinit; compinit -u -D; stty cols 200; source ${path}; print rea""dy'`,
        "zpty -r shell out '*ready*'",
        // The line is cleared after each, so that the next one starts afresh.
        ...cases.flatMap(([line]) => [
          `zpty -w -n shell '${line}'$'\\t'`,
          // Until something came, and nothing more for half a second: what was typed comes first, what completes it later.
          "all=''; same=0; for i in {1..50}; do sleep 0.1; before=$all; while zpty -r -t shell out; do all+=$out; done; [[ -n $all && $all == $before ]] && same=$((same + 1)) || same=0; (( same >= 5 )) && break; done",
          "print -r -- \"$all\"; print -r -- '===='",
          "zpty -w -n shell $'\\x15'; sleep 0.2; while zpty -r -t shell out; do :; done",
        ]),
        "zpty -d shell",
      ].join("\n"));
    const blocks = output.split("====");
    // deno-lint-ignore no-control-regex -- what a terminal gets
    const plain = (text = ""): string => text.replaceAll(/\x1b\[[\d;?]*[a-zA-Z]/g, "");
    cases.forEach(([, expected], i) => assertMatch(plain(blocks[i]), expected));
  },
});

Deno.test("completions: another shell is refused by name", async () => {
  const terminal = fakeTerminal();
  assertEquals(await main(["completions", "tcsh"], terminal), 2);
  assertMatch(terminal.stderr(), /Cannot use "tcsh" as SHELL: it must be bash or zsh or fish/);
});
