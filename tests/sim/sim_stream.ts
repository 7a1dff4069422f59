/**
 * Owns: the one stream that all simulated processes share, and the truth about each of its records.
 * Must not: lose or delay anything; that is `sim_network.ts`.
 * Called by: `sim_ports.ts` for the processes, `simulation.ts` puts, splits, merges and trims, the checkers for the truth.
 *
 * @module
 */

import { heldBytes } from "../../src/core/byte_size.ts";
import { type Checkpoint, compareCheckpoints } from "../../src/core/checkpoint.ts";
import type { Batch, ShardInfo, SourceRecord } from "../../src/ports.ts";
import { aggregate } from "../kpl.ts";

/** A record as a user knows it, alone or in an aggregate, and what became of it. */
export interface SimRecord extends SourceRecord {
  /** The aggregate that it is in. */
  readonly packed: SourceRecord | undefined;
  readonly shard: SimShard;
  /** The place in its shard, from 0. */
  readonly index: number;
  /** The record with the same partition key before this one. */
  readonly previous: SimRecord | null;
  /** Whether an attempt to process it succeeded, or it was skipped by policy. */
  isFinished: boolean;
  /** Whether it is left out by the filter, or given up because of its age: it may never be handed to a processor. */
  isPassed: boolean;
  /** How often it was handed to a processor as a first attempt. */
  deliveries: number;
}

/** A shard, and what became of it. */
export interface SimShard {
  readonly id: string;
  readonly parents: readonly SimShard[];
  /** The first hash key, and the one after the last. */
  readonly start: number;
  readonly end: number;
  readonly records: SimRecord[];
  children: readonly SimShard[] | null;
  closedAt: number;
  /** Records before this place have left the stream. */
  trimmedTo: number;
  /** Whether the shard has left the stream. */
  isGone: boolean;
}

const HASH_KEYS = 2 ** 32;
/** A hash key of Kinesis has so many bits more. */
const REST_BITS = 96n;
const PAYLOAD = new Uint8Array(8);

/** A stream of shards. */
export class SimStream {
  readonly shards: SimShard[] = [];
  /** What its largest record counts for in memory. */
  heldBytesMax: number = heldBytes({ data: PAYLOAD, partitionKey: "" });
  readonly #byId = new Map<string, SimShard>();
  #open: readonly SimShard[] | undefined;
  readonly #last = new Map<string, SimRecord>();
  readonly #records = new Map<string, SimRecord>();
  readonly #listings: { readonly at: number; readonly shards: readonly ShardInfo[] }[] = [];
  readonly #now: () => number;
  readonly #idDigits: number;
  // The numbers pass from two digits to three and four, so that a comparison as text is found out.
  #sequence = 90;

  /**
   * @param shards How many it begins with.
   * @param idDigits How long the number in the id of a shard is; Kinesis has 12.
   */
  constructor(shards: number, now: () => number, idDigits = 4) {
    this.#now = now;
    this.#idDigits = idDigits;
    for (let i = 0; i < shards; i++) {
      const from = Math.floor(HASH_KEYS * i / shards);
      this.#add([], from, Math.floor(HASH_KEYS * (i + 1) / shards));
    }
    this.#list();
  }

  /** The shards that take records. */
  get open(): readonly SimShard[] {
    this.#open ??= this.shards.filter((shard) => shard.children === null);
    return this.#open;
  }

  shard(id: string): SimShard | undefined {
    return this.#byId.get(id);
  }

  record(sequenceNumber: string, subSequenceNumber?: number): SimRecord | undefined {
    return this.#records.get(`${sequenceNumber}:${subSequenceNumber}`);
  }

  /** The shard that records with a key go to. */
  openShardOf(partitionKey: string): SimShard {
    const hash = hashOf(partitionKey);
    const shard = this.open.find(({ start, end }) => start <= hash && hash < end);
    if (shard === undefined) throw new Error("The open shards must cover all hash keys");
    return shard;
  }

