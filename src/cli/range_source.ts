/**
 * Owns: a stream that ends at a time: what arrived later is not there, and each shard ends where that begins.
 * Must not: read by itself, or process anything.
 * Called by: `replay.ts`, as the `StreamSource` of the runtime.
 *
 * @module
 */

import type { Checkpoint } from "../core/checkpoint.ts";
import { compareSequenceNumbers } from "../core/checkpoint.ts";
import { SourceError } from "../errors.ts";
import type { Batch, ReadBudget, ShardInfo, SourceRecord, StreamSource } from "../ports.ts";

/** What a range is. */
export interface RangeOptions {
  readonly source: StreamSource;
  /** Milliseconds since the epoch; undefined is the oldest record. */
  readonly from: number | undefined;
  /** What arrived at this time, or later, is not in the range. Milliseconds since the epoch, not in the future. */
  readonly to: number;
  readonly now: () => number;
}

/** A batch that was read: where it begins. */
interface Mark {
  readonly sequenceNumber: string;
  readonly arrivedAt: number;
}

/** The records of a shard are in the order of their sequence numbers; their times may differ from it by a little. */
const DISORDER_MAX_MS = 1_000;
/** By so much the clocks of Kinesis and of this machine may differ. */
const CLOCK_DIFFERENCE_MAX_MS = 300_000;
/** At most a few batches of a shard are read and not finished. */
const MARKS_MAX = 16;

/** The part of a stream up to a time. */
export class RangeSource implements StreamSource {
  readonly #options: RangeOptions;
  #shards: readonly ShardInfo[] | undefined;
  readonly #marks = new Map<string, Mark[]>();
  readonly #reached = new Map<string, number>();
  #oldest = Infinity;

  constructor(options: RangeOptions) {
    this.#options = options;
  }

  /** The shards that were there at the first call. What comes later has only later records. */
  async listShards(signal: AbortSignal): Promise<readonly ShardInfo[]> {
    const shards = this.#shards ?? await this.#options.source.listShards(signal);
    // Each of them ends, as far as the range goes.
    this.#shards ??= shards.map((shard) => ({ ...shard, isClosed: true }));
    return this.#shards;
  }

  async *open(
    shardId: string,
    after: Checkpoint,
    signal: AbortSignal,
    budget?: ReadBudget,
  ): AsyncGenerator<Batch> {
    const { source, to } = this.#options;
    const end = { children: [] };
    try {
      for await (const batch of source.open(shardId, after, signal, budget)) {
        const records = batch.records.filter((record) => record.approximateArrivalTimestamp < to);
        this.#note(shardId, records, batch);
        const isOver = batch.end !== undefined || this.#isPast(batch);
        yield { records, millisBehindLatest: batch.millisBehindLatest, ...isOver && { end } };
        if (isOver) return;
      }
    } catch (error) {
      const isMissing = error instanceof SourceError && error.kind === "missing";
      if (!isMissing || signal.aborted) throw error;
      const shards = await source.listShards(signal);
      if (shards.some(({ id }) => id === shardId)) throw error;
      // The stream has dropped the shard meanwhile, with all its records.
      yield { records: [], millisBehindLatest: 0, end };
    }
  }

  /** How much of the range was read of a shard, from 0 to 1. */
  share(shardId: string): number {
    const { to, from } = this.#options;
    const start = from ?? this.#oldest;
    const reached = this.#reached.get(shardId) ?? start;
    return to > start ? Math.min(1, Math.max(0, (reached - start) / (to - start))) : 1;
  }

  /**
   * From when on to read again so that nothing after a checkpoint is left out; some of what is before it may come again.
   * Undefined: from the beginning of the range.
   */
  timeOf(shardId: string, checkpoint: Checkpoint): number | undefined {
    if (checkpoint.kind !== "sequence") return undefined;
    return this.#marks.get(shardId)?.findLast((mark) =>
      compareSequenceNumbers(mark.sequenceNumber, checkpoint.sequenceNumber) <= 0
    )?.arrivedAt;
  }

  #isPast({ records, millisBehindLatest }: Batch): boolean {
    const { to, now } = this.#options;
    const last = records.at(-1)?.approximateArrivalTimestamp ?? 0;
    // The end of a batch is so far behind the tip; where no records are, this alone tells where it is.
    const position = now() - millisBehindLatest;
    return millisBehindLatest === 0 || last >= to + DISORDER_MAX_MS ||
      position >= to + CLOCK_DIFFERENCE_MAX_MS;
  }

  #note(
    shardId: string,
    [first]: readonly SourceRecord[],
    { records, millisBehindLatest }: Batch,
  ): void {
    const { now } = this.#options;
    const last = records.at(-1)?.approximateArrivalTimestamp ?? now() - millisBehindLatest;
    this.#reached.set(shardId, last);
    if (first === undefined) return;
    const { sequenceNumber, approximateArrivalTimestamp: arrivedAt } = first;
    this.#oldest = Math.min(this.#oldest, arrivedAt);
    const marks = this.#marks.get(shardId) ?? [];
    this.#marks.set(shardId, [...marks, { sequenceNumber, arrivedAt }].slice(-MARKS_MAX));
  }
}
