// Owns: the implementations of StreamSource that the contract runs on.
import {
  CreateStreamCommand,
  KinesisClient,
  MergeShardsCommand,
  PutRecordCommand,
  SplitShardCommand,
} from "@aws-sdk/client-kinesis";
import { connectAws } from "../../src/adapters/aws_calls.ts";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { MemoryStream } from "../../src/adapters/memory.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { createInMemoryKinesis } from "../../src/local/kinesis_in_memory.ts";
import { serveLocalKinesis } from "../../src/local/kinesis_server.ts";
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

testStreamSource("polling, in memory", (shards) => {
  const clock = new LeapingClock();
  const requestHandler = createInMemoryKinesis({ now: () => clock.now() });
  const client = new KinesisClient({ ...AWS, requestHandler });
  return polling({ client, clock, shards, close: () => Promise.resolve() });
});

testStreamSource("polling, over HTTP", async (shards) => {
  const clock = new LeapingClock();
  const server = serveLocalKinesis({ port: 0, now: () => clock.now() });
  const { kinesis, close } = await connectAws(
    { ...AWS, kinesisEndpoint: server.url },
    { maxSockets: 4 },
  );
  return await polling({
    client: kinesis,
    clock,
    shards,
    close: async () => {
      close();
      await server.close();
    },
  });
});

async function polling(options: {
  readonly client: KinesisClient;
  readonly clock: LeapingClock;
  readonly shards: number;
  readonly close: () => Promise<void>;
}): Promise<StreamBackend> {
  const { client, clock, shards, close } = options;
  await client.send(new CreateStreamCommand({ StreamName: STREAM, ShardCount: shards }));
  return {
    source: new KinesisPollingSource({
      client,
      streamName: STREAM,
      config: resolveConfig({ maxBatchSize: 10 }),
      clock,
      emit: () => {},
    }),
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
