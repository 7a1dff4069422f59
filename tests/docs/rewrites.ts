/**
 * Owns: in what the shell code of the documents is run otherwise than it stands there: how much, until when, and where.
 * Must not: run it.
 * Called by: the tests of the documents.
 *
 * @module
 */

import { COMMANDS } from "../../src/cli/commands.ts";

/** What is looked for, and what is there instead. */
export type Rewrite = readonly [words: RegExp, instead: string];

/** What `...` in a command stands for. */
const REST: Readonly<Record<string, string>> = {
  app: "orders-billing",
  stream: "orders",
  processor: "./processor.ts",
  region: "us-east-1",
  account: "123456789012",
};

/** Runs a command until it has shown lines of these patterns. */
const until = (...patterns: readonly string[]): string =>
  `interrupted ${patterns.map((pattern) => `'${pattern}'`).join(" ")} --`;

const WORKS = "^billed [0-9]+ for order|^customer-1 ";

/** All that is changed. A test fails for one that changes nothing any more. */
export const REWRITES: readonly Rewrite[] = [
  // What has no end runs until it has shown what it is there for; a worker must have processed records.
  [/kinesix (?=run .*--on-failure)/g, `${until(WORKS, "no JSON|SyntaxError|skipped")} $&`],
  [/(?<=TOKEN=\S+ )kinesix (?=run .*--http)/g, `${until("listening on http", WORKS)} $&`],
  [/(?<!-- |TOKEN=\S+ )kinesix (?=run )/g, `${until(WORKS)} $&`],
  [/kinesix local/g, `${until("Everything is in memory")} $&`],
  [/deno task local/g, `${until("Everything is in memory")} $&`],
  [/kinesix tail --stream orders(?= *#)/g, `${until("customer-1 ", "eu-1 ")} $&`],
  [/kinesix status --watch/g, `${until("worker-a", "worker-a")} $&`],
  [/deno run -A (?=examples\/hello\.ts)/g, `${until("A-3")} $&`],
  // What takes minutes does the same with less to do.
  [/deno task demo/g, "$& --records 300"],
  [/deno task test(?= *#)/g, "$& tests/docs/links_test.ts"],
  [
    /(?<=deno task test )tests\/unit tests\/contract/g,
    "tests/unit/duration_test.ts tests/unit/names_test.ts",
  ],
  [/deno task sim(?= *#)/g, "$& --seeds 1"],
  [/--seeds 1000$/gm, "--seeds 1"],
  [/--minutes 30/g, "--minutes 0.001"],
  [/tests\/sim\/sabotage\.ts/g, "$& --seeds 2 'no term check'"],
  // Whether all of it holds is asked by `.ci/run`, part by part.
  [/deno task ok/g, "true"],
  // What is found is a failure; to cut its story down takes longer than to find it.
  [/deno task sim .*--find \w+/g, "fails $& --no-shrink"],
  // No two runs may want the same port, and none may write into the system.
  [/--http 8080/g, "--http 0"],
  [/(kinesix|deno task) local .*--shards 4/g, "$& --kinesis-port 0 --dynamodb-port 0"],
  [/\/(var\/lib\/kinesix|usr\/local\/bin)/g, "$$PWD/$1"],
];

/** A script as it is run, and which of the changes were made. */
export function rewritten(
  script: string,
): { readonly text: string; readonly used: ReadonlySet<Rewrite> } {
  const used = new Set<Rewrite>();
  const start = script.replaceAll("\\\n", " ")
    .replaceAll(/kinesix ([a-z][a-z ]*) \.\.\.(.*)/g, (_, name, rest) => filledIn(name, rest))
    // The stream is a minute old.
    .replaceAll("2026-11-01T06:00:00Z", () => new Date(Date.now() - 1_000).toISOString());
  const text = REWRITES.reduce((before, rewrite) => {
    const after = before.replaceAll(...rewrite);
    if (after !== before) used.add(rewrite);
    return after;
  }, start);
  return { text, used };
}

/** A command with the flags that it needs and does not have. */
function filledIn(name: string, rest: string): string {
  const needed = (COMMANDS.find((command) => command.name === name)?.flags ?? [])
    .filter(({ name, isRequired }) => isRequired && !rest.includes(`--${name} `));
  const flags = needed.map(({ name }) => `--${name} ${REST[name] ?? ""}`);
  return `kinesix ${[name, ...flags].join(" ")}${rest}`;
}
