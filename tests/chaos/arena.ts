/**
 * Owns: a run: three workers, the load, the rounds of faults, and the wait for calm after each.
 * Must not: judge what it reads; the checkers do.
 * Called by: `run.ts`, `chaos_test.ts`.
 *
 * @module
 */

import { Cluster, type Processed, SETTINGS } from "../local/cluster.ts";
import { Books, BrokenPromise, type Entry } from "./books.ts";
import {
  BoundedRepetitions,
  type Checker,
  Checkpoints,
  Fencing,
  Order,
  OrderOfKeys,
  Sanity,
  type Told,
} from "./checkers.ts";
import { LedgerTail } from "./ledger_tail.ts";
import { describe, planRound, type Round, SLOTS, type WorldAction } from "./schedule.ts";
import { pause, SLACK, Slot } from "./slot.ts";
import { Story } from "./story.ts";
import { reshard, shardsOf } from "./stream.ts";

/** How much work of a turn may have to be done again: until the fence goes down nothing tells that writes are lost. */
const REPEATED_WORK_MS = SETTINGS.heartbeatTimeout + SETTINGS.heartbeat +
  SETTINGS.checkpointFrequency + SLACK / 2;

/**
 * How long after the last fault the shards are processed and shared evenly. A read that was given up is left alone for a
 * heartbeatTimeout, a request of a dead worker for handoverRequestExpiry, a failed write for 5 s at most.
 */
const CALM_WITHIN = 5_000 + 2 * SETTINGS.heartbeatTimeout +
  SETTINGS.checkUnprocessedShardsFrequency + SETTINGS.handoverRequestExpiry +
  SETTINGS.loadBalanceFrequency + 2 * SETTINGS.heartbeat + SLACK;

const KEYS = 60;
const PUT_EVERY_MS = 400;
const LOOK_EVERY_MS = 250;

/** What a run came to. */
export interface Figures {
  rounds: number;
  put: number;
  repeated: number;
  claims: number;
  slowestCalmMs: number;
}

/** What a run has on this machine while it goes on. */
export interface Traces {
  readonly pids: readonly number[];
  readonly urls: readonly string[];
  readonly file: string;
}

/** A run. */
export class Arena implements AsyncDisposable {
  readonly seed: number;
  readonly figures: Figures = { rounds: 0, put: 0, repeated: 0, claims: 0, slowestCalmMs: 0 };
  readonly #stack: AsyncDisposableStack;
  readonly #cluster: Cluster;
  readonly #books: Books;
  readonly #story: Story;
  readonly #slots: Slot[] = [];
  readonly #repetitions = new BoundedRepetitions(REPEATED_WORK_MS);
  readonly #checkers: readonly Checker[];
  readonly #tail: LedgerTail;
  readonly #over = new AbortController();
  readonly #failed = Promise.withResolvers<never>();
  readonly #work: Promise<void>[] = [];
  #told: Told[] = [];
  #toPut = 0;
  #isPutting = true;
  /** Whether a worker missed heartbeats since the round began: on a busy machine that happens by itself. */
  #isStarved = false;

