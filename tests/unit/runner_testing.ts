// Owns: a shard in hand with a runner of its records, and batches of records with numbers for names.
// Must not: assert what the runner does.
// Called by: the tests of the record runner and of its lanes.
import { assert } from "@std/assert";
import { type Checkpoint, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import type { ShardRow } from "../../src/core/lease.ts";
import type { Batch } from "../../src/ports.ts";
import type { KinesisRecord, ProcessorSource, RecordProcessor } from "../../src/processor.ts";
import { Lease } from "../../src/runtime/lease_keeper.ts";
import { takeShard } from "../../src/runtime/take_shard.ts";
import { Processors } from "../../src/runtime/processors.ts";
import { RecordRunner, type RecordRunnerDeps } from "../../src/runtime/record_runner.ts";
import { settled, type VirtualClock } from "../virtual_clock.ts";
import { Scope } from "../../src/runtime/tasks.ts";
import { Bench, recordDeps } from "./runtime_testing.ts";

/** What a test of the runner holds in its hands. */
export interface Running {
  readonly bench: Bench;
  readonly lease: Lease;
  readonly runner: RecordRunner;
  readonly drain: AbortController;
  readonly processors: Processors;
}

/** A shard in hand, and a runner of its records. */
export async function running(
  source: ProcessorSource,
  options: Partial<RecordRunnerDeps> & Partial<Pick<ShardRow, "checkpoint" | "hashKeyRange">> = {},
): Promise<Running> {
  const bench = new Bench();
  const { checkpoint = TRIM_HORIZON, hashKeyRange = null, ...changes } = options;
  const row = await bench.addShard("s", { checkpoint, hashKeyRange });
  const lease = await takeShard(row, bench.deps({ checkpointFrequency: 0 }), bench.signal);
  assert(lease instanceof Lease);
  const drain = new AbortController();
  const deps = { ...recordDeps(bench), ...changes };
  const processors = new Processors(source, deps);
  const runner = new RecordRunner(deps, lease, processors.open("s"), drain.signal);
  return { bench, lease, runner, drain, processors };
}

/** A processor that fails at some records for ever, and writes down what happens. */
export function failing(
  log: string[],
  broken: readonly number[],
  more: RecordProcessor = {},
): RecordProcessor {
  return {
    process(record, context) {
      log.push(`${record.text()}#${context.attempt}`);
      if (broken.includes(Number(record.text()))) throw new TypeError(`broken ${record.text()}`);
    },
    onMaxRetryExceeded(record, mode, error) {
      log.push(`gave up ${record.text()} ${mode.kind} ${(error as Error).message}`);
    },
    ...more,
  };
}

/** The records from `first` to `last`, each with its number as its text; the key is the number too, unless said otherwise. */
export function batch(
  first: number,
  last: number,
  keyOf: (number: number) => string = (number) => `key ${number}`,
): Batch {
  const records = Array.from({ length: last - first + 1 }, (_, i) => ({
    sequenceNumber: String(first + i),
    partitionKey: keyOf(first + i),
    data: new TextEncoder().encode(String(first + i)),
    approximateArrivalTimestamp: 1_000,
  }));
  return { records, millisBehindLatest: 42 };
}

/** The position after a record. */
export function at(sequence: number): Checkpoint {
  return { kind: "sequence", sequenceNumber: String(sequence) };
}

/** The longest time, in milliseconds, for which something else that is due waits for its turn until the work is done. */
export async function longestWait(clock: VirtualClock, work: Promise<unknown>): Promise<number> {
  using until = new Scope();
  let longest = 0;
  const other = async (): Promise<void> => {
    while (!until.signal.aborted) {
      const since = clock.monotonic();
      await clock.sleep(0, until.signal).catch(() => {});
      longest = Math.max(longest, clock.monotonic() - since);
    }
  };
  const others = other();
  await clock.until(work);
  until.abort();
  await others;
  return longest;
}

/** Records that wait until a test lets them go, and which of them are in hand. */
export class Gates {
  /** The texts of the records that were started. */
  readonly started: string[] = [];
  readonly inHand: Map<string, PromiseWithResolvers<void>> = new Map();
  /** The most that were in hand at the same time. */
  most: number = 0;

  readonly process = async (record: KinesisRecord): Promise<void> => {
    const gate = Promise.withResolvers<void>();
    this.started.push(record.text());
    this.inHand.set(record.text(), gate);
    this.most = Math.max(this.most, this.inHand.size);
    await gate.promise;
    this.inHand.delete(record.text());
  };

  async open(...names: readonly (number | string)[]): Promise<void> {
    for (const name of names) this.inHand.get(String(name))?.resolve();
    await settled();
  }

  async openAll(): Promise<void> {
    while (this.inHand.size > 0) await this.open(...this.inHand.keys());
  }
}
