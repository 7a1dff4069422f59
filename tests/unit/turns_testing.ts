// Owns: all turns on a shard, with settings, records, reads and failures that are drawn, and what has to hold meanwhile: nothing is lost,
// skipped, repeated without need or out of order.
// Must not: draw anything by itself.
// Called by: the turns_*_test.ts files.
import { assert, assertEquals } from "@std/assert";
import { compareCheckpoints, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { type ErrorHandlingMode, retryAndSkip } from "../../src/core/policy.ts";
import type { FailedRecord } from "../../src/ports.ts";
import type {
  KinesisRecord,
  ProcessContext,
  ProcessorSource,
  RecordProcessor,
} from "../../src/processor.ts";
import type { ReaderHooks } from "../../src/pull/pull_processor.ts";
import { BufferBudget } from "../../src/runtime/buffer_budget.ts";
import { Lease } from "../../src/runtime/lease_keeper.ts";
import { Processors } from "../../src/runtime/processors.ts";
import { type RunOutcome, runShard, type ShardRunnerDeps } from "../../src/runtime/shard_runner.ts";
import { takeShard } from "../../src/runtime/take_shard.ts";
import { settled } from "../virtual_clock.ts";
import { Bench, recordDeps } from "./runtime_testing.ts";
import {
  AGE_MS,
  type Case,
  type Known,
  knownOf,
  payloadsOf,
  scripted,
  type Stage,
  type StageOf,
} from "./turns_cases.ts";
import {
  batchLoops,
  mortalThreads,
  pass,
  type Process,
  recordLoops,
  type Thread,
} from "./turns_places.ts";
import { TurnNow } from "./turns_rules.ts";

/** What became of a processor. */
interface Life {
  calls: number;
  disposals: number;
}

/** One case. */
export class Turns {
  readonly #case: Case;
  readonly #bench = new Bench();
  readonly #known: readonly Known[];
  readonly #stage: Stage;
  readonly #broken: string[] = [];
  readonly #changes: Promise<void>[] = [];
  /** Finished in any turn: processed, or given up for good. */
  readonly #finished = new Set<number>();
  /** Finished in turns that ended as they should. */
  readonly #sure = new Set<number>();
  readonly #aside = new Set<number>();
  readonly #stopped = new Set<number>();
  readonly #happened = new Set<number>();
  /** Of this turn. */
  #now = new TurnNow(TRIM_HORIZON);
  #processors: Processors | undefined;
  #drain = new AbortController();
  #lease: Lease | undefined;
  #made = 0;
  readonly #lives = new Set<Life>();
  #puts = 0;
  #deaths = 0;
  readonly #loopEnds: (() => void)[] = [];
  readonly #ends: AsyncDisposable[] = [];

  /** @param stageOf Where the records are; a script of reads, if it is not said. */
  constructor(given: Case, stageOf?: StageOf) {
    this.#case = given;
    this.#stage = (stageOf ?? scripted)(given, this.#bench, payloadsOf(given));
    this.#known = knownOf(given, this.#stage);
  }

  get #isManual(): boolean {
    const { isManual, concurrency } = this.#case.settings;
    return isManual && concurrency === 1;
  }

  async run(): Promise<void> {
    const { clock } = this.#bench;
    const { settle = settled } = this.#stage;
    let isOver = false;
    const turns = this.#allTurns().finally(() => isOver = true);
    // Told below.
    turns.catch(() => {});
    for (await settle(); !isOver; await settle()) {
      assert(await clock.next(1e12), "something still waits for a time");
    }
    await turns;
    assertEquals(this.#broken, []);
    assertEquals(this.#bench.failures, []);
  }

  async #allTurns(): Promise<void> {
    const bench = this.#bench;
    await bench.addShard("s", { checkpoint: TRIM_HORIZON });
    bench.fence.raise({ at: 0, wallAt: bench.clock.now() }, 1e12);
    for (let turn = 0;; turn++) {
      assert(turn < 300, "turns come to an end");
      const outcome = await this.#turn();
      if (this.#broken.length > 0) return;
      if (outcome.kind === "ended") break;
    }
    const wanted = this.#known.keys().filter((n) => !this.#isFiltered(n));
    const lost = [...wanted].filter((n) => !this.#finished.has(n));
    assertEquals(lost, [], "every record is finished");
    for (const end of this.#loopEnds) end();
    await Promise.all(this.#changes);
    const disposals = [...this.#lives].map(({ disposals }) => disposals);
    assertEquals(new Set(disposals).difference(new Set([1])).size, 0, `disposals: ${disposals}`);
    for (const threads of this.#ends) await threads[Symbol.asyncDispose]();
  }

  async #turn(): Promise<RunOutcome> {
    const bench = this.#bench;
    const row = await bench.store.shard("s");
    const deps = bench.deps({ checkpointFrequency: 0 });
    const lease = await takeShard(row, deps, bench.signal);
    assert(lease instanceof Lease);
    this.#lease = lease;
    this.#drain = new AbortController();
    this.#now = new TurnNow(lease.position);
    const runnerDeps = this.#deps();
    this.#processors = new Processors(await this.#source(), runnerDeps);
    const outcome = await runShard(
      { ...runnerDeps, processors: this.#processors },
      lease,
      this.#drain.signal,
    );
    const mayOutlive = this.#case.settings.processTimeout > 0;
    this.#check(this.#now.calls === 0 || mayOutlive, "a call outlives its turn");
    for (const [n, { position }] of this.#known.entries()) {
      if (compareCheckpoints(position, lease.position) > 0) break;
      const isDone = this.#finished.has(n) || this.#isFiltered(n);
      this.#check(isDone, `record ${n} is before the checkpoint, and not finished`);
    }
    if (outcome.kind === "lost") lease.lose("test");
    else {
      for (const n of this.#now.finished) this.#sure.add(n);
      if (outcome.kind === "ended") {
        await lease.end([], false);
      } else await lease.release();
    }
    await this.#processors.close();
    return outcome;
  }

  #deps(): Omit<ShardRunnerDeps, "processors"> {
    const { settings } = this.#case;
    const { hasAgeLimit, hasFilter, hasDestination, bufferBytes, kind, ...rest } = settings;
    return {
      ...recordDeps(this.#bench),
      ...rest,
      checkpointMode: this.#isManual ? "manual" : "auto",
      batchWindow: kind === "batch" ? rest.batchWindow : 0,
      maxRecordAge: hasAgeLimit ? AGE_MS : 0,
      filter: hasFilter ? (record) => !this.#isFiltered(Number(record.text())) : undefined,
      failureDestination: hasDestination
        ? { name: "test", put: (failure) => this.#putAside(failure) }
        : undefined,
      budget: new BufferBudget(bufferBytes),
      source: this.#stage.source,
      unreadableAfter: 1e9,
      goneAfter: 1e9,
    };
  }

  #isFiltered(n: number): boolean {
    return this.#case.settings.hasFilter && this.#of(n).isFiltered;
  }

  #of(n: number): Known {
    const known = this.#known[n];
    assert(known !== undefined);
    return known;
  }

  async #source(): Promise<ProcessorSource> {
    const { place } = this.#case.settings;
    if (place === "threads") return await this.#threads();
    return place === "loops" ? this.#loops() : this.#processor({ isDead: false, calls: 0 });
  }

  #processor(thread: Thread): ProcessorSource {
    const { kind, isMade } = this.#case.settings;
    const make = (): RecordProcessor => {
      const life: Life = { calls: 0, disposals: 0 };
      if (thread.listener === undefined) this.#lives.add(life);
      const process: Process = async (records, context) => {
        this.#check(life.disposals === 0, "a processor is called after its end");
        life.calls += 1;
        try {
          return await this.#process(records, context, thread);
        } finally {
          life.calls -= 1;
        }
      };
      return {
        ...kind === "record"
          ? { process: (record, context) => process([record], context).then(() => {}) }
          : { processBatch: process },
        ...this.#hooks(),
        [Symbol.asyncDispose]: () => {
          life.disposals += 1;
          const mayOutlive = this.#case.settings.processTimeout > 0;
          this.#check(life.calls === 0 || mayOutlive, "a processor ends before its calls");
          return Promise.resolve();
        },
      };
    };
    return isMade ? () => this.#make(make) : make();
  }

  async #make(make: () => RecordProcessor): Promise<RecordProcessor> {
    await pass(3);
    this.#made += 1;
    if (this.#made <= this.#case.settings.makeFails) throw new Error("not made");
    return make();
  }

  #hooks(): ReaderHooks {
    return {
      getErrorHandlingMode: async (record) => {
        await this.#takeTime();
        return this.#modeOf(Number(record.text()));
      },
      onMaxRetryExceeded: async (record, mode) => {
        this.#givenUp(Number(record.text()), mode);
        await this.#takeTime();
      },
      shardEnded: async (context) => {
        if (this.#isManual) await context.checkpoint();
      },
    };
  }

  /** Loops ask for the records. */
  #loops(): ProcessorSource {
    const { kind, places, processTimeout } = this.#case.settings;
    const { clock } = this.#bench;
    const process: Process = (records, context) => this.#process(records, context);
    const options = { clock, processTimeout, hooks: this.#hooks(), process, count: places };
    const loops = kind === "record" ? recordLoops(options) : batchLoops(options);
    this.#changes.push(loops.done);
    this.#loopEnds.push(loops.end);
    return loops.source;
  }

  async #threads(): Promise<ProcessorSource> {
    const { concurrency, places, processTimeout } = this.#case.settings;
    const { clock, signal } = this.#bench;
    const checkpointMode = this.#isManual ? "manual" : "auto";
    const threads = await mortalThreads({
      ...{ clock, signal, count: places, lanes: concurrency, processTimeout, checkpointMode },
      sourceOf: (thread) => this.#processor(thread),
      onStray: (what) => this.#broken.push(what),
    });
    this.#ends.push(threads);
    return threads.source;
  }

  #modeOf(n: number): ErrorHandlingMode {
    return this.#stopped.has(n) ? retryAndSkip(0) : this.#of(n).mode;
  }

  #givenUp(n: number, { kind }: ErrorHandlingMode): void {
    if (kind === "retryAndStop") {
      this.#stopped.add(n);
      return;
    }
    const { processTimeout, hasAgeLimit, kind: what } = this.#case.settings;
    // A batch that throws fails as a whole.
    const { fails, meanwhile } = this.#of(n);
    const mayFail = fails > 0 || meanwhile === "die" || processTimeout > 0 || hasAgeLimit ||
      what === "batch";
    this.#check(mayFail, `record ${n} is given up for something else`);
    const isSafe = !this.#case.settings.hasDestination || this.#aside.has(n);
    this.#check(isSafe, `record ${n} is given up and not put aside`);
    this.#noteFinished(n);
  }

  #noteFinished(n: number): void {
    // What a thread finished, and did not tell before it died, comes again.
    this.#check(!this.#now.finished.has(n) || this.#deaths > 0, `record ${n} is finished twice`);
    this.#now.finished.add(n);
    this.#finished.add(n);
  }

  async #putAside({ data }: FailedRecord): Promise<void> {
    this.#puts += 1;
    await pass(this.#puts % 4);
    await this.#takeTime();
    if (this.#puts % 3 === 0) throw new Error("full");
    this.#aside.add(Number(new TextDecoder().decode(data)));
  }

  async #takeTime(): Promise<void> {
    const { hooksTake } = this.#case.settings;
    if (hooksTake > 0) await this.#bench.clock.sleep(hooksTake, this.#bench.signal);
  }

  #check(holds: boolean, what: string): void {
    if (!holds) this.#broken.push(what);
  }

  async #process(
    records: readonly KinesisRecord[],
    context: ProcessContext,
    thread: Thread = { isDead: false, calls: 0 },
  ): Promise<{ failed: KinesisRecord[] }> {
    if (thread.isDead) return await new Promise(() => {});
    const numbers = records.map((record) => Number(record.text()));
    const { concurrency, batchSize } = this.#case.settings;
    this.#check(
      records.length <= batchSize || this.#case.settings.kind === "record",
      "a batch is too large",
    );
    for (const [i, n] of numbers.entries()) {
      const start = { n, record: records[i], together: numbers.slice(0, i), ...context };
      const around = { given: this.#case, known: this.#known, sure: this.#sure };
      this.#broken.push(...this.#now.start(start, { ...around, hasDied: this.#deaths > 0 }));
    }
    const now = this.#now;
    now.calls += 1;
    thread.calls += 1;
    this.#check(now.calls <= concurrency, "more at once than allowed");
    const { signal } = context;
    const isTimedOut = (): boolean =>
      (signal.reason as Error | undefined)?.name === "ProcessTimeoutError";
    const onTimeout = (): void => {
      if (thread.isDead || !isTimedOut()) return;
      now.calls -= 1;
      thread.calls -= 1;
    };
    signal.addEventListener("abort", onTimeout, { once: true });
    for (const n of numbers) await this.#work(n);
    if (isTimedOut()) throw new Error("too late");
    if (context.attempt === 1) { for (const n of numbers) this.#happen(n, thread); }
    // What is in hand in a thread that died is never heard of again.
    if (thread.isDead) return await new Promise(() => {});
    if (isTimedOut()) throw new Error("too late");
    signal.removeEventListener("abort", onTimeout);
    now.calls -= 1;
    thread.calls -= 1;
    const failing = numbers.filter((n) =>
      !this.#stopped.has(n) && context.attempt <= this.#of(n).fails
    );
    if (failing.some((n) => this.#of(n).throws || this.#case.settings.kind === "record")) {
      throw new Error("broken");
    }
    if (now !== this.#now) return { failed: [] };
    for (const n of numbers) if (!failing.includes(n)) this.#noteFinished(n);
    if (this.#isManual && failing.length === 0) context.checkpoint().catch(() => {});
    return { failed: records.filter((record) => failing.includes(Number(record.text()))) };
  }

  async #work(n: number): Promise<void> {
    const { takes } = this.#of(n);
    if (takes >= 0) await pass(takes);
    else await this.#bench.clock.sleep(-takes, this.#bench.signal);
  }

  #happen(n: number, thread: Thread): void {
    const { meanwhile } = this.#of(n);
    if (meanwhile === undefined || this.#happened.has(n)) return;
    this.#happened.add(n);
    if (meanwhile === "die") {
      if (thread.isDead || thread.listener === undefined) return;
      thread.isDead = true;
      this.#deaths += 1;
      this.#now.calls -= thread.calls;
      return thread.listener.died("it died");
    }
    if (meanwhile === "change") {
      const processors = this.#processors;
      this.#changes.push(this.#source().then((source) => processors?.change(source)));
      return;
    }
    this.#now.isOver = true;
    if (meanwhile === "drain") this.#drain.abort();
    else this.#lease?.lose("test");
  }
}