  /** Puts a record into the shard that its key belongs to. `stamp` is the stream's wall time. */
  put(
    partitionKey: string,
    stamp: number,
    data: Uint8Array<ArrayBuffer> = PAYLOAD,
  ): SimRecord {
    const record = {
      sequenceNumber: String(this.#sequence++),
      partitionKey,
      data,
      approximateArrivalTimestamp: stamp,
    };
    return this.#append(record, this.openShardOf(partitionKey), undefined);
  }

  /** Puts records whose keys belong to one shard into it, as a single one. */
  putAggregate(partitionKeys: readonly string[], stamp: number): void {
    const [partitionKey = ""] = partitionKeys;
    const shard = this.openShardOf(partitionKey);
    const records = partitionKeys.map((partitionKey) => ({
      partitionKey,
      explicitHashKey: String(BigInt(hashOf(partitionKey)) << REST_BITS),
      data: PAYLOAD,
    }));
    const packed: SourceRecord = {
      sequenceNumber: String(this.#sequence++),
      partitionKey,
      data: aggregate(records),
      approximateArrivalTimestamp: stamp,
    };
    for (const [subSequenceNumber, partitionKey] of partitionKeys.entries()) {
      this.#append({ ...packed, partitionKey, subSequenceNumber, data: PAYLOAD }, shard, packed);
    }
  }

  split(shard: SimShard): void {
    const middle = Math.floor((shard.start + shard.end) / 2);
    this.#close([shard], [
      this.#add([shard], shard.start, middle),
      this.#add([shard], middle, shard.end),
    ]);
  }

  /** Merges an open shard with its right neighbour; false if it has none that is open. */
  merge(shard: SimShard): boolean {
    const neighbour = this.open.find(({ start }) => start === shard.end);
    if (neighbour === undefined) return false;
    this.#close([shard, neighbour], [this.#add([shard, neighbour], shard.start, neighbour.end)]);
    return true;
  }

  /** Drops the records, and the closed shards, that are older than the retention. Returns how many were not finished. */
  trim(retentionMs: number, stampOfNow: number): number {
    let hasChanged = false;
    let unread = 0;
    for (const shard of this.shards) {
      if (shard.isGone) continue;
      const { records } = shard;
      while (shard.trimmedTo < records.length) {
        const oldest = records[shard.trimmedTo];
        if (oldest === undefined) break;
        if (oldest.approximateArrivalTimestamp > stampOfNow - retentionMs) break;
        shard.trimmedTo += 1;
        if (!oldest.isFinished) unread += 1;
      }
      if (shard.children !== null && shard.closedAt < this.#now() - retentionMs) {
        shard.isGone = true;
        unread += records.slice(shard.trimmedTo).filter((record) => !record.isFinished).length;
        shard.trimmedTo = records.length;
        hasChanged = true;
      }
    }
    if (hasChanged) this.#list();
    return unread;
  }

  /** What a list of the shards showed at a time. */
  listedAt(at: number): readonly ShardInfo[] {
    const listing = this.#listings.findLast((listing) => listing.at <= at) ?? this.#listings[0];
    return listing?.shards ?? [];
  }

  #append(source: SourceRecord, shard: SimShard, packed: SourceRecord | undefined): SimRecord {
    const { sequenceNumber, subSequenceNumber, partitionKey } = source;
    const record: SimRecord = {
      ...source,
      packed,
      shard,
      index: shard.records.length,
      previous: this.#last.get(partitionKey) ?? null,
      isFinished: false,
      isPassed: false,
      deliveries: 0,
    };
    shard.records.push(record);
    this.heldBytesMax = Math.max(this.heldBytesMax, heldBytes(packed ?? source));
    this.#last.set(partitionKey, record);
    this.#records.set(`${sequenceNumber}:${subSequenceNumber}`, record);
    return record;
  }

  #add(parents: readonly SimShard[], start: number, end: number): SimShard {
    const shard: SimShard = {
      id: `shardId-${String(this.shards.length).padStart(this.#idDigits, "0")}`,
      parents,
      start,
      end,
      records: [],
      children: null,
      closedAt: Infinity,
      trimmedTo: 0,
      isGone: false,
    };
    this.shards.push(shard);
    this.#byId.set(shard.id, shard);
    return shard;
  }

  #close(parents: readonly SimShard[], children: readonly SimShard[]): void {
    for (const parent of parents) {
      parent.children = children;
      parent.closedAt = this.#now();
    }
    this.#open = undefined;
    this.#list();
  }

  #list(): void {
    const shards = this.shards.filter((shard) => !shard.isGone)
      .map((shard) => ({ ...toChild(shard), isClosed: shard.children !== null }));
    this.#listings.push({ at: this.#now(), shards });
  }
}

