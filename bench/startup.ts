/**
 * Owns: what it costs to have a worker: the time until the executable reads records, next to `deno run`; its memory at rest;
 * its size.
 * Called by: `run.ts`. The executable is `KINESIX_BINARY`, else `dist/kinesix`; without one its bounds are missed.
 */

import { startLocalDynamoDB } from "../src/local/dynamodb_server.ts";
import { serveLocalKinesis } from "../src/local/kinesis_server.ts";
import { type Program, sourceProgram } from "../tests/cli/cli_testing.ts";
import { type BenchOptions, interleave, type Row, type Section } from "./report.ts";

const STARTUP_MS_MAX = 400;
const IDLE_MB_MAX = 120;
const BINARY_MB_MAX = 110;

const IDLE_MS = { full: 30_000, quick: 5_000, tiny: 100 } as const;
/** A worker that has not read by then never will. */
const PATIENCE_MS = 30_000;
const MB = 1_000_000;

const JAVASCRIPT = "data:text/javascript,export default { process() {} }";
const TYPESCRIPT = "data:application/typescript,export default { process(): void {} }";

/** A local stack on which workers are started one after the other. */
class Stage implements AsyncDisposable {
  readonly #kinesis = serveLocalKinesis({
    port: 0,
    intercept: ({ operation }, proceed) => {
      if (operation === "GetRecords") this.#onRead();
      return proceed();
    },
  });
  readonly #dynamoDB = startLocalDynamoDB({ port: 0 });
  #onRead = (): void => {};
  #streams = 0;

  /** Starts a worker on a new stream of one shard. Workers of all streams share a table, which is there after the first start. */
  async start(program: Program, processor: string = JAVASCRIPT): Promise<StartedWorker> {
    const streamName = `Stream${++this.#streams}`;
    this.#kinesis.engine.call("CreateStream", { StreamName: streamName, ShardCount: 1 });
    const flags = {
      "app": "Bench",
      "stream": streamName,
      processor,
      "kinesis-endpoint": this.#kinesis.url,
      "dynamodb-endpoint": (await this.#dynamoDB).url,
    };
    const read = Promise.withResolvers<void>();
    this.#onRead = read.resolve;
    const startedMs = performance.now();
    const child = new Deno.Command(program.command, {
      args: [...program.args, "run", ...Object.entries(flags).map(([k, v]) => `--${k}=${v}`)],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const timer = setTimeout(() => read.reject(new Error("no read")), PATIENCE_MS);
    const ended = child.status.then(({ code }) => {
      throw new Error(`Cannot measure: ${program.command} ended with ${code} before it read`);
    });
    try {
      await Promise.race([read.promise, ended]);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    } finally {
      clearTimeout(timer);
    }
    const startupMs = performance.now() - startedMs;
    ended.catch(() => {});
    return {
      startupMs,
      pid: child.pid,
      async stop() {
        child.kill("SIGTERM");
        await child.status;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kinesis.close();
    await (await this.#dynamoDB).close();
  }
}

interface StartedWorker {
  /** From the start of the process to its first GetRecords. */
  readonly startupMs: number;
  readonly pid: number;
  stop(): Promise<void>;
}

async function startupMs(stage: Stage, program: Program, processor?: string): Promise<number> {
  const worker = await stage.start(program, processor);
  await worker.stop();
  return worker.startupMs;
}

async function idleMb(stage: Stage, program: Program, idleMs: number): Promise<number> {
  const worker = await stage.start(program);
  try {
    await new Promise((resolve) => setTimeout(resolve, idleMs));
    const { stdout } = await new Deno.Command("ps", { args: ["-o", "rss=", "-p", `${worker.pid}`] })
      .output();
    return Number(new TextDecoder().decode(stdout)) * 1_024 / MB;
  } finally {
    await worker.stop();
  }
}

/** Starts, memory and size. */
export async function startup(options: BenchOptions): Promise<readonly Section[]> {
  const command = Deno.env.get("KINESIX_BINARY") ??
    new URL("../dist/kinesix", import.meta.url).pathname;
  const size = await Deno.stat(command).then(({ size }) => size, () => null);
  await using stage = new Stage();
  const source = sourceProgram();
  const binary = { command, args: [] };
  // The first start fills the caches of the code and makes the table.
  for (const program of size === null ? [source] : [source, binary]) {
    await startupMs(stage, program);
  }
  options.say(`${options.rounds} starts of each`);
  const fromSource = { source: () => startupMs(stage, source) };
  const times: { source: number[]; binary?: number[]; typescript?: number[] } = size === null
    ? await interleave(options.rounds, fromSource)
    : await interleave(options.rounds, {
      ...fromSource,
      binary: () => startupMs(stage, binary),
      typescript: () => startupMs(stage, binary, TYPESCRIPT),
    });
  const idleMs = IDLE_MS[options.scale];
  options.say(`memory after ${idleMs / 1_000} s at rest`);
  const rest = size === null ? [] : [await idleMb(stage, binary, idleMs)];
  const row = (name: string, values: readonly number[], unit: string, atMost?: number): Row => ({
    name,
    figures: { is: { unit, values, ...atMost !== undefined && { atMost } } },
  });
  return [{
    title: "startup: from its start to its first GetRecords, and what it takes",
    rows: [
      row("deno run", times.source, "ms"),
      row("executable", times.binary ?? [], "ms", STARTUP_MS_MAX),
      row("executable, TypeScript processor", times.typescript ?? [], "ms"),
      row(`executable, memory after ${idleMs / 1_000} s at rest`, rest, "MB", IDLE_MB_MAX),
      row("executable, size", size === null ? [] : [size / MB], "MB", BINARY_MB_MAX),
    ],
    ...size === null && {
      note: `There is no executable at ${command}: make it with "deno task compile".`,
    },
  }];
}
