/**
 * Owns: what it costs to have a worker: the time until the executable reads records, next to `deno run`; its memory at rest;
 * its size.
 * Called by: `deno task bench:startup`. The executable is `KINESIX_BINARY`, else `dist/kinesix`. `--runs 10` is how many starts
 * the median is of; with `--check` the exit code is 1 when a bound is broken.
 */

import { parseArgs } from "@std/cli/parse-args";
import { startLocalDynamoDB } from "../src/local/dynamodb_server.ts";
import { serveLocalKinesis } from "../src/local/kinesis_server.ts";
import { type Program, sourceProgram } from "../tests/cli/cli_testing.ts";

const STARTUP_MS_MAX = 400;
const IDLE_MB_MAX = 120;
const BINARY_MB_MAX = 110;

const IDLE_MS = 30_000;
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

async function medianStartupMs(
  stage: Stage,
  program: Program,
  { runs, processor }: { readonly runs: number; readonly processor: string | undefined },
): Promise<number> {
  // The first start fills the caches of the code and makes the table.
  const times: number[] = [];
  for (let run = 0; run <= runs; run++) {
    const worker = await stage.start(program, processor);
    await worker.stop();
    if (run > 0) times.push(worker.startupMs);
  }
  times.sort((a, b) => a - b);
  const [low = NaN, high = NaN] = [times[(runs - 1) >> 1], times[runs >> 1]];
  return (low + high) / 2;
}

async function idleMb(stage: Stage, program: Program): Promise<number> {
  const worker = await stage.start(program);
  try {
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
    const { stdout } = await new Deno.Command("ps", { args: ["-o", "rss=", "-p", `${worker.pid}`] })
      .output();
    return Number(new TextDecoder().decode(stdout)) * 1_024 / MB;
  } finally {
    await worker.stop();
  }
}

async function say(line: string): Promise<void> {
  await Deno.stdout.write(new TextEncoder().encode(`${line}\n`));
}

async function main(): Promise<number> {
  const { runs: given = 10, check } = parseArgs(Deno.args, { boolean: ["check"] });
  const runs = Number(given);
  const binary: Program = {
    command: Deno.env.get("KINESIX_BINARY") ?? new URL("../dist/kinesix", import.meta.url).pathname,
    args: [],
  };
  const { size } = await Deno.stat(binary.command);
  await using stage = new Stage();
  const startup = (program: Program, processor?: string) =>
    medianStartupMs(stage, program, { runs, processor });
  await say(`start to first GetRecords, median of ${runs}:`);
  await say(
    `  deno run                          ${(await startup(sourceProgram())).toFixed(0)} ms`,
  );
  await say(
    `  executable, TypeScript processor  ${(await startup(binary, TYPESCRIPT)).toFixed(0)} ms`,
  );
  const bounds = [
    ["  executable                       ", await startup(binary), STARTUP_MS_MAX, "ms"],
    ["memory at rest, one shard, 30 s    ", await idleMb(stage, binary), IDLE_MB_MAX, "MB"],
    ["size of the executable             ", size / MB, BINARY_MB_MAX, "MB"],
  ] as const;
  for (const [what, value, max, unit] of bounds) {
    const verdict = value <= max ? "" : " BROKEN";
    await say(`${what} ${value.toFixed(0)} ${unit} (at most ${max})${verdict}`);
  }
  return check === true && bounds.some(([, value, max]) => !(value <= max)) ? 1 : 0;
}

if (import.meta.main) Deno.exit(await main());
