// Owns: what holds for the records of a turn whenever they end, fail, or are interrupted, to the moment.
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { compareCheckpoints } from "../../src/core/checkpoint.ts";
import { retryAndSkip, retryAndStop } from "../../src/core/policy.ts";
import type { KinesisRecord, ProcessContext, RecordProcessor } from "../../src/processor.ts";
import { at, batch, type Running, running } from "./runner_testing.ts";

/** After how many moments something happens: promises that are settled follow each other without time passing. */
const moments = fc.nat(20);

const RECORD = fc.record({
  key: fc.nat(3),
  takes: moments,
  /** What follows when it fails. */
  fails: fc.option(fc.constantFrom(retryAndSkip(0), retryAndSkip(1), retryAndStop(0)), {
    freq: 4,
    nil: undefined,
  }),
  /** What happens while it is in hand. */
  meanwhile: fc.option(fc.constantFrom("change", "drain", "lose"), { freq: 8, nil: undefined }),
});

const TURN = fc.record({
  concurrency: fc.constantFrom(1, 2, 3, 16),
  orderBy: fc.constantFrom("partitionKey", "none"),
  source: fc.constantFrom("shared", "factory"),
  reads: fc.array(fc.record({ after: moments, records: fc.array(RECORD, { maxLength: 8 }) }), {
    maxLength: 5,
  }),
});

type Turn = typeof TURN extends fc.Arbitrary<infer T> ? T : never;

async function pass(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await undefined;
}

/** A turn on a shard, and the promises that are looked at while it runs. */
class Play {
  readonly #turn: Turn;
  readonly #records: readonly Turn["reads"][number]["records"][number][];
  readonly #inHand = new Set<number>();
  readonly #finished = new Set<number>();
  /** The records that stop the shard. */
  readonly #givenUp = new Set<number>();
  readonly #broken: string[] = [];
  readonly #changes: Promise<void>[] = [];
  #running: Running | undefined;
  /** Whether no other record is to be started. */
  #isOver = false;

  constructor(turn: Turn) {
    this.#turn = turn;
    this.#records = turn.reads.flatMap(({ records }) => records);
  }

  async run(): Promise<void> {
    const { concurrency, orderBy } = this.#turn;
    const run = await running(this.#source(), { concurrency, orderBy });
    this.#running = run;
    const { lease, runner } = run;
    const outcome = await run.bench.clock.until(this.#readAll(run));
    assertEquals([this.#broken, this.#inHand.size], [[], 0]);
    const { length } = this.#records;
    if (outcome === "done") assertEquals(this.#finished.size, length, "every record is finished");
    for (let n = 1; compareCheckpoints(at(n), lease.position) <= 0; n++) {
      assert(this.#finished.has(n), `record ${n} is before the checkpoint`);
    }
    await Promise.all(this.#changes);
    await runner.close();
  }

  /** At no time but the records' own: between two moments nothing else is waited for. */
  async #readAll({ runner }: Running): Promise<string> {
    let first = 1;
    for (const { after, records } of this.#turn.reads) {
      await pass(after);
      const read = batch(first, first + records.length - 1, (n) => `key ${this.#of(n).key}`);
      first += records.length;
      const outcome = await runner.run(read);
      if (outcome !== "done") return outcome;
    }
    return await runner.settled();
  }

  #of(number: number): Turn["reads"][number]["records"][number] {
    const record = this.#records[number - 1];
    assert(record !== undefined);
    return record;
  }

  #source(): RecordProcessor | (() => Promise<RecordProcessor>) {
    const processor: RecordProcessor = {
      process: (record, context) => this.#process(record, context),
      getErrorHandlingMode: (record) => this.#of(Number(record.text())).fails ?? retryAndSkip(0),
      onMaxRetryExceeded: (record, mode) => {
        const ended = mode.kind === "retryAndStop" ? this.#givenUp : this.#finished;
        ended.add(Number(record.text()));
      },
    };
    return this.#turn.source === "shared" ? processor : () => pass(3).then(() => processor);
  }

  /** What is thrown in a processor is a failed attempt and nothing more: it is kept for the end. */
  #check(holds: boolean, what: string): void {
    if (!holds) this.#broken.push(what);
  }

  async #process(record: KinesisRecord, { attempt }: ProcessContext): Promise<void> {
    const number = Number(record.text());
    const { key, takes, fails, meanwhile } = this.#of(number);
    this.#check(!this.#isOver || attempt > 1, `record ${number} is started after the end`);
    const isNew = !this.#finished.has(number) && !this.#givenUp.has(number);
    this.#check(isNew, `record ${number} comes twice`);
    if (this.#turn.orderBy === "partitionKey") {
      for (let before = 1; before < number; before++) {
        const isOfKey = this.#of(before).key === key;
        this.#check(!isOfKey || this.#finished.has(before), `record ${number} overtakes ${before}`);
      }
    }
    this.#inHand.add(number);
    this.#check(this.#inHand.size <= this.#turn.concurrency, "more at once than allowed");
    await pass(takes);
    if (attempt === 1) this.#happen(meanwhile);
    this.#inHand.delete(number);
    if (fails !== undefined) throw new Error("broken");
    this.#finished.add(number);
  }

  #happen(what: Turn["reads"][number]["records"][number]["meanwhile"]): void {
    if (this.#running === undefined || what === undefined) return;
    const { processors, drain, lease } = this.#running;
    if (what === "change") return void this.#changes.push(processors.change(this.#source()));
    this.#isOver = true;
    if (what === "drain") drain.abort();
    else lease.lose("test");
  }
}

Deno.test("record runner: order, completeness and the checkpoint hold, to the moment", async () => {
  await fc.assert(fc.asyncProperty(TURN, (turn) => new Play(turn).run()), { numRuns: 2_000 });
});
