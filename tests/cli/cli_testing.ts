/**
 * Owns: a terminal in memory, and the command line as a child process.
 * Must not: assert.
 * Called by: the tests of the command line.
 *
 * @module
 */

import type { Terminal } from "../../src/cli/terminal.ts";
import { linesOf } from "../../src/cli/terminal.ts";

/** A terminal whose output can be read. */
export interface FakeTerminal extends Terminal {
  stdout(): string;
  stderr(): string;
}

/** Makes a terminal in memory. */
export function fakeTerminal(
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly stdin?: readonly (readonly string[])[];
    readonly isInteractive?: boolean;
    readonly columns?: number;
  } = {},
): FakeTerminal {
  let stdout = "";
  let stderr = "";
  return {
    write: (text) => {
      stdout += text;
      return Promise.resolve();
    },
    writeError: (text) => {
      stderr += text;
      return Promise.resolve();
    },
    say: (line) => {
      stderr += line + "\n";
    },
    async *readLines() {
      for (const lines of options.stdin ?? []) {
        yield await Promise.resolve(lines.map((line) => new TextEncoder().encode(line)));
      }
    },
    env: (name) => options.env?.[name] || undefined,
    isStdoutInteractive: options.isInteractive ?? false,
    isStderrInteractive: options.isInteractive ?? false,
    isStdinInteractive: options.isInteractive ?? false,
    columns: () => options.columns,
    stdout: () => stdout,
    stderr: () => stderr,
  };
}

/** A program and its first arguments. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
}

const PERMISSIONS = [
  "--no-prompt",
  "--allow-net=127.0.0.1",
  "--allow-env",
  "--allow-read",
  "--allow-write",
  "--allow-sys",
  "--allow-run",
];

/** Whether a program is there and succeeds. */
export function works(command: string, ...args: readonly string[]): boolean {
  try {
    return new Deno.Command(command, { args: [...args], stdout: "null", stderr: "null" })
      .outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** `cli.ts` through this Deno. */
export function sourceProgram(permissions: readonly string[] = PERMISSIONS): Program {
  const cli = new URL("../../cli.ts", import.meta.url).href;
  return { command: Deno.execPath(), args: ["run", "--quiet", ...permissions, cli] };
}

/** The command line: the executable in `KINESIX_BINARY`, or, without one, `cli.ts`. */
export function commandLine(): Program {
  const binary = Deno.env.get("KINESIX_BINARY");
  return binary ? { command: binary, args: [] } : sourceProgram();
}

/** How a process is started, if not in the usual way. */
export interface CliOptions {
  readonly stdin?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Nothing of this process's environment. */
  readonly clearEnv?: boolean;
  /** @default {Deno.cwd()} */
  readonly cwd?: string;
  /** @default {commandLine()} */
  readonly program?: Program;
}

const ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: "",
  AWS_PROFILE: "",
  KINESIX_DEBUG: "1",
  NO_COLOR: "1",
};

/** Longer than anything takes on a busy machine. */
const WAIT_MAX_MS = 180_000;

/** The command line as a process of its own. */
export class CliProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #closing = new AbortController();
  readonly #waiters = new Set<() => void>();
  readonly #stdoutRead: Promise<void>;
  readonly #reading: Promise<unknown>;
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];

  constructor(args: readonly string[], options: CliOptions = {}) {
    const { command, args: first } = options.program ?? commandLine();
    const { clearEnv = false, cwd } = options;
    this.#child = new Deno.Command(command, {
      args: [...first, ...args],
      env: { ...!clearEnv && ENVIRONMENT, ...options.env },
      clearEnv,
      ...cwd !== undefined && { cwd },
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { signal } = this.#closing;
    this.#stdoutRead = this.#read(
      this.#child.stdout.pipeThrough(new TransformStream(), { signal }),
      this.stdout,
    ).catch((error) => {
      if (!signal.aborted) throw error;
    });
    this.#reading = Promise.all([
      this.#stdoutRead,
      this.#read(this.#child.stderr, this.stderr),
      options.stdin === undefined ? undefined : this.#feed(options.stdin),
    ]);
  }

  /** Goes away as the reader of stdout. */
  async closeStdout(): Promise<void> {
    this.#closing.abort();
    await this.#stdoutRead;
  }

  get pid(): number {
    return this.#child.pid;
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** The exit code, when all output was read. */
  async ended(): Promise<number> {
    await this.#reading;
    return (await this.#child.status).code;
  }

  /** Resolves when the lines of stdout satisfy a condition; rejects when the process ends before, or all of that takes too long. */
  async until(condition: (lines: readonly string[]) => boolean): Promise<void> {
    let end = "";
    const onEnd = (why: string): void => {
      end ||= why;
      this.#wake();
    };
    this.#reading.finally(() => onEnd("The process ended too early"));
    const timer = setTimeout(onEnd, WAIT_MAX_MS, `Waited ${WAIT_MAX_MS} ms in vain`);
    try {
      while (!condition(this.stdout)) {
        if (end !== "") {
          const last = [...this.stdout.slice(-10), ...this.stderr].join("\n");
          throw new Error(`${end}:\n${last}`);
        }
        await new Promise<void>((resolve) => this.#waiters.add(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.ended();
  }

  async #feed(text: string): Promise<void> {
    const writer = this.#child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  }

  async #read(stream: ReadableStream<Uint8Array>, into: string[]): Promise<void> {
    for await (const lines of linesOf(stream)) {
      into.push(...lines.map((line) => new TextDecoder().decode(line)));
      this.#wake();
    }
  }

  #wake(): void {
    this.#waiters.forEach((resolve) => resolve());
    this.#waiters.clear();
  }
}
