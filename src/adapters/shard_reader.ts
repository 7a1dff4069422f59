/**
 * Owns: the reading of one shard: the position, the iterator and its renewal, the pace, the retries.
 * Must not: list shards, or read ahead.
 * Called by: `kinesis_polling.ts`.
 *
 * @module
 */

import {
  GetRecordsCommand,
  type GetRecordsOutput,
  GetShardIteratorCommand,
} from "@aws-sdk/client-kinesis";
import { SourceError } from "../errors.ts";
import type { ReadBudget, SourceRecord } from "../ports.ts";
import { withoutRetries } from "./aws_calls.ts";
import { isNamed } from "./aws_errors.ts";
import type { KinesisPollingOptions } from "./kinesis_polling.ts";
import {
  type OpenPosition,
  ReadBatch,
  required,
  takeOutRecords,
  toChild,
  toIteratorStart,
  toSourceRecord,
} from "./kinesis_shapes.ts";
import { AnswerParts, late, LateAnswer } from "./late_answer.ts";
import {
  FUTURE_WAIT_MS,
  FUTURE_WAITS_MAX,
  READ_INTERVAL_MS,
  readIntervalMs,
  type ReadSize,
} from "./pacing.ts";
import { type Amount, answerBytes, RecordSizes } from "./read_limit.ts";
import { ShardRetries, toSourceError } from "./shard_retries.ts";
import { WorkSizes } from "./work_sizes.ts";

/** What the reading of a shard is made of. */
export type ShardReaderOptions = Required<KinesisPollingOptions> & {
  readonly shardId: string;
  readonly after: OpenPosition;
  readonly signal: AbortSignal;
  readonly budget: ReadBudget | undefined;
  /** Of the whole stream. */
  readonly sizes: RecordSizes;
};

/** A read that is given in parts. */
interface BegunRead {
  readonly parts: AnswerParts;
  readonly startedAt: number;
  /** How much of it was given. */
  readonly given: Amount;
}

type Operation = "GetRecords" | "GetShardIterator";

/** Iterators expire after 5 minutes: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html */
const ITERATOR_AGE_MAX_MS = 270_000;
/** New iterators that may expire in a row, before that counts as a failure. */
const EXPIRIES_MAX = 3;

/** One pass over a shard, batch by batch. */
export class ShardReader {
  readonly #options: ShardReaderOptions;
  readonly #sizes: RecordSizes;
  readonly #workSizes = new WorkSizes();
  #begun: BegunRead | undefined;
  /** Every record up to here was read. */
  #position: OpenPosition;
  #iterator: { readonly value: string; readonly issuedAt: number } | null = null;
  /** Monotonic time. */
  #nextReadAt = 0;
  /** At first shorter by chance: shards that are opened together would else be read together for ever, each on a connection of its own. */
  #emptyDelayMs: number;
  /** For how many records room is held; undefined if it was given back. */
  #limit: number | undefined;

  constructor(options: ShardReaderOptions) {
    this.#options = options;
    this.#sizes = new RecordSizes(options.sizes);
    this.#position = options.after;
    this.#nextReadAt = options.clock.monotonic();
    this.#emptyDelayMs = options.config.emptyReceiveDelay * options.random.next();
  }

  /** The next batch; it may be empty. Not to be called again after the one that has an `end`. */
  async read(): Promise<ReadBatch> {
    const { clock } = this.#options;
    this.#workSizes.asked(clock.monotonic());
    const batch = this.#begun === undefined
      ? await this.#nextRead()
      : await this.#nextPart(this.#begun);
    this.#workSizes.given(answerBytes(amountOf(batch.records)), clock.monotonic());
    return batch;
  }

