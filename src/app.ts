/**
 * Owns: the public class, and the one place that wires adapters to the runtime.
 * Must not: decide anything about shards, records or leases.
 * Called by: users through `mod.ts`, and the command line.
 *
 * @module
 */

import type { AwsOptions } from "./adapters/aws_calls.ts";
import type { ReactoKinesixConfig } from "./core/config.ts";
import type { ClusterStatus } from "./core/status.ts";
import type { AppEvent, AppEventOf, AppEventType } from "./events.ts";
import type { Clock, LeaseStore, Random, StreamSource } from "./ports.ts";
import type { ProcessorSource } from "./processor.ts";

export type { AwsOptions } from "./adapters/aws_calls.ts";

/** Which cluster: the app and the stream together. */
export interface ClusterOptions extends AwsOptions {
  /** The name of the app: workers with the same one share the stream. 1 to 55 letters, digits, `_`, `-` or `.`. */
  readonly appName: string;
  /** The name of the stream. 1 to 128 letters, digits, `_`, `-` or `.`. */
  readonly streamName: string;
}

/** What {@linkcode ReactoKinesixApp.createNew} takes. */
export interface AppOptions extends ClusterOptions {
  /** What processes the records: one processor for all shards, or a factory that makes one for each. */
  readonly processor: ProcessorSource;
  /**
   * The name of this worker, different for each process. 1 to 128 characters.
   *
   * @default {the EC2 instance id if there is one, else the host name and a random part}
   */
  readonly workerId?: string;
  /** The settings. */
  readonly config?: ReactoKinesixConfig;
  /** Is told every event from the very first one on. A throw is reported as `listener_failed`. */
  readonly onEvent?: (event: AppEvent) => void;
  /** Replaces a part of the outside world: another state store, another stream, a virtual clock. */
  readonly ports?: {
    readonly store?: LeaseStore;
    readonly source?: StreamSource;
    readonly clock?: Clock;
    readonly random?: Random;
  };
}

/** A shard that this worker processes. */
export interface OwnShard {
  readonly shardId: string;
  /** The fencing token of this worker's turn. */
  readonly term: number;
  /** What is finished, written or not yet. */
  readonly checkpoint: string;
  /** How far the last read was behind the tip of the shard, in milliseconds; null before the first read. */
  readonly millisBehindLatest: number | null;
}

/** A worker: one process of the cluster that consumes a stream. */
export class ReactoKinesixApp implements AsyncDisposable {
  /** Starts a worker; resolves when the table is ready and the worker runs. */
  static createNew(_options: AppOptions): Promise<ReactoKinesixApp> {
    throw new Error("in the making");
  }
  /** The cluster as the state table shows it, without starting a worker. */
  static clusterStatus(
    _options: ClusterOptions & {
      readonly config?: Pick<ReactoKinesixConfig, "dynamoDBTableSuffix">;
    },
  ): Promise<ClusterStatus> {
    throw new Error("in the making");
  }
  /** The name of this worker. */
  readonly workerId: string = "";
  /** Resolves when the worker has stopped; rejects when it had to. */
  readonly finished: Promise<void> = Promise.resolve();
  /** Processes a shard again that was stopped on this worker. */
  startProcessing(_shardId: string): Promise<void> {
    throw new Error("in the making");
  }
  /** Stops a shard on this worker; resolves when the record in hand is finished and checkpointed. */
  stopProcessing(_shardId: string): Promise<void> {
    throw new Error("in the making");
  }
  /** Replaces the processor from the next record on; resolves when the old one is disposed. */
  changeProcessor(_next: ProcessorSource): Promise<void> {
    throw new Error("in the making");
  }
  /** The shards that this worker processes now. */
  shards(): readonly OwnShard[] {
    throw new Error("in the making");
  }
  /** The cluster as the state table shows it. */
  status(): Promise<ClusterStatus> {
    throw new Error("in the making");
  }
  /** Calls a listener at every event of a type; `"*"` is every type. */
  addEventListener<T extends AppEventType>(
    _type: T,
    _listener: (event: AppEventOf<T>) => void,
    _options?: { readonly once?: boolean; readonly signal?: AbortSignal },
  ): void {
    throw new Error("in the making");
  }
  /** Takes a listener off. */
  removeEventListener<T extends AppEventType>(
    _type: T,
    _listener: (event: AppEventOf<T>) => void,
  ): void {
    throw new Error("in the making");
  }
  /** Every event as a stream; those of the start-up are in it. Ends when the worker has stopped. */
  events(): ReadableStream<AppEvent> {
    throw new Error("in the making");
  }
  /** Stops cleanly: finishes the records in hand, checkpoints, gives the shards away. */
  stop(): Promise<void> {
    throw new Error("in the making");
  }
  /** The same as {@linkcode ReactoKinesixApp.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
