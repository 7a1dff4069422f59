/**
 * Owns: a user's processor under crashes, stops, splits, merges and faults that a seed draws.
 * Must not: check more than what every processor may rely on; the rest is for the user's own check.
 * Called by: users, as `@reacto/kinesix/testing`.
 *
 * @module
 */

import { type ReactoKinesixConfig, resolveConfig } from "../core/config.ts";
import { messageOf, SourceError, StoreError } from "../errors.ts";
import type { ProcessorSource } from "../processor.ts";
import type { Fault, FaultRule } from "./faulty_ports.ts";
import type { Payload } from "./records.ts";
import { RecordBook } from "./record_book.ts";
import { TestKit } from "./test_kit.ts";
import { SeededRandom, type VirtualClock } from "./virtual_clock.ts";

/** A seed that is about to be simulated. */
export interface SimulatedSeed {
  /** The seed. */
  readonly seed: number;
  /** The clock of all workers: a processor that waits should wait here. */
  readonly clock: VirtualClock;
}

/** What {@linkcode simulate} takes. */
export interface SimulateOptions {
  /**
   * The processor, for all seeds and workers, or a factory. What it keeps outlives crashes, as a database does; what a factory makes
   * does not.
   */
  readonly processor: ProcessorSource;
  /** How many seeds, from 1 on; or which ones. One at least, or it would pass whatever the processor does. */
  readonly seeds: number | readonly number[];
  /** The settings. */
  readonly config?: ReactoKinesixConfig;
  /**
   * How many records each seed puts; 1 to 100,000.
   *
   * @default {100}
   */
  readonly records?: number;
  /**
   * Makes a record by its number, from 0.
   *
   * @default {ten partition keys, and the number as JSON}
   */
  readonly record?: (number: number) => { readonly partitionKey: string; readonly data: Payload };
  /** Is called before each seed: empties what the processor writes to. */
  readonly setUp?: (seed: SimulatedSeed) => void | Promise<void>;
  /** Is called after each seed, when every record is finished: throws if what the processor wrote is not right. */
  readonly check?: (kit: TestKit) => void | Promise<void>;
}

/** A seed showed that something is not as it should be. */
export class SimulationError extends Error {
  /** The name of the class. */
  override readonly name = "SimulationError";
  /** The seed, which shows the same again. */
  readonly seed: number;
  /**
   * Makes the error.
   *
   * @param seed The seed.
   * @param cause What is wrong.
   */
  constructor(seed: number, cause: unknown) {
    super(`Seed ${seed}: ${messageOf(cause)}; simulate({ ..., seeds: [${seed}] }) shows it again`, {
      cause,
    });
    this.seed = seed;
  }
}

const RECORDS_MAX = 100_000;
const SHARDS_MAX = 8;
const WORKERS_MAX = 4;
/** How many times something happens in a seed, or nothing but time passes. */
const STEPS = 60;
/** Of each step. */
const CHANCES = { crash: 0.06, stop: 0.06, join: 0.1, split: 0.04, merge: 0.04 };
/** Of each record that is delivered, and of each call to the state table. */
const CRASH_IN_HAND = 0.003;
/** Of each call, in those half of the seeds that have faults of a kind at all. */
const FAULT_MAX = 0.05;
const SLOW_MAX_MS = 2_000;

/**
 * Runs a processor on a cluster in one process, where workers crash, stop and join, shards are split and merged, and calls to AWS
 * fail, as each seed draws it; then lets the faults end, and checks that each record was finished at least once (processed, or given
 * up as the processor says), and that each was delivered after all earlier ones of its partition key. The same seed does the same
 * again if the processor does.
 *
 * A crashed worker's code that waits for something goes on when that comes, as that of a worker does which does not know yet that it
 * lost its shard.
 *
 * @throws {SimulationError} At the first seed that fails.
 * @throws {RangeError} If an option is not acceptable; it is named.
 *
 * @example
 * ```ts
 * import { simulate } from "@reacto/kinesix/testing";
 *
 * const totals = new Map<string, number>();
 * await simulate({
 *   seeds: 5,
 *   setUp: () => totals.clear(),
 *   processor: { process: (record) => void totals.set(record.sequenceNumber, record.json<number>()) },
 *   check() {
 *     if (totals.size !== 100) throw new Error("each record counts once, however often it comes");
 *   },
 * });
 * ```
 */
export async function simulate(options: SimulateOptions): Promise<void> {
  const { seeds, records = 100 } = options;
  if (!Number.isInteger(records) || records < 1 || records > RECORDS_MAX) {
    throw new RangeError(
      `Cannot put ${records} records: it must be a whole number from 1 to ${RECORDS_MAX}`,
    );
  }
  if (typeof seeds === "number" ? !Number.isInteger(seeds) || seeds < 1 : seeds.length === 0) {
    throw new RangeError(
      `Cannot simulate ${
        typeof seeds === "number" ? seeds : "no"
      } seeds: it must be a whole number from 1 on, or a list of seeds with one at least`,
    );
  }
  const all = typeof seeds === "number" ? Array.from({ length: seeds }, (_, i) => i + 1) : seeds;
  for (const seed of all) {
    try {
      await new Simulation(seed, options).run();
    } catch (error) {
      throw new SimulationError(seed, error);
    }
  }
}

