/**
 * Owns: the calls about a stream as a whole: its shards, its consumers. Each is retried, and fails as a `SourceError`.
 * Must not: read records, or keep what it learnt.
 * Called by: `kinesis_polling.ts`, `kinesis_fan_out.ts`, `registered_consumer.ts`, and the command line.
 *
 * @module
 */

import {
  type Consumer,
  DeregisterStreamConsumerCommand,
  DescribeStreamConsumerCommand,
  DescribeStreamSummaryCommand,
  type KinesisClient,
  ListShardsCommand,
  ListStreamConsumersCommand,
  RegisterStreamConsumerCommand,
  type StreamDescriptionSummary,
} from "@aws-sdk/client-kinesis";
import type { ResolvedConfig } from "../core/config.ts";
import { SourceError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type { ShardInfo } from "../ports.ts";
import { describeFailure, retryCall, withoutRetries } from "./aws_calls.ts";
import { isNamed } from "./aws_errors.ts";
import { required, toShardInfo } from "./kinesis_shapes.ts";

/** What the calls are made with. */
export interface StreamCallsOptions {
  readonly client: KinesisClient;
  readonly streamName: string;
  readonly config: Pick<ResolvedConfig, "maxKinesisRetries">;
  readonly emit: EventSink;
}

/** A consumer as the stream knows it. */
export interface ConsumerInfo {
  readonly name: string;
  readonly arn: string;
  /** `CREATING`, `ACTIVE` or `DELETING`. */
  readonly status: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

/** A page holds 1,000 shards; no stream has more than this many pages. */
const PAGES_MAX = 1_000;
const HOUR_MS = 3_600_000;

/** The calls about one stream. */
export class StreamCalls {
  readonly #options: StreamCallsOptions;

  constructor(options: StreamCallsOptions) {
    this.#options = options;
  }

  /** Every shard that the stream still holds. */
  async listShards(signal: AbortSignal): Promise<readonly ShardInfo[]> {
    const { client, streamName } = this.#options;
    const shards = await this.#pages("ListShards", signal, async (NextToken) => {
      // The token stands for the stream; Kinesis refuses the two together.
      const input = NextToken === undefined ? { StreamName: streamName } : { NextToken };
      const command = withoutRetries(new ListShardsCommand(input));
      const reply = await client.send(command, { abortSignal: signal });
      return { items: reply.Shards ?? [], nextToken: reply.NextToken };
    });
    return shards.map(toShardInfo);
  }

  /** The ARN of the stream, which calls about consumers take instead of its name. */
  async streamArn(signal: AbortSignal): Promise<string> {
    return required((await this.#summary(signal))?.StreamARN, "StreamARN");
  }

  /** How long the stream keeps its records, in milliseconds. */
  async retentionMs(signal: AbortSignal): Promise<number> {
    const { RetentionPeriodHours } = await this.#summary(signal) ?? {};
    return required(RetentionPeriodHours, "RetentionPeriodHours") * HOUR_MS;
  }

  async #summary(signal: AbortSignal): Promise<StreamDescriptionSummary | undefined> {
    const { client, streamName } = this.#options;
    const command = withoutRetries(new DescribeStreamSummaryCommand({ StreamName: streamName }));
    const reply = await this.#call(
      "DescribeStreamSummary",
      signal,
      () => client.send(command, { abortSignal: signal }),
    );
    return reply.StreamDescriptionSummary;
  }

  /** Every registered consumer. */
  async listConsumers(streamArn: string, signal: AbortSignal): Promise<readonly ConsumerInfo[]> {
    const { client } = this.#options;
    const consumers = await this.#pages("ListStreamConsumers", signal, async (NextToken) => {
      const input = { StreamARN: streamArn, ...NextToken !== undefined && { NextToken } };
      const command = withoutRetries(new ListStreamConsumersCommand(input));
      const reply = await client.send(command, { abortSignal: signal });
      return { items: reply.Consumers ?? [], nextToken: reply.NextToken };
    });
    return consumers.map(toConsumerInfo);
  }

  /** The consumer of a name; null if there is none. */
  async findConsumer(
    streamArn: string,
    name: string,
    signal: AbortSignal,
  ): Promise<ConsumerInfo | null> {
    const { client } = this.#options;
    const input = { StreamARN: streamArn, ConsumerName: name };
    return await this.#call("DescribeStreamConsumer", signal, async () => {
      const command = withoutRetries(new DescribeStreamConsumerCommand(input));
      const reply = await client.send(command, { abortSignal: signal })
        .catch(nullIfNamed("ResourceNotFoundException"));
      return reply && toConsumerInfo(required(reply.ConsumerDescription, "ConsumerDescription"));
    });
  }

  /** Registers a consumer; null if there is one of that name by now. */
  async registerConsumer(
    streamArn: string,
    name: string,
    signal: AbortSignal,
  ): Promise<ConsumerInfo | null> {
    const { client } = this.#options;
    const input = { StreamARN: streamArn, ConsumerName: name };
    return await this.#call("RegisterStreamConsumer", signal, async () => {
      const command = withoutRetries(new RegisterStreamConsumerCommand(input));
      const reply = await client.send(command, { abortSignal: signal })
        .catch(nullIfNamed("ResourceInUseException"));
      return reply && toConsumerInfo(required(reply.Consumer, "Consumer"));
    });
  }

  /** Deregisters a consumer; says whether there was one. */
  async deregisterConsumer(
    streamArn: string,
    name: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { client } = this.#options;
    const input = { StreamARN: streamArn, ConsumerName: name };
    return await this.#call("DeregisterStreamConsumer", signal, async () => {
      const command = withoutRetries(new DeregisterStreamConsumerCommand(input));
      const reply = await client.send(command, { abortSignal: signal })
        .catch(nullIfNamed("ResourceNotFoundException"));
      return reply !== null;
    });
  }

  async #pages<T>(
    operation: string,
    signal: AbortSignal,
    read: (
      nextToken: string | undefined,
    ) => Promise<{ readonly items: readonly T[]; readonly nextToken: string | undefined }>,
  ): Promise<readonly T[]> {
    const items: T[] = [];
    let token: string | undefined;
    for (let page = 0; page < PAGES_MAX; page++) {
      const reply = await this.#call(operation, signal, () => read(token));
      items.push(...reply.items);
      token = reply.nextToken;
      if (token === undefined) return items;
    }
    throw new SourceError(
      `Cannot read stream "${this.#options.streamName}": ${operation} gave more than ${PAGES_MAX} pages`,
      { kind: "invalid" },
    );
  }

  async #call<T>(operation: string, signal: AbortSignal, call: () => Promise<T>): Promise<T> {
    const { client, streamName, config, emit } = this.#options;
    try {
      return await retryCall(call, {
        retries: config.maxKinesisRetries,
        signal,
        onThrottled: (retryInMs) =>
          emit({ type: "throttled", shardId: null, operation, retryInMs }),
      });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof SourceError) throw error;
      const failure = await describeFailure(error, {
        client,
        service: "Kinesis",
        task: `read stream "${streamName}"`,
        action: `kinesis:${operation}`,
      });
      throw new SourceError(failure.message, { kind: failure.kind, cause: error });
    }
  }
}

/** Takes a failure of that name for an answer. */
function nullIfNamed(name: string): (error: unknown) => null {
  return (error) => {
    if (isNamed(error, name)) return null;
    throw error;
  };
}

function toConsumerInfo(consumer: Consumer): ConsumerInfo {
  return {
    name: required(consumer.ConsumerName, "ConsumerName"),
    arn: required(consumer.ConsumerARN, "ConsumerARN"),
    status: required(consumer.ConsumerStatus, "ConsumerStatus"),
    createdAt: required(consumer.ConsumerCreationTimestamp, "ConsumerCreationTimestamp").getTime(),
  };
}
