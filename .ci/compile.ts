/**
 * Owns: how the executable is made: bundled and minified, then embedded in Deno's runtime with only the permissions that it needs.
 * Called by: `deno task compile`, and the tests of the binary.
 *
 * `--target` is another platform, `--output` the file to make; a permission such as `--allow-run=aws-vault` is baked in as well.
 * Environment: `DENORT_BIN` is the runtime to embed in, instead of the official one; `DENO_COMPILE` the Deno of that runtime's
 * version, when this one is another.
 */

import { parseArgs } from "@std/cli/parse-args";

const ROOT = new URL("../", import.meta.url);

/** The entries of the bundle: the program, and what it starts by its address. */
const ENTRIES = ["cli.ts"];

/** What the executable may do; the README says what for. */
export const PERMISSIONS: readonly string[] = [
  "--no-prompt",
  "--allow-net",
  "--allow-env",
  "--allow-read",
  "--allow-write",
  "--allow-sys=homedir,hostname,osRelease,uid",
];

/** It may run one program: itself, for the demo. Linux has a name for that; elsewhere it is found in the PATH. */
export function runPermission(target: string): string {
  return `--allow-run=${target.includes("linux") ? "/proc/self/exe" : "kinesix"}`;
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
    await bundle(folder);
    const flags = [...PERMISSIONS, runPermission(target), ...permissions];
    // The cache of compiled code would be a file of a known name in a folder that everybody may write to, and saves no time.
    return await deno(Deno.env.get("DENO_COMPILE") ?? Deno.execPath(), [
      ...["compile", "--quiet", "--no-config", "--no-lock", "--no-code-cache", "--target", target],
      ...together(flags),
      ...["--output", output, `${folder}/cli.js`],
    ]);
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

/** Puts the program and all that it imports into a few files; what it imports later stays apart, and costs no start. */
async function bundle(folder: string): Promise<void> {
  const code = await deno(Deno.execPath(), [
    ...["bundle", "--quiet", "--platform", "deno", "--code-splitting"],
    ...["--external", NATIVE, "--outdir", folder, ...ENTRIES],
  ]);
  if (code !== 0) throw new Error(`Cannot bundle ${ENTRIES.join(", ")}: exit code ${code}`);
  const names = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  const files = await Promise.all(names.map(async (name) => {
    return { name, text: await Deno.readTextFile(`${folder}/${name}`) };
  }));
  for (const { name, text } of mend(files)) await Deno.writeTextFile(`${folder}/${name}`, text);
}

interface BundledFile {
  readonly name: string;
  readonly text: string;
}

/** Replaces what the bundler does not get right. */
function mend(files: readonly BundledFile[]): readonly BundledFile[] {
  for (const [from] of MENDS) {
    const found = files.reduce((sum, { text }) => sum + text.split(from).length - 1, 0);
    if (found === 1) continue;
    throw new Error(`Cannot bundle: ${from} is there ${found} times instead of once; see MENDS`);
  }
  // Some parts of the AWS SDK are CommonJS, and imported when they are needed by the names of their exports: an import
  // that gives all of them as the default alone breaks credentials from SSO, from roles and in Kubernetes.
  const common = files.filter(({ text }) => /^export default require_\w+\(\);$/m.test(text));
  return files.map(({ name, text }) => {
    const replaced = MENDS.reduce((text, [from, to]) => text.replace(from, to), text);
    const named = common.reduce((text, { name }) => {
      const load = `import("./${name}")`;
      return text.replaceAll(load, `${load}.then((m) => ({ ...m.default, default: m.default }))`);
    }, replaced);
    return { name, text: named };
  });
}

/** Deno takes each permission flag once. */
function together(flags: readonly string[]): readonly string[] {
  const values = new Map<string, readonly string[]>();
  for (const flag of flags) {
    const [name = flag, value] = flag.split(/=(.*)/s);
    const known = values.get(name);
    // Without a value it stands for everything.
    const isAll = value === undefined || known?.length === 0;
    values.set(name, isAll ? [] : [...known ?? [], value]);
  }
  return [...values].map(([name, list]) => list.length === 0 ? name : `${name}=${list.join(",")}`);
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
    const text = `error: ${error instanceof Error ? error.message : error}\n`;
    await Deno.stderr.write(new TextEncoder().encode(text));
    Deno.exitCode = 1;
  }
}
