/**
 * Owns: the test run: everything, in several processes at a time, and a last line that any tool can count.
 * Called by: `deno task test`. Arguments are files and folders; if some are flags, all are passed on to one `deno test`.
 * With an executable in `KINESIX_BINARY` what starts the command line runs with that: without arguments as well, else instead.
 */

/** So many files share a process: to start one takes as long as many a file. */
const FILES_MAX = 4;
/** The folder that tests nothing but an executable. */
const OF_BINARY = "tests/binary";
/** The folder whose files have a process each: threads with endless loops go on until their process ends. */
const ALONE = "tests/sandbox";
/** What goes on for longer hangs, in milliseconds. */
const GROUP_MS_MAX = 900_000;
/** So many processes: while some wait others work, and more of them would disturb what is measured. */
const TOGETHER = Math.min(4, navigator.hardwareConcurrency + 1);
/** From those that wait most to those that work most. Every second process begins at the other end. */
const ORDER = [
  "dashboard",
  "chaos",
  "local",
  "telemetry",
  "sandbox",
  "cli",
  "bench",
  "unit",
  "sim",
];

const ROOT = new URL("../", import.meta.url);
/** An executable, or none. */
const BINARY = Deno.env.get("KINESIX_BINARY") ?? "";
/** One for all processes: what it is given it writes in that order, each as a whole. */
const OUT = Deno.stdout.writable.getWriter();
/** No test may find real credentials, or ask the network who this machine is. */
const ENV = {
  AWS_EC2_METADATA_DISABLED: "true",
  AWS_ACCESS_KEY_ID: "",
  AWS_SECRET_ACCESS_KEY: "",
};

/** What one process tests. */
interface Group {
  /** Of `deno test`. */
  readonly args: readonly string[];
  /** What the command line is: an executable, or, empty, `cli.ts`. */
  readonly binary: string;
}

interface Result {
  readonly tests: number;
  readonly failed: number;
  readonly code: number;
  /** What it printed, unless that was seen at once. */
  readonly output: Uint8Array;
}

async function* testsUnder(path: string): AsyncGenerator<string> {
  if (path.endsWith("_test.ts")) yield path;
  if (!(await Deno.stat(new URL(path, ROOT))).isDirectory) return;
  for await (const { name } of Deno.readDir(new URL(path, ROOT))) {
    yield* testsUnder(`${path.replace(/\/$/, "")}/${name}`);
  }
}

async function filesUnder(paths: readonly string[]): Promise<readonly string[]> {
  const files = new Set<string>();
  for (const path of paths) for await (const file of testsUnder(path)) files.add(file);
  return [...files].sort();
}

/** Those that start the command line as a process; the documents do so with `deno run`. */
async function thatStartIt(files: readonly string[]): Promise<readonly string[]> {
  const texts = await Promise.all(files.map((file) => Deno.readTextFile(new URL(file, ROOT))));
  return files.filter((file, i) =>
    file.startsWith(OF_BINARY) ||
    texts[i]?.includes("CliProcess") && !file.startsWith("tests/docs")
  );
}

/** The files of each folder, a few at a time. */
function groupsOf(files: readonly string[], binary: string): readonly Group[] {
  const folders = Map.groupBy(files, (file) => file.replace(/\/[^/]*$/, ""));
  return [...folders].flatMap(([folder, files]) =>
    cut(files, folder === ALONE ? 1 : FILES_MAX).map((args) => ({ args, binary }))
  );
}

/** Where its folder stands in the order. */
function placeOf({ args: [file = ""] }: Group): number {
  const found = ORDER.findIndex((folder) => file.startsWith(`tests/${folder}/`));
  return found < 0 ? ORDER.indexOf("cli") : found;
}

function cut(files: readonly string[], length: number): readonly (readonly string[])[] {
  const count = Math.ceil(files.length / length);
  return Array.from({ length: count }, (_, i) => files.slice(i * length, (i + 1) * length));
}

