/**
 * Owns: `kinesix demo`: the story of the demo, and what it says about it.
 * Must not: look into the workers; it sees what they report.
 * Called by: `commands/local_commands.ts`.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import { connectAws } from "../adapters/aws_calls.ts";
import type { AppEvent } from "../events.ts";
import { DemoLedger, type DemoSummary } from "./demo_ledger.ts";
import { demoText, eventTeller } from "./demo_text.ts";
import { type DemoWorker, startDemoWorker } from "./demo_worker.ts";
import { type LocalStack, startLocalStack } from "./local_stack.ts";
import { openProgress, type Progress, type ProgressBoard } from "./progress.ts";
import { RecordPutter } from "./record_putter.ts";
import { aborted, listenForStop } from "./stop_signals.ts";
import type { Terminal } from "./terminal.ts";
import type { Values } from "./values.ts";

const APP_NAME = "Demo";
const STREAM_NAME = "DemoStream";

/** As many as one request takes, so that putting is not what the demo waits for. */
const PARTITION_KEYS = 500;

/** The part of the records that is put before the new worker runs; more than half. */
const BEFORE_REPLACED = 0.75;

/** Without any progress for this long, what is missing is lost. */
const PATIENCE_MS = 20_000;
const LOOK_MS = 20;

/** Shows the whole of it; 1 if anything was lost or out of order. */
export async function demo(values: Values, terminal: Terminal): Promise<number> {
  const workers: DemoWorker[] = [];
  const killAll = () => workers.forEach((worker) => worker.kill());
  using signals = listenForStop(killAll);
  const isJson = values.isOn("json");
  await using stack = await startLocalStack({ kinesis: 0, dynamoDB: 0 });
  stack.createStream(STREAM_NAME, values.needNumber("shards"));
  const ending = new AbortController();
  let summary: DemoSummary | void;
  try {
    using board = await openProgress(terminal, { isHidden: isJson });
    const story = new DemoStory({
      stack,
      workers,
      board,
      onEvent: eventTeller(terminal, (line) => board.say(line)),
      records: values.needNumber("records"),
      signal: ending.signal,
    });
    const told = story.run(values.needNumber("workers"));
    summary = await Promise.race([told, story.failed, aborted(signals.signal)]);
  } finally {
    ending.abort();
    killAll();
    await Promise.allSettled(workers.map((worker) => worker.ended));
  }
  if (!summary) {
    terminal.say(`error: Cannot finish the demo: stopped by ${signals.signal.reason}`);
    return 1;
  }
  const text = isJson ? `${JSON.stringify(summary)}\n` : await demoText(summary, terminal);
  await terminal.write(text);
  return summary.processed === summary.put && summary.outOfOrder === 0 ? 0 : 1;
}

interface StoryOptions {
  readonly stack: LocalStack;
  /** Every worker is added to it as it starts, so that whoever owns the list can end them. */
  readonly workers: DemoWorker[];
  readonly board: ProgressBoard;
  readonly onEvent: (event: AppEvent) => void;
  readonly records: number;
  readonly signal: AbortSignal;
}

/** Some workers start, records come, one worker is stopped half-way, another one starts, everything is processed. */
class DemoStory {
  /** Rejects when a worker ends without being asked to. */
  readonly failed: Promise<never>;
  readonly #fail: (error: unknown) => void;
  readonly #options: StoryOptions;
  readonly #ledger = new DemoLedger();
  #nextWorker = 1;

  constructor(options: StoryOptions) {
    this.#options = options;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#fail = reject;
  }

  async run(workerCount: number): Promise<DemoSummary> {
    const startedMs = performance.now();
    const { records, workers } = this.#options;
    const [first] = Array.from({ length: workerCount }, () => this.#startWorker());
    await Promise.all(workers.map((worker) => worker.started));
    const replaced = Promise.withResolvers<void>();
    await Promise.all([this.#put(replaced.promise), this.#process(first, replaced.resolve)]);
    await Promise.all(workers.map((worker) => worker.stop()));
    const seconds = Math.round(performance.now() - startedMs) / 1_000;
    return this.#ledger.summarize(workers.map((worker) => worker.workerId), records, seconds);
  }

  #startWorker(): DemoWorker {
    const { stack, onEvent, workers } = this.#options;
    const worker = startDemoWorker({
      workerId: `worker-${this.#nextWorker++}`,
      stack,
      appName: APP_NAME,
      streamName: STREAM_NAME,
      onEvent,
      onRecord: (record) => this.#ledger.enter(record),
    });
    worker.ended.catch(this.#fail);
    workers.push(worker);
    return worker;
  }

  /** @param replaced The last records wait for the new worker, so that there is work for it in a small demo too. */
  async #put(replaced: Promise<void>): Promise<void> {
    const { stack, records, signal, board } = this.#options;
    const progress = board.add("put      ", records);
    const clients = connectAws({
      region: "us-east-1",
      credentials: { accessKeyId: "demo", secretAccessKey: "demo" },
      kinesisEndpoint: stack.kinesisEndpoint,
    });
    try {
      const putter = new RecordPutter({
        kinesis: await clients.kinesis(),
        streamName: STREAM_NAME,
        onProgress: (done) => progress.update(done),
        signal,
      });
      const encoder = new TextEncoder();
      for (let record = 0; record < records; record++) {
        if (record === Math.ceil(records * BEFORE_REPLACED)) {
          await putter.flush();
          await replaced;
        }
        const partitionKey = `key-${record % PARTITION_KEYS}`;
        const data = encoder.encode(`record ${Math.floor(record / PARTITION_KEYS)}`);
        await putter.add({ partitionKey, data });
      }
      await putter.flush();
    } finally {
      clients.close();
    }
  }

  async #process(first: DemoWorker | undefined, onReplaced: () => void): Promise<void> {
    const { records, board } = this.#options;
    const progress = board.add("processed", records);
    await this.#untilProcessed(Math.ceil(records / 2), progress);
    await first?.stop();
    await this.#startWorker().started;
    onReplaced();
    await this.#untilProcessed(records, progress);
  }

  /** Resolves when so many records are processed, or none was for so long that the rest must be lost. */
  async #untilProcessed(records: number, progress: Progress): Promise<void> {
    let known = -1;
    let changedMs = performance.now();
    while (this.#ledger.processed < records) {
      const { processed } = this.#ledger;
      progress.update(processed);
      if (processed !== known) {
        known = processed;
        changedMs = performance.now();
      }
      if (performance.now() - changedMs > PATIENCE_MS) return;
      await delay(LOOK_MS, { signal: this.#options.signal });
    }
    progress.update(this.#ledger.processed);
  }
}
