/**
 * Owns: other processes that a benchmark talks to, in lines of JSON: a job goes to stdin, its result comes from stdout.
 * Called by: the areas, as `ChildProcess`; the children themselves, as `serveJobs`.
 */

import { TextLineStream } from "../tests/text_lines.ts";

/** How a child is started. */
export interface ChildOptions {
  readonly command?: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A child that has not answered by then never will. */
const PATIENCE_MS = 300_000;

/** A process that does one job after the other. */
export class ChildProcess implements AsyncDisposable {
  readonly #name: string;
  readonly #child: Deno.ChildProcess;
  readonly #jobs: WritableStreamDefaultWriter<Uint8Array>;
  readonly #results: ReadableStreamDefaultReader<string>;

  constructor(name: string, { command = Deno.execPath(), args, env = {} }: ChildOptions) {
    this.#name = name;
    this.#child = new Deno.Command(command, {
      args: [...args],
      env: { ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#jobs = this.#child.stdin.getWriter();
    this.#results = this.#child.stdout.pipeThrough(new TextDecoderStream() as never)
      .pipeThrough(new TextLineStream()).getReader();
  }

  /** The process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Sends it a signal. */
  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  /** Sends a job and waits for its result. */
  async do<T>(job: unknown): Promise<T> {
    await this.#jobs.write(new TextEncoder().encode(`${JSON.stringify(job)}\n`));
    return await this.next();
  }

  /** The next line of the child's output that is JSON. */
  async next<T>(): Promise<T> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE_MS);
    try {
      while (true) {
        const { value, done } = await this.#results.read();
        if (done) throw new Error(`Cannot measure ${this.#name}: its process ended`);
        if (value.startsWith("{")) return JSON.parse(value);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the process by closing its stdin, or by force if that is not enough. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 5_000);
    await this.#jobs.close().catch(() => {}); // It has ended already.
    await this.#results.cancel();
    await this.#child.status;
    clearTimeout(timer);
  }
}

/** A child that runs a module of this folder with Deno. */
export function denoChild(
  module: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const path = new URL(module, import.meta.url).pathname;
  return new ChildProcess(module, { args: ["run", "--quiet", "--allow-all", path, ...args], env });
}

/** In a child: does every job that comes, one after the other, until stdin is closed: by whoever started it, or by its death. */
export async function serveJobs<J>(perform: (job: J) => Promise<unknown>): Promise<void> {
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream() as never)
    .pipeThrough(new TextLineStream()) as ReadableStream<string>;
  for await (const line of lines) await answer(await perform(JSON.parse(line)));
  Deno.exit(0); // Connections that are kept open would hold it.
}

/** In a child: sends one line. */
export async function answer(result: unknown): Promise<void> {
  await Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(result)}\n`));
}
