// Owns: ListShards: its six filters and its pages.
// Must not: change anything.
// Called by: kinesis_engine.ts.
import { type Account, streamNameOf } from "./account.ts";
import {
  type Input,
  optionalInteger,
  optionalObject,
  optionalText,
  optionalTimestampMs,
  text,
  unsatisfied,
} from "./input.ts";
import { invalidArgument, KinesisError } from "./kinesis_error.ts";
import type { Shard } from "./shard.ts";
import { pastTimestamp } from "./shard_iterators.ts";
import { describeShard } from "./shard_operations.ts";
import type { Stream } from "./stream.ts";
import { formatToken, parseToken } from "./tokens.ts";

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html
const TOKEN_LIFETIME_MS = 300_000;
const PAGE_SHARDS = { min: 1, max: 10_000 };
const PAGE_SHARDS_DEFAULT = 1000;
const FILTER_TYPES = [
  "AFTER_SHARD_ID",
  "AT_TRIM_HORIZON",
  "FROM_TRIM_HORIZON",
  "AT_LATEST",
  "AT_TIMESTAMP",
  "FROM_TIMESTAMP",
] as const;

/** A filter with the parameter that its type takes. */
interface Filter {
  readonly type: typeof FILTER_TYPES[number];
  readonly timestampMs: number;
  readonly shardId: string;
}

interface Page {
  readonly stream: Stream;
  readonly filter: Filter;
  /** The last shard of the page before. */
  readonly after: string;
}

const NO_FILTER: Filter = { type: "FROM_TRIM_HORIZON", timestampMs: 0, shardId: "" };

export function listShards(account: Account, input: Input): object {
  const count = optionalInteger(input, "MaxResults", PAGE_SHARDS) ?? PAGE_SHARDS_DEFAULT;
  const token = optionalText(input, "NextToken");
  const page = token === undefined ? firstPage(account, input) : nextPage(account, input, token);
  const rest = filtered(page).filter(({ shardId }) => shardId > page.after);
  const shards = rest.slice(0, count);
  const last = shards.at(-1);
  return {
    Shards: shards.map(describeShard),
    ...(last !== undefined && rest.length > count
      ? { NextToken: formatPage({ ...page, after: last.shardId }, account.now()) }
      : {}),
  };
}

function filtered({ stream, filter }: Page): readonly Shard[] {
  const { shards } = stream;
  const { timestampMs } = filter;
  switch (filter.type) {
    case "FROM_TRIM_HORIZON":
      return shards;
    case "AT_LATEST":
      return shards.filter(isOpen);
    case "AFTER_SHARD_ID":
      return shards.filter(({ shardId }) => shardId > filter.shardId);
    case "AT_TRIM_HORIZON":
      return shards.filter((shard) => isOldest(stream, shard));
    case "AT_TIMESTAMP":
      if (shards.every((shard) => shard.createdMs > timestampMs)) {
        return shards.filter((shard) => isOldest(stream, shard));
      }
      return shards.filter((shard) =>
        shard.createdMs <= timestampMs && (shard.closedMs ?? Infinity) >= timestampMs
      );
    case "FROM_TIMESTAMP":
      return shards.filter((shard) => (shard.closedMs ?? Infinity) >= timestampMs);
    default:
      return filter.type satisfies never;
  }
}

function isOpen(shard: Shard): boolean {
  return shard.closedMs === undefined;
}

/** A shard that was open at the trim horizon: one whose parents, if it had any, have expired. */
function isOldest(stream: Stream, shard: Shard): boolean {
  return !shard.parentIds.some((parentId) => stream.hasShard(parentId));
}

function firstPage(account: Account, input: Input): Page {
  if (streamNameOf(input) === undefined) {
    throw invalidArgument("Either NextToken or StreamName should be provided.");
  }
  const filter = filterOf(input, account.now());
  const after = optionalText(input, "ExclusiveStartShardId") ?? "";
  return { stream: account.streamOf(input), filter, after };
}

function filterOf(input: Input, nowMs: number): Filter {
  const given = optionalObject(input, "ShardFilter");
  if (given === undefined) return NO_FILTER;
  const type = filterTypeOf(text(given, "Type"));
  const timestampMs = optionalTimestampMs(given, "Timestamp");
  const shardId = optionalText(given, "ShardId");
  if (type.endsWith("_TIMESTAMP") !== (timestampMs !== undefined)) {
    throw invalidArgument(
      "Timestamp must be provided if and only if the shard filter type is AT_TIMESTAMP or FROM_TIMESTAMP.",
    );
  }
  if ((type === "AFTER_SHARD_ID") !== (shardId !== undefined)) {
    throw invalidArgument(
      "ShardId must be provided if and only if the shard filter type is AFTER_SHARD_ID.",
    );
  }
  return {
    type,
    timestampMs: pastTimestamp(timestampMs ?? 0, nowMs),
    shardId: shardId ?? "",
  };
}

function filterTypeOf(value: unknown): Filter["type"] {
  const type = FILTER_TYPES.find((known) => known === value);
  if (type !== undefined) return type;
  throw unsatisfied(
    String(value),
    "ShardFilter.Type",
    `satisfy enum value set: [${FILTER_TYPES.join(", ")}]`,
  );
}

function formatPage({ stream, filter, after }: Page, nowMs: number): string {
  const { streamName, createdMs } = stream;
  const { type, timestampMs, shardId } = filter;
  return formatToken("shards", [
    streamName,
    createdMs,
    type,
    timestampMs,
    shardId,
    after,
    nowMs,
  ]);
}

function nextPage(account: Account, input: Input, token: string): Page {
  for (const field of ["StreamName", "StreamARN", "ExclusiveStartShardId", "ShardFilter"]) {
    if ((input[field] ?? undefined) === undefined) continue;
    throw invalidArgument(`NextToken and ${field} cannot be provided together.`);
  }
  const [streamName, createdMs, type, timestampMs, shardId, after, issuedMs] =
    parseToken("shards", token) ?? [];
  if (
    typeof streamName !== "string" || typeof timestampMs !== "number" ||
    typeof shardId !== "string" || typeof after !== "string" || typeof issuedMs !== "number"
  ) throw invalidArgument("Invalid NextToken.");
  if (account.now() - issuedMs > TOKEN_LIFETIME_MS) {
    throw new KinesisError("ExpiredNextTokenException", "The NextToken has expired.");
  }
  const stream = account.get(streamName);
  if (stream.createdMs !== createdMs) throw invalidArgument("Invalid NextToken.");
  return { stream, filter: { type: filterTypeOf(type), timestampMs, shardId }, after };
}
