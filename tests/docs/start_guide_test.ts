// That the guide for newcomers can be walked from an empty folder, as it stands there, beside a clone.
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CliProcess } from "../cli/cli_testing.ts";
import { eventually } from "../telemetry/stack.ts";
import { codeBlocks, isThere, readText } from "./markdown.ts";

const GUIDE = "docs/start.md";
const CLONE = fileURLToPath(new URL("../../", import.meta.url));
/** What is installed, with no more permissions than the guide gives it; no two tests may want the same ports. */
const commandWith = (permissions: string): string =>
  `#!/bin/sh
[ "$1" = local ] && set -- "$@" --kinesis-port 0 --dynamodb-port 0
exec deno run --no-prompt ${permissions} ../kinesix/cli.ts "$@"
`;
const WAIT_MAX_MS = 60_000;

/** Windows has no bash, and no signals that a worker could stop cleanly on. */
const ignore = Deno.build.os === "windows";

Deno.test("the guide for newcomers can be walked from an empty folder", { ignore }, async () => {
  const blocks = codeBlocks({ path: GUIDE, text: await readText(GUIDE) });
  const blockWith = (text: string): string => {
    const found = blocks.find((block) => block.text.includes(text));
    assert(found, `the guide has no code with ${text}`);
    return found.text;
  };
  await using disposables = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "kinesix-newcomer-" });
  disposables.defer(() => Deno.remove(folder, { recursive: true }));
  const home = `${folder}/consumer`;
  await Deno.mkdir(home);
  await Deno.mkdir(`${folder}/bin`);
  await Deno.symlink(CLONE, `${folder}/kinesix`);

  const [permissions = ""] = /(--allow-\S+ )+/.exec(blockWith("deno install --global")) ?? [];
  await Deno.writeTextFile(`${folder}/bin/kinesix`, commandWith(permissions), { mode: 0o755 });

  // 1. A processor, and its test.
  const processor = blockWith("const processor: RecordProcessor");
  const files = {
    "deno.json": await withoutStandIns(blockWith('"links"')),
    // The versions that are there already: nothing is asked of a registry.
    "deno.lock": await readText("deno.lock"),
    "processor.ts": processor,
    "processor_test.ts": blockWith("./processor.ts"),
  };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${home}/${name}`, text);
  }
  const run = (script: string): CliProcess => {
    const program = { command: "bash", args: ["-euc", script] };
    const PATH = `${folder}/bin:${Deno.env.get("PATH")}`;
    return disposables.use(
      new CliProcess([], { program, cwd: home, env: { PATH, NO_COLOR: "1" } }),
    );
  };
  const tests = run(blockWith("deno test\n"));
  assertEquals(await tests.ended(), 0, tests.stdout.join("\n"));
  assertStringIncludes(tests.stdout.join("\n"), "1 passed");

  // 2. On your machine.
  const local = run(blockWith("kinesix local"));
  await local.until((lines) => lines.some((line) => line.startsWith("Everything is in memory")));
  const exports = local.stdout.filter((line) => line.startsWith("  export ")).join("\n");
  assertEquals(exports.split("\n").length, 3);
  const workers = blockWith("kinesix run").replace("--http 8080", "--http 0");
  const all = run(`${exports}\ntrap 'kill $(jobs -p); wait; exit' TERM\n${workers}\nwait`);
  // Its workers would outlive it if it were killed.
  disposables.defer(async () => {
    if (!hasStopped) all.kill("SIGTERM");
    await all.ended();
  });
  let hasStopped = false;
  const told = () => [...all.stdout, ...all.stderr];
  const isBilled = (lines: readonly string[]): boolean => lines.includes("billed 12 for order A-1");
  const lines = await eventually(told, isBilled, WAIT_MAX_MS);
  const [, url = ""] = /listening on (\S+):/.exec(lines.join("\n")) ?? [];
  assertStringIncludes(await (await fetch(url)).text(), "<!doctype html>");
  const status = run(`${exports}\n${blockWith("kinesix status")}`);
  assertEquals(await status.ended(), 0, status.stdout.join("\n"));
  assertStringIncludes(status.stdout.join("\n"), "2 live workers, 4 shards");
  assertMatch(status.stdout.at(-1) ?? "", /^all \d+ checks are well$/);
  hasStopped = true;
  all.kill("SIGTERM");
  assertEquals(await all.ended(), 0);
  assertEquals(told().filter((line) => / worker \S+ stopped$/.test(line)).length, 2);
});

/** A configuration without the links that a clone has no folders for: it uses the packages of jsr.io. */
async function withoutStandIns(text: string): Promise<string> {
  const { links, ...rest } = JSON.parse(text);
  const folders: readonly string[] = links;
  const areThere = await Promise.all(
    folders.map((link) => isThere(link.replace(/^\.\.\/kinesix\/?/, ""))),
  );
  return JSON.stringify({ links: folders.filter((_, i) => areThere[i]), ...rest });
}
