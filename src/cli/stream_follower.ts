/**
 * Owns: reading all shards of a stream, or one, without a lease: parents before children, merged by arrival as far as that can be had.
 * Must not: remember anything, or know what becomes of the records.
 * Called by: `tail.ts`.
 *
 * @module
 */

import { delay } from "@std/async/delay";
import { hash } from "node:crypto";
import { isLikeAggregate, readAggregate } from "../core/deaggregate.ts";
import { SourceError } from "../errors.ts";
import type { ShardInfo, SourceRecord, StreamSource } from "../ports.ts";
import type { Position } from "./checkpoints/position.ts";

/** A record, with the shard that it was read from. */
export interface FollowedRecord extends SourceRecord {
  readonly shardId: string;
}

/** What is read. */
export interface FollowOptions {
  readonly source: StreamSource;
  /** The shards to begin with. */
  readonly shards: readonly Pick<ShardInfo, "id" | "parents">[];
  readonly from: Position;
  /** Whether to wait for more at the tip, and to go on with the children of a shard that is split or merged. */
  readonly isFollowing: boolean;
  /** Whether the children of a shard that ends are read. */
  readonly hasChildren: boolean;
  /** When it was asked for, in milliseconds since the epoch: without following nothing later is read. */
  readonly startedAt: number;
  /** Is told when a shard has no more records, and where the next ones are. */
  readonly onEnd: (shardId: string, children: readonly string[]) => void;
}

/** What is read of one shard: one batch at a time, so that a reader that is slow holds up the reading. */
interface Lane {
  readonly shardId: string;
  records: readonly FollowedRecord[];
  at: number;
  /** Whether it has older records than those of the others, for all that is known. */
  isBehind: boolean;
  /** Whether the others do not wait for it any more. */
  isLate: boolean;
  drained: PromiseWithResolvers<void>;
}

/** So long the records of other shards wait for older ones of a shard that is behind. */
const PATIENCE_MS = 1_000;
/** By so much the clocks of Kinesis and of this machine may differ. */
const CLOCK_DIFFERENCE_MAX_MS = 300_000;

/** Reads a stream until it is disposed. */
export class StreamFollower implements AsyncDisposable {
  readonly #options: FollowOptions;
  readonly #life = new AbortController();
  readonly #lanes = new Map<string, Lane>();
  readonly #readers = new Set<Promise<void>>();
  /** The shards that wait for their parents. */
  readonly #waiting = new Map<string, readonly string[]>();
  readonly #begun = new Set<string>();
  #change: PromiseWithResolvers<void> = Promise.withResolvers();
  #failure: { readonly error: unknown } | undefined;

  /** @param options What to read. */
  constructor(options: FollowOptions) {
    this.#options = options;
    this.#add(options.shards);
  }

