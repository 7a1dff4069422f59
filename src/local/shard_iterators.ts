// Owns: shard iterators: which position each of the five types means, their text, their five minutes.
// Must not: read records.
// Called by: record_operations.ts, subscription_operations.ts.
import type { Account } from "./account.ts";
import { type Input, name, optionalText, optionalTimestampMs, text, unsatisfied } from "./input.ts";
import { ACCOUNT_ID, invalidArgument, KinesisError } from "./kinesis_error.ts";
import { parseSequenceNumber } from "./sequence_numbers.ts";
import { type Shard, shardIdOf } from "./shard.ts";
import type { Stream } from "./stream.ts";
import { formatToken, parseToken } from "./tokens.ts";

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html
const LIFETIME_MS = 300_000;
const TYPES = [
  "AT_SEQUENCE_NUMBER",
  "AFTER_SEQUENCE_NUMBER",
  "TRIM_HORIZON",
  "LATEST",
  "AT_TIMESTAMP",
] as const;
type IteratorType = typeof TYPES[number];

/** Where an iterator stands. */
export interface ShardPosition {
  readonly stream: Stream;
  readonly shard: Shard;
  readonly ordinal: number;
}

export function getShardIterator(account: Account, input: Input): object {
  const shardId = name(input, "ShardId");
  const stream = account.streamOf(input);
  const shard = stream.shard(shardId);
  const ordinal = startingOrdinal(input, { stream, shard, nowMs: account.now() });
  return { ShardIterator: formatShardIterator({ stream, shard, ordinal }, account.now()) };
}

export function formatShardIterator(position: ShardPosition, nowMs: number): string {
  const { stream, shard, ordinal } = position;
  const { streamName, createdMs } = stream;
  return formatToken("iterator", [streamName, createdMs, shard.shardId, ordinal, nowMs]);
}

/** The position an iterator names. @throws {KinesisError} when it is not one, too old, or its shard gone. */
export function resolveShardIterator(account: Account, shardIterator: string): ShardPosition {
  const [streamName, createdMs, shardId, ordinal, issuedMs] =
    parseToken("iterator", shardIterator) ?? [];
  if (
    typeof streamName !== "string" || typeof shardId !== "string" ||
    typeof ordinal !== "number" || typeof issuedMs !== "number"
  ) throw invalidArgument("Invalid ShardIterator.");
  const nowMs = account.now();
  if (nowMs - issuedMs > LIFETIME_MS) {
    throw new KinesisError(
      "ExpiredIteratorException",
      `Iterator expired. The iterator was created at time ${
        awsTime(issuedMs)
      } while right now it is ` +
        `${
          awsTime(nowMs)
        } which is further in the future than the tolerated delay of ${LIFETIME_MS} milliseconds.`,
    );
  }
  const stream = account.find(streamName);
  if (stream?.createdMs !== createdMs || stream === undefined || !stream.hasShard(shardId)) {
    throw new KinesisError(
      "ResourceNotFoundException",
      `Shard ${shardId} in stream ${streamName} under account ${ACCOUNT_ID} does not exist`,
    );
  }
  const shard = stream.shard(shardId);
  return { stream, shard, ordinal: Math.max(ordinal, shard.horizonOrdinal) };
}

/** Where a request asks to start. @throws {KinesisError} when its fields do not fit together, or not the shard. */
export function startingOrdinal(input: Input, context: {
  readonly stream: Stream;
  readonly shard: Shard;
  readonly nowMs: number;
}): number {
  const { shard, nowMs } = context;
  const type = iteratorTypeOf(input);
  const sequenceNumber = optionalText(input, "StartingSequenceNumber");
  const timestampMs = optionalTimestampMs(input, "Timestamp");
  const takesSequenceNumber = type === "AT_SEQUENCE_NUMBER" || type === "AFTER_SEQUENCE_NUMBER";
  if (takesSequenceNumber !== (sequenceNumber !== undefined)) {
    throw wrongCombination(type, `${sequenceNumber ? "also a" : "no"} StartingSequenceNumber`);
  }
  if ((type === "AT_TIMESTAMP") !== (timestampMs !== undefined)) {
    throw wrongCombination(type, `${timestampMs !== undefined ? "also a" : "no"} Timestamp`);
  }
  switch (type) {
    case "TRIM_HORIZON":
      return shard.horizonOrdinal;
    case "LATEST":
      return shard.tipOrdinal;
    case "AT_TIMESTAMP":
      return shard.ordinalAtTime(pastTimestamp(timestampMs ?? 0, nowMs));
    case "AT_SEQUENCE_NUMBER":
      return ordinalOf(sequenceNumber ?? "", context);
    case "AFTER_SEQUENCE_NUMBER":
      return Math.min(ordinalOf(sequenceNumber ?? "", context) + 1, shard.tipOrdinal);
    default:
      return type satisfies never;
  }
}

function iteratorTypeOf(input: Input): IteratorType {
  const value = text(input, "ShardIteratorType");
  const type = TYPES.find((known) => known === value);
  if (type !== undefined) return type;
  throw unsatisfied(
    value,
    "ShardIteratorType",
    `satisfy enum value set: [${TYPES.join(", ")}]`,
  );
}

/** A timestamp that is not ahead of the clock. @throws {KinesisError} when it is. */
export function pastTimestamp(timestampMs: number, nowMs: number): number {
  if (timestampMs <= nowMs) return timestampMs;
  throw invalidArgument(
    "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. " +
      `timestampInMillis: ${timestampMs}, currentTimestampInMillis: ${nowMs}`,
  );
}

/** The position of a record that this shard gave its sequence number to, or of the shard's start. */
function ordinalOf(sequenceNumber: string, context: {
  readonly stream: Stream;
  readonly shard: Shard;
}): number {
  const { stream, shard } = context;
  const used = `StartingSequenceNumber ${sequenceNumber} used in GetShardIterator on shard ` +
    `${shard.shardId} in stream ${stream.streamName} under account ${ACCOUNT_ID} is invalid`;
  const parts = parseSequenceNumber(sequenceNumber);
  if (parts === undefined) throw invalidArgument(`${used}.`);
  if (parts.shardIndex !== shard.index) {
    throw invalidArgument(
      `Invalid StartingSequenceNumber. It encodes ${
        shardIdOf(parts.shardIndex)
      }, while it was used ` +
        `in a call to a shard with ${shard.shardId}`,
    );
  }
  if (parts.shardCreatedSeconds !== shard.createdSeconds) {
    throw invalidArgument(`${used} because it did not come from this stream.`);
  }
  return Math.min(Number(parts.ordinal), shard.tipOrdinal);
}

function wrongCombination(type: IteratorType, also: string): KinesisError {
  return invalidArgument(
    "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or " +
      "(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber or (3) AT_TIMESTAMP and Timestamp. " +
      `Request specified ${type} and ${also}.`,
  );
}

/** A time as AWS writes it: "Thu Jan 22 01:22:02 UTC 2015". */
function awsTime(timeMs: number): string {
  const [weekday, day, month, year, time] = new Date(timeMs).toUTCString().split(/,? /);
  return `${weekday} ${month} ${day} ${time} UTC ${year}`;
}