  async #nextRead(): Promise<ReadBatch> {
    const { clock, shardId, streamName } = this.#options;
    for (let expiries = 0; expiries <= EXPIRIES_MAX; expiries++) {
      await this.#pace();
      // Before the iterator, which would grow old while there is no room.
      this.#limit = await this.#takeRoom();
      const iterator = await this.#freshIterator();
      const startedAt = clock.monotonic();
      this.#nextReadAt = startedAt + READ_INTERVAL_MS;
      const reply = await this.#getRecords(iterator);
      this.#workSizes.took(clock.monotonic() - startedAt);
      if (reply instanceof AnswerParts) {
        this.#options.budget?.keep(reply.bytesHeld);
        this.#workSizes.given(0, clock.monotonic());
        const given = { records: 0, bytes: 0 };
        return await this.#nextPart(this.#begun = { parts: reply, startedAt, given });
      }
      if (reply !== "expired") return this.#toBatch(reply, startedAt);
      this.#iterator = null;
    }
    throw new SourceError(
      `Cannot read shard "${shardId}" of stream "${streamName}": ${EXPIRIES_MAX + 1} new ` +
        "iterators in a row had expired; check the clocks of Kinesis and this machine",
      { kind: "unavailable" },
    );
  }

  async #pace(): Promise<void> {
    const { clock, signal } = this.#options;
    signal.throwIfAborted();
    const waitMs = this.#nextReadAt - clock.monotonic();
    if (waitMs > 0) await clock.sleep(waitMs, signal);
  }

  async #freshIterator(): Promise<string> {
    const now = this.#options.clock.monotonic();
    if (this.#iterator === null || now - this.#iterator.issuedAt > ITERATOR_AGE_MAX_MS) {
      this.#iterator = { value: await this.#newIterator(), issuedAt: now };
    }
    return this.#iterator.value;
  }

  async #newIterator(): Promise<string> {
    const { client, clock, streamName, shardId, signal } = this.#options;
    for (let waits = 0;; waits++) {
      try {
        return await this.#retried(async () => {
          const start = toIteratorStart(this.#position);
          const input = { StreamName: streamName, ShardId: shardId, ...start };
          const command = withoutRetries(new GetShardIteratorCommand(input));
          const reply = await client.send(command, { abortSignal: signal });
          return required(reply.ShardIterator, "ShardIterator");
        }, "GetShardIterator");
      } catch (error) {
        // Kinesis refuses a time in its future, such as the "now" of a worker whose clock is ahead. It comes soon; from
        // LATEST instead, records would be skipped each time the shard is opened again before the first one.
        const isTimeRefused = this.#position.kind === "timestamp" &&
          isNamed(error, "InvalidArgumentException");
        if (!isTimeRefused || waits === FUTURE_WAITS_MAX) {
          throw await toSourceError(error, "GetShardIterator", this.#options);
        }
        await clock.sleep(FUTURE_WAIT_MS, signal);
      }
    }
  }

  /** Waits until there is room for records; gives for how many. */
  async #takeRoom(): Promise<number> {
    const { budget, signal } = this.#options;
    const { wanted, ...bounds } = this.#sizes.room(this.#recordsMax);
    const room = await budget?.take(wanted, { ...bounds, signal }) ?? wanted;
    // Others may have learned meanwhile how large records are.
    return this.#sizes.limit(room, this.#recordsMax);
  }

  /** How many records are wanted, if there is room. */
  get #recordsMax(): number {
    const { config: { maxBatchSize }, budget } = this.#options;
    if (!budget?.mayComeInParts) return maxBatchSize;
    return Math.min(maxBatchSize, this.#sizes.inAnswer(this.#workSizes.readBytes) ?? maxBatchSize);
  }

  async #getRecords(iterator: string): Promise<GetRecordsOutput | AnswerParts | "expired"> {
    const { client, signal } = this.#options;
    try {
      return await this.#retried(async () => {
        const Limit = this.#limit ??= await this.#takeRoom();
        const input = { ShardIterator: iterator, Limit };
        const command = late(withoutRetries(new GetRecordsCommand(input)));
        const answer = await client.send(command, { abortSignal: signal });
        const reply = answer instanceof LateAnswer ? await this.#opened(answer) : answer;
        if (reply instanceof AnswerParts) return reply;
        // What says nothing at all, of whoever is in between, is no end of the shard: that would be written down for good.
        required(reply.NextShardIterator ?? reply.Records, "Records");
        return reply;
      }, "GetRecords");
    } catch (error) {
      if (isNamed(error, "ExpiredIteratorException")) return "expired";
      throw await toSourceError(error, "GetRecords", this.#options);
    }
  }

  /** In parts, if it would take long to process all of it. */
  #opened(answer: LateAnswer): AnswerParts | Promise<GetRecordsOutput> {
    const isLong = this.#options.budget?.mayComeInParts &&
      this.#workSizes.isWorthParts(answer.bytes);
    return (isLong ? answer.inParts() : undefined) ?? answer.whole();
  }

  /** What a smaller read would have brought, when it is its turn: until then it takes least as it came. */
  async #nextPart({ parts, startedAt, given }: BegunRead): Promise<ReadBatch> {
    const { budget, clock, signal } = this.#options;
    await budget?.turn(signal);
    this.#workSizes.asked(clock.monotonic());
    const { lastArrival } = parts;
    const records = await this.#recordsOf(parts);
    const isLast = parts.bytesLeft === 0;
    budget?.keep(parts.bytesHeld);
    const readTo = this.#readTo(records) ?? Infinity;
    // Before the last part it is not at the tip, whatever the times of the records say.
    const lagMs = parts.millisBehindLatest +
      (isLast ? 0 : Math.max(1, (lastArrival ?? 0) - readTo));
    // The tip has moved on since, and a slow processor takes long for the parts before this one.
    const sinceMs = Math.round(clock.monotonic() - startedAt);
    const millisBehindLatest = lagMs === 0 ? 0 : lagMs + sinceMs;
    const part = amountOf(records);
    const size = {
      records: given.records + part.records,
      bytes: given.bytes + part.bytes,
      millisBehindLatest,
    };
    this.#begun = isLast ? undefined : { parts, startedAt, given: size };
    if (isLast) {
      this.#learn(size, startedAt);
      this.#iterator = { value: parts.nextShardIterator, issuedAt: startedAt };
    }
    return new ReadBatch({ records, millisBehindLatest });
  }

  async #recordsOf(parts: AnswerParts): Promise<readonly SourceRecord[]> {
    const { bytesLeft } = parts;
    // Whoever processes them may be another by now, who wants what is left as a whole.
    const isWhole = !this.#options.budget?.mayComeInParts;
    try {
      const records = await parts.next(isWhole ? bytesLeft : this.#workSizes.partOf(bytesLeft));
      return records.map(toSourceRecord);
    } catch (error) {
      throw await toSourceError(error, "GetRecords", this.#options);
    }
  }

  #toBatch(reply: GetRecordsOutput, startedAt: number): ReadBatch {
    const records = takeOutRecords(reply);
    const millisBehindLatest = reply.MillisBehindLatest ?? 0;
    this.#readTo(records);
    this.#learn({ ...amountOf(records), millisBehindLatest }, startedAt);
    if (records.length === 0) this.#emptyDelayMs = this.#options.config.emptyReceiveDelay;
    if (reply.NextShardIterator !== undefined) {
      this.#iterator = { value: reply.NextShardIterator, issuedAt: startedAt };
      return new ReadBatch({ records, millisBehindLatest });
    }
    const end = { children: reply.ChildShards?.map(toChild) ?? [] };
    return new ReadBatch({ records, millisBehindLatest, end });
  }

  /** Moves the position behind records; gives when the last of them arrived. */
  #readTo(records: readonly SourceRecord[]): number | undefined {
    const last = records.at(-1);
    if (last === undefined) return undefined;
    this.#position = { kind: "sequence", sequenceNumber: last.sequenceNumber };
    return last.approximateArrivalTimestamp;
  }

  /** When the next read may be, and what it may bring. */
  #learn(size: ReadSize, startedAt: number): void {
    this.#sizes.learn(size);
    this.#nextReadAt = startedAt + readIntervalMs(size, this.#emptyDelayMs);
  }

  /** Makes a call again that was throttled or not answered. */
  async #retried<T>(call: () => Promise<T>, operation: Operation): Promise<T> {
    const retries = new ShardRetries(this.#options);
    while (true) {
      try {
        return await call();
      } catch (error) {
        // Others read while this shard waits.
        this.#options.budget?.giveBack();
        this.#limit = undefined;
        await retries.wait(error, operation);
      }
    }
  }
}

function amountOf(records: readonly SourceRecord[]): Amount {
  const bytes = records.reduce(
    (sum, { data, partitionKey }) => sum + data.length + partitionKey.length,
    0,
  );
  return { records: records.length, bytes };
}
