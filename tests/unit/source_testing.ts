// Owns: a stream of one shard on a Kinesis in memory, at a clock whose sleeps take no time; what goes wrong there, and what a source reads.
// Must not: know how a source reads, or assert anything.
// Called by: the tests of polling and of fan-out.
import {
  CreateStreamCommand,
  KinesisClient,
  PutRecordCommand,
  SplitShardCommand,
} from "@aws-sdk/client-kinesis";
import { type Checkpoint, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import type { AppFact } from "../../src/events.ts";
import type { KinesisEngine, KinesisEngineOptions } from "../../src/local/kinesis_engine.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import type { Batch, Random, StreamSource } from "../../src/ports.ts";
import { createInMemoryKinesis } from "../kinesis_in_memory.ts";
import type { LeapingClock } from "../leaping_clock.ts";

export const STREAM = "orders";
export const SHARD = "shardId-000000000000";

/** What becomes of a call: an error instead of it, or after it was carried out all the same; null: nothing goes wrong. */
export type Fault = string | { readonly afterwards: string } | null;

/** A call that the Kinesis was asked for. */
export interface Call {
  readonly operation: string;
  readonly time: number;
  readonly input: Readonly<Record<string, unknown>>;
}

/** What a source is made of. */
export interface SourceDeps<C> {
  readonly client: KinesisClient;
  readonly streamName: string;
  readonly clock: C;
  readonly emit: (fact: AppFact) => void;
  readonly random: Random;
}

/** A source, its Kinesis, and what can be done to them. */
export class SourceTest<S extends StreamSource, C extends LeapingClock> implements AsyncDisposable {
  readonly clock: C;
  readonly engine: KinesisEngine;
  readonly source: S;
  readonly facts: AppFact[] = [];
  readonly #make: (deps: SourceDeps<C>) => S;
  readonly #client: KinesisClient;
  readonly #calls: Call[] = [];
  readonly #faults = new Map<string, Fault[]>();
  readonly #answers = new Map<string, (proceed: () => object, call: Call) => object>();
  readonly #life = new AbortController();
  #puts = 0;

  private constructor(
    clock: C,
    make: (deps: SourceDeps<C>) => S,
    options: Omit<KinesisEngineOptions, "now">,
  ) {
    const kinesis = createInMemoryKinesis({
      ...options,
      now: () => clock.now(),
      intercept: ({ operation, input }, proceed) =>
        this.#answer({ operation, time: clock.now(), input: input as Call["input"] }, proceed),
    });
    this.clock = clock;
    this.engine = kinesis.engine;
    this.#make = make;
    this.#client = new KinesisClient({
      region: "us-east-1",
      credentials: { accessKeyId: "test", secretAccessKey: "test" },
      requestHandler: kinesis,
    });
    this.source = this.makeSource();
  }

  /** A source on a stream of one shard. */
  static async start<S extends StreamSource, C extends LeapingClock>(
    clock: C,
    make: (deps: SourceDeps<C>) => S,
    options: Omit<KinesisEngineOptions, "now"> = {},
  ): Promise<SourceTest<S, C>> {
    const test = new SourceTest(clock, make, options);
    await test.#client.send(new CreateStreamCommand({ StreamName: STREAM, ShardCount: 1 }));
    clock.leap(options.transitionMs ?? 0);
    return test;
  }

  /** Another source on the same Kinesis. */
  makeSource(streamName: string = STREAM): S {
    return this.#make({
      client: this.#client,
      streamName,
      clock: this.clock,
      emit: (fact) => this.facts.push(fact),
      random: { next: () => 0.5, uuid: () => "" },
    });
  }

  calls(operation: string): readonly Call[] {
    return this.#calls.filter((call) => call.operation === operation);
  }

  /** What becomes of the next calls of an operation. */
  fails(operation: string, faults: readonly Fault[]): void {
    this.#faults.set(operation, [...faults]);
  }

  /** What the calls of an operation that do not fail are answered. */
  answers(operation: string, answer: (proceed: () => object, call: Call) => object): void {
    this.#answers.set(operation, answer);
  }

  open(
    after: Checkpoint = TRIM_HORIZON,
    signal: AbortSignal = this.#life.signal,
  ): AsyncIterator<Batch> {
    return this.source.open(SHARD, after, signal)[Symbol.asyncIterator]();
  }

  /** Puts so many records: `record 0`, `record 1` and so on. */
  async put(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      await this.putData(new TextEncoder().encode(`record ${this.#puts++}`));
    }
  }

  /** Puts a record, at a pace that a shard allows. */
  async putData(Data: Uint8Array): Promise<void> {
    this.clock.leap(Math.ceil(Data.length / 1_000));
    await this.#client.send(
      new PutRecordCommand({ StreamName: STREAM, PartitionKey: "key", Data }),
    );
  }

  async split(): Promise<void> {
    const NewStartingHashKey = String(2n ** 127n);
    const input = { StreamName: STREAM, ShardToSplit: SHARD, NewStartingHashKey };
    await this.#client.send(new SplitShardCommand(input));
  }

  /** Reads until there are so many records, or more; gives their texts. */
  async take(batches: AsyncIterator<Batch>, count: number): Promise<string[]> {
    const texts: string[] = [];
    while (texts.length < count) texts.push(...textsOf((await batches.next()).value));
    return texts;
  }

  /** Ends the shard, and reads to its end; gives the texts of what was left. */
  async takeRest(batches: AsyncIterator<Batch>): Promise<string[]> {
    await this.split();
    const texts: string[] = [];
    for (let isOver = false; !isOver;) {
      const batch: Batch = (await batches.next()).value;
      texts.push(...textsOf(batch));
      isOver = batch.end !== undefined;
    }
    return texts;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#life.abort());
  }

  #answer(call: Call, proceed: () => object): object {
    this.#calls.push(call);
    const fault = this.#faults.get(call.operation)?.shift() ?? null;
    if (fault === null) return this.#answers.get(call.operation)?.(proceed, call) ?? proceed();
    if (typeof fault !== "string") proceed();
    const name = typeof fault === "string" ? fault : fault.afterwards;
    throw new KinesisError(name, "said Kinesis", name.startsWith("Internal") ? 500 : 400);
  }
}

/** The texts of the records of a batch. */
export function textsOf(batch: Batch): string[] {
  return batch.records.map((record) => new TextDecoder().decode(record.data));
}
