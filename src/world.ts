/**
 * Owns: the outside world of a worker: the ports that are given, and adapters to AWS for the others.
 * Must not: know what a worker does with it.
 * Called by: `app.ts`.
 *
 * @module
 */

import { type AwsClients, type AwsOptions, connectAws } from "./adapters/aws_calls.ts";
import type { DynamoLeaseStoreOptions } from "./adapters/dynamo_lease_store.ts";
import type { KinesisFanOutOptions } from "./adapters/kinesis_fan_out.ts";
import type { ResolvedConfig } from "./core/config.ts";
import type { EventSink } from "./events.ts";
import type { Clock, LeaseStore, Random, StreamSource } from "./ports.ts";

/** Which cluster: the app and the stream together. */
export interface ClusterOptions extends AwsOptions {
  /** The name of the app: workers with the same one share the stream. 1 to 55 letters, digits, `_`, `-` or `.`. */
  readonly appName: string;
  /** The name of the stream. 1 to 128 letters, digits, `_`, `-` or `.`. */
  readonly streamName: string;
}

/** Parts of the outside world that replace the real ones: another state store, another stream, a virtual clock. */
export interface Ports {
  /** Instead of the DynamoDB table. */
  readonly store?: LeaseStore;
  /** Instead of the Kinesis stream. */
  readonly source?: StreamSource;
  /** Instead of the system's clock. */
  readonly clock?: Clock;
  /** Instead of the system's chance. */
  readonly random?: Random;
}

/** What a worker reaches, and how it lets go of it. */
export interface World extends Required<Ports> {
  readonly emit: EventSink;
  close(): void;
}

/** Wires the adapters. They are loaded when they are needed: of what a port is given for, the AWS SDK is never loaded. */
export async function connect(
  options: ClusterOptions & { readonly ports?: Ports },
  config: ResolvedConfig,
  deps: Pick<World, "clock" | "random" | "emit">,
): Promise<World> {
  const { store, source } = options.ports ?? {};
  if (store !== undefined && source !== undefined) {
    return { ...deps, store, source, close: () => {} };
  }
  const { streamName } = options;
  const tableName = options.appName + config.dynamoDBTableSuffix;
  const aws = connectAws(options);
  const common = { streamName, config, ...deps };
  const consumerName = config.consumerName || options.appName;
  return {
    ...deps,
    store: store ?? await openTable(aws, { ...common, tableName }),
    source: source ?? await openStream(aws, { ...common, consumerName }),
    close: () => aws.close(),
  };
}

async function openTable(
  aws: AwsClients,
  options: Omit<DynamoLeaseStoreOptions, "client">,
): Promise<LeaseStore> {
  const { DynamoLeaseStore } = await import("./adapters/dynamo_lease_store.ts");
  return new DynamoLeaseStore({ ...options, client: await aws.dynamoDB() });
}

async function openStream(
  aws: AwsClients,
  options: Omit<KinesisFanOutOptions, "client" | "eventStreams"> & {
    readonly config: ResolvedConfig;
  },
): Promise<StreamSource> {
  const client = await aws.kinesis();
  if (options.config.retrieval === "polling") {
    const { KinesisPollingSource } = await import("./adapters/kinesis_polling.ts");
    return new KinesisPollingSource({ ...options, client });
  }
  const { KinesisFanOutSource } = await import("./adapters/kinesis_fan_out.ts");
  return new KinesisFanOutSource({ ...options, client, eventStreams: await aws.eventStreams() });
}
