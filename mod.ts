/**
 * Consumes an Amazon Kinesis stream with a cluster of workers that share its shards through a DynamoDB table, without a
 * leader: implement a {@linkcode RecordProcessor}, and {@linkcode ReactoKinesixApp} takes care of the rest.
 *
 * @example
 * ```ts
 * import { ReactoKinesixApp, retryAndStop } from "@reacto/kinesix";
 * import { MemoryLeaseStore, MemoryStream } from "@reacto/kinesix/testing";
 *
 * const stream = new MemoryStream({ shards: 4 });
 * await using app = await ReactoKinesixApp.createNew({
 *   appName: "TestApp",
 *   streamName: "TestStream",
 *   workerId: "PHANTOM",
 *   processor: {
 *     process: (record, context) => console.log(context.shardId, record.text()),
 *     getErrorHandlingMode: () => retryAndStop(3),
 *   },
 *   config: { heartbeat: 30_000 },
 *   ports: { store: new MemoryLeaseStore(), source: stream }, // without this line: AWS
 * });
 * ```
 *
 * @module
 */

export { ReactoKinesixApp } from "./src/app.ts";
export { formatFailure } from "./src/adapters/failure_format.ts";
export { readBatches, readRecords } from "./src/reader.ts";
export { ClusterControl } from "./src/runtime/cluster_control.ts";
export { dynamoSink } from "./src/sink/dynamo_sink.ts";
export { retryAndSkip, retryAndStop } from "./src/core/policy.ts";
export { tumblingWindows } from "./src/windows/tumbling_windows.ts";
export {
  LeaseLostError,
  ProcessTimeoutError,
  RecordFailedError,
  RecordTooOldError,
  SourceError,
  StoreError,
  TransactionRefusedError,
  WorkerReplacedError,
} from "./src/errors.ts";

export type { AwsOptions, SdkClient } from "./src/adapters/aws_calls.ts";
export type { FailureFunction, OnFailure } from "./src/adapters/failure_destination.ts";
export type { AppOptions } from "./src/app.ts";
export type { Checkpoint } from "./src/core/checkpoint.ts";
export type { InitialPosition, ReactoKinesixConfig } from "./src/core/config.ts";
export type {
  HandoverRequest,
  LeaseChange,
  MoveReason,
  Row,
  RowChange,
  RowFields,
  ShardOrder,
  ShardRow,
  StreamRow,
  WorkerRow,
} from "./src/core/lease.ts";
export type { ErrorHandlingMode } from "./src/core/policy.ts";
export type { ClusterStatus, ShardState, ShardStatus, WorkerStatus } from "./src/core/status.ts";
export type { EventError, FailureKind, FailureOptions, RefusedItem } from "./src/errors.ts";
export type { EventListener, ListenerOptions } from "./src/event_hub.ts";
export type {
  AppEvent,
  AppEventOf,
  AppEventType,
  AppFact,
  EventStamp,
  StopReason,
} from "./src/events.ts";
export type {
  Batch,
  Clock,
  FailedRecord,
  LeaseStore,
  Random,
  ReadBudget,
  RowKinds,
  RowListing,
  ShardInfo,
  SourceRecord,
  StreamSource,
  Transaction,
  TransactionResult,
  WriteResult,
} from "./src/ports.ts";
export type {
  BatchFailure,
  BatchResult,
  KinesisRecord,
  ProcessContext,
  ProcessorSource,
  RecordFilter,
  RecordProcessor,
  RecordProcessorFactory,
} from "./src/processor.ts";
export type { BatchDelivery, RecordDelivery } from "./src/pull/delivery.ts";
export type { ReaderHooks } from "./src/pull/pull_processor.ts";
export type { Reader, ReaderOptions, ShardReader } from "./src/reader.ts";
export type { SetCheckpointOptions } from "./src/runtime/cluster_control.ts";
export type { DynamoSinkOptions } from "./src/sink/dynamo_sink.ts";
export type { OwnShard } from "./src/runtime/shard_roster.ts";
export type {
  ChildShard,
  ClosedWindow,
  TumblingWindowsOptions,
} from "./src/windows/tumbling_windows.ts";
export type { WorkerHealth } from "./src/runtime/worker.ts";
export type {
  AttributeMap,
  AttributeValue,
  ItemCondition,
  TransactionItem,
} from "./src/transaction_item.ts";
export type { ClusterOptions, Ports } from "./src/world.ts";
