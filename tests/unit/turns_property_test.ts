// Owns: what holds over all turns on a shard, whatever the settings, the processor, its place and the reads do.
import { KinesisClient } from "@aws-sdk/client-kinesis";
import fc from "fast-check";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { KinesisFanOutSource } from "../../src/adapters/kinesis_fan_out.ts";
import { resolveConfig } from "../../src/core/config.ts";
import { KinesisError } from "../../src/local/kinesis_error.ts";
import { Subscription } from "../../src/local/subscription.ts";
import type { StreamSource } from "../../src/ports.ts";
import { createInMemoryKinesis } from "../kinesis_in_memory.ts";
import { settled } from "../virtual_clock.ts";
import { SHARD, STREAM } from "./source_testing.ts";
import type { Bench } from "./runtime_testing.ts";
import { CASE, type Case, type StageOf } from "./turns_cases.ts";
import { Turns } from "./turns_testing.ts";

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
  "ResourceInUseException",
];

/** What goes wrong with the next call: an error, and whether only its answer is lost. */
type Fault = { readonly error: KinesisError; readonly isLate: boolean } | null;

const CALLS_FAILING_MAX = 60;

/** Draws faults as the reads of the script fail. */
function faultsOf({ reads }: Case): () => Fault {
  let calls = 0;
  return () => {
    calls += 1;
    const { fails = false, size = 0 } = reads[calls % reads.length] ?? {};
    // Not for ever: what comes in turns may hit the same call each time.
    const name = fails && calls < CALLS_FAILING_MAX
      ? FAULTS[(calls + size) % FAULTS.length] ?? null
      : null;
    if (name === null) return null;
    const error = new KinesisError(name, "said Kinesis", name.startsWith("Internal") ? 500 : 400);
    return { error, isLate: calls % 2 === 0 };
  };
}

/** The stream is a local Kinesis; calls fail as the reads of the script do. */
function local(
  makeSource: (client: KinesisClient, given: Case, bench: Bench) => StreamSource,
): StageOf {
  return (given, bench, payloads) => {
    const { clock } = bench;
    const nextFault = faultsOf(given);
    let underWay = 0;
    let isSplit = false;
    const kinesis = createInMemoryKinesis({
      now: () => clock.now(),
      subscriptionTimes: { heartbeatMs: 0 },
      intercept({ operation }, proceed) {
        const fault = READS.has(operation) ? nextFault() : null;
        if (operation === "GetRecords") putMore();
        const output = fault === null || fault.isLate ? proceed() : undefined;
        if (output instanceof Subscription) {
          const next = output.next.bind(output);
          let events = 0;
          return Object.assign(output, {
            next() {
              putMore();
              events += 1;
              // It breaks off after its first event.
              if (fault !== null && events > 1) throw fault.error;
              return next();
            },
          });
        }
        if (fault !== null || output === undefined) throw fault?.error;
        return output;
      },
    });
    const { engine } = kinesis;
    engine.call("CreateStream", { StreamName: STREAM, ShardCount: 1 });
    const sequenceNumbers: string[] = [];
    const rest = [...payloads];
    // One comes before each read, and the end of the shard after the last one.
    const putMore = (): void => {
      for (const { partitionKey, data } of rest.splice(0, 1)) {
        const record = { PartitionKey: partitionKey, Data: data.toBase64() };
        const reply = engine.call("PutRecord", { StreamName: STREAM, ...record });
        sequenceNumbers.push((reply as { readonly SequenceNumber: string }).SequenceNumber);
      }
      if (rest.length > 0 || isSplit) return;
      isSplit = true;
      const NewStartingHashKey = String(2n ** 127n);
      engine.call("SplitShard", { StreamName: STREAM, ShardToSplit: SHARD, NewStartingHashKey });
    };
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
    const source = makeSource(client, given, bench);
    return {
      sequenceNumbers,
      source: {
        listShards: (signal) => source.listShards(signal),
        open: (_, after, signal, budget) => source.open(SHARD, after, signal, budget),
      },
      // The events of a subscription come without a call.
      settle: async () => {
        for (let i = 0; i < 3 || underWay > 0; i++) await settled();
      },
    };
  };
}

const READS = new Set(["GetRecords", "GetShardIterator", "SubscribeToShard"]);

const polled = local((client, { settings: { maxBatchSize } }, { clock, random, emit }) =>
  new KinesisPollingSource({
    ...{ client, streamName: STREAM, clock, random, emit },
    config: resolveConfig({ maxBatchSize, maxKinesisRetries: 1 }),
  })
);

const subscribed = local((client, { settings: { maxBatchSize } }, { clock, random, emit }) =>
  new KinesisFanOutSource({
    ...{ client, eventStreams: client, streamName: STREAM, consumerName: "c", clock, random, emit },
    config: resolveConfig({ maxBatchSize, maxKinesisRetries: 1 }),
  })
);

Deno.test("turns: whatever the settings, the processor and the reads do, nothing is lost, repeated or out of order", async () => {
  const property = fc.asyncProperty(CASE, (given) => new Turns(given).run());
  await fc.assert(property, { numRuns: 300 });
});

Deno.test("turns: the same by GetRecords, whatever Kinesis answers", async () => {
  const property = fc.asyncProperty(CASE, (given) => new Turns(given, polled).run());
  await fc.assert(property, { numRuns: 60 });
});

Deno.test("turns: the same by fan-out, whatever becomes of the subscriptions", async () => {
  const property = fc.asyncProperty(CASE, (given) => new Turns(given, subscribed).run());
  await fc.assert(property, { numRuns: 60 });
});
