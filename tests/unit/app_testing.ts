// Owns: whole workers in one process, on one table and one stream in memory, at a clock that tests move.
// Must not: assert anything.
// Called by: app_test.ts, original_defects_test.ts and their neighbours.
import { MemoryStream } from "../../src/adapters/memory.ts";
import { type AppOptions, ReactoKinesixApp } from "../../src/app.ts";
import type { ReactoKinesixConfig } from "../../src/core/config.ts";
import type { AppEvent, AppEventOf, AppEventType } from "../../src/events.ts";
import type { KinesisRecord, ProcessorSource, RecordProcessor } from "../../src/processor.ts";
import { SeededRandom, settled, VirtualClock } from "../virtual_clock.ts";
import { FaultyStore } from "./runtime_testing.ts";

type Changed =
  | "heartbeat"
  | "heartbeatTimeout"
  | "checkUnprocessedShardsFrequency"
  | "checkPendingHandoverRequestFrequency"
  | "checkStreamChangesFrequency"
  | "loadBalanceFrequency"
  | "handoverRequestExpiry"
  | "checkpointFrequency"
  | "shutdownTimeout";

/** Short, but in the proportions of the defaults. */
export const CONFIG: Required<Pick<ReactoKinesixConfig, Changed>> = {
  heartbeat: 1_000,
  heartbeatTimeout: 5_000,
  checkUnprocessedShardsFrequency: 10_000,
  checkPendingHandoverRequestFrequency: 10_000,
  checkStreamChangesFrequency: 10_000,
  loadBalanceFrequency: 10_000,
  handoverRequestExpiry: 30_000,
  checkpointFrequency: 0,
  shutdownTimeout: 10_000,
};

/** A worker, and every event of it. */
export interface Member {
  readonly app: ReactoKinesixApp;
  readonly events: readonly AppEvent[];
  told<T extends AppEventType>(type: T): readonly AppEventOf<T>[];
}

/** A stream, a state table, and the workers that share them. */
export class Cluster implements AsyncDisposable {
  readonly clock: VirtualClock = new VirtualClock();
  readonly store: FaultyStore = new FaultyStore();
  readonly stream: MemoryStream;
  readonly #members: Member[] = [];
  #seeds = 0;

  constructor(shards: number) {
    this.stream = new MemoryStream({ shards, clock: this.clock });
  }

  options(
    workerId: string,
    processor: ProcessorSource,
    more: Partial<AppOptions> = {},
  ): AppOptions {
    const random = new SeededRandom(this.#seeds += 1);
    const { store, stream: source, clock } = this;
    return {
      appName: "Test",
      streamName: "orders",
      workerId,
      processor,
      ...more,
      config: { ...CONFIG, ...more.config },
      ports: { store, source, clock, random, ...more.ports },
    };
  }

  /** Starts a worker. */
  async start(
    workerId: string,
    processor: ProcessorSource,
    config: ReactoKinesixConfig = {},
  ): Promise<Member> {
    const events: AppEvent[] = [];
    const options = this.options(workerId, processor, {
      config,
      onEvent: (event) => void events.push(event),
    });
    const app = await this.clock.until(ReactoKinesixApp.createNew(options));
    app.finished.catch(() => {}); // The tests that care look themselves.
    const told = <T extends AppEventType>(type: T) =>
      events.filter((event): event is AppEventOf<T> => event.type === type);
    const member = { app, events, told };
    this.#members.push(member);
    await settled();
    return member;
  }

  /** Puts so many records, spread over the shards by their keys `key-0` to `key-9`; each is its number. */
  put(records: number, from = 0): void {
    for (let n = from; n < from + records; n++) this.stream.put(`key-${n % 10}`, String(n));
  }

  /** Stops every worker. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { app } of this.#members) await this.clock.until(app.stop());
  }
}

/** Which worker got which record of which shard, in the order in which they came. */
export class Journal {
  readonly lines: { readonly worker: string; readonly shard: string; readonly text: string }[] = [];

  /** A processor that writes down what it gets, and then does what a test wants. */
  of(
    worker: string,
    then: (record: KinesisRecord) => void | Promise<void> = () => {},
  ): RecordProcessor {
    return {
      process: (record) => {
        this.lines.push({ worker, shard: record.shardId, text: record.text() });
        return then(record);
      },
    };
  }

  /** The records of a worker, or of all. */
  texts(worker?: string): readonly string[] {
    return this.lines.filter((line) => worker === undefined || line.worker === worker)
      .map(({ text }) => text);
  }

  /** The numbers of all records, each as often as it came. */
  numbers(): readonly number[] {
    return this.texts().map(Number).sort((a, b) => a - b);
  }
}

export function upTo(records: number): readonly number[] {
  return Array.from({ length: records }, (_, i) => i);
}
