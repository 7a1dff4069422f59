/**
 * Owns: a state table and a stream in memory, for tests of processors without network, permissions or waiting.
 * Must not: be used by more than one process; keep timers when nobody reads.
 * Called by: users, as `@reacto/kinesix/testing`; `testing/test_kit.ts`; the contract tests.
 *
 * @module
 */

import { abortable } from "@std/async/abortable";
import { createHash } from "node:crypto";
import { heldBytes, heldBytesOf } from "../core/byte_size.ts";
import type { Checkpoint } from "../core/checkpoint.ts";
import { isAfter } from "../core/checkpoint.ts";
import type { TransactionItem } from "../transaction_item.ts";
import type { LeaseChange, Row, RowChange, ShardRow } from "../core/lease.ts";
import { invariant, type RefusedItem, SourceError } from "../errors.ts";
import type {
  Batch,
  Clock,
  LeaseStore,
  ReadBudget,
  RowKinds,
  RowListing,
  ShardInfo,
  SourceRecord,
  StreamSource,
  Transaction,
  TransactionResult,
  WriteResult,
} from "../ports.ts";
import { MemoryRows } from "./memory_rows.ts";
import { systemClock } from "./system.ts";

/** What {@linkcode MemoryLeaseStore} takes. */
export interface MemoryLeaseStoreOptions {
  /**
   * Which writes of a transaction do not hold, as DynamoDB would say if it looked at their conditions; nothing looks at them here.
   *
   * @default {none}
   */
  readonly refuse?: (items: readonly TransactionItem[]) => readonly RefusedItem[];
}

/**
 * A state table in memory. Apps that are given the same one, and the same stream, work together.
 *
 * @example
 * ```ts
 * import { MemoryLeaseStore } from "@reacto/kinesix/testing";
 *
 * const store = new MemoryLeaseStore();
 * const { signal } = new AbortController();
 * await store.prepare(signal);
 * const { rows } = await store.list("shard", signal);
 * if (rows.length !== 0) throw new Error("a new table is empty");
 * ```
 */
export class MemoryLeaseStore implements LeaseStore {
  readonly #rows: MemoryRows = new MemoryRows();
  readonly #refuse: (items: readonly TransactionItem[]) => readonly RefusedItem[];
  readonly #transacted: (readonly TransactionItem[])[] = [];
  readonly #tokens: Set<string> = new Set();

  /** Makes an empty table. */
  constructor(options: MemoryLeaseStoreOptions = {}) {
    this.#refuse = options.refuse ?? (() => []);
  }

  /** What was written together with checkpoints, transaction by transaction, in the order in which it was. */
  get transacted(): readonly (readonly TransactionItem[])[] {
    return this.#transacted;
  }

  /** Does nothing: the table is always ready. */
  prepare(signal: AbortSignal): Promise<void> {
    return answer(signal, () => {});
  }

  /** All rows of a kind. */
  list<K extends Row["kind"]>(kind: K, signal: AbortSignal): Promise<RowListing<RowKinds[K]>> {
    return answer(signal, () => ({ rows: this.rows(kind), malformed: [] }));
  }

  /** All rows of a kind, as they are at this moment; for tests that do not want to wait. */
  rows<K extends Row["kind"]>(kind: K): readonly RowKinds[K][] {
    return this.#rows.list(kind);
  }

