// Owns: what holds over all turns on a shard, whatever the settings, the processor, its place and the reads do.
import { KinesisClient } from "@aws-sdk/client-kinesis";
import fc from "fast-check";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import { createInMemoryKinesis } from "../kinesis_in_memory.ts";
import { settled } from "../virtual_clock.ts";
import { SHARD, STREAM } from "./source_testing.ts";
import { CASE, type StageOf, Turns } from "./turns_testing.ts";

const FAULTS = [
  null,
  null,
  null,
  null,
  "ExpiredIteratorException",
  "ProvisionedThroughputExceededException",
  "InternalFailure",
  "KMSThrottlingException",
  "KMSDisabledException",
];

/** The stream is a local Kinesis, read by GetRecords; calls fail as the reads of the script say. */
const polled: StageOf = (given, { clock, random, emit }, payloads) => {
  const { reads, settings: { maxBatchSize } } = given;
  let calls = 0;
  let underWay = 0;
  const kinesis = createInMemoryKinesis({
    now: () => clock.now(),
    intercept: ({ operation }, proceed) => {
      if (operation !== "GetRecords" && operation !== "GetShardIterator") return proceed();
      calls += 1;
      const { fails = false, size = 0 } = reads[calls % reads.length] ?? {};
      const fault = fails ? FAULTS[(calls + size) % FAULTS.length] ?? null : null;
      if (fault === null) return proceed();
      // The answer is lost.
      if (calls % 2 === 0) proceed();
      throw new KinesisError(fault, "said Kinesis", fault.startsWith("Internal") ? 500 : 400);
    },
  });
  const { engine } = kinesis;
  engine.call("CreateStream", { StreamName: STREAM, ShardCount: 1 });
  clock.pass(60_000);
  const sequenceNumbers = payloads.map(({ partitionKey, data }) => {
    clock.pass(10);
    const Data = data.toBase64();
    const reply = engine.call("PutRecord", {
      ...{ StreamName: STREAM, PartitionKey: partitionKey, Data },
    });
    return (reply as { readonly SequenceNumber: string }).SequenceNumber;
  });
  const NewStartingHashKey = String(2n ** 127n);
  engine.call("SplitShard", { StreamName: STREAM, ShardToSplit: SHARD, NewStartingHashKey });
  clock.pass(60_000);
  const client = new KinesisClient({
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
    requestHandler: kinesis,
    maxAttempts: 1,
  });
  const send = client.send.bind(client) as (...call: unknown[]) => Promise<unknown>;
  client.send = ((...call: unknown[]) => {
    underWay += 1;
    return send(...call).finally(() => underWay -= 1);
  }) as KinesisClient["send"];
  const source = new KinesisPollingSource({
    ...{ client, streamName: STREAM, clock, random, emit },
    config: resolveConfig({ maxBatchSize, maxKinesisRetries: 1 }),
  });
  return {
    sequenceNumbers,
    source: {
      listShards: (signal) => source.listShards(signal),
      open: (_, after, signal, budget) => source.open(SHARD, after, signal, budget),
    },
    settle: async () => {
      await settled();
      while (underWay > 0) await settled();
    },
  };
};

Deno.test("turns: whatever the settings, the processor and the reads do, nothing is lost, repeated or out of order", async () => {
  const property = fc.asyncProperty(CASE, (given) => new Turns(given).run());
  await fc.assert(property, { numRuns: Number(Deno.env.get("RUNS") ?? 300) });
});

Deno.test("turns: the same by GetRecords, whatever Kinesis answers", async () => {
  const property = fc.asyncProperty(CASE, (given) => new Turns(given, polled).run());
  await fc.assert(property, { numRuns: Number(Deno.env.get("RUNS") ?? 100) });
});