  /** The records, as many together as can be given in their order. Ends when there are no more, or when the signal is aborted. */
  async *records(signal: AbortSignal): AsyncGenerator<readonly FollowedRecord[]> {
    const wake = (): void => this.#wake();
    signal.addEventListener("abort", wake);
    try {
      for (let blockedSince = performance.now(); !signal.aborted;) {
        const changed = this.#change.promise;
        if (this.#failure !== undefined) throw this.#failure.error;
        const waitMs = blockedSince + PATIENCE_MS - performance.now();
        const records = this.#take(waitMs <= 0);
        if (records.length > 0) yield records;
        else if (this.#lanes.size === 0) return;
        else if (this.#hasRecords()) await soon(changed, waitMs);
        else await changed;
        if (records.length > 0 || !this.#hasRecords()) blockedSince = performance.now();
      }
    } finally {
      signal.removeEventListener("abort", wake);
    }
  }

  /** Stops reading. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    for (const lane of this.#lanes.values()) lane.drained.resolve();
    await Promise.all(this.#readers);
  }

  #hasRecords(): boolean {
    return this.#lanes.values().some(({ records, at }) => at < records.length);
  }

  /** The next records of the shard whose next one is the oldest; none while a shard that is behind may have an older one. */
  #take(isPatienceOver: boolean): readonly FollowedRecord[] {
    const lanes = [...this.#lanes.values()];
    const slow = lanes.filter(({ isBehind, isLate, at, records }) =>
      isBehind && !isLate && at === records.length
    );
    if (isPatienceOver) slow.forEach((lane) => lane.isLate = true);
    else if (slow.length > 0) return [];
    let [first, second]: readonly (Lane | undefined)[] = [];
    for (const lane of lanes) {
      if (lane.at === lane.records.length) continue;
      if (first === undefined || headOf(lane) < headOf(first)) [first, second] = [lane, first];
      else if (second === undefined || headOf(lane) < headOf(second)) second = lane;
    }
    if (first === undefined) return [];
    const limit = second === undefined ? Infinity : headOf(second);
    const from = first.at;
    while (first.at < first.records.length && headOf(first) <= limit) first.at += 1;
    const taken = first.records.slice(from, first.at);
    if (first.at === first.records.length) first.drained.resolve();
    return taken;
  }

  /** Begins with those shards whose parents are read, or not known; the others wait. */
  #add(shards: FollowOptions["shards"]): void {
    for (const { id, parents } of shards) {
      if (!this.#begun.has(id)) this.#waiting.set(id, parents);
    }
    for (const [id, parents] of this.#waiting) {
      const isFirst = !parents.some((parent) =>
        this.#waiting.has(parent) || this.#lanes.has(parent)
      );
      if (isFirst) this.#begin(id);
    }
  }

  #begin(shardId: string): void {
    const lane: Lane = {
      ...{ shardId, records: [], at: 0, isBehind: true, isLate: false },
      drained: Promise.withResolvers(),
    };
    this.#waiting.delete(shardId);
    this.#begun.add(shardId);
    this.#lanes.set(shardId, lane);
    const reader = this.#follow(lane).catch((error) => {
      if (!this.#life.signal.aborted) this.#failure ??= { error };
    }).finally(() => {
      this.#readers.delete(reader);
      this.#lanes.delete(shardId);
      this.#wake();
    });
    this.#readers.add(reader);
  }

  async #follow(lane: Lane): Promise<void> {
    const { source, hasChildren, onEnd } = this.#options;
    const { shardId } = lane;
    let children: FollowOptions["shards"] | undefined;
    try {
      children = await this.#read(lane);
    } catch (error) {
      const isGone = error instanceof SourceError && error.kind === "missing" &&
        this.#begun.size > 1;
      if (!isGone) throw error;
      // The stream dropped the shard. If it is the stream itself that is gone, this fails too.
      const shards = await source.listShards(this.#life.signal);
      children = shards.filter(({ parents }) => parents.includes(shardId));
    }
    this.#lanes.delete(shardId);
    this.#life.signal.throwIfAborted();
    if (children === undefined) {
      // The tip of a closed shard may be told before its end; what waited for it must not be left out.
      this.#add([]);
      return;
    }
    onEnd(shardId, children.map(({ id }) => id));
    if (hasChildren) this.#add(children);
  }

  /** Reads a shard; gives its children when it ends, undefined when that is as far as was asked for. */
  async #read(lane: Lane): Promise<FollowOptions["shards"] | undefined> {
    const { source, from, isFollowing, startedAt } = this.#options;
    const { signal } = this.#life;
    for await (const batch of source.open(lane.shardId, from, signal)) {
      const records = batch.records.flatMap((record) => takeApart(record))
        .filter((record) => !isBefore(record, from));
      // The children come in its place, with records that may be older than those of the others.
      await this.#hand(lane, records, batch.millisBehindLatest > 0 || batch.end !== undefined);
      signal.throwIfAborted();
      if (batch.end !== undefined) return batch.end.children;
      const last = batch.records.at(-1)?.approximateArrivalTimestamp ?? 0;
      const isLate = last > startedAt + CLOCK_DIFFERENCE_MAX_MS;
      if (!isFollowing && (batch.millisBehindLatest === 0 || isLate)) return undefined;
    }
    return undefined;
  }

  /** Gives records to whoever reads, and waits until they are taken. */
  async #hand(lane: Lane, records: readonly SourceRecord[], isBehind: boolean): Promise<void> {
    const { shardId } = lane;
    // Nobody would wake what begins to wait after the end.
    this.#life.signal.throwIfAborted();
    lane.records = records.map((record) => ({ ...record, shardId }));
    lane.at = 0;
    lane.isBehind = isBehind;
    lane.isLate = false;
    lane.drained = Promise.withResolvers();
    this.#wake();
    if (records.length > 0) await lane.drained.promise;
  }

  #wake(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}

function headOf({ records, at }: Lane): number {
  return records[at]?.approximateArrivalTimestamp ?? Infinity;
}

/** Waits for a change, but not for longer than that. */
async function soon(changed: Promise<void>, ms: number): Promise<void> {
  const over = new AbortController();
  const timer = delay(Math.max(1, ms), { signal: over.signal }).catch(() => {});
  await Promise.race([changed, timer]);
  over.abort();
  await timer;
}

/** The records in an aggregate of the Kinesis Producer Library; what is none, or broken, as it is. */
function takeApart(record: SourceRecord): readonly SourceRecord[] {
  if (!isLikeAggregate(record.data)) return [record];
  const reading = readAggregate(record.data, (bytes) => hash("md5", bytes, "hex"));
  if (reading.kind === "malformed") return [record];
  return [...reading.aggregate.recordsFrom(0)].map(({ partitionKey, data }, subSequenceNumber) => ({
    ...{ ...record, partitionKey, data, subSequenceNumber },
  }));
}

/** Whether a record within an aggregate comes before the position where the reading begins. */
function isBefore(record: SourceRecord, from: Position): boolean {
  return from.kind === "sequence" && from.subSequenceNumber !== undefined &&
    record.sequenceNumber === from.sequenceNumber &&
    (record.subSequenceNumber ?? 0) <= from.subSequenceNumber;
}