/** Tests in a process of its own. */
async function run({ args, binary }: Group, stdout: "inherit" | "piped"): Promise<Result> {
  const report = await Deno.makeTempFile({ prefix: "kinesix-tests-", suffix: ".xml" });
  // Who waits before the screen ends it by hand.
  const slow = stdout === "piped" ? AbortSignal.timeout(GROUP_MS_MAX) : undefined;
  try {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["test", "--allow-all", "--trace-leaks", `--junit-path=${report}`, ...args],
      cwd: ROOT,
      env: { ...ENV, KINESIX_BINARY: binary },
      stdin: "null",
      stdout,
      stderr: stdout,
      ...slow && { signal: slow },
    }).spawn();
    const parts: Uint8Array<ArrayBuffer>[] = [];
    const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> => {
      for await (const part of stream) parts.push(part);
    };
    if (stdout === "piped") await Promise.all([read(child.stdout), read(child.stderr)]);
    const { code } = await child.status;
    const [, tests = "0", failures = "0", errors = "0"] =
      /<testsuites [^>]*tests="(\d+)" failures="(\d+)" errors="(\d+)"/.exec(
        await Deno.readTextFile(report),
      ) ?? [];
    const failed = Number(failures) + Number(errors);
    if (slow?.aborted) {
      parts.push(bytes(`ended after ${GROUP_MS_MAX / 1_000} s: ${args.join(" ")}\n`));
    }
    return {
      tests: Math.max(Number(tests), code === 0 ? 0 : 1),
      // One that ended early has no report.
      failed: Math.max(failed, code === 0 ? 0 : 1),
      code,
      output: new Uint8Array(await new Blob(parts).arrayBuffer()),
    };
  } finally {
    await Deno.remove(report);
  }
}

/** Runs groups from both ends of the list, and prints what each says when it is over; at the end, once more what failed. */
async function runAll(groups: readonly Group[]): Promise<readonly Result[]> {
  const rest = [...groups];
  const results: Result[] = [];
  const worker = async (_: unknown, i: number): Promise<void> => {
    for (;;) {
      const group = i % 2 === 0 ? rest.shift() : rest.pop();
      if (group === undefined) return;
      const result = await run(group, "piped");
      results.push(result);
      await OUT.write(result.output);
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, worker));
  for (const { code, output } of results) if (code !== 0) await OUT.write(output);
  return results;
}

async function check(paths: readonly string[]): Promise<void> {
  const args = ["check", "--quiet", ...paths];
  const { code } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).spawn().status;
  if (code !== 0) Deno.exit(code);
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

async function main(args: readonly string[]): Promise<readonly Result[]> {
  const isWhole = args.length === 0;
  if (args.some((arg) => arg.startsWith("-"))) {
    return [await run({ args: ["--doc", ...args], binary: BINARY }, "inherit")];
  }
  // What is not among the tests has examples that run.
  const isTest = (path: string): boolean => /^(\.\/)?tests(\/|$)/.test(path);
  const others = isWhole ? ["--ignore=tests"] : args.filter((path) => !isTest(path));
  const files = await filesUnder(isWhole ? ["tests"] : args.filter(isTest));
  // Once for all processes.
  if (files.length > 0) await check(files);
  const tests = isWhole && BINARY
    ? [
      ...groupsOf(files.filter((file) => !file.startsWith(OF_BINARY)), ""),
      ...groupsOf(await thatStartIt(files), BINARY),
    ]
    : groupsOf(files, BINARY);
  const groups = [
    ...others.length > 0 ? [{ args: ["--doc", ...others], binary: "" }] : [],
    ...tests.toSorted((a, b) => placeOf(a) - placeOf(b))
      .map(({ args, binary }) => ({ args: ["--no-check", ...args], binary })),
  ];
  const [first] = groups;
  return first && groups.length === 1 ? [await run(first, "inherit")] : await runAll(groups);
}

const startedAt = performance.now();
const results = await main(Deno.args);
const tests = results.reduce((sum, { tests }) => sum + tests, 0);
const failed = results.reduce((sum, { failed }) => sum + failed, 0);
await OUT.write(bytes(`all in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s\n`));
await OUT.write(bytes(`${tests - failed} passed, ${failed} failed\n`));
Deno.exitCode = results.find(({ code }) => code !== 0)?.code ?? 0;
