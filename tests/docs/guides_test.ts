// That the shell code in the documents does what it is there for: bash runs each piece, on a local stack, in a folder of its own.
import { assert, assertEquals } from "@std/assert";
import { formatFailure, retryAndSkip } from "../../mod.ts";
import { claimed } from "./claims.ts";
import { ExampleSite } from "./example_site.ts";
import { type CodeBlock, codeBlocks, codeIn, readDocuments, readText } from "./markdown.ts";
import { REWRITES, rewritten } from "./rewrites.ts";
import { startGuideCluster } from "./guide_cluster.ts";
import { Stage } from "./stage.ts";

/** So many documents at a time: most of it is waiting for programs to start. */
const TOGETHER = 3;

/** All shell code that no other test runs. */
const CLAIMED = await claimed();
const BLOCKS = (await readDocuments()).flatMap(codeBlocks)
  .filter(({ info, where }) => info === "sh" && !CLAIMED.has(where));

/** How the command comes to be there. */
const [INSTALL = ""] = /^deno install .*$/m.exec(await readText("README.md")) ?? [];

/** A document, or what in it needs another set-up than the rest. */
interface Part {
  readonly path: string;
  /** Whether workers of the app are at work. */
  readonly isAtWork: boolean;
  readonly blocks: readonly CodeBlock[];
}

const PARTS: readonly Part[] = [
  ...Map.groupBy(BLOCKS, ({ where, text }) => {
    const path = where.replace(/:\d+$/, "");
    return `${path} ${/kinesix (status|explain|doctor|shard|checkpoint (?!import))/.test(text)}`;
  }),
].map(([key, blocks]) => {
  const [path = "", isAtWork] = key.split(" ");
  return { path, isAtWork: isAtWork === "true", blocks };
});

/** What is done before some code is run. */
const BEFORE: readonly (readonly [words: RegExp, script: (text: string) => string])[] = [
  [/\/var\/lib\/kinesix/, () => "mkdir -p var/lib/kinesix"],
  [/--on-failure file:/, () => "rm -f var/lib/kinesix/failures.jsonl"],
  [/^kinesix redrive/, () => "cp failure.jsonl var/lib/kinesix/failures.jsonl"],
  [/SHA256SUMS/, () => "mkdir -p usr/local/bin; cp bin/kinesix kinesix-linux-x64; " + SUMS],
  // What is fetched in production is what was locked before.
  [/^(?![^]*--lock-write)[^]*--frozen/, (text) => text.replace("--frozen", "--lock-write")],
];

/** What the release makes. */
const [, SUMS = ""] = /run: (sha256sum .*)/.exec(await readText(".github/workflows/release.yml")) ??
  [];

/** Windows names files in another way than the guides, and has no signals to stop on. */
const ignore = Deno.build.os === "windows";

Deno.test("all shell code in the documents does what it is there for", { ignore }, async () => {
  const done = await Deno.makeTempDir({ prefix: "kinesix-guides-" });
  await using disposables = new AsyncDisposableStack();
  disposables.defer(() => Deno.remove(done, { recursive: true }));
  await using site = await ExampleSite.open(await readText("examples/processor.ts"));
  const problems: string[] = [];
  const rest = [...PARTS];
  const playAll = async (): Promise<void> => {
    for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
      problems.push(...await play(part, site, done));
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, playAll));
  assert(problems.length === 0, problems.join("\n\n"));
  assertEquals(site.refused, []);
  assert(site.paths.includes("/billing/v7/processor.ts"));
});

Deno.test("nothing is changed in that code without need", () => {
  const used = new Set(BLOCKS.flatMap(({ text }) => [...rewritten(text).used]));
  assertEquals(REWRITES.filter((rewrite) => !used.has(rewrite)), []);
});

/** Runs the code of a part; returns what did not go well. */
async function play(
  { path, isAtWork, blocks }: Part,
  site: ExampleSite,
  done: string,
): Promise<readonly string[]> {
  await using cluster = await startGuideCluster(isAtWork);
  await using stage = await Stage.build({ ...cluster.env, DONE: done });
  const files = {
    "processor.ts": path === "README.md"
      ? (await codeIn("README.md", "export default processor")).text
      : await readText("examples/processor.ts"),
    "failure.jsonl": `${failure()}\n`,
    "aws.json": JSON.stringify(dotNetItems(cluster.sequenceNumber)),
  };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${stage.folder}/${name}`, text);
  }
  const problems: string[] = [];
  for (const { text, where } of [{ text: INSTALL, where: path }, ...blocks]) {
    const missing = await missingFor(stage, text);
    if (missing !== "") {
      // deno-lint-ignore no-console -- whoever reads the output has to know
      console.log(`SKIPPED: ${where} and what follows it there, for want of ${missing}`);
      break;
    }
    const before = BEFORE.filter(([words]) => words.test(text)).map(([, script]) => script(text));
    const script = rewritten([...before, text].join("\n"));
    const { code, output } = await stage.play(script.text, {
      // What else comes from elsewhere, such as npm packages, has its own way.
      env: /https:\/\/example\.com|deno add/.test(text) ? site.env : {},
    });
    if (text.includes("&& cd consumer")) problems.push(...await compareImports(stage));
    if (code !== 0) problems.push(`${where} ended with ${code}:\n${script.text}\n${output}`);
  }
  return problems;
}

/** What `deno add` has written, if the guide shows something else. */
async function compareImports({ folder }: Stage): Promise<readonly string[]> {
  const { text } = await codeIn("docs/start.md", '"links"');
  const importsOf = (text: string): string => JSON.stringify(JSON.parse(text).imports);
  const written = importsOf(await Deno.readTextFile(`${folder}/consumer/deno.json`));
  return written === importsOf(text) ? [] : [`docs/start.md: deno add writes ${written}`];
}

/** A program of others that a script needs and this machine does not have. */
async function missingFor(stage: Stage, text: string): Promise<string> {
  const needed = ["jq", "sha256sum"].filter((name) => text.includes(name));
  if (needed.length === 0) return "";
  const { output } = await stage.play(
    needed.map((name) => `command -v ${name} > /dev/null || echo ${name}`).join("\n"),
  );
  return output;
}

/** What the state table of the .NET library has. */
function dotNetItems(sequenceNumber: string): unknown {
  return {
    Items: [
      { ShardId: { S: "shardId-000000000000" }, SequenceNumberCheckpoint: { S: sequenceNumber } },
      { ShardId: { S: "shardId-000000000001" }, IsClosed: { S: "False" } },
    ],
  };
}

function failure(): string {
  return formatFailure({
    appName: "orders-billing",
    streamName: "orders",
    shardId: "shardId-000000000003",
    sequenceNumber: "4957",
    subSequenceNumber: undefined,
    partitionKey: "customer-1",
    data: new TextEncoder().encode("no JSON"),
    approximateArrivalTimestamp: new Date(0),
    error: new SyntaxError("no JSON"),
    attempts: 1,
    mode: retryAndSkip(0),
    workerId: "worker-a",
    time: new Date(0),
  });
}
