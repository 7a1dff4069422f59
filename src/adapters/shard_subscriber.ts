/**
 * Owns: the reading of one shard by enhanced fan-out: the position, one subscription after the other, what follows a failure.
 * Must not: list shards, or read an event before it is asked for the next batch.
 * Called by: `kinesis_fan_out.ts`.
 *
 * @module
 */

import type { KinesisClient, SubscribeToShardEvent } from "@aws-sdk/client-kinesis";
import { heldBytesOf } from "../core/byte_size.ts";
import type { ResolvedConfig } from "../core/config.ts";
import { SourceError } from "../errors.ts";
import type { Batch, ReadBudget } from "../ports.ts";
import { isNamed } from "./aws_errors.ts";
import { EventSubscription } from "./event_subscription.ts";
import {
  type OpenPosition,
  ReadBatch,
  toChild,
  toIteratorStart,
  toSourceRecord,
} from "./kinesis_shapes.ts";
import { FUTURE_WAIT_MS, FUTURE_WAITS_MAX, SUBSCRIBE_INTERVAL_MS } from "./pacing.ts";
import type { RegisteredConsumer } from "./registered_consumer.ts";
import { ShardRetries, type ShardRetriesOptions, toSourceError } from "./shard_retries.ts";

/** What the reading of a shard is made of. */
export interface ShardSubscriberOptions extends ShardRetriesOptions {
  /** What SubscribeToShard is called with. */
  readonly eventStreams: KinesisClient;
  readonly consumer: RegisteredConsumer;
  readonly config: Pick<ResolvedConfig, "maxKinesisRetries" | "maxBatchSize">;
  readonly after: OpenPosition;
  readonly budget: ReadBudget | undefined;
}

const OPERATION = "SubscribeToShard";
/** A shard can be subscribed to again 5 seconds after the last time: by a reader that crashed, or that was aborted. */
const IN_USE_WAITS_MAX = 15;

/** What has been sent already is here sooner, also if something else has its turn in between (`Breather`). */
const AT_HAND_MS = 250;

/** One pass over a shard, batch by batch. */
export class ShardSubscriber implements Disposable {
  readonly #options: ShardSubscriberOptions;
  readonly #retries: ShardRetries;
  /** Every record up to here was read. */
  #position: OpenPosition;
  /** The rest of an event that was larger than a batch may be. */
  readonly #batches: Batch[] = [];
  #subscription: EventSubscription | null = null;
  #consumerArn = "";
  /** Monotonic time. */
  #nextCallAt = 0;
  #inUseWaits = 0;
  #futureWaits = 0;

  constructor(options: ShardSubscriberOptions) {
    this.#options = options;
    this.#retries = new ShardRetries(options);
    this.#position = options.after;
  }

  /** The next batch; it may be empty. Not to be called again after the one that has an `end`. */
  async read(): Promise<Batch> {
    const { clock } = this.#options;
    const askedAt = clock.monotonic();
    let isAnswer = false;
    while (this.#batches.length === 0) {
      try {
        isAnswer ||= this.#subscription === null;
        this.#subscription ??= await this.#subscribe();
        const event = await this.#subscription.next();
        isAnswer ||= clock.monotonic() - askedAt >= AT_HAND_MS;
        if (event === undefined) await this.#goOn();
        else this.#take(event, isAnswer);
      } catch (error) {
        const hadEvents = this.#subscription?.hasEvents ?? false;
        this.#close();
        await this.#recover(error, hadEvents);
      }
    }
    const batch = this.#batches[0] ?? { records: [], millisBehindLatest: 0 };
    const bytes = heldBytesOf(batch.records);
    // It has come without being asked for; nothing more is read before there is room for it.
    if (bytes > 0) {
      await this.#options.budget?.take(bytes, { least: bytes, signal: this.#options.signal });
    }
    this.#batches.shift();
    return batch;
  }

  /** Ends the connection. */
  [Symbol.dispose](): void {
    this.#close();
  }

