// Owns: one stream: its shards, its status, and what time does to both.
// Must not: read requests or a clock; choose what to split (resharding.ts does).
// Called by: account.ts, resharding.ts, the operations.
import type { Consumer } from "./consumer.ts";
import { evenRanges, type HashKeyRange } from "./hash_ranges.ts";
import { ACCOUNT_ID, KinesisError, shardNotFound } from "./kinesis_error.ts";
import { Shard } from "./shard.ts";
import type { ShardLimits } from "./shard_limits.ts";

export type StreamStatus = "CREATING" | "ACTIVE" | "UPDATING" | "DELETING";
export type StreamMode = "PROVISIONED" | "ON_DEMAND";

export interface StreamOrigin {
  readonly streamName: string;
  readonly mode: StreamMode;
  readonly shardCount: number;
  readonly createdMs: number;
  readonly limits: ShardLimits;
}

interface Transition {
  readonly dueMs: number;
  readonly complete: (nowMs: number) => void;
}

const HOUR_MS = 3_600_000;

export function streamArnOf(streamName: string): string {
  return `arn:aws:kinesis:us-east-1:${ACCOUNT_ID}:stream/${streamName}`;
}

export class Stream {
  readonly streamName: string;
  readonly mode: StreamMode;
  readonly createdMs: number;
  readonly tags: Map<string, string> = new Map();
  /** The registered consumers, by name. */
  readonly consumers: Map<string, Consumer> = new Map();
  retentionHours = 24;
  readonly #limits: ShardLimits;
  readonly #shards = new Map<string, Shard>();
  #open: readonly Shard[] = [];
  #shardsMade = 0;
  #status: StreamStatus = "ACTIVE";
  #transition: Transition | undefined;

  constructor(origin: StreamOrigin) {
    this.streamName = origin.streamName;
    this.mode = origin.mode;
    this.createdMs = origin.createdMs;
    this.#limits = origin.limits;
    for (const range of evenRanges(origin.shardCount)) {
      this.addShard(range, [], origin.createdMs);
    }
  }

  get arn(): string {
    return streamArnOf(this.streamName);
  }

  get status(): StreamStatus {
    return this.#status;
  }

  /** Every shard that still may hold records, oldest first. */
  get shards(): readonly Shard[] {
    return [...this.#shards.values()];
  }

  /** The shards that take records, by hash key; together they cover the key space. */
  get openShards(): readonly Shard[] {
    return this.#open;
  }

  shard(shardId: string): Shard {
    const shard = this.#shards.get(shardId);
    if (shard === undefined) throw shardNotFound(this.streamName, shardId);
    return shard;
  }

  hasShard(shardId: string): boolean {
    return this.#shards.has(shardId);
  }

  /** The open shard whose range holds a hash key. */
  shardForHashKey(hashKey: bigint): Shard {
    let low = 0;
    let high = this.#open.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#open[middle]?.range.end ?? 0n) < hashKey) low = middle + 1;
      else high = middle;
    }
    const shard = this.#open[low];
    if (shard === undefined) throw new Error(`No open shard for hash key ${hashKey}`);
    return shard;
  }

  /** Closes the parents and opens a shard in their place. */
  addShard(range: HashKeyRange, parents: readonly Shard[], nowMs: number): Shard {
    const shard = new Shard({
      index: this.#shardsMade++,
      range,
      parents,
      createdMs: nowMs,
      limits: this.#limits,
    });
    for (const parent of parents) {
      parent.close(nowMs);
      parent.childIds.push(shard.shardId);
    }
    this.#shards.set(shard.shardId, shard);
    this.#open = [...this.#open, shard]
      .filter(({ closedMs }) => closedMs === undefined)
      .sort((a, b) => (a.range.start < b.range.start ? -1 : 1));
    return shard;
  }

  /** Tells whoever waits for records of any shard to look again. */
  wakeReaders(): void {
    for (const shard of this.#shards.values()) shard.wakeReaders();
  }

  requireActive(): void {
    if (this.#status === "ACTIVE") return;
    throw new KinesisError(
      "ResourceInUseException",
      `Stream ${this.streamName} under account ${ACCOUNT_ID} not ACTIVE, instead in state ${this.#status}`,
    );
  }

  /** Shows `status` until `dueMs`, when `complete` takes effect and the stream is ACTIVE again. */
  startTransition(status: StreamStatus, transition: Transition): void {
    this.#status = status;
    this.#transition = transition;
  }

  /** Lets time do its work: finish a transition that is due, expire records and closed shards. */
  advance(nowMs: number): void {
    const transition = this.#transition;
    if (transition !== undefined && nowMs >= transition.dueMs) {
      this.#transition = undefined;
      this.#status = "ACTIVE";
      transition.complete(transition.dueMs);
    }
    for (const [name, consumer] of this.consumers) {
      consumer.advance(nowMs);
      if (consumer.isGone) this.consumers.delete(name);
    }
    const horizonMs = nowMs - this.retentionHours * HOUR_MS;
    for (const shard of this.#shards.values()) {
      shard.trim(horizonMs);
      // All its records arrived before it closed, so by now every one of them has expired.
      if (shard.closedMs !== undefined && shard.closedMs < horizonMs) {
        this.#shards.delete(shard.shardId);
      }
    }
  }
}