  private constructor(
    seed: number,
    { stack, cluster, books, story }: {
      readonly stack: AsyncDisposableStack;
      readonly cluster: Cluster;
      readonly books: Books;
      readonly story: Story;
    },
  ) {
    this.seed = seed;
    this.#stack = stack;
    this.#cluster = cluster;
    this.#books = books;
    this.#story = story;
    this.#checkers = [
      new Order(books),
      new OrderOfKeys(books),
      new Fencing(2 * SETTINGS.heartbeat + SLACK / 2),
      this.#repetitions,
      new Checkpoints(books),
      new Sanity(),
    ];
    this.#tail = new LedgerTail(cluster.ledger);
    this.#failed.promise.catch(() => {}); // Whoever waits for the run is told.
  }

  /** Makes everything that the workers need. */
  static async open(seed: number): Promise<Arena> {
    await using stack = new AsyncDisposableStack();
    const books = new Books();
    const story = new Story();
    const cluster = stack.use(
      await Cluster.start({ shards: 6, onPut: (record) => books.onPut(record) }),
    );
    return new Arena(seed, { stack: stack.move(), cluster, books, story });
  }

  /** Starts the workers and the load. */
  async start(): Promise<void> {
    const fail = (error: unknown): void => this.#failed.reject(error);
    for (let i = 0; i < SLOTS; i++) {
      const slot = await Slot.open("abc".charAt(i), {
        cluster: this.#cluster,
        story: this.#story,
        signal: this.#over.signal,
        onFailure: fail,
        onEvent: (pid, event) => {
          this.#story.event(pid, event);
          this.#told.push({ pid, event });
        },
      });
      this.#stack.use(slot);
      this.#slots.push(slot);
    }
    this.#noteShards();
    await Promise.all(this.#slots.map((slot) => slot.ensureRuns()));
    this.#work.push(
      this.#repeat(PUT_EVERY_MS, () => this.#putSome()).catch(fail),
      this.#repeat(LOOK_EVERY_MS, () => this.#look()).catch(fail),
    );
    await this.#unlessFailed(this.#settle());
  }

  /** Plays a round, and waits for the calm after it. */
  async round(number: number): Promise<void> {
    const round = planRound(this.seed, number);
    this.#story.step(`round ${number}${round.isCalm ? ", without faults" : ""}`);
    this.#isStarved = false;
    this.#repetitions.take();
    await this.#unlessFailed(this.#play(round));
    await this.#unlessFailed(this.#settle());
    this.#checkRepetitions(round);
    this.figures.rounds += 1;
  }

  /** Ends the load, has every worker stop, and checks what they leave behind. */
  async finish(): Promise<void> {
    this.#story.step("the end");
    this.#isPutting = false;
    await this.#unlessFailed(this.#settle());
    await this.#unlessFailed(Promise.all(this.#slots.map((slot) => slot.stop())));
    await this.#unlessFailed(this.#look());
    const { shards } = await this.#cluster.status();
    // What was given to a worker that was leaving too, or that was killed just before, is not held by anybody.
    const left = shards.filter((row) =>
      row.state === "processing" ||
      (row.state === "handingOver" && row.handoverTo !== row.owner) ||
      this.#books.placeAfter(row.shardId, row.checkpoint) !==
        this.#books.shard(row.shardId).records.length
    );
    if (left.length > 0) {
      throw new BrokenPromise("a clean stop", `rows are left: ${JSON.stringify(left)}`);
    }
  }

  /** The story of the run, for whoever looks into a failure. */
  story(): string {
    return this.#story.table(60);
  }

  /** What must not be there any more when the run is over: processes by number, endpoints by URL, the file of the processors. */
  traces(): Traces {
    const { kinesisEndpoint = "", dynamoDBEndpoint = "" } = this.#cluster.options;
    return {
      pids: this.#slots.flatMap((slot) => slot.pids),
      urls: [kinesisEndpoint, dynamoDBEndpoint, ...this.#slots.flatMap((slot) => slot.urls)],
      file: this.#cluster.ledger,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#stack.disposeAsync(); // Kills what still runs.
    await Promise.all(this.#work);
    this.#tail[Symbol.dispose]();
    this.figures.put = this.#books.put;
    this.figures.repeated = this.#repetitions.count;
  }

  async #unlessFailed(work: Promise<unknown>): Promise<void> {
    work.catch(() => {}); // If the run has failed already, what fails because of that says nothing.
    await Promise.race([work, this.#failed.promise]);
  }

  async #repeat(ms: number, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      await work();
      await pause(ms, signal);
    }
  }

  async #putSome(): Promise<void> {
    if (!this.#isPutting) return;
    const burst = this.#toPut;
    this.#toPut = 0;
    await this.#cluster.putRecords(KEYS + burst, KEYS);
  }

  /** Reads what there is to read, and has it checked: rows and events first, then all that was processed before them. */
  async #look(): Promise<void> {
    const told = this.#told;
    this.#told = [];
    const { shards } = await this.#cluster.status();
    for (const line of await this.#tail.read()) this.#onLine(line);
    for (const one of told) {
      this.#onEvent(one);
      for (const checker of this.#checkers) checker.onEvent?.(one);
    }
    for (const row of shards) for (const checker of this.#checkers) checker.onRow?.(row);
  }

  #onLine(line: Processed): void {
    const entry = this.#books.look(line);
    for (const checker of this.#checkers) checker.onEntry?.(entry);
    this.#books.note(entry);
  }

  #onEvent({ event: { type } }: Told): void {
    if (type === "shard_claimed") this.figures.claims += 1;
    if (type === "worker_fenced" || type === "worker_lost" || type === "heartbeat_failed") {
      this.#isStarved = true;
    }
  }

  async #play(round: Round): Promise<void> {
    const { signal } = this.#over;
    const startedAt = performance.now();
    const until = (at: number): Promise<void> =>
      pause(Math.max(0, startedAt + at - performance.now()), signal);
    const lanes = this.#slots.map(async (slot, i) => {
      for (const step of round.process.filter((step) => step.slot === i)) {
        await until(step.at);
        if (signal.aborted) return;
        this.#story.step(describe(step));
        await slot.act(step.action);
      }
    });
    const others = round.world.map(async (step) => {
      await until(step.at);
      if (signal.aborted) return;
      this.#story.step(describe(step));
      await this.#change(step.action, this.#slots[step.slot]);
    });
    await Promise.all([...lanes, ...others, until(round.durationMs)]);
  }

  async #change(action: WorldAction, slot: Slot | undefined): Promise<void> {
    switch (action.kind) {
      case "burst":
        this.#toPut += action.records;
        break;
      case "reshard":
        this.#story.step(reshard(this.#cluster.kinesis.engine, action));
        this.#noteShards();
        break;
      default:
        await slot?.disturb(action);
    }
  }

  #noteShards(): void {
    for (const { id, parents } of shardsOf(this.#cluster.kinesis.engine)) {
      this.#books.shard(id).parents = parents;
    }
  }

  /** Waits until every worker runs, every open shard is in the hands of one, evenly, and what was put is processed. */
  async #settle(): Promise<void> {
    const { signal } = this.#over;
    for (const slot of this.#slots) {
      while (!await slot.ensureRuns()) await pause(100, signal);
    }
    const since = performance.now();
    this.#story.step("no more faults; every worker runs");
    const sizes = this.#books.sizes();
    for (;;) {
      const missing = await this.#missing(sizes);
      const took = performance.now() - since;
      if (missing === null) {
        this.#story.step(`calm after ${Math.round(took)} ms`);
        this.figures.slowestCalmMs = Math.max(this.figures.slowestCalmMs, took);
        return;
      }
      if (took > CALM_WITHIN) {
        throw new BrokenPromise("liveness", `after ${CALM_WITHIN} ms without faults, ${missing}`);
      }
      await pause(LOOK_EVERY_MS, signal);
      signal.throwIfAborted();
    }
  }

  /** What is still missing; null if nothing is. */
  async #missing(sizes: ReadonlyMap<string, number>): Promise<string | null> {
    const { shards } = await this.#cluster.status();
    const open = shards.filter((row) => row.state !== "closed");
    const busy = open.find((row) => row.state !== "processing");
    if (busy !== undefined) return `${busy.shardId} is ${busy.state}`;
    const loads = this.#slots.map(({ workerId }) =>
      open.filter((row) => row.owner === workerId).length
    );
    const isShared = loads.reduce((sum, load) => sum + load, 0) === open.length;
    if (!isShared || Math.max(...loads) - Math.min(...loads) > 1) {
      return `the workers have ${loads.join(", ")} of ${open.length} shards`;
    }
    const late = shardsOf(this.#cluster.kinesis.engine).find(({ id }) =>
      !shards.some((row) => row.shardId === id)
    );
    if (late !== undefined) return `${late.id} has no row`;
    // Or what a lost turn left would come in the next round, as if it were of that one.
    const behind = open.find(({ shardId, term, checkpoint }) =>
      !this.#books.isPastAll(shardId, term, checkpoint)
    );
    if (behind !== undefined) return `${behind.shardId} is not past what was processed before`;
    return this.#books.hasProcessed(sizes) ? null : "not every record is processed";
  }

  #checkRepetitions({ isCalm }: Round): void {
    const repeated: readonly Entry[] = this.#repetitions.take();
    const [first] = repeated;
    if (!isCalm || this.#isStarved || first === undefined) return;
    throw new BrokenPromise(
      "no repetitions without faults",
      `${repeated.length} records were processed again, first ${JSON.stringify(first.line)}`,
    );
  }
}
