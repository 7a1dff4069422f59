// Owns: the local Kinesis as one thing: an operation's name and input in, its output out.
// Must not: do I/O, read an ambient clock after construction, or know JSON and HTTP.
// Called by: kinesis_protocol.ts, and by tests directly.
import { Account, type KinesisEngineOptions } from "./account.ts";
import { type Input, isObject } from "./input.ts";
import { KinesisError } from "./kinesis_error.ts";
import {
  deregisterConsumer,
  describeConsumer,
  listConsumers,
  registerConsumer,
} from "./consumer_operations.ts";
import { getRecords, putRecord, putRecords } from "./record_operations.ts";
import { getShardIterator } from "./shard_iterators.ts";
import { listShards } from "./shard_listing.ts";
import { mergeShards, splitShard, updateShardCount } from "./shard_operations.ts";
import {
  addTags,
  createStream,
  decreaseRetention,
  deleteStream,
  describeStream,
  describeStreamSummary,
  increaseRetention,
  listStreams,
  listTags,
  removeTags,
} from "./stream_operations.ts";
import { subscribeToShard } from "./subscription_operations.ts";

export type { KinesisEngineOptions } from "./account.ts";

type Operation = (account: Account, input: Input) => object;

const OPERATIONS: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ["AddTagsToStream", addTags],
  ["CreateStream", createStream],
  ["DecreaseStreamRetentionPeriod", decreaseRetention],
  ["DeleteStream", deleteStream],
  ["DeregisterStreamConsumer", deregisterConsumer],
  ["DescribeStream", describeStream],
  ["DescribeStreamConsumer", describeConsumer],
  ["DescribeStreamSummary", describeStreamSummary],
  ["GetRecords", getRecords],
  ["GetShardIterator", getShardIterator],
  ["IncreaseStreamRetentionPeriod", increaseRetention],
  ["ListShards", listShards],
  ["ListStreamConsumers", listConsumers],
  ["ListStreams", listStreams],
  ["ListTagsForStream", listTags],
  ["MergeShards", mergeShards],
  ["PutRecord", putRecord],
  ["PutRecords", putRecords],
  ["RegisterStreamConsumer", registerConsumer],
  ["RemoveTagsFromStream", removeTags],
  ["SplitShard", splitShard],
  ["SubscribeToShard", subscribeToShard],
  ["UpdateShardCount", updateShardCount],
]);

/** Amazon Kinesis Data Streams in memory, in one process, at the time that its clock tells. */
export class KinesisEngine {
  readonly #account: Account;

  constructor(options: KinesisEngineOptions = {}) {
    this.#account = new Account(options);
  }

  /**
   * Carries out one operation on the input that the service's JSON protocol would carry: bytes in base64,
   * times in seconds of the epoch. SubscribeToShard answers a {@linkcode Subscription}.
   *
   * @throws {KinesisError} for every error that AWS would answer.
   */
  call(operation: string, input: unknown): object {
    const run = OPERATIONS.get(operation);
    if (run === undefined) {
      throw new KinesisError(
        "UnknownOperationException",
        `The service does not support the operation "${operation}".`,
      );
    }
    if (!isObject(input)) {
      throw new KinesisError("SerializationException", "The request is not a JSON object");
    }
    return run(this.#account, input);
  }
}
