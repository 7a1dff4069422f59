// That the guide for newcomers can be walked from an empty folder, as it stands there, beside a clone.
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { eventually } from "../telemetry/stack.ts";
import { codeIn, isThere, readText } from "./markdown.ts";
import { ROOT, Stage } from "./stage.ts";

const WAIT_MAX_MS = 60_000;

/** Windows has no bash, and no signals that a worker could stop cleanly on. */
const ignore = Deno.build.os === "windows";

Deno.test("the guide for newcomers can be walked from an empty folder", { ignore }, async () => {
  await using disposables = new AsyncDisposableStack();
  const stage = disposables.use(await Stage.build({ MORE_PERMISSIONS: "" }));
  const home = `${stage.folder}/consumer`;
  await Deno.mkdir(home);
  await Deno.symlink(ROOT, `${stage.folder}/kinesix`);

  // 1. A processor, and its test.
  const files = {
    "deno.json": await withoutStandIns((await codeIn("docs/start.md", '"links"')).text),
    // The versions that are there already: nothing is asked of a registry.
    "deno.lock": await readText("deno.lock"),
    "processor.ts": (await codeIn("docs/start.md", "const processor: RecordProcessor")).text,
    "processor_test.ts": (await codeIn("docs/start.md", 'from "./processor.ts"')).text,
  };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${home}/${name}`, text);
  }
  const start = (script: string) => disposables.use(stage.start(script, { cwd: home }));
  const tests = start((await codeIn("docs/start.md", "deno test")).text);
  assertEquals(await tests.ended(), 0, tests.stdout.join("\n"));
  assertStringIncludes(tests.stdout.join("\n"), "1 passed");

  // 2. On your machine.
  const install = (await codeIn("docs/start.md", "deno install")).text;
  const version = start(
    `shopt -s expand_aliases\n${install}\nkinesix --version; \\kinesix --version`,
  );
  assertEquals(await version.ended(), 0, version.stderr.join("\n"));
  assertEquals(version.stdout.map((line) => line.slice(0, 8)), ["kinesix ", "kinesix "]);
  const stack = (await codeIn("docs/start.md", "kinesix local")).text.trimEnd();
  const local = start(`exec ${stack} --kinesis-port 0 --dynamodb-port 0`);
  await local.until((lines) => lines.some((line) => line.startsWith("Everything is in memory")));
  const exports = local.stdout.filter((line) => line.startsWith("  export ")).join("\n");
  assertEquals(exports.split("\n").length, 3);
  const workers = (await codeIn("docs/start.md", "kinesix put")).text;
  const all = start(
    `${exports}\ntrap 'kill $(jobs -p); wait; exit' TERM\n${
      workers.replace("--http 8080", "--http 0")
    }\nwait`,
  );
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
  const status = start(`${exports}\n${(await codeIn("docs/start.md", "kinesix status")).text}`);
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