  /** One row; null if there is none. */
  read<K extends Row["kind"]>(
    kind: K,
    id: string,
    signal: AbortSignal,
  ): Promise<RowKinds[K] | null> {
    return answer(signal, () => this.#rows.read(kind, id));
  }

  /** One compare-and-set. */
  write<R extends Row>(change: RowChange<R>, signal: AbortSignal): Promise<WriteResult<R>> {
    return answer(signal, () => this.#rows.write(change));
  }

  /** One compare-and-set of a shard row, and writes that are only kept: see {@linkcode MemoryLeaseStore.transacted}. */
  transact(
    change: LeaseChange,
    { items, token }: Transaction,
    signal: AbortSignal,
  ): Promise<TransactionResult> {
    return answer(signal, () => {
      if (this.#tokens.has(token)) return { kind: "written" };
      if (!this.#rows.holds<ShardRow>(change)) {
        return { kind: "conflict", row: this.#rows.read("shard", change.id) };
      }
      const refused = this.#refuse(items);
      if (refused.length > 0) return { kind: "refused", refused };
      this.#rows.write<ShardRow>(change);
      this.#tokens.add(token);
      this.#transacted.push(items);
      return { kind: "written" };
    });
  }
}

/** How a stream in memory is made. */
export interface MemoryStreamOptions {
  /** How many shards it begins with; 1 to 10,000. */
  readonly shards: number;
  /**
   * Stamps the records.
   *
   * @default {the clock of the machine}
   */
  readonly clock?: Clock;
  /**
   * For how long it says that it keeps its records, in milliseconds; more than 0. `lag_near_retention` and `checkpoint_expired` go by
   * that. It keeps all of them, however old.
   *
   * @default {it does not say, and nobody tells such events}
   */
  readonly retentionMs?: number | undefined;
}

interface MemoryShard {
  readonly id: string;
  readonly parents: readonly string[];
  readonly start: bigint;
  readonly end: bigint;
  readonly records: SourceRecord[];
  children: readonly MemoryShard[] | null;
}

const HASH_KEYS = 2n ** 128n;
const SHARDS_MAX = 10_000;
const BATCH_RECORDS_MAX = 10_000;
/** So often a reader is told that there is nothing. */
const QUIET_MS = 5_000;

/**
 * A stream in memory. A reader that has read everything gets the next record at once; it does not poll. As from Kinesis, it gets an
 * empty batch now and then, which says that there is nothing.
 *
 * @example
 * ```ts
 * import { MemoryStream } from "@reacto/kinesix/testing";
 *
 * const stream = new MemoryStream({ shards: 2 });
 * const { shardId } = stream.put("user-1", "hello");
 * const { signal } = new AbortController();
 * for await (const batch of stream.open(shardId, { kind: "trimHorizon" }, signal)) {
 *   if (batch.records.length !== 1) throw new Error("one record was put");
 *   break;
 * }
 * ```
 */
export class MemoryStream implements StreamSource {
  /** For how long it says that it keeps its records, in milliseconds; not there if it does not. */
  readonly retentionMs?: (signal: AbortSignal) => Promise<number>;
  readonly #clock: Clock;
  readonly #shards: Map<string, MemoryShard> = new Map();
  #records = 0;
  #change: PromiseWithResolvers<void> = Promise.withResolvers();

  /**
   * Makes a stream without records.
   *
   * @param options How many shards it begins with.
   * @throws {RangeError} If that is not a whole number from 1 to 10,000, or the retention is not more than 0.
   */
  constructor(options: MemoryStreamOptions) {
    const { shards, clock = systemClock, retentionMs } = options;
    if (!Number.isInteger(shards) || shards < 1 || shards > SHARDS_MAX) {
      throw new RangeError(
        `Cannot make a stream of ${shards} shards: it must be a whole number from 1 to ${SHARDS_MAX}`,
      );
    }
    if (retentionMs !== undefined) {
      if (!(retentionMs > 0)) {
        throw new RangeError(
          `Cannot make a stream with a retentionMs of ${retentionMs}: it must be more than 0`,
        );
      }
      this.retentionMs = (signal) => answer(signal, () => retentionMs);
    }
    this.#clock = clock;
    const bounds = Array.from(
      { length: shards + 1 },
      (_, i) => HASH_KEYS * BigInt(i) / BigInt(shards),
    );
    bounds.slice(1).forEach((bound, i) => this.#addShard([], bounds[i] ?? 0n, bound - 1n));
  }

  /** Puts a record into the shard that its partition key belongs to; a text is put as UTF-8. */
  put(
    partitionKey: string,
    data: string | Uint8Array,
  ): { readonly shardId: string; readonly sequenceNumber: string } {
    const hashKey = hashKeyOf(partitionKey);
    const shard = [...this.#shards.values()].find((shard) =>
      shard.children === null && shard.start <= hashKey && hashKey <= shard.end
    );
    invariant(shard, "the open shards cover all hash keys");
    const sequenceNumber = this.#nextSequenceNumber();
    shard.records.push({
      sequenceNumber,
      partitionKey,
      data: typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data),
      approximateArrivalTimestamp: this.#clock.now(),
    });
    this.#wakeReaders();
    return { shardId: shard.id, sequenceNumber };
  }

  /**
   * Splits an open shard in the middle; gives the ids of the two new ones.
   *
   * @throws {SourceError} If there is no such open shard.
   */
  split(shardId: string): readonly [string, string] {
    const shard = this.#openShard(shardId);
    const middle = (shard.start + shard.end) / 2n;
    const lower = this.#addShard([shardId], shard.start, middle);
    const upper = this.#addShard([shardId], middle + 1n, shard.end);
    shard.children = [lower, upper];
    this.#wakeReaders();
    return [lower.id, upper.id];
  }

  /**
   * Merges two open neighbours; gives the id of the new shard.
   *
   * @throws {SourceError} If one is not open, or they are not neighbours.
   */
  merge(shardId: string, adjacentShardId: string): string {
    const shard = this.#openShard(shardId);
    const adjacent = this.#openShard(adjacentShardId);
    const [lower, upper] = shard.start < adjacent.start ? [shard, adjacent] : [adjacent, shard];
    if (lower.end + 1n !== upper.start) {
      throw new SourceError(
        `Cannot merge shards "${shardId}" and "${adjacentShardId}": their hash keys do not meet`,
        { kind: "invalid" },
      );
    }
    const child = this.#addShard([shardId, adjacentShardId], lower.start, upper.end);
    shard.children = [child];
    adjacent.children = [child];
    this.#wakeReaders();
    return child.id;
  }

  /** Every shard, open and closed. */
  listShards(signal: AbortSignal): Promise<readonly ShardInfo[]> {
    return answer(signal, () => this.shards());
  }

  /** Every shard, open and closed, as they are at this moment; for tests that do not want to wait. */
  shards(): readonly ShardInfo[] {
    return [...this.#shards.values()].map((shard) => ({
      ...toChild(shard),
      isClosed: shard.children !== null,
    }));
  }

  /** Whether the shard has records after a position; false for a shard that there is not. */
  hasRecordsAfter(shardId: string, position: Checkpoint): boolean {
    const last = this.#shards.get(shardId)?.records.at(-1);
    return last !== undefined && isAfter(last, position);
  }

  /** The records of a shard after a position. */
  async *open(
    shardId: string,
    after: Checkpoint,
    signal: AbortSignal,
    budget?: ReadBudget,
  ): AsyncGenerator<Batch> {
    signal.throwIfAborted();
    const shard = this.#shards.get(shardId);
    if (shard === undefined) throw noShard(shardId);
    // Position by index: records are only ever added at the end.
    let next = shard.records.findIndex((record) => isAfter(record, after));
    if (next === -1) next = shard.records.length;
    for (let isFirst = true;; isFirst = false) {
      let isQuiet = false;
      while (!isFirst && !isQuiet && next === shard.records.length && shard.children === null) {
        isQuiet = !await this.#changes(signal);
      }
      await answer(signal, () => {});
      const records = await roomFor(shard.records.slice(next, next + BATCH_RECORDS_MAX), {
        budget,
        signal,
      });
      next += records.length;
      const rest = shard.records[next];
      const millisBehindLatest = rest === undefined
        ? 0
        : Math.max(0, this.#clock.now() - rest.approximateArrivalTimestamp);
      if (after.kind === "shardEnd" || (rest === undefined && shard.children !== null)) {
        const children = shard.children?.map(toChild) ?? [];
        yield { records, millisBehindLatest, end: { children } };
        return;
      }
      yield { records, millisBehindLatest };
    }
  }

  /** Waits for something to happen, for a while; gives whether it did. */
  async #changes(signal: AbortSignal): Promise<boolean> {
    const timer = new AbortController();
    const quiet = this.#clock.sleep(QUIET_MS, timer.signal).then(() => false, () => false);
    const change = this.#change.promise.then(() => true);
    try {
      return await abortable(Promise.race([change, quiet]), signal);
    } finally {
      timer.abort();
    }
  }

  #addShard(parents: readonly string[], start: bigint, end: bigint): MemoryShard {
    const id = `shardId-${String(this.#shards.size).padStart(12, "0")}`;
    const shard: MemoryShard = { id, parents, start, end, records: [], children: null };
    this.#shards.set(id, shard);
    return shard;
  }

  #openShard(shardId: string): MemoryShard {
    const shard = this.#shards.get(shardId);
    if (shard !== undefined && shard.children === null) return shard;
    throw noShard(shardId);
  }

