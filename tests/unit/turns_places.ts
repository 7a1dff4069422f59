// Owns: where a processor may be: behind loops that ask for records, or in threads that die.
// Must not: process anything, or assert.
// Called by: turns_testing.ts.
import type { Clock } from "../../src/ports.ts";
import type {
  KinesisRecord,
  ProcessContext,
  ProcessorSource,
  RecordProcessor,
} from "../../src/processor.ts";
import {
  batchPuller,
  type PullDeps,
  type ReaderHooks,
  recordPuller,
} from "../../src/pull/pull_processor.ts";
import { Puller } from "../../src/pull/puller.ts";
import { startProcessorThreads } from "../../src/sandbox/processor_threads.ts";
import type { ProcessorThreads } from "../../src/sandbox/processor_threads.ts";
import type { FromThread, ToThread } from "../../src/sandbox/protocol.ts";
import type { ThreadListener } from "../../src/sandbox/thread_port.ts";
import { ThreadSide } from "../../src/sandbox/thread_side.ts";

/** Processes records, and says which failed. */
export type Process = (
  records: readonly KinesisRecord[],
  context: ProcessContext,
) => Promise<{ failed: KinesisRecord[] }>;

/** Where a processor is that may die. */
export interface Thread {
  isDead: boolean;
  /** How many calls are under way in it. */
  calls: number;
  /** Is told of its death; undefined if it cannot die. */
  readonly listener?: ThreadListener;
}

/** Lets so many moments pass: promises that are settled follow each other without time passing. */
export async function pass(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}

interface LoopsOptions {
  readonly clock: Clock;
  readonly processTimeout: number;
  readonly hooks: ReaderHooks;
  readonly process: Process;
  readonly count: number;
}

interface Loops {
  readonly source: ProcessorSource;
  readonly done: Promise<void>;
  readonly end: () => void;
}

/** Loops over records. */
export function recordLoops(options: LoopsOptions): Loops {
  const puller = pullerOf(options, recordPuller);
  return loopsOf(options, puller, async () => {
    for await (const { record, context, ack, nack } of puller.loop(stay)) {
      await options.process([record], context).then(() => ack(), nack);
    }
  });
}

/** Loops over batches. */
export function batchLoops(options: LoopsOptions): Loops {
  const puller = pullerOf(options, batchPuller);
  return loopsOf(options, puller, async () => {
    for await (const { records, context, ack, nack } of puller.loop(stay)) {
      await options.process(records, context).then((result) => ack(result), nack);
    }
  });
}

const stay = (): Promise<void> => Promise.resolve();

function pullerOf<T>(
  { clock, processTimeout, hooks }: LoopsOptions,
  makeProcessor: (deps: PullDeps<T>) => RecordProcessor,
): Puller<T> {
  return new Puller<T>({ clock, processTimeout, hooks, ack: "manual", makeProcessor });
}

function loopsOf<T>(
  { count }: LoopsOptions,
  puller: Puller<T>,
  run: () => Promise<void>,
): Loops {
  const done = Promise.all(Array.from({ length: count }, run)).then(() => {});
  // A factory of its own for each change.
  return { source: (shardId) => puller.processorOf(shardId), done, end: () => puller.end() };
}

/** Threads in this one; what goes over is copied. */
export async function mortalThreads(options: {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly count: number;
  readonly lanes: number;
  readonly processTimeout: number;
  readonly checkpointMode: "auto" | "manual";
  readonly sourceOf: (thread: Thread) => ProcessorSource;
  readonly onStray: (what: string) => void;
}): Promise<ProcessorThreads> {
  const { clock, signal, count, lanes, processTimeout, checkpointMode, sourceOf, onStray } =
    options;
  return await startProcessorThreads({
    ...{ clock, signal, count, lanes, loadTimeoutMs: 60_000 },
    settings: { processTimeout, checkpointMode, isSandboxed: false },
    prepare: () => pass(2),
    open: (settings, listener) => {
      const thread: Thread = { isDead: false, calls: 0, listener };
      // Messages take a moment each way, and none of them overtakes another.
      const later = (work: () => void): void => queueMicrotask(() => thread.isDead || work());
      let side: ThreadSide | undefined;
      const post = (message: FromThread): void => {
        const copy = structuredClone(message);
        later(() => listener.receive(copy));
      };
      later(() => side = new ThreadSide({ settings, clock, source: sourceOf(thread), post }));
      return {
        post(message) {
          const { work, ...rest } = message.kind === "call"
            ? message
            : { work: undefined, ...message };
          const copy = structuredClone(rest);
          // Memory that is shared cannot be copied here.
          later(() => side?.receive((work === undefined ? copy : { ...copy, work }) as ToThread));
        },
        stopRun: () => {},
        look: () => undefined,
        end: () => void (thread.isDead = true),
        endsLoops: true,
        gone: Promise.resolve(),
      };
    },
    onStray: (error) => {
      if (!String(error).includes("it died")) onStray(`stray ${error}`);
    },
    onLeftBehind: () => onStray("left behind"),
  });
}