  async #subscribe(): Promise<EventSubscription> {
    const { eventStreams, consumer, clock, shardId, signal } = this.#options;
    this.#consumerArn = await consumer.arn(signal);
    const waitMs = this.#nextCallAt - clock.monotonic();
    if (waitMs > 0) await clock.sleep(waitMs, signal);
    this.#nextCallAt = clock.monotonic() + SUBSCRIBE_INTERVAL_MS;
    const { ShardIteratorType, StartingSequenceNumber, Timestamp } = toIteratorStart(
      this.#position,
    );
    const input = {
      ConsumerARN: this.#consumerArn,
      ShardId: shardId,
      StartingPosition: {
        Type: ShardIteratorType,
        SequenceNumber: StartingSequenceNumber,
        Timestamp,
      },
    };
    return await EventSubscription.open({ client: eventStreams, input, clock, signal });
  }

  /** After the end of a connection: each lasts 5 minutes. */
  async #goOn(): Promise<void> {
    const isInVain = this.#subscription?.hasEvents === false;
    this.#close();
    if (isInVain) await this.#recover(new Error("the connection ended without an event"), false);
  }

  /** @param isAnswer Whether it was sent after it was asked for. Kinesis does not wait for whoever is slow. */
  #take(event: SubscribeToShardEvent, isAnswer: boolean): void {
    const { streamName, shardId, config } = this.#options;
    this.#retries.reset();
    this.#inUseWaits = 0;
    const records = (event.Records ?? []).map(toSourceRecord);
    const children = (event.ChildShards ?? []).map(toChild);
    const continuation = event.ContinuationSequenceNumber ?? undefined;
    // Without records it says that there is nothing more, which may be long ago.
    const millisBehindLatest = Math.max(
      isAnswer || records.length > 0 ? 0 : 1,
      event.MillisBehindLatest ?? 0,
    );
    const isEnd = continuation === undefined && children.length > 0;
    const sequenceNumber = continuation ?? records.at(-1)?.sequenceNumber;
    if (sequenceNumber !== undefined) this.#position = { kind: "sequence", sequenceNumber };
    else if (!isEnd) {
      throw new SourceError(
        `Cannot read shard "${shardId}" of stream "${streamName}": an event of Kinesis says neither ` +
          "where to go on nor that the shard has ended",
        { kind: "invalid" },
      );
    }
    for (
      let first = 0;
      first + config.maxBatchSize < records.length;
      first += config.maxBatchSize
    ) {
      const part = records.slice(first, first + config.maxBatchSize);
      this.#batches.push(
        new ReadBatch({ records: part, millisBehindLatest: Math.max(1, millisBehindLatest) }),
      );
    }
    const rest = records.slice(this.#batches.length * config.maxBatchSize);
    this.#batches.push(
      new ReadBatch({ records: rest, millisBehindLatest, ...isEnd && { end: { children } } }),
    );
  }

  /** Returns when it is time to subscribe again. @throws {SourceError} If that does not help. */
  async #recover(error: unknown, hadEvents: boolean): Promise<void> {
    const { clock, random, consumer, signal } = this.#options;
    signal.throwIfAborted();
    if (error instanceof SourceError) throw error;
    if (isNamed(error, "ResourceInUseException")) {
      if (hadEvents || this.#inUseWaits === IN_USE_WAITS_MAX) throw this.#inUse(error);
      this.#inUseWaits++;
      return await clock.sleep(SUBSCRIBE_INTERVAL_MS * (1 + random.next() / 2), signal);
    }
    if (isNamed(error, "ResourceNotFoundException")) {
      if (await consumer.isReplaced(this.#consumerArn, signal)) return;
    }
    const isTimeRefused = this.#position.kind === "timestamp" &&
      isNamed(error, "InvalidArgumentException");
    if (isTimeRefused && this.#futureWaits++ < FUTURE_WAITS_MAX) {
      return await clock.sleep(FUTURE_WAIT_MS, signal);
    }
    try {
      await this.#retries.wait(error, OPERATION);
    } catch (failure) {
      throw await toSourceError(failure, OPERATION, this.#options);
    }
  }

  #inUse(cause: unknown): SourceError {
    const { streamName, shardId, consumer } = this.#options;
    return new SourceError(
      `Cannot read shard "${shardId}" of stream "${streamName}": somebody else subscribed to it as ` +
        `consumer "${consumer.name}"; if that is no other worker of this app, set consumerName`,
      { kind: "unavailable", cause },
    );
  }

  #close(): void {
    this.#subscription?.close();
    this.#subscription = null;
  }
}
