/**
 * Owns: windows in the simulator: a processor that keeps which records it saw, and the promise that each record is in one window.
 * Must not: know how the code under test keeps it.
 * Called by: `sim_process.ts`, `simulation.ts`, `convergence.ts`.
 *
 * @module
 */

import { isEnded, type ShardRow } from "../../src/core/lease.ts";
import { hasBegun } from "../../src/core/shard_state.ts";
import type { AppFact } from "../../src/events.ts";
import type {
  ProcessorSource,
  RecordProcessor,
  RecordProcessorFactory,
  StatefulProcessor,
} from "../../src/processor.ts";
import { type ClosedWindow, tumblingWindows } from "../../src/windows/tumbling_windows.ts";
import type { Checker, Delivery, Outcome, Truth } from "./checker.ts";
import type { Scenario } from "./scenario.ts";
import type { SimProcess } from "./sim_process.ts";
import { hashOf, type SimStream } from "./sim_stream.ts";
import { Prng } from "./world.ts";

/** What a window keeps: the names of its records. */
export type Names = readonly string[];

/** A window that a process closed. */
export interface WindowClosed {
  readonly shardId: string;
  readonly term: number;
  readonly window: Pick<ClosedWindow<Names>, "id" | "state" | "isLate">;
}

/** What such a processor works with. */
export interface SimWindowsOptions {
  readonly size: number;
  readonly stream: SimStream;
  /** What a `close` does: takes its time, fails. */
  readonly work: () => Promise<void>;
  readonly onWindow: (closed: WindowClosed) => void;
}

/** In how many of the seeds that can have them there are windows. */
const WINDOWED = 0.25;

/** Draws whether there are windows: a chance of its own. */
export function drawWindows(scenario: Scenario): Scenario {
  const { seed, config, processor } = scenario;
  const random = new Prng(seed ^ 0x3c6ef372);
  const isAlone = (config.concurrency ?? 1) === 1 && config.checkpointMode !== "manual";
  const canBe = isAlone && processor.kind !== "batch" && processor.pulled === "none" &&
    !processor.sinks;
  const windows = canBe && random.chance(WINDOWED) ? random.whole(1_000, 60_000) : 0;
  return { ...scenario, processor: { ...processor, windows } };
}

/** A processor beside which windows are kept, made for one shard. */
export function windowed(
  makeProcessor: () => RecordProcessor,
  options: SimWindowsOptions,
): ProcessorSource {
  const { size, stream, work, onWindow } = options;
  const factory: RecordProcessorFactory = tumblingWindows<Names>({
    size,
    initial: () => [],
    add: (state, { sequenceNumber, subSequenceNumber }) => [
      ...state,
      `${sequenceNumber}:${subSequenceNumber}`,
    ],
    async close(window, { shardId, term }) {
      await work();
      onWindow({ shardId, term, window });
    },
    split: (state, { shardId }) => state.filter((name) => isIn(stream, shardId, name)),
    merge: (a, b) => [...a, ...b],
    getErrorHandlingMode: (record, error, context) =>
      makeProcessor().getErrorHandlingMode?.(record, error, context) ??
        { kind: "retryAndSkip", retries: 2 },
  });
  return Object.assign(async (shardId: string) => {
    const windows = await factory(shardId) as StatefulProcessor;
    const processor = makeProcessor();
    const both: StatefulProcessor = {
      ...processor,
      keepsState: true,
      begin: (beginning) => windows.begin(beginning),
      snapshot: () => windows.snapshot(),
      finishedRead: (read, context) => windows.finishedRead(read, context),
      getErrorHandlingMode: (...args) =>
        windows.getErrorHandlingMode?.(...args) ?? { kind: "retryAndStop", retries: 9 },
      async process(record, context) {
        await windows.process?.(record, context);
        await processor.process?.(record, context);
      },
    };
    return both;
  }, { keepsState: true });
}

function isIn(stream: SimStream, shardId: string, name: string): boolean {
  const [sequenceNumber = "", sub] = name.split(":");
  const record = stream.record(sequenceNumber, sub === "undefined" ? undefined : Number(sub));
  const shard = stream.shard(shardId);
  if (record === undefined || shard === undefined) return false;
  const hash = hashOf(record.partitionKey);
  return shard.start <= hash && hash < shard.end;
}

/** What is open in a state. */
export function openIn(row: ShardRow): readonly { readonly state?: Names }[] {
  return row.state === null ? [] : JSON.parse(row.state).open;
}

/**
 * What was closed, each window once, together with what is still open: every record that was finished is in one window, and none is in
 * two.
 */
export class WindowsAddUp implements Checker {
  readonly #truth: Truth;
  readonly #closed = new Map<string, WindowClosed>();
  readonly #finished = new Set<string>();
  readonly #skipped = new Set<string>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onWindow(_process: SimProcess, closed: WindowClosed): void {
    const { id } = closed.window;
    const before = this.#closed.get(id);
    if (closed.window.isLate) this.#truth.coverage.count("late window");
    if (before !== undefined) this.#truth.coverage.count("window closed again");
    // A sink that fences: by generation of the shard, then by term.
    const isOlder = before !== undefined &&
      (closed.shardId < before.shardId ||
        closed.shardId === before.shardId && closed.term < before.term);
    if (!isOlder) this.#closed.set(id, closed);
  }

  onFact(_process: SimProcess, fact: AppFact): void {
    if (fact.type !== "record_skipped") return;
    this.#skipped.add(`${fact.sequenceNumber}:${fact.subSequenceNumber}`);
  }

  onReturn({ records, failed }: Delivery, outcome: Outcome): void {
    if (outcome !== "finished") return;
    for (const record of records) {
      if (!failed.has(record)) {
        this.#finished.add(`${record.sequenceNumber}:${record.subSequenceNumber}`);
      }
    }
  }

  onCalmOver(): void {
    this.#check();
  }

  onEnd(): void {
    this.#check();
  }

  #check(): void {
    const { world, scenario, coverage } = this.#truth;
    if (scenario.processor.windows === 0 || world.failure !== undefined) return;
    const seen = new Map<string, string>();
    for (const [where, names] of this.#windows()) {
      for (const name of names) {
        const other = seen.get(name);
        if (other !== undefined) {
          return world.fail("windows", `record ${name} is in ${other} and in ${where}`);
        }
        seen.set(name, where);
      }
    }
    // What was trimmed before it was finished for good may be nowhere.
    if ((coverage.counts.get("unread record trimmed") ?? 0) > 0) return;
    for (const name of this.#finished) {
      if (seen.has(name) || this.#skipped.has(name)) continue;
      return world.fail("windows", `record ${name} is finished, and in no window`);
    }
  }

  *#windows(): Generator<readonly [string, Names]> {
    for (const [id, { window }] of this.#closed) yield [id, window.state];
    const rows = this.#truth.table.shards();
    for (const row of rows) {
      const children = rows.filter(({ parents }) => parents.includes(row.id));
      const heirs = children.filter((child) => !hasBegun(child));
      if (isEnded(row) && children.length > 0 && heirs.length === 0) continue;
      for (const { state = [] } of openIn(row)) {
        const isLeft = (name: string): boolean =>
          !isEnded(row) || heirs.length === 0 ||
          heirs.some(({ id }) => isIn(this.#truth.stream, id, name));
        yield [`an open window of ${row.id}`, state.filter(isLeft)];
      }
    }
  }
}
