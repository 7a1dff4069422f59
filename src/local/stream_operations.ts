// Owns: the operations on whole streams: make, describe, list, keep for longer or shorter, tag, delete.
// Must not: touch records or cut shards.
// Called by: kinesis_engine.ts.
import type { Account } from "./account.ts";
import {
  type Input,
  integer,
  list,
  name,
  optionalInteger,
  optionalObject,
  optionalText,
  text,
  unsatisfied,
} from "./input.ts";
import { ACCOUNT_ID, invalidArgument, KinesisError } from "./kinesis_error.ts";
import { describeShard } from "./shard_operations.ts";
import { Stream, streamArnOf, type StreamMode } from "./stream.ts";

// https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html
const ON_DEMAND_SHARDS = 4;
const RETENTION_HOURS = { min: 24, max: 8760 };

export function createStream(account: Account, input: Input): object {
  const streamName = name(input, "StreamName");
  const mode = streamModeOf(input);
  const shardCount = optionalInteger(input, "ShardCount", { min: 1, max: 10_000 });
  if (mode === "PROVISIONED" && shardCount === undefined) {
    throw new KinesisError(
      "ValidationException",
      "ShardCount must be provided for a stream in PROVISIONED mode.",
    );
  }
  if (account.find(streamName) !== undefined) {
    throw new KinesisError(
      "ResourceInUseException",
      `Stream ${streamName} under account ${ACCOUNT_ID} already exists.`,
    );
  }
  const createdMs = account.now();
  const stream = new Stream({
    streamName,
    mode,
    shardCount: shardCount ?? ON_DEMAND_SHARDS,
    createdMs,
    limits: account.limits,
  });
  account.add(stream);
  stream.startTransition("CREATING", {
    dueMs: createdMs + account.transitionMs,
    complete: () => {},
  });
  return {};
}

export function deleteStream(account: Account, input: Input): object {
  const stream = account.streamOf(input);
  if (stream.consumers.size > 0 && input["EnforceConsumerDeletion"] !== true) {
    throw new KinesisError(
      "ResourceInUseException",
      `Stream ${stream.streamName} under account ${ACCOUNT_ID} has registered consumers; deregister them, ` +
        "or set EnforceConsumerDeletion.",
    );
  }
  stream.startTransition("DELETING", {
    dueMs: account.now() + account.transitionMs,
    complete: () => account.remove(stream),
  });
  // At once, if that takes no time: its subscriptions end.
  account.find(stream.streamName);
  return {};
}

export function describeStream(account: Account, input: Input): object {
  const stream = account.streamOf(input);
  const limit = optionalInteger(input, "Limit", { min: 1, max: 10_000 }) ?? 100;
  const after = optionalText(input, "ExclusiveStartShardId") ?? "";
  const rest = stream.shards.filter(({ shardId }) => shardId > after);
  return {
    StreamDescription: {
      ...describe(stream),
      Shards: rest.slice(0, limit).map(describeShard),
      HasMoreShards: rest.length > limit,
    },
  };
}

export function describeStreamSummary(account: Account, input: Input): object {
  const stream = account.streamOf(input);
  return {
    StreamDescriptionSummary: {
      ...describe(stream),
      OpenShardCount: stream.openShards.length,
      ConsumerCount: stream.consumers.size,
    },
  };
}

export function listStreams(account: Account, input: Input): object {
  const limit = optionalInteger(input, "Limit", { min: 1, max: 10_000 }) ?? 100;
  const after = optionalText(input, "NextToken") ??
    optionalText(input, "ExclusiveStartStreamName") ?? "";
  const rest = account.streamNames().filter((streamName) => streamName > after);
  const page = rest.slice(0, limit);
  return {
    StreamNames: page,
    StreamSummaries: page.map((streamName) => summarise(account.get(streamName))),
    HasMoreStreams: rest.length > limit,
    ...(rest.length > limit ? { NextToken: page.at(-1) } : {}),
  };
}

export function increaseRetention(account: Account, input: Input): object {
  const { stream, hours } = retentionChange(account, input);
  if (hours < stream.retentionHours) {
    throw invalidArgument(
      `Requested retention period (${hours} hours) for stream ${stream.streamName} can not be shorter ` +
        `than existing retention period (${stream.retentionHours} hours). Use DecreaseRetentionPeriod API.`,
    );
  }
  stream.retentionHours = hours;
  return {};
}

export function decreaseRetention(account: Account, input: Input): object {
  const { stream, hours } = retentionChange(account, input);
  if (hours > stream.retentionHours) {
    throw invalidArgument(
      `Requested retention period (${hours} hours) for stream ${stream.streamName} can not be longer ` +
        `than existing retention period (${stream.retentionHours} hours). Use IncreaseRetentionPeriod API.`,
    );
  }
  stream.retentionHours = hours;
  return {};
}

export function addTags(account: Account, input: Input): object {
  const stream = account.streamOf(input);
  const tags = optionalObject(input, "Tags") ?? {};
  for (const key of Object.keys(tags)) stream.tags.set(key, text(tags, key));
  return {};
}

export function removeTags(account: Account, input: Input): object {
  const stream = account.streamOf(input);
  for (const key of list(input, "TagKeys", 50)) stream.tags.delete(String(key));
  return {};
}

export function listTags(account: Account, input: Input): object {
  const stream = account.streamOf(input);
  const limit = optionalInteger(input, "Limit", { min: 1, max: 50 }) ?? 50;
  const after = optionalText(input, "ExclusiveStartTagKey") ?? "";
  const rest = [...stream.tags].filter(([key]) => key > after).sort();
  return {
    Tags: rest.slice(0, limit).map(([Key, Value]) => ({ Key, Value })),
    HasMoreTags: rest.length > limit,
  };
}

function streamModeOf(input: Input): StreamMode {
  const details = optionalObject(input, "StreamModeDetails");
  if (details === undefined) return "PROVISIONED";
  const mode = text(details, "StreamMode");
  if (mode === "PROVISIONED" || mode === "ON_DEMAND") return mode;
  throw unsatisfied(mode, "StreamMode", "satisfy enum value set: [PROVISIONED, ON_DEMAND]");
}

function describe(stream: Stream): object {
  return {
    ...summarise(stream),
    RetentionPeriodHours: stream.retentionHours,
    EncryptionType: "NONE",
    EnhancedMonitoring: [{ ShardLevelMetrics: [] }],
  };
}

function summarise(stream: Stream): object {
  return {
    StreamName: stream.streamName,
    StreamARN: streamArnOf(stream.streamName),
    StreamStatus: stream.status,
    StreamModeDetails: { StreamMode: stream.mode },
    StreamCreationTimestamp: stream.createdMs / 1000,
  };
}

function retentionChange(
  account: Account,
  input: Input,
): { readonly stream: Stream; readonly hours: number } {
  const stream = account.streamOf(input);
  stream.requireActive();
  const hours = integer(input, "RetentionPeriodHours", { min: 1, max: 1_000_000 });
  if (hours < RETENTION_HOURS.min) {
    throw invalidArgument(
      `Minimum allowed retention period is ${RETENTION_HOURS.min} hours. Requested retention period ` +
        `(${hours} hours) is too short.`,
    );
  }
  if (hours > RETENTION_HOURS.max) {
    throw invalidArgument(
      `Maximum allowed retention period is ${RETENTION_HOURS.max} hours. Requested retention period ` +
        `(${hours} hours) is too long.`,
    );
  }
  return { stream, hours };
}
