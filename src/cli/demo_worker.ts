/**
 * Owns: a worker of the demo: a process of its own, started and stopped as an operator would, and what it reports.
 * Must not: share anything with the worker but its output and its signals.
 * Called by: `demo.ts`.
 *
 * @module
 */

import { SETTINGS } from "../core/config.ts";
import type { AppEvent } from "../events.ts";
import type { ProcessedRecord } from "./demo_ledger.ts";
import type { LocalStack } from "./local_stack.ts";
import { ownProgram } from "./own_program.ts";
import { linesOf } from "./terminal.ts";
import { environmentName } from "./values.ts";

/** What a worker of the demo is started with. */
export interface DemoWorkerOptions {
  readonly workerId: string;
  readonly stack: LocalStack;
  readonly appName: string;
  readonly streamName: string;
  readonly onRecord: (record: ProcessedRecord) => void;
  readonly onEvent: (event: AppEvent) => void;
}

/** A worker process. */
export interface DemoWorker {
  readonly workerId: string;
  /** Resolves when it takes shards. */
  readonly started: Promise<void>;
  /**
   * Resolves when it has ended as it was asked to and everything that it reported was read; rejects if it failed or
   * ended by itself.
   */
  readonly ended: Promise<void>;
  /** Asks for a clean stop and waits for it. */
  stop(): Promise<void>;
  /** Ends it at once. */
  kill(): void;
}

/** Settings at which a cluster finds its balance in seconds instead of minutes. */
const DEMO_SETTINGS = {
  "heartbeat": "1s",
  "heartbeat-timeout": "5s",
  "empty-receive-delay": "200ms",
  "check-stream-changes-frequency": "2s",
  "check-unprocessed-shards-frequency": "1s",
  "load-balance-frequency": "1s",
  "handover-request-expiry": "8s",
  "check-pending-handover-request-frequency": "1s",
  "max-batch-size": "500",
};

const REPORT = "processed ";

/** It prints a line for each record, which is on stderr, away from the events. */
const PROCESSOR = `export default {
  process(record, { term }) {
    const { shardId, partitionKey } = record;
    const index = Number(record.text().split(" ")[1]);
    console.log("${REPORT}" + JSON.stringify({ shardId, term, partitionKey, index }));
  },
};`;

/** What a worker may do. The names are those that the AWS SDK reads, which fails when it may not. */
const PERMISSIONS = [
  "--allow-net=127.0.0.1",
  "--allow-env=AWS_*,KINESIX_*,_X_AMZN_TRACE_ID,HOME,USERPROFILE,HOMEPATH,HOMEDRIVE",
  "--allow-sys=osRelease",
];

const LAST_WORDS_MAX = 20;

/** Starts a worker process. */
export function startDemoWorker(options: DemoWorkerOptions): DemoWorker {
  const { command, args } = ownProgram({ purpose: "the workers of the demo", flags: PERMISSIONS });
  const child = new Deno.Command(command, {
    args: [...args, ...runArguments(options)],
    env: quietEnvironment(),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let isAsked = false;
  const ask = (name: Deno.Signal): void => {
    isAsked = true;
    signal(child, name);
  };
  const { promise: started, resolve: onStarted } = Promise.withResolvers<void>();
  const onEvent = (event: AppEvent): void => {
    if (event.type === "worker_started") onStarted();
    options.onEvent(event);
  };
  const ended = follow(child, { ...options, onEvent }).then(({ code, lastWords }) => {
    if (isAsked && code === 0) return;
    const words = lastWords.length === 0 ? "" : `: ${lastWords.join("\n")}`;
    throw new Error(
      `Cannot go on with the demo: ${options.workerId} ended with exit code ${code}${words}`,
    );
  });
  return {
    workerId: options.workerId,
    started,
    ended,
    async stop() {
      // Before it runs, it could not know yet what to do with a signal.
      await Promise.race([started, ended]);
      ask("SIGTERM");
      await ended;
    },
    kill: () => ask("SIGKILL"),
  };
}

function runArguments(options: DemoWorkerOptions): readonly string[] {
  const { kinesisEndpoint, dynamoDBEndpoint } = options.stack;
  const flags = {
    "app": options.appName,
    "stream": options.streamName,
    "worker-id": options.workerId,
    "processor": `data:text/javascript,${encodeURIComponent(PROCESSOR)}`,
    "kinesis-endpoint": kinesisEndpoint,
    "dynamodb-endpoint": dynamoDBEndpoint,
    "log": "json",
    ...DEMO_SETTINGS,
  };
  return ["run", ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)];
}

/** What this process has in its environment for real work must not change a demo. */
function quietEnvironment(): Record<string, string> {
  const aws = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"];
  const own = SETTINGS.map((setting) => environmentName(setting.flag));
  return Object.fromEntries(
    [...aws, ...own, environmentName("config"), environmentName("region")].map((
      name,
    ) => [name, ""]),
  );
}

function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch (error) {
    // It ended by itself in the meantime.
    if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Reads all that a worker says until it has ended. */
async function follow(
  child: Deno.ChildProcess,
  options: DemoWorkerOptions,
): Promise<{ readonly code: number; readonly lastWords: readonly string[] }> {
  const { workerId } = options;
  const lastWords: string[] = [];
  await Promise.all([
    readLines(child.stdout, (line) => options.onEvent(JSON.parse(line))),
    readLines(child.stderr, (line) => {
      if (line.startsWith(REPORT)) {
        options.onRecord({ ...JSON.parse(line.slice(REPORT.length)), workerId });
      } else {
        lastWords.push(line);
        lastWords.splice(0, lastWords.length - LAST_WORDS_MAX);
      }
    }),
  ]);
  const { code } = await child.status;
  return { code, lastWords };
}

async function readLines(
  stream: ReadableStream<Uint8Array>,
  onLine: (line: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const lines of linesOf(stream)) lines.forEach((line) => onLine(decoder.decode(line)));
}