/** The place of the first record after a position. */
export function placeAfter({ records }: SimShard, after: Checkpoint): number {
  let from = 0;
  let until = records.length;
  while (from < until) {
    const middle = (from + until) >> 1;
    const record = records[middle];
    if (record === undefined || isAfter(record, after)) until = middle;
    else from = middle + 1;
  }
  return from;
}

/** The place from which Kinesis reads on after a position: what is finished in part is read again, as a whole. */
export function readingPlaceAfter(shard: SimShard, after: Checkpoint): number {
  const isWithin = after.kind === "sequence" && after.subSequenceNumber !== undefined;
  return placeAfter(shard, isWithin ? { ...after, subSequenceNumber: -1 } : after);
}

/** What a read at this moment gives, and the place to read on from; null if the shard is gone. */
export function readFrom(
  shard: SimShard,
  place: number,
  options: {
    readonly recordsMax: number;
    readonly stampOfNow: number;
  },
): { readonly batch: Batch; readonly next: number } | null {
  const { records, trimmedTo, children, isGone } = shard;
  if (isGone) return null;
  const from = Math.max(place, trimmedTo);
  const batch: SourceRecord[] = [];
  let next = from;
  for (let rest = records[next]; rest !== undefined; rest = records[++next]) {
    const record = rest.packed ?? rest;
    if (record === batch.at(-1)) continue;
    if (batch.length === options.recordsMax) break;
    batch.push(record);
  }
  const rest = records[next];
  const millisBehindLatest = rest === undefined
    ? 0
    : Math.max(0, options.stampOfNow - rest.approximateArrivalTimestamp);
  if (rest !== undefined || children === null) {
    return { batch: { records: batch, millisBehindLatest }, next };
  }
  const end = { children: children.map(toChild) };
  return { batch: { records: batch, millisBehindLatest, end }, next };
}

/** A read in parts of so many records, each as a smaller read would have brought it; and how many records come after it. */
export function* partsOf(
  batch: Batch,
  size: number,
): Generator<{ readonly part: Batch; readonly left: number }> {
  const { records, millisBehindLatest } = batch;
  const latest = records.at(-1)?.approximateArrivalTimestamp ?? 0;
  const behind = (record?: SourceRecord): number =>
    millisBehindLatest + Math.max(1, latest - (record?.approximateArrivalTimestamp ?? 0));
  let from = 0;
  for (let to = size; to < records.length; to += size) {
    const part = records.slice(from, to);
    yield {
      part: { records: part, millisBehindLatest: behind(part.at(-1)) },
      left: records.length - to,
    };
    from = to;
  }
  yield { part: { ...batch, records: records.slice(from) }, left: 0 };
}

function toChild(shard: SimShard): Omit<ShardInfo, "isClosed"> {
  return {
    id: shard.id,
    parents: shard.parents.filter((parent) => !parent.isGone).map((parent) => parent.id),
    hashKeyRange: {
      start: String(BigInt(shard.start) << REST_BITS),
      end: String((BigInt(shard.end) << REST_BITS) - 1n),
    },
  };
}

function isAfter(record: SourceRecord, position: Checkpoint): boolean {
  switch (position.kind) {
    case "trimHorizon":
      return true;
    case "timestamp":
      return record.approximateArrivalTimestamp >= position.timestamp;
    case "sequence":
      return compareCheckpoints({ ...record, kind: "sequence" }, position) > 0;
    case "shardEnd":
      return false;
    default:
      return position satisfies never;
  }
}

/** The hash key of a partition key. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
