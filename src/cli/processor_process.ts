/**
 * Owns: the process in which a sandboxed processor has its thread: what program it is, what it may do, and what it finds in its
 * environment.
 * Must not: know what is said to it.
 * Called by: `processor_threads.ts`.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { messageOf } from "../errors.ts";
import { MARKER_BYTES } from "../sandbox/frames.ts";
import { processPort } from "../sandbox/process_port.ts";
import type { ThreadListener, ThreadPort } from "../sandbox/thread_port.ts";
import { HOST_COMMAND, ownProgram } from "./own_program.ts";
import type { PrintQueue } from "./print_queue.ts";
import type { HostSetup } from "./processor_host.ts";
import type { ThreadSetup } from "./processor_worker.ts";
import type { SandboxAccess } from "./thread_flags.ts";

/**
 * What the runtime itself looks for: its caches and temporary folder, its proxies and certificates, how to print; and what
 * Windows needs to start anything. Nothing of it is a secret but what a proxy's address may have in it.
 */
const RUNTIME_VARIABLES = [
  ...["PATH", "HOME", "XDG_CACHE_HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "TERM", "NO_COLOR"],
  ...["DENO_DIR", "DENO_CERT", "DENO_TLS_CA_STORE", "DENO_V8_FLAGS", "NPM_CONFIG_REGISTRY"],
  ...["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"],
  ...["USERPROFILE", "LOCALAPPDATA", "APPDATA", "SystemRoot", "TEMP", "TMP"],
];

/**
 * Starts a process with a thread.
 *
 * @param options.sandbox What the processor may do there; undefined: everything.
 * @param options.prints Gets what it prints to stdout.
 * @throws {Error} If it cannot be started, or is to do what this process may not.
 */
export function openProcess(
  setup: ThreadSetup,
  { sandbox, prints }: {
    readonly sandbox: SandboxAccess | undefined;
    readonly prints: PrintQueue;
  },
  listener: ThreadListener,
): ThreadPort {
  const { settings: { running, ...settings }, folder } = setup;
  const child = start(sandbox, folder);
  const marker = crypto.getRandomValues(new Uint8Array(MARKER_BYTES));
  const permissions = sandbox && permissionsOf(sandbox, folder);
  const first: HostSetup = { permissions, thread: { ...setup, settings } };
  return processPort({
    child,
    first: { marker, setup: first },
    running,
    listener,
    onPrint: (bytes) => prints.push(bytes),
  });
}

function start(sandbox: SandboxAccess | undefined, folder: string | undefined): Deno.ChildProcess {
  checkAllowed(sandbox);
  const purpose = "the processes of the sandbox";
  const { command, args } = ownProgram({ purpose, flags: denoFlags(sandbox, folder) });
  try {
    return new Deno.Command(command, {
      args: [...args, HOST_COMMAND],
      clearEnv: true,
      env: environment(sandbox?.env ?? []),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
  } catch (error) {
    throw new Error(`Cannot start ${purpose}: ${messageOf(error)}`, { cause: error });
  }
}

/** Not even the process has more than the processor needs, and its own files. */
function denoFlags(
  sandbox: SandboxAccess | undefined,
  folder: string | undefined,
): readonly string[] {
  if (sandbox === undefined) return ["--unstable-worker-options", "--allow-all"];
  const { net, env, read } = sandbox;
  const own = new URL("../../", import.meta.url);
  const lists = {
    net,
    env,
    read: [
      ...read,
      ...folder === undefined ? [] : [folder],
      ...own.protocol === "file:" ? [fileURLToPath(own)] : [],
    ],
  };
  return [
    "--unstable-worker-options",
    ...Object.entries(lists).flatMap(([name, list]) =>
      list.length === 0 ? [] : [`--allow-${name}=${list.join(",")}`]
    ),
  ];
}

/** A process must not give away what it does not have. */
function checkAllowed(sandbox: SandboxAccess | undefined): void {
  if (sandbox === undefined) return;
  const wanted: readonly Deno.PermissionDescriptor[] = [
    ...sandbox.net.map((host) => ({ name: "net", host } as const)),
    ...sandbox.env.map((variable) => ({ name: "env", variable } as const)),
    ...sandbox.read.map((path) => ({ name: "read", path } as const)),
  ];
  for (const descriptor of wanted) {
    if (Deno.permissions.querySync(descriptor).state === "granted") continue;
    const { name, ...rest } = descriptor;
    throw new Error(
      `Cannot start the processes of the sandbox: this process has no ${name} access to ` +
        `"${
          Object.values(rest).join()
        }"; it must be allowed itself what --sandbox-allow-${name} allows`,
    );
  }
}

/** Everything that is not listed is refused. The processor's own files must be readable: it is imported from there. */
function permissionsOf(
  { net, env, read }: SandboxAccess,
  folder: string | undefined,
): Deno.PermissionOptionsObject {
  // Of an empty list nobody should have to know what it means.
  const only = (list: readonly string[]): string[] | false => list.length > 0 && [...list];
  return {
    net: only(net),
    env: only(env),
    read: only(folder === undefined ? read : [...read, folder]),
    write: false,
    run: false,
    ffi: false,
    sys: false,
    import: false,
  };
}

/** What is a secret for the worker, such as its credentials, does not even go to the process. */
function environment(allowed: readonly string[]): Record<string, string> {
  const may = (variable?: string): boolean =>
    Deno.permissions.querySync({ name: "env", ...variable !== undefined && { variable } }).state ===
      "granted";
  const isWanted = (name: string): boolean =>
    allowed.some((one) => one.endsWith("*") ? name.startsWith(one.slice(0, -1)) : name === one);
  const all = may() ? Object.keys(Deno.env.toObject()) : allowed;
  const names = [...RUNTIME_VARIABLES, ...all.filter(isWanted)].filter(may);
  const found = names.flatMap((name) => {
    const value = Deno.env.get(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  // Deno would ask dl.deno.land whether there is a newer one, from where there is to be no network.
  return { ...Object.fromEntries(found), DENO_NO_UPDATE_CHECK: "1" };
}
