/**
 * Owns: how the executable is made: bundled, then embedded in Deno's runtime with no more permissions than it needs.
 * Called by: `deno task compile`, and the tests of the binary.
 *
 * `--target` is another platform, `--output` the file to make; a permission such as `--allow-run=/bin/sh` is baked in as well.
 * Environment: `DENORT_BIN` is the runtime to embed in, instead of the official one; `DENO_COMPILE` the Deno of that runtime's
 * version, when this one is another.
 */

import { parseArgs } from "@std/cli/parse-args";
import { pathToFileURL } from "node:url";
import packageFile from "../deno.json" with { type: "json" };

const ROOT = new URL("../", import.meta.url);

const ENTRY = "cli.ts";

/** What it may do on every platform; `docs/shipping.md` says what for. */
const PERMISSIONS: readonly string[] = [
  "--no-prompt",
  "--allow-net",
  "--allow-env",
  "--allow-read",
  "--allow-write",
  "--allow-sys=homedir,hostname,osRelease,uid",
];

/**
 * What the executable for a platform may do.
 *
 * @param more What is given on the command line.
 */
export function permissionFlags(target: string, more: readonly string[] = []): readonly string[] {
  // It may run one program: itself, for the sandbox and the demo. Linux has a name for that; elsewhere it is found in the PATH.
  const itself = target.includes("linux") ? "/proc/self/exe" : "kinesix";
  const values = new Map<string, readonly string[]>();
  // Deno takes each flag once.
  for (const flag of [...PERMISSIONS, `--allow-run=${itself}`, ...more]) {
    const [name = flag, value] = flag.split(/=(.*)/s);
    const known = values.get(name);
    // Without a value it stands for everything.
    const isAll = value === undefined || known?.length === 0;
    values.set(name, isAll ? [] : [...known ?? [], value]);
  }
  return [...values].map(([name, list]) => list.length === 0 ? name : `${name}=${list.join(",")}`);
}

/** The native database that dynalite can use for files; it keeps everything in memory here, and nothing native is bundled. */
const NATIVE = "classic-level";

/** What the bundler makes of dynalite, which finds its operations by a name without ".js", and what it has to be. */
const MENDS: readonly (readonly [string, string])[] = [
  [`__require("${NATIVE}")`, "({})"],
  ['("./actions/" + action)', '("./actions/" + action + ".js")'],
  ['("./validations/" + action)', '("./validations/" + action + ".js")'],
];

/**
 * Makes the executable.
 *
 * @param args Those of the command line.
 * @returns The exit code.
 */