/** What one seed stands for. */
class Simulation {
  readonly #options: SimulateOptions;
  readonly #random: SeededRandom;
  readonly #book: RecordBook;
  readonly #kit: TestKit;
  readonly #heartbeat: number;
  readonly #seed: number;
  #put = 0;
  /** Whether nothing goes wrong any more. */
  #isCalm = false;

  constructor(seed: number, options: SimulateOptions) {
    const { processor, config } = options;
    const { heartbeat, concurrency, orderBy } = resolveConfig(config);
    this.#options = options;
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#heartbeat = heartbeat;
    this.#book = new RecordBook({ isOrdered: concurrency === 1 || orderBy !== "none" });
    this.#kit = new TestKit({
      processor,
      ...config !== undefined && { config },
      shards: this.#random.whole(1, 4),
      seed,
      faults: this.#drawFaults(),
      observer: {
        onDelivered: (records, workerId) => {
          this.#book.delivered(records);
          if (this.#random.chance(CRASH_IN_HAND)) this.#crash(workerId);
        },
        onProcessed: (records) => this.#book.finished(records),
        onSkipped: ({ record }) => this.#book.finished([record]),
      },
    });
  }

  async run(): Promise<void> {
    const { setUp, check, records = 100 } = this.#options;
    const kit = this.#kit;
    await setUp?.({ seed: this.#seed, clock: kit.clock });
    const workers = this.#random.whole(1, WORKERS_MAX);
    for (let n = 0; n < workers; n++) await this.#join();
    for (let step = 1; step <= STEPS; step++) {
      for (const end = records * step / STEPS; this.#put < end;) this.#putNext();
      await this.#happen();
      await kit.advance(this.#random.pick([0, 10, 1_000, this.#heartbeat / 2, this.#heartbeat]));
      this.#book.check();
    }
    this.#isCalm = true;
    kit.faults = undefined;
    if (kit.workers.length === 0) await kit.addWorker();
    await kit.runUntilIdle();
    this.#book.checkAll(kit.events);
    await kit[Symbol.asyncDispose]();
    await check?.(kit);
  }

  /** Each kind of fault is missing from half of the seeds, so that one does not hide what another one shows. */
  #drawFaults(): FaultRule {
    const random = this.#random;
    const rate = (): number => random.chance(0.5) ? random.next() * FAULT_MAX : 0;
    const rates = { throttled: rate(), unavailable: rate(), replyLost: rate(), slow: rate() };
    return ({ workerId, operation }): Fault | undefined => {
      if (operation === "write" && random.chance(CRASH_IN_HAND)) {
        // Half of them are written before the crash.
        if (random.chance(0.5)) this.#crash(workerId);
        else queueMicrotask(() => this.#crash(workerId));
      }
      if (random.chance(rates.throttled)) return "throttled";
      if (random.chance(rates.unavailable)) return "unavailable";
      if (random.chance(rates.replyLost)) return "replyLost";
      return random.chance(rates.slow) ? random.whole(1, SLOW_MAX_MS) : undefined;
    };
  }

  #putNext(): void {
    const { record = defaultRecord } = this.#options;
    const { partitionKey, data } = record(this.#put);
    const { sequenceNumber } = this.#kit.put(partitionKey, data);
    this.#book.put(partitionKey, sequenceNumber);
    this.#put += 1;
  }

  async #happen(): Promise<void> {
    const random = this.#random;
    const { workers, stream } = this.#kit;
    if (random.chance(CHANCES.crash) && workers.length > 0) random.pick(workers).crash();
    if (random.chance(CHANCES.stop) && workers.length > 0) await random.pick(workers).stop();
    const isFew = this.#kit.workers.length === 0 || random.chance(CHANCES.join);
    if (isFew && this.#kit.workers.length < WORKERS_MAX) await this.#join();
    const open = stream.shards().filter(({ isClosed }) => !isClosed);
    if (random.chance(CHANCES.split) && open.length < SHARDS_MAX) {
      stream.split(random.pick(open).id);
    } else if (random.chance(CHANCES.merge)) this.#merge();
  }

  /** Merges two neighbours, if there are any. */
  #merge(): void {
    const { stream } = this.#kit;
    const open = stream.shards().filter(({ isClosed }) => !isClosed);
    const first = this.#random.pick(open);
    const next = BigInt(first.hashKeyRange?.end ?? 0) + 1n;
    const second = open.find(({ hashKeyRange }) => BigInt(hashKeyRange?.start ?? 0) === next);
    if (second !== undefined) stream.merge(first.id, second.id);
  }

  /** Starts a worker, if nothing goes wrong at its start: else a later step does. */
  async #join(): Promise<void> {
    try {
      await this.#kit.addWorker();
    } catch (error) {
      // It was drawn; whatever starts workers starts another one.
      if (!(error instanceof StoreError || error instanceof SourceError)) throw error;
    }
  }

  #crash(workerId: string): void {
    if (this.#isCalm) return;
    this.#kit.workers.find((worker) => worker.workerId === workerId)?.crash();
  }
}

function defaultRecord(number: number): { readonly partitionKey: string; readonly data: Payload } {
  return { partitionKey: `key-${number % 10}`, data: String(number) };
}
