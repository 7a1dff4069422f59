// Owns: a worker of a known speed, far behind in one shard of a Kinesis that takes a known time to answer, at a clock that moves by itself.
// Must not: assert anything.
// Called by: the tests of how much is read at a time.
import type { GetRecordsCommand, KinesisClient } from "@aws-sdk/client-kinesis";
import { HttpResponse } from "@smithy/core/protocols";
import { Base64Decoder } from "../../src/adapters/fast_get_records.ts";
import { KinesisPollingSource } from "../../src/adapters/kinesis_polling.ts";
import { isLate, LateAnswer } from "../../src/adapters/late_answer.ts";
import { MemoryLeaseStore } from "../../src/adapters/memory.ts";
import { ReactoKinesixApp } from "../../src/app.ts";
import { type ReactoKinesixConfig, resolveConfig } from "../../src/core/config.ts";
import type { KinesisRecord } from "../../src/processor.ts";
import { SeededRandom, settled, VirtualClock } from "../virtual_clock.ts";
import { CONFIG } from "./app_testing.ts";
import { SHARD, STREAM } from "./source_testing.ts";

/** What Kinesis gives at most at a time. */
const ANSWER_BYTES_MAX = 10 * 2 ** 20;
const UTF_8 = new TextEncoder();
/** Shorter waits are saved up. */
const WAIT_MS = 2;

export interface Work {
  /** How long the processor takes for a record, in milliseconds. */
  readonly processMs: (record: { readonly bytes: number; readonly number: number }) => number;
  /** How long the payload of a record is. */
  readonly bytesOf: (number: number) => number;
  /** How long an answer takes, in milliseconds, by the number of the call. */
  readonly answerMs: (call: number) => number;
  /** Which calls are throttled. */
  readonly isThrottled?: (call: number) => boolean;
  /** Whether answers come as they are, or as the SDK makes them. */
  readonly by?: "lean" | "sdk";
  readonly config?: ReactoKinesixConfig;
  /** After so long it is looked at, and for so long. */
  readonly warmUpMs?: number;
  readonly forMs?: number;
}

export interface Figures {
  /** From 0 to 1: for which part of the time something was in hand. */
  readonly busy: number;
  /** Payload processed, of the 2 MiB that Kinesis gives of a shard in a second. */
  readonly ofLimit: number;
  /** Reads in a second. */
  readonly reads: number;
  readonly bufferedMax: number;
}

/** Lets the worker work. */
export async function figuresOf(work: Work): Promise<Figures> {
  const { warmUpMs = 5_000, forMs = 20_000 } = work;
  const clock = new VirtualClock(async () => {
    for (let i = 0; i < 3; i++) await settled();
  });
  const random = new SeededRandom();
  const reads: number[] = [];
  const client = clientOf(work, clock, reads);
  const config = resolveConfig();
  const source = new KinesisPollingSource({
    ...{ client, streamName: STREAM, config, clock, emit: () => {}, random },
  });
  let [inHand, busySince, busyMs, bytes, debtMs] = [0, 0, 0, 0, 0];
  const never = new AbortController().signal;
  const process = (record: KinesisRecord): Promise<void> | undefined => {
    const { data, sequenceNumber } = record;
    bytes += data.length;
    debtMs += work.processMs({ bytes: data.length, number: Number(sequenceNumber) });
    if (debtMs < WAIT_MS) return undefined;
    const ms = debtMs;
    debtMs = 0;
    if (inHand++ === 0) busySince = clock.monotonic();
    return clock.sleep(ms, never).finally(() => {
      inHand -= 1;
      if (inHand === 0) busyMs += clock.monotonic() - busySince;
    });
  };
  const app = await clock.until(ReactoKinesixApp.createNew({
    appName: "Test",
    streamName: STREAM,
    workerId: "A",
    processor: { process },
    config: { ...CONFIG, checkpointFrequency: 60_000, ...work.config },
    ports: { store: new MemoryLeaseStore(), source, clock, random },
  }));
  await clock.advance(warmUpMs);
  [busyMs, bytes, reads.length] = [0, 0, 0];
  if (inHand > 0) busySince = clock.monotonic();
  let bufferedMax = 0;
  for (let ms = 0; ms < forMs; ms += 100) {
    await clock.advance(100);
    bufferedMax = Math.max(bufferedMax, app.bufferedBytes);
  }
  if (inHand > 0) busyMs += clock.monotonic() - busySince;
  const figures = {
    busy: busyMs / forMs,
    ofLimit: bytes / forMs / (2 * 2 ** 20 / 1_000),
    reads: reads.length / forMs * 1_000,
    bufferedMax,
  };
  await clock.until(app.stop());
  return figures;
}

