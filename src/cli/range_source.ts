/**
 * Owns: a stream that ends at a time: what arrived later is not there, and each shard ends where that begins.
 * Must not: read by itself, or process anything.
 * Called by: `replay.ts`, as the `StreamSource` of the runtime.
 *
 * @module
 */

import { ReadBatch } from "../adapters/kinesis_shapes.ts";
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

/** A place in what was read of a shard. */
interface Mark {
  readonly sequenceNumber: string;
  readonly arrivedAt: number;
  /** How many records of the range were read before. */
  readonly before: number;
}

/** How far a shard is. */
export interface ShardProgress {
  /** How much of the range is finished, from 0 to 1. */
  readonly share: number;
  /** About how many records, as they are in the stream. */
  readonly records: number;
}

/** The records of a shard are in the order of their sequence numbers; their times may differ from it by a little. */
const DISORDER_MAX_MS = 1_000;
/** By so much the clocks of Kinesis and of this machine may differ. */
const CLOCK_DIFFERENCE_MAX_MS = 300_000;
/** Of so many records one is remembered. */
const RECORDS_PER_MARK = 100;
/** At most a few reads of a shard, of 10,000 records each, are not finished. */
const MARKS_MAX = 2_000;

/** The part of a stream up to a time. */
export class RangeSource implements StreamSource {
  readonly #options: RangeOptions;
  /** Resolves with the error of a read that is not permitted: nobody mends that while a replay waits for it. */
  readonly refused: Promise<SourceError>;
  readonly #refuse: (error: SourceError) => void;
  #shards: readonly ShardInfo[] | undefined;
  readonly #marks = new Map<string, Mark[]>();
  readonly #read = new Map<string, number>();
  #oldest = Infinity;

  constructor(options: RangeOptions) {
    this.#options = options;
    const refusal = Promise.withResolvers<SourceError>();
    this.refused = refusal.promise;
    this.#refuse = refusal.resolve;
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
        this.#note(shardId, records);
        const isOver = batch.end !== undefined || this.#isPast(batch);
        const { millisBehindLatest } = batch;
        batch.release?.();
        yield new ReadBatch({ records, millisBehindLatest, ...(isOver ? { end } : {}) });
        if (isOver) return;
      }
    } catch (error) {
      if (!(error instanceof SourceError) || signal.aborted) throw error;
      if (error.kind === "denied") this.#refuse(error);
      if (error.kind !== "missing") throw error;
      const shards = await source.listShards(signal);
      if (shards.some(({ id }) => id === shardId)) throw error;
      // The stream has dropped the shard meanwhile, with all its records.
      yield { records: [], millisBehindLatest: 0, end };
    }
  }

  /** How far a shard is that is finished up to a checkpoint. */
  progress(shardId: string, checkpoint: Checkpoint): ShardProgress {
    const mark = this.#markBefore(shardId, checkpoint);
    if (mark === undefined) return { share: 0, records: 0 };
    const { to, from = this.#oldest } = this.#options;
    const share = (mark.arrivedAt - from) / Math.max(1, to - from);
    return { share: Math.min(1, Math.max(0, share)), records: mark.before };
  }

  /** How many records of a shard were read. */
  recordsOf(shardId: string): number {
    return this.#read.get(shardId) ?? 0;
  }

  /**
   * From when on to read again so that nothing after a checkpoint is left out; some of what is before it may come again.
   * Undefined: from the beginning of the range.
   */
  timeOf(shardId: string, checkpoint: Checkpoint): number | undefined {
    const mark = this.#markBefore(shardId, checkpoint);
    return mark && mark.arrivedAt - DISORDER_MAX_MS;
  }

  #markBefore(shardId: string, checkpoint: Checkpoint): Mark | undefined {
    if (checkpoint.kind !== "sequence") return undefined;
    return this.#marks.get(shardId)?.findLast((mark) =>
      compareSequenceNumbers(mark.sequenceNumber, checkpoint.sequenceNumber) <= 0
    );
  }

  #isPast({ records, millisBehindLatest }: Batch): boolean {
    const { to, now } = this.#options;
    if (millisBehindLatest === 0) return true;
    const last = records.at(-1);
    if (last !== undefined) return last.approximateArrivalTimestamp >= to + DISORDER_MAX_MS;
    // The end of a batch is so far behind the tip; where no records are, this alone tells where it is. A part of a read may come
    // long after it was read, and how far it is behind is an estimate.
    return now() - millisBehindLatest >= to + CLOCK_DIFFERENCE_MAX_MS;
  }

  #note(shardId: string, records: readonly SourceRecord[]): void {
    const [first] = records;
    if (first === undefined) return;
    this.#oldest = Math.min(this.#oldest, first.approximateArrivalTimestamp);
    const known = this.#marks.get(shardId) ?? [];
    // What is read again after a failure counts once.
    const again = known.findIndex((mark) =>
      compareSequenceNumbers(mark.sequenceNumber, first.sequenceNumber) >= 0
    );
    const before = known[again]?.before ?? this.recordsOf(shardId);
    const marks = again === -1 ? [...known] : known.slice(0, again);
    for (let i = 0; i < records.length; i += RECORDS_PER_MARK) {
      const { sequenceNumber, approximateArrivalTimestamp } = records[i] ?? first;
      marks.push({ sequenceNumber, arrivedAt: approximateArrivalTimestamp, before: before + i });
    }
    const kept = marks.length <= MARKS_MAX ? marks : spread(marks);
    this.#marks.set(shardId, kept.slice(-MARKS_MAX));
    this.#read.set(shardId, before + records.length);
  }
}

/** Some of the marks: reads that bring little, or come in parts, would use all up for what is not finished. */
function spread(marks: readonly Mark[]): readonly Mark[] {
  let next = -Infinity;
  return marks.filter(({ before }) => {
    if (before < next) return false;
    next = before + RECORDS_PER_MARK;
    return true;
  });
}
