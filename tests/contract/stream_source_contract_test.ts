// Owns: the implementations of StreamSource that the contract runs on.
import {
  CreateStreamCommand,
  KinesisClient,
  MergeShardsCommand,
  PutRecordCommand,
  SplitShardCommand,
} from "@aws-sdk/client-kinesis";
import { abortable } from "@std/async/abortable";
import { connectAws } from "../../src/adapters/aws_calls.ts";
import { SILENCE_MAX_MS } from "../../src/adapters/event_subscription.ts";
import { KinesisFanOutSource } from "../../src/adapters/kinesis_fan_out.ts";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { MemoryStream } from "../../src/adapters/memory.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { createInMemoryKinesis } from "../kinesis_in_memory.ts";
import { serveLocalKinesis } from "../../src/local/kinesis_server.ts";
import type { StreamSource } from "../../src/ports.ts";
import { LeapingClock } from "../leaping_clock.ts";
import { simulatedStream } from "./sim_backends.ts";
import { type StreamBackend, testStreamSource } from "./stream_source_contract.ts";

const STREAM = "orders";
const AWS = {
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
};
const SECOND_SHARD_START = String(2n ** 127n);

testStreamSource("memory", (shards) => {
  const clock = new LeapingClock();
  const source = new MemoryStream({ shards, clock });
  return Promise.resolve({
    source,
    clock,
    put: (partitionKey, data) => Promise.resolve(source.put(partitionKey, data)),
    split: (shardId) => Promise.resolve(void source.split(shardId)),
    merge: (a, b) => Promise.resolve(void source.merge(a, b)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

testStreamSource("simulated", (shards) => Promise.resolve(simulatedStream(shards)));

for (const [name, makeSource] of [["polling", polling], ["fan-out", fanOut]] as const) {
  testStreamSource(`${name}, in memory`, (shards) => {
    const clock = new SilentClock();
    const requestHandler = createInMemoryKinesis({ now: () => clock.now() });
    const client = new KinesisClient({ ...AWS, requestHandler });
    const source = makeSource({ client, eventStreams: client, clock });
    return backend({ client, source, clock, shards, close: () => Promise.resolve() });
  });

  testStreamSource(`${name}, over HTTP`, async (shards) => {
    const clock = new SilentClock();
    const server = serveLocalKinesis({ port: 0, now: () => clock.now() });
    const { kinesis, eventStreams, close } = connectAws({ ...AWS, kinesisEndpoint: server.url });
    const client = await kinesis();
    const source = makeSource({ client, eventStreams: await eventStreams(), clock });
    return await backend({
      client,
      source,
      clock,
      shards,
      close: async () => {
        close();
        await server.close();
      },
    });
  });
}

/** Two of its sleeps overlap: while an event is waited for, the time of silence does not pass. */
class SilentClock extends LeapingClock {
  override sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms !== SILENCE_MAX_MS) return super.sleep(ms, signal);
    return abortable(new Promise<never>(() => {}), signal);
  }
}

interface SourceOptions {
  readonly client: KinesisClient;
  readonly eventStreams: KinesisClient;
  readonly clock: LeapingClock;
}

const CONFIG = resolveConfig({ maxBatchSize: 10 });
const COMMON = { streamName: STREAM, config: CONFIG, emit: () => {} };

function polling({ client, clock }: SourceOptions): StreamSource {
  return new KinesisPollingSource({ ...COMMON, client, clock });
}

function fanOut(options: SourceOptions): StreamSource {
  return new KinesisFanOutSource({ ...COMMON, ...options, consumerName: "billing" });
}

async function backend(options: {
  readonly client: KinesisClient;
  readonly source: StreamSource;
  readonly clock: LeapingClock;
  readonly shards: number;
  readonly close: () => Promise<void>;
}): Promise<StreamBackend> {
  const { client, source, clock, shards, close } = options;
  await client.send(new CreateStreamCommand({ StreamName: STREAM, ShardCount: shards }));
  return {
    source,
    clock,
    async put(PartitionKey, Data) {
      // A shard takes 1 MiB a second.
      clock.leap(Math.ceil(Data.length / 1_000));
      const reply = await client.send(
        new PutRecordCommand({ StreamName: STREAM, PartitionKey, Data }),
      );
      return { shardId: reply.ShardId ?? "", sequenceNumber: reply.SequenceNumber ?? "" };
    },
    async split(ShardToSplit) {
      const input = { StreamName: STREAM, ShardToSplit, NewStartingHashKey: SECOND_SHARD_START };
      await client.send(new SplitShardCommand(input));
    },
    async merge(ShardToMerge, AdjacentShardToMerge) {
      const input = { StreamName: STREAM, ShardToMerge, AdjacentShardToMerge };
      await client.send(new MergeShardsCommand(input));
    },
    [Symbol.asyncDispose]: close,
  };
}
