// Owns: a source by enhanced fan-out on a Kinesis in memory, at a clock whose sleeps take no time, and what goes wrong there.
// Must not: assert anything.
// Called by: the fan_out_*_test.ts files.
import {
  CreateStreamCommand,
  KinesisClient,
  PutRecordCommand,
  SplitShardCommand,
} from "@aws-sdk/client-kinesis";
import { abortable } from "@std/async/abortable";
import { SILENCE_MAX_MS } from "../../src/adapters/event_subscription.ts";
import { KinesisFanOutSource } from "../../src/adapters/kinesis_fan_out.ts";
import { type Checkpoint, TRIM_HORIZON } from "../../src/core/checkpoint.ts";
import { type ReactoKinesixConfig, resolveConfig } from "../../src/core/config.ts";
import type { AppFact } from "../../src/events.ts";
import type { KinesisEngine, KinesisEngineOptions } from "../../src/local/kinesis_engine.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import { createInMemoryKinesis } from "../kinesis_in_memory.ts";
import { Subscription } from "../../src/local/subscription.ts";
import type { Batch } from "../../src/ports.ts";
import { LeapingClock } from "../leaping_clock.ts";

export const STREAM = "orders";
export const SHARD = "shardId-000000000000";
export const CONSUMER = "billing";

/** While an event is waited for, the time of silence passes only when the test says so. */
export class SilenceClock extends LeapingClock {
  isSilent = false;

  override sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms !== SILENCE_MAX_MS || this.isSilent) return super.sleep(ms, signal);
    return abortable(new Promise<never>(() => {}), signal);
  }
}

/** A source, its Kinesis, and what can be done to them. */
export interface FanOutTest extends AsyncDisposable {
  readonly source: KinesisFanOutSource;
  readonly makeSource: () => KinesisFanOutSource;
  readonly engine: KinesisEngine;
  readonly clock: SilenceClock;
  readonly facts: readonly AppFact[];
  /** Those that were accepted, in that order. */
  readonly subscriptions: readonly Subscription[];
  readonly calls: (operation: string) => readonly Call[];
  /** Makes the next calls of an operation fail, those that are not null. */
  readonly fails: (operation: string, list: readonly (string | null)[]) => void;
  readonly open: (after?: Checkpoint, signal?: AbortSignal) => AsyncIterator<Batch>;
  put(count: number): Promise<void>;
  putData(data: Uint8Array): Promise<void>;
  split(): Promise<void>;
  take(batches: AsyncIterator<Batch>, count: number): Promise<string[]>;
  consumers(): readonly { readonly ConsumerName: string; readonly ConsumerARN: string }[];
}

/** A call that the local Kinesis was asked for. */
export interface Call {
  readonly operation: string;
  readonly time: number;
  readonly input: Readonly<Record<string, unknown>>;
}

/** A source on a stream of one shard. */
export async function setUp(
  config: ReactoKinesixConfig = {},
  options: Omit<KinesisEngineOptions, "now"> = {},
): Promise<FanOutTest> {
  const clock = new SilenceClock();
  const faults = new Map<string, (string | null)[]>();
  const calls: Call[] = [];
  const subscriptions: Subscription[] = [];
  const kinesis = createInMemoryKinesis({
    ...options,
    now: () => clock.now(),
    intercept: ({ operation, input }, proceed) => {
      calls.push({ operation, time: clock.now(), input: input as Call["input"] });
      const fault = faults.get(operation)?.shift() ?? null;
      if (fault !== null) {
        throw new KinesisError(fault, "said Kinesis", fault.startsWith("Internal") ? 500 : 400);
      }
      const output = proceed();
      if (output instanceof Subscription) subscriptions.push(output);
      return output;
    },
  });
  const client = new KinesisClient({
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
    requestHandler: kinesis,
  });
  await client.send(new CreateStreamCommand({ StreamName: STREAM, ShardCount: 1 }));
  clock.leap(options.transitionMs ?? 0);
  const controller = new AbortController();
  const facts: AppFact[] = [];
  const makeSource = () =>
    new KinesisFanOutSource({
      client,
      eventStreams: client,
      streamName: STREAM,
      consumerName: CONSUMER,
      config: resolveConfig(config),
      clock,
      emit: (fact) => facts.push(fact),
      random: { next: () => 0.5, uuid: () => "" },
    });
  const source = makeSource();
  let puts = 0;
  const putData = async (Data: Uint8Array) => {
    clock.leap(Math.ceil(Data.length / 1_000));
    await client.send(new PutRecordCommand({ StreamName: STREAM, PartitionKey: "key", Data }));
  };
  return {
    source,
    makeSource,
    engine: kinesis.engine,
    clock,
    facts,
    putData,
    subscriptions,
    calls: (operation: string) => calls.filter((call) => call.operation === operation),
    fails: (operation, list) => faults.set(operation, [...list]),
    open: (after: Checkpoint = TRIM_HORIZON, signal: AbortSignal = controller.signal) =>
      source.open(SHARD, after, signal)[Symbol.asyncIterator](),
    async put(count: number) {
      for (let i = 0; i < count; i++) await putData(new TextEncoder().encode(`record ${puts++}`));
    },
    async split() {
      const NewStartingHashKey = String(2n ** 127n);
      const input = { StreamName: STREAM, ShardToSplit: SHARD, NewStartingHashKey };
      await client.send(new SplitShardCommand(input));
    },
    async take(batches: AsyncIterator<Batch>, count: number): Promise<string[]> {
      const texts: string[] = [];
      while (texts.length < count) {
        const { value } = await batches.next();
        texts.push(...textsOf(value as Batch));
      }
      return texts;
    },
    consumers(): readonly { readonly ConsumerName: string; readonly ConsumerARN: string }[] {
      const StreamARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
      const output = kinesis.engine.call("ListStreamConsumers", { StreamARN });
      return (output as { Consumers: { ConsumerName: string; ConsumerARN: string }[] }).Consumers;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(controller.abort()),
  };
}

/** The texts of the records of a batch. */
export function textsOf(batch: Batch): string[] {
  return batch.records.map((record) => new TextDecoder().decode(record.data));
}

/** An error that ends a subscription from within. */
export function inStream(name: string): KinesisError {
  return new KinesisError(name, "said Kinesis", 500);
}