function clientOf(work: Work, clock: VirtualClock, reads: number[]): KinesisClient {
  const never = new AbortController().signal;
  let calls = 0;
  const send = async (command: { readonly input: Record<string, unknown> }): Promise<unknown> => {
    const { input } = command;
    switch (command.constructor.name) {
      case "ListShardsCommand": {
        const HashKeyRange = { StartingHashKey: "0", EndingHashKey: String(2n ** 128n - 1n) };
        const SequenceNumberRange = { StartingSequenceNumber: "0" };
        return { Shards: [{ ShardId: SHARD, HashKeyRange, SequenceNumberRange }] };
      }
      case "DescribeStreamSummaryCommand":
        return { StreamDescriptionSummary: { RetentionPeriodHours: 24 } };
      case "GetShardIteratorCommand":
        return { ShardIterator: String(Number(input["StartingSequenceNumber"] ?? -1) + 1) };
      default: {
        const call = calls++;
        await clock.sleep(work.answerMs(call), never);
        if (work.isThrottled?.(call)) {
          throw Object.assign(new Error("Rate exceeded"), {
            name: "ProvisionedThroughputExceededException",
            $fault: "client",
            $metadata: { httpStatusCode: 400 },
          });
        }
        const answer = answerOf(work, Number(input["ShardIterator"]), Number(input["Limit"]));
        reads.push(answer.records.length);
        return isLate(command as unknown as GetRecordsCommand) && work.by !== "sdk"
          ? lateOf(answer)
          : outputOf(answer);
      }
    }
  };
  return { send, config: {}, middlewareStack: {} } as unknown as KinesisClient;
}

interface Answer {
  readonly records: readonly { readonly number: number; readonly bytes: number }[];
  readonly next: string;
}

const LAG_MS = 86_400_000;
const ARRIVED = 1_700_000_000;

function answerOf({ bytesOf }: Work, from: number, limit: number): Answer {
  const records: { number: number; bytes: number }[] = [];
  let left = ANSWER_BYTES_MAX;
  for (let number = from; records.length < limit; number++) {
    const bytes = bytesOf(number);
    left -= bytes;
    if (left < 0) break;
    records.push({ number, bytes });
  }
  return { records, next: String(from + records.length) };
}

const BASE64 = new Map<number, string>();
function base64Of(bytes: number): string {
  const known = BASE64.get(bytes) ?? new Uint8Array(bytes).toBase64();
  if (BASE64.size < 200) BASE64.set(bytes, known);
  return known;
}

function lateOf({ records, next }: Answer): LateAnswer {
  const texts = records.map(({ number, bytes }) =>
    // Stands in for all that Kinesis says of a record: its names are as long.
    `{"SequenceNumber":"${
      String(number).padStart(56, "0")
    }","ApproximateArrivalTimestamp":${ARRIVED},"Data":"${
      base64Of(bytes)
    }","PartitionKey":"key ${number}"}`
  );
  const body = UTF_8.encode(
    `{"Records":[${texts.join(",")}],"NextShardIterator":"${next}","MillisBehindLatest":${LAG_MS}}`,
  );
  const response = new HttpResponse({ statusCode: 200, headers: {}, body });
  return new LateAnswer(response, {
    decoder: new Base64Decoder(),
    readBySdk: () => Promise.reject(new Error("the answer is a usual one")),
  });
}

function outputOf({ records, next }: Answer): unknown {
  return {
    Records: records.map(({ number, bytes }) => ({
      SequenceNumber: String(number),
      ApproximateArrivalTimestamp: new Date(ARRIVED * 1_000),
      Data: new Uint8Array(bytes),
      PartitionKey: `key ${number}`,
    })),
    NextShardIterator: next,
    MillisBehindLatest: LAG_MS,
  };
}