  #nextSequenceNumber(): string {
    return String(++this.#records);
  }

  #wakeReaders(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}

/** An answer that comes later, as one over a network does, unless the signal is aborted. */
async function answer<T>(signal: AbortSignal, make: () => T): Promise<T> {
  signal.throwIfAborted();
  await Promise.resolve();
  signal.throwIfAborted();
  return make();
}

/** As many of the records as there is room for, one at least. */
async function roomFor(
  records: readonly SourceRecord[],
  { budget, signal }: { readonly budget: ReadBudget | undefined; readonly signal: AbortSignal },
): Promise<readonly SourceRecord[]> {
  const [first] = records;
  if (budget === undefined || first === undefined) return records;
  let room = await budget.take(heldBytesOf(records), { least: heldBytes(first), signal });
  const tooMany = records.findIndex((record) => (room -= heldBytes(record)) < 0);
  return tooMany === -1 ? records : records.slice(0, tooMany);
}

function toChild({ id, parents, start, end }: MemoryShard): Omit<ShardInfo, "isClosed"> {
  return { id, parents, hashKeyRange: { start: String(start), end: String(end) } };
}

/** Kinesis takes the MD5 of the partition key for its hash key, so a key is in the same shard here as there. */
function hashKeyOf(partitionKey: string): bigint {
  return BigInt("0x" + createHash("md5").update(partitionKey).digest("hex"));
}

function noShard(shardId: string): SourceError {
  return new SourceError(`Cannot find open shard "${shardId}": the stream in memory has none`, {
    kind: "missing",
  });
}
