/**
 * Owns: the facts that an app tells: one union, read by listeners, logs, metrics, the dashboard and the tests.
 * Must not: contain what a secret or a record's data could leak through.
 * Called by: the runtime makes them, `app.ts` stamps and delivers them.
 *
 * @module
 */

import type { EventError } from "./errors.ts";

/** What every event carries. */
export interface EventStamp {
  /** When it happened, by this worker's clock, as an ISO time. */
  readonly time: string;
  /** The worker that it happened on. */
  readonly workerId: string;
}

/** Why a worker gave a shard up, or does not take it. */
export type StopReason =
  /** `stopProcessing` was called. */
  | "requested"
  /** An operator stopped the shard for the whole cluster. */
  | "halted"
  /** A record kept failing and its mode is `retryAndStop`. */
  | "recordFailed"
  /** The processor for the shard could not be made, or failed at the end of the shard. */
  | "processorFailed"
  /** The shard could not be read for longer than `heartbeatTimeout`. */
  | "unreadable";

/** What happened, before it is stamped with time and worker. */
export type AppFact =
  /** The worker is registered and takes shards from now on. */
  | { readonly type: "worker_started"; readonly version: string; readonly streamName: string }
  /** The worker stopped. `error` is set when it had to. */
  | { readonly type: "worker_stopped"; readonly error?: EventError }
  /** Another worker did not show a heartbeat for its `heartbeatTimeout`; its shards are free. */
  | { readonly type: "worker_lost"; readonly lostWorkerId: string }
  /** A heartbeat could not be written. */
  | { readonly type: "heartbeat_failed"; readonly error: EventError }
  /** No heartbeat was acknowledged for so long that others may take over: every shard was given up at once. */
  | { readonly type: "worker_fenced"; readonly shards: number }
  /** A shard of the stream was seen for the first time and has a row from now on. */
  | { readonly type: "shard_found"; readonly shardId: string; readonly parents: readonly string[] }
  /** The row of a finished shard that left the stream was deleted. */
  | { readonly type: "shard_forgotten"; readonly shardId: string }
  /** This worker took a shard: from whom, and after which checkpoint it goes on. */
  | {
    readonly type: "shard_claimed";
    readonly shardId: string;
    readonly term: number;
    readonly from: string | null;
    readonly checkpoint: string;
    /** Up to when the shard was read before, by its last owner's clock, as an ISO time; absent if nobody knows. */
    readonly readUntil?: string;
  }
  /**
   * A batch of records was processed: a read, or a part of a long one, of which there may be ten a second. An empty one tells how far
   * the reader is; at the tip of the shard only the first one does.
   */
  | {
    readonly type: "batch_processed";
    readonly shardId: string;
    readonly records: number;
    readonly bytes: number;
    /** How many records of the read the filter left out, besides. */
    readonly filtered: number;
    readonly millisBehindLatest: number;
    /** From when it was taken in hand to the end of its last record, with all attempts; with several lanes also what it waited for. */
    readonly processMs: number;
  }
  /** A shard is so far behind that the stream may drop records before they are read. Told at 50 and at 80 percent. */
  | {
    readonly type: "lag_near_retention";
    readonly shardId: string;
    readonly millisBehindLatest: number;
    /** How long the stream keeps records. */
    readonly retentionMs: number;
    /** Of the retention: the mark that was passed. */
    readonly percent: 50 | 80;
  }
  /**
   * This worker goes on after a checkpoint that is older than the stream keeps records: those that arrived after it and were dropped
   * meanwhile are lost. Not told when the shard turns out to be empty.
   */
  | {
    readonly type: "checkpoint_expired";
    readonly shardId: string;
    readonly checkpoint: string;
    /** How long ago the checkpoint was the tip of what was read. */
    readonly ageMs: number;
    /** How long the stream keeps records. */
    readonly retentionMs: number;
  }
  /**
   * Records begin as an aggregate of the Kinesis Producer Library does, and are none that can be taken apart. They are delivered as
   * they are. Told once for a read: of the first one, and how many there are.
   */
  | {
    readonly type: "aggregate_malformed";
    readonly shardId: string;
    readonly sequenceNumber: string;
    readonly reason: string;
    readonly aggregates: number;
  }
  /**
   * Aggregates hold records whose hash keys belong to another shard. They are delivered; after a split the Kinesis Producer Library
   * puts them again. Told once for a read: of the first aggregate, and how many there are. The first 4 records of each are looked at.
   */
  | {
    readonly type: "aggregate_misplaced";
    readonly shardId: string;
    readonly sequenceNumber: string;
    readonly aggregates: number;
  }
  /** A batch failed, and is cut in two: each half is tried by itself. `sequenceNumber` is the first record of the second one. */
  | {
    readonly type: "batch_bisected";
    readonly shardId: string;
    readonly sequenceNumber: string;
    readonly subSequenceNumber?: number;
    readonly records: number;
    readonly attempt: number;
    readonly error: EventError;
  }
  /** An attempt to process a record failed. With a `processBatch` that throws, it is the first record of the batch. */
  | {
    readonly type: "record_failed";
    readonly shardId: string;
    readonly sequenceNumber: string;
    readonly subSequenceNumber?: number;
    readonly attempt: number;
    readonly error: EventError;
  }
  /** A record was given up after its last attempt, or because it is older than `maxRecordAge`; the checkpoint may pass it. */
  | {
    readonly type: "record_skipped";
    readonly shardId: string;
    readonly sequenceNumber: string;
    readonly subSequenceNumber?: number;
    /** 0 if it was too old at once. */
    readonly attempts: number;
    readonly reason: "failed" | "tooOld";
  }
  /** A record that is given up is in the failure destination, whole; `record_skipped` follows. */
  | {
    readonly type: "record_put_aside";
    readonly shardId: string;
    readonly sequenceNumber: string;
    readonly subSequenceNumber?: number;
    /** Such as `file:failures.jsonl`, `kinesis:orders-failed` or `function`. */
    readonly destination: string;
  }
  /** The failure destination did not take a record. It is tried again, and the record waits. */
  | {
    readonly type: "put_aside_failed";
    readonly shardId: string;
    readonly sequenceNumber: string;
    readonly subSequenceNumber?: number;
    readonly destination: string;
    readonly attempt: number;
    readonly retryInMs: number;
    readonly error: EventError;
  }
  /** A method of the user's processor other than `process` threw, or the filter did. */
  | {
    readonly type: "processor_failed";
    readonly shardId: string | null;
    readonly operation:
      | "factory"
      | "getErrorHandlingMode"
      | "onMaxRetryExceeded"
      | "shardEnded"
      | "dispose"
      | "filter"
      /** What a processor keeps for its shard, such as windows, cannot be written down. */
      | "state"
      /** A window could not be closed because nothing came any more. */
      | "windows"
      /** No method: something that was started and not waited for. Told of a processor in a thread of its own. */
      | "background";
    readonly error: EventError;
  }
  /** The processor of this worker was replaced by `changeProcessor`. */
  | { readonly type: "processor_changed" }
  /** The command line loaded a version of the processor, which processes from now on. */
  | {
    readonly type: "processor_loaded";
    readonly url: string;
    /** Tells one content of its modules from another: 12 hexadecimal digits. */
    readonly version: string;
    readonly modules: number;
    /** Why it was taken from the cache instead of its source; null if it was not. */
    readonly standInFor: string | null;
  }
  /** The command line cannot change to a new version of the processor, or find out whether there is one; the old one goes on. */
  | {
    readonly type: "processor_kept";
    readonly url: string;
    /** The version that goes on. */
    readonly version: string;
    /** The version that does not start; null if it cannot be had at all. */
    readonly refusedVersion: string | null;
    readonly error: EventError;
  }
  /** A checkpoint was written. */
  | {
    readonly type: "checkpoint_written";
    readonly shardId: string;
    readonly term: number;
    readonly checkpoint: string;
    readonly millisBehindLatest: number;
  }
  /** This worker asked another one for a shard. */
  | {
    readonly type: "handover_requested";
    readonly shardId: string;
    readonly from: string;
    readonly to: string;
  }
  /** A request for a shard was taken back: it expired, or the worker that asked is gone. */
  | { readonly type: "handover_cleared"; readonly shardId: string; readonly to: string }
  /** This worker gave a shard to another one, with its checkpoint. */
  | {
    readonly type: "shard_handed_over";
    readonly shardId: string;
    readonly term: number;
    readonly to: string;
    readonly checkpoint: string;
  }
  /** This worker freed a shard, with its checkpoint. */
  | {
    readonly type: "shard_released";
    readonly shardId: string;
    readonly term: number;
    readonly checkpoint: string;
  }
  /** This worker does not process the shard any more until it is told to, or a while has passed. */
  | { readonly type: "shard_stopped"; readonly shardId: string; readonly reason: StopReason }
  /** No live worker processes the shard any more: each of them has stopped it. */
  | {
    readonly type: "shard_stopped_everywhere";
    readonly shardId: string;
    readonly stoppedBy: readonly string[];
  }
  /** `startProcessing` was called for the shard. */
  | { readonly type: "shard_start_requested"; readonly shardId: string }
  /** Every record of a closed shard was processed; its end waits for the checkpoint of the last one by hand. */
  | { readonly type: "shard_end_waiting"; readonly shardId: string; readonly checkpoint: string }
  /** Every record of a closed shard is finished. */
  | {
    readonly type: "shard_ended";
    readonly shardId: string;
    readonly term: number;
    readonly children: readonly string[];
    /** Whether the stream had dropped the shard before all of it was read. */
    readonly wasTrimmed: boolean;
  }
  /** This worker does not have the shard any more, and did not give it away. */
  | {
    readonly type: "lease_lost";
    readonly shardId: string;
    readonly term: number;
    readonly reason: string;
  }
  /** AWS asked to slow down; the call is made again later. */
  | {
    readonly type: "throttled";
    readonly shardId: string | null;
    readonly operation: string;
    readonly retryInMs: number;
  }
  /** The shard could not be read; it is tried again later. */
  | { readonly type: "read_failed"; readonly shardId: string; readonly error: EventError }
  /** Something that is repeated anyway failed this time, such as looking at the state table. */
  | { readonly type: "task_failed"; readonly task: string; readonly error: EventError }
  /** A row of the state table cannot be understood and is left alone. */
  | {
    readonly type: "row_malformed";
    readonly kind: string;
    readonly id: string;
    readonly reason: string;
  }
  /** A listener threw. */
  | { readonly type: "listener_failed"; readonly eventType: string; readonly error: EventError };

/** A fact, with when and on which worker it happened. */
export type AppEvent = AppFact & EventStamp;

/** The names of all events. */
export type AppEventType = AppFact["type"];

/** The event of a given name. */
export type AppEventOf<T extends AppEventType> =
  & Extract<AppFact, { readonly type: T }>
  & EventStamp;

/** Where the runtime tells facts. It is synchronous and never throws. */
export type EventSink = (fact: AppFact) => void;