export async function compile(args: readonly string[]): Promise<number> {
  const { target, output, permissions } = readArguments(args);
  const folder = await Deno.makeTempDir({ prefix: "kinesix-compile-" });
  try {
    const workers = await findWorkers();
    await bundle(folder, workers);
    // The cache of compiled code would be a file of a known name in a folder that everybody may write to, and saves no time.
    const code = await deno(Deno.env.get("DENO_COMPILE") ?? Deno.execPath(), [
      ...["compile", "--quiet", "--no-config", "--no-lock", "--no-code-cache", "--target", target],
      ...unstableFeatures().map((name) => `--unstable-${name}`),
      ...permissionFlags(target, permissions),
      ...workers.flatMap((path) => ["--include", `${folder}/${bundledName(path)}`]),
      ...["--output", output, `${folder}/cli.js`],
    ]);
    await say(code === 0 ? `made ${output}` : DENORT_HINT);
    return code;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function readArguments(args: readonly string[]): {
  readonly target: string;
  readonly output: string;
  readonly permissions: readonly string[];
} {
  const permissions = args.filter((arg) => /^--(allow|deny)-/.test(arg));
  const { target, output } = parseArgs(args.filter((arg) => !permissions.includes(arg)), {
    string: ["target", "output"],
    unknown: (arg) => {
      throw new Error(
        `Cannot compile with "${arg}": there are --target T, --output FILE, and permissions such as --allow-run=NAME`,
      );
    },
  });
  return {
    target: String(target ?? Deno.build.target),
    output: String(output ?? "dist/kinesix"),
    permissions,
  };
}

const DENORT_HINT =
  `note: Deno embeds a runtime, denort, that it downloads from dl.deno.land; where that cannot be reached, DENORT_BIN names one of ` +
  `the same version`;

async function say(line: string): Promise<void> {
  await Deno.stderr.write(new TextEncoder().encode(`${line}\n`));
}

/** What has to be said by flags, since the configuration is not embedded. */
function unstableFeatures(): readonly string[] {
  const config: object = packageFile;
  return "unstable" in config && Array.isArray(config.unstable) ? config.unstable.map(String) : [];
}

const WORKER = /new Worker\(\s*new URL\("\.\/([^"]+\.ts)", import\.meta\.url\)/g;

/** The modules that are started as Workers, by their paths: no import leads to them. */
async function findWorkers(): Promise<readonly string[]> {
  const sources = await readFiles(new URL("src/", ROOT), ".ts");
  return sources.flatMap(({ path, text }) =>
    Array.from(text.matchAll(WORKER), ([, worker]) => `src/${path.replace(/[^/]*$/, "")}${worker}`)
  );
}

interface TextFile {
  /** From the folder that was read. */
  readonly path: string;
  readonly text: string;
}

async function readFiles(folder: URL, extension: string): Promise<readonly TextFile[]> {
  const found: TextFile[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const place = new URL(isDirectory ? `${name}/` : name, folder);
    if (isDirectory) {
      const below = await readFiles(place, extension);
      found.push(...below.map(({ path, text }) => ({ path: `${name}/${path}`, text })));
    } else if (name.endsWith(extension)) {
      found.push({ path: name, text: await Deno.readTextFile(place) });
    }
  }
  return found;
}

function bundledName(path: string): string {
  return path.replace(/\.ts$/, ".js");
}

/** Puts the program and all that it imports into a few files; what it imports later stays apart, and costs no start. */
async function bundle(folder: string, workers: readonly string[]): Promise<void> {
  const code = await deno(Deno.execPath(), [
    ...["bundle", "--quiet", "--platform", "deno", "--code-splitting"],
    ...["--external", NATIVE, "--outdir", folder, ENTRY, ...workers],
  ]);
  if (code !== 0) throw new Error(`Cannot bundle ${ENTRY}: exit code ${code}`);
  for (const { path, text } of mend(await readFiles(pathToFileURL(`${folder}/`), ".js"), workers)) {
    await Deno.writeTextFile(`${folder}/${path}`, text);
  }
}

/** Replaces what the bundler does not get right. */
function mend(files: readonly TextFile[], workers: readonly string[]): readonly TextFile[] {
  const addresses = workers.map((path) =>
    [`new URL("./${path.split("/").at(-1)}"`, `new URL("./${bundledName(path)}"`] as const
  );
  const mends = [...MENDS, ...addresses];
  for (const [from] of mends) {
    const found = files.reduce((sum, { text }) => sum + text.split(from).length - 1, 0);
    if (found === 1) continue;
    throw new Error(`Cannot bundle: ${from} is there ${found} times instead of once; see MENDS`);
  }
  // Some parts of the AWS SDK are CommonJS, and imported when they are needed by the names of their exports: an import
  // that gives all of them as the default alone breaks credentials from SSO, from roles and in Kubernetes.
  const common = files.filter(({ text }) => /^export default require_\w+\(\);$/m.test(text));
  return files.map(({ path, text }) => {
    const replaced = mends.reduce((text, [from, to]) => text.replace(from, to), text);
    const named = replaced.replaceAll(/import\("[./]*\/([^"]+)"\)/g, (load, path) => {
      const isCommon = common.some((file) => file.path === path);
      return isCommon ? `${load}.then((m) => ({ ...m.default, default: m.default }))` : load;
    });
    return { path, text: named };
  });
}

async function deno(command: string, args: readonly string[]): Promise<number> {
  const { code } = await new Deno.Command(command, {
    args: [...args],
    cwd: ROOT,
    stdin: "null",
    env: { DENO_NO_UPDATE_CHECK: "1" },
  }).spawn().status;
  return code;
}

if (import.meta.main) {
  try {
    Deno.exitCode = await compile(Deno.args);
  } catch (error) {
    await say(`error: ${error instanceof Error ? error.message : error}`);
    Deno.exitCode = 1;
  }
}
