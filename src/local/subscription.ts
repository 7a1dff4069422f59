// Owns: one SubscribeToShard that was accepted: what it sends next, and when it ends.
// Must not: wait, or know how an event travels (event_stream.ts does).
// Called by: subscription_operations.ts (makes it), consumer.ts (ends it), event_stream.ts (reads it).
import type { Account } from "./account.ts";
import { type KinesisError, streamNotFound } from "./kinesis_error.ts";
import { describeRecord, millisBehindLatest } from "./record_operations.ts";
import { describeChild } from "./shard_operations.ts";
import type { ShardPosition } from "./shard_iterators.ts";
import { RateWindow } from "./shard_limits.ts";

/** What a subscription does next: send an event, wait for a change or so long, or nothing any more. */
export type SubscriptionStep =
  | { readonly kind: "event"; readonly event: object }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "end" };

/** What goes into one event; a record of the greatest size has to fit. */
const EVENT_MAX = { records: 10_000, payloadBytes: 2 * 1024 * 1024 };

export class Subscription {
  /** Called when `next` may have another answer than the last "wait". */
  onChange: () => void = () => {};
  readonly #account: Account;
  readonly #position: ShardPosition;
  readonly #startedMs: number;
  readonly #reads: RateWindow;
  #ordinal: number;
  #lastEventMs = -Infinity;
  #failure: KinesisError | undefined;
  #isOver = false;

  constructor(account: Account, position: ShardPosition) {
    this.#account = account;
    this.#position = position;
    this.#ordinal = position.ordinal;
    this.#startedMs = account.now();
    // Each consumer has the bytes of a shard to itself.
    this.#reads = new RateWindow(Infinity, account.limits.readBytesPerSecond);
    position.shard.watchers.add(this.#wake);
  }

  /** @throws {KinesisError} once, when it ends in an error. */
  next(): SubscriptionStep {
    if (this.#isOver) return { kind: "end" };
    const failure = this.#failure ?? this.#lossOfStream();
    if (failure !== undefined) {
      this.close();
      throw failure;
    }
    const nowMs = this.#account.now();
    const { lifetimeMs, heartbeatMs } = this.#account.subscriptionTimes;
    const leftMs = this.#startedMs + lifetimeMs - nowMs;
    if (leftMs <= 0) {
      this.close();
      return { kind: "end" };
    }
    const step = this.#read(nowMs);
    if (step !== undefined) return step;
    return { kind: "wait", ms: Math.min(leftMs, this.#lastEventMs + heartbeatMs - nowMs) };
  }

  /** Makes the next step an error. */
  fail(failure: KinesisError): void {
    this.#failure = failure;
    this.#wake();
  }

  /** Whoever listened has gone, or everything was sent. */
  close(): void {
    this.#isOver = true;
    this.#position.shard.watchers.delete(this.#wake);
    this.#wake();
  }

  readonly #wake = (): void => this.onChange();

  #lossOfStream(): KinesisError | undefined {
    const { stream } = this.#position;
    const { streamName } = stream;
    return this.#account.find(streamName) === stream ? undefined : streamNotFound(streamName);
  }

  /** The next event; undefined while there is nothing to tell. */
  #read(nowMs: number): SubscriptionStep | undefined {
    const { stream, shard } = this.#position;
    this.#ordinal = Math.max(this.#ordinal, shard.horizonOrdinal);
    const records = shard.read(this.#ordinal, EVENT_MAX);
    const payloadBytes = records.reduce((sum, record) => sum + record.payloadBytes, 0);
    const ordinal = this.#ordinal + records.length;
    const isEnd = shard.closedMs !== undefined && ordinal === shard.tipOrdinal;
    const isSilent = nowMs < this.#lastEventMs + this.#account.subscriptionTimes.heartbeatMs;
    if (records.length === 0 && !isEnd && isSilent) return undefined;
    // The window closes for a second at most, since no event is larger than a second's bytes.
    if (!this.#reads.admits(nowMs, payloadBytes)) return { kind: "wait", ms: 100 };
    this.#reads.take(nowMs, payloadBytes);
    this.#ordinal = ordinal;
    this.#lastEventMs = nowMs;
    if (isEnd) this.close();
    const event = {
      Records: records.map(describeRecord),
      MillisBehindLatest: millisBehindLatest(shard, ordinal, nowMs),
      ...(isEnd
        ? {
          ContinuationSequenceNumber: null,
          ChildShards: shard.childIds.map((childId) => describeChild(stream.shard(childId))),
        }
        : { ContinuationSequenceNumber: shard.sequenceNumberBefore(ordinal) }),
    };
    return { kind: "event", event };
  }
}
