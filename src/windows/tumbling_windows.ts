/**
 * Owns: tumbling windows as a processor: a user's functions, called for the right window at the right time.
 * Must not: cut time into windows (`core/windows.ts` does), or write anything down by itself.
 * Called by: users, through `mod.ts`; the runtime, as a processor.
 *
 * @module
 */

import { hash } from "node:crypto";
import { formatDuration, parseDuration } from "../core/duration.ts";
import { plainJson } from "../core/plain_json.ts";
import { DEFAULT_MODE, type ErrorHandlingMode, retryAndStop } from "../core/policy.ts";
import { STATE_BYTES_MAX } from "../core/shard_state.ts";
import {
  type Inheritance,
  isLate,
  type OpenWindow,
  QuietTime,
  ShardWindows,
  windowId,
  type WindowSizes,
} from "../core/windows.ts";
import { messageOf, NoFaultOfRecordError } from "../errors.ts";
import type {
  FinishedRead,
  HashKeyRange,
  KinesisRecord,
  ProcessContext,
  RecordProcessor,
  RecordProcessorFactory,
  ShardBeginning,
  StatefulProcessor,
} from "../processor.ts";

/** A window that is closed, or a part of one. */
export interface ClosedWindow<S> {
  /**
   * The name of this window in this shard: the same one whenever it is closed again, and no other window has it. A sink that keeps
   * one result for each id has each window once.
   */
  readonly id: string;
  /** The first moment that belongs to the window, by the time at which the stream received the records. */
  readonly start: Date;
  /** The first moment after it. */
  readonly end: Date;
  /** What `add` made of its records; a copy, which may be changed. */
  readonly state: S;
  /** Whether it has records that came when the window had been closed already: add them to what is there, or leave them. */
  readonly isLate: boolean;
  /**
   * Whether it is closed before its end: the state of the shard became too large, or nothing follows the shard. Records that come after
   * this one make another one, with an id of its own.
   */
  readonly isEarly: boolean;
}

/** A shard that was split off from another one. */
export interface ChildShard {
  /** The shard. */
  readonly shardId: string;
  /** Whether it has the lower hash keys: for a state that cannot be divided. */
  readonly isFirst: boolean;
  /** Whether the records of a partition key are in this shard from now on. It does not know explicit hash keys. */
  owns(partitionKey: string): boolean;
}

/** What {@linkcode tumblingWindows} takes. `S` is what is kept for a window: whatever JSON can say. */
export interface TumblingWindowsOptions<S> {
  /** How long a window is: milliseconds, or a text such as `"1m"`. 1 s to 7 d; windows begin at its multiples since 1970, in UTC. */
  readonly size: number | string;
  /**
   * For how long after its end a window still takes records that come late, in milliseconds or as a text. 0 to 1 d, and
   * at most 1,000 times `size`.
   *
   * @default {0}
   */
  readonly grace?: number | string;
  /** Makes the state of a window that has no records yet. */
  initial(): S;
  /**
   * Adds a record to the state of its window, at once; gives the state, the same one or another one. A throw is a failed attempt of
   * the record: throw before `state` is changed.
   */
  add(state: S, record: KinesisRecord): S;
  /**
   * Is called when a window is over. If it throws it is tried again, ten times in all; then the shard stops on this worker for a
   * while, and others try: no window is skipped. It may be called again for a window, after a crash: with the same `id`.
   */
  close(window: ClosedWindow<S>, context: ProcessContext): void | Promise<void>;
  /**
   * The part of an open window that goes to a child when the shard is split: called for each child, with the whole state each time;
   * undefined for nothing. To be given together with `merge`.
   *
   * @default {the first child gets the window whole}
   */
  split?(state: S, child: ChildShard): S | undefined;
  /**
   * One state for the same window of two shards that were merged. To be given together with `split`.
   *
   * @default {both stay, and each is closed by itself}
   */
  merge?(a: S, b: S): S;
  /** As {@linkcode RecordProcessor.getErrorHandlingMode}, for records that `add` throws for. */
  getErrorHandlingMode?: NonNullable<RecordProcessor["getErrorHandlingMode"]>;
  /** As {@linkcode RecordProcessor.onMaxRetryExceeded}. A record that was given up is in no window. */
  onMaxRetryExceeded?: NonNullable<RecordProcessor["onMaxRetryExceeded"]>;
}

const SECOND = 1_000;
const DAY = 86_400_000;
const SIZE_MAX = 7 * DAY;
const CLOSE_ATTEMPTS = 10;
/** So many windows are open at a time: their names alone take 100 bytes each of what a shard may keep. */
const OPEN_MAX = 1_000;

/**
 * A processor that collects records in windows of time, one beside the other, for each shard. What it has collected is written down
 * with every checkpoint, so that it survives a crash, and goes on in the shards that a shard is split into or merged to.
 *
 * A record belongs to the window in which the stream received it. A window is closed when a record arrives that the stream received
 * after its end (and `grace`), or when nothing has come for so long that none can.
 *
 * Not with `concurrency` above 1, `checkpointMode: "manual"`, threads or a sandbox.
 *
 * @throws {TypeError | RangeError} If an option is not acceptable; it is named.
 *
 * @example
 * ```ts
 * import { tumblingWindows } from "@reacto/kinesix";
 * import { testKit } from "@reacto/kinesix/testing";
 *
 * const counts: number[] = [];
 * const processor = tumblingWindows({
 *   size: "1m",
 *   initial: () => ({ records: 0 }),
 *   add: (state, _record) => ({ records: state.records + 1 }),
 *   close: ({ state }) => void counts.push(state.records),
 *   split: (state, child) => child.isFirst ? state : undefined,
 *   merge: (a, b) => ({ records: a.records + b.records }),
 * });
 *
 * await using kit = await testKit({ processor });
 * for (const text of ["a", "b", "c"]) kit.put("customer-1", text);
 * await kit.advance(120_000);
 * if (counts.join() !== "3") throw new Error("three records were in the window");
 * ```
 */
export function tumblingWindows<S>(options: TumblingWindowsOptions<S>): RecordProcessorFactory {
  const sizes = checkOptions(options);
  const factory = (): StatefulProcessor => new TumblingWindows(options, sizes);
  return Object.assign(factory, { keepsState: true });
}

class TumblingWindows<S> implements StatefulProcessor {
  readonly keepsState = true;
  readonly #options: TumblingWindowsOptions<S>;
  readonly #sizes: WindowSizes;
  #quiet = new QuietTime();
  #windows: ShardWindows<S>;
  /** What is written down of the windows as they are; undefined if they have changed. */
  #written: string | undefined;

  constructor(options: TumblingWindowsOptions<S>, sizes: WindowSizes) {
    this.#options = options;
    this.#sizes = sizes;
    this.#windows = new ShardWindows("", sizes);
  }

  begin({ shardId, hashKeyRange, state, parents, isMerged }: ShardBeginning): void {
    const read = (text: string, of: string): ShardWindows<S> => {
      try {
        return ShardWindows.read<S>(of, this.#sizes, text);
      } catch (error) {
        throw new Error(
          `Cannot go on with the windows of shard "${of}": ${
            messageOf(error)
          }; use the processor that ` +
            "wrote them, or set the checkpoint of the shard, which drops them",
          { cause: error },
        );
      }
    };
    this.#quiet = new QuietTime();
    this.#written = undefined;
    if (state !== null) {
      this.#windows = read(state, shardId);
      return;
    }
    const from = parents.map((parent): Inheritance<S> => {
      const isUnknown = parent.hashKeyRange === null || hashKeyRange === null;
      if (!isMerged && isUnknown) {
        throw new Error(
          `Cannot go on with the windows of shard "${parent.shardId}" in shard "${shardId}": the ` +
            "source does not tell their ranges of hash keys, so nobody knows which child gets them; " +
            "give the shards of the source a hashKeyRange, or set the checkpoint of the shard, " +
            "which drops them",
        );
      }
      const isFirst = parent.hashKeyRange?.start === hashKeyRange?.start;
      const share = isMerged ? "whole" : isFirst ? "first" : "other";
      return { windows: read(parent.state, parent.shardId), share };
    });
    const { split, merge } = this.#options;
    const child: ChildShard = {
      shardId,
      isFirst: from.some(({ share }) => share === "first"),
      owns: (partitionKey) => ownsKey(hashKeyRange, partitionKey),
    };
    this.#windows = ShardWindows.inherit(shardId, this.#sizes, {
      from,
      split: split && ((state) => split.call(this.#options, state, child)),
      merge: merge && ((a, b) => merge.call(this.#options, a, b)),
    });
  }

  process(record: KinesisRecord, context: ProcessContext): void | Promise<void> {
    // What was written down may be ahead of the checkpoint.
    if (this.#windows.has(record)) return;
    this.#windows.moveOn(record.approximateArrivalTimestamp.getTime());
    this.#written = undefined;
    return this.#windows.due === undefined ? this.#add(record) : this.#closeAndAdd(record, context);
  }

  finishedRead(read: FinishedRead, context: ProcessContext): boolean | Promise<boolean> {
    const { latestArrival, askedAt, arrivedAt, isAtTip, isLast } = read;
    // Of what was written down earlier it is known only that it is not later than this read.
    if (this.#windows.time !== undefined) this.#quiet.saw(this.#windows.time, arrivedAt);
    if (latestArrival !== undefined) this.#quiet.saw(latestArrival, arrivedAt);
    const time = isAtTip ? this.#quiet.at(askedAt) : latestArrival;
    // Where a read ends is chance: time goes on with it only if that closes a window, which is written down.
    if (time !== undefined && this.#windows.hasDueAt(time)) {
      this.#windows.moveOn(time);
      this.#written = undefined;
    }
    const isTooLarge = byteLength(this.snapshot()) > STATE_BYTES_MAX;
    if (this.#windows.due === undefined && !isTooLarge && !isLast) return false;
    return this.#closeAfterRead(read, context);
  }

  snapshot(): string {
    return this.#written ??= plainJson(this.#windows.write());
  }

  async getErrorHandlingMode(
    record: KinesisRecord,
    error: unknown,
    context: ProcessContext,
  ): Promise<ErrorHandlingMode> {
    if (NoFaultOfRecordError.is(error)) return retryAndStop(CLOSE_ATTEMPTS - 1);
    return await this.#options.getErrorHandlingMode?.(record, error, context) ?? DEFAULT_MODE;
  }

  onMaxRetryExceeded(
    ...args: Parameters<NonNullable<RecordProcessor["onMaxRetryExceeded"]>>
  ): void | Promise<void> {
    return this.#options.onMaxRetryExceeded?.(...args);
  }

  async #closeAndAdd(record: KinesisRecord, context: ProcessContext): Promise<void> {
    await this.#closeDue(context);
    this.#add(record);
  }

  /** Without a wait: whoever writes a checkpoint finds the record in the state, or not at all. */
  #add(record: KinesisRecord): void {
    const arrival = record.approximateArrivalTimestamp.getTime();
    const window = this.#windows.windowOf(arrival, record);
    const state = this.#options.add(window.state ?? this.#options.initial(), record);
    if (state === undefined || isThenable(state)) {
      throw new TypeError(
        `Cannot add record ${record.sequenceNumber} to its window: "add" must return the state, and not a promise`,
      );
    }
    window.state = state;
    this.#windows.added(record);
  }

  async #closeAfterRead({ isLast }: FinishedRead, context: ProcessContext): Promise<true> {
    await this.#closeDue(context);
    if (isLast || byteLength(this.snapshot()) > STATE_BYTES_MAX) await this.#closeAll(context);
    return true;
  }

  async #closeDue(context: ProcessContext): Promise<void> {
    // Each round takes one away.
    for (let due = this.#windows.due; due !== undefined; due = this.#windows.due) {
      await this.#close(due, context);
    }
  }

  /** Before their end, in parts. */
  async #closeAll(context: ProcessContext): Promise<void> {
    for (const window of this.#windows.open) await this.#close(window, context);
  }

  async #close(window: OpenWindow<S>, context: ProcessContext): Promise<void> {
    if (window.state !== undefined) {
      try {
        await this.#options.close(this.#closedWindow(window), context);
      } catch (error) {
        const told = `Cannot close window "${windowId(window)}": ${messageOf(error)}`;
        throw new NoFaultOfRecordError(told, { cause: error });
      }
      // An attempt that nobody waits for any more changes nothing.
      context.signal.throwIfAborted();
    }
    this.#windows.closed(window);
    this.#written = undefined;
  }

  #closedWindow(window: OpenWindow<S>): ClosedWindow<S> {
    return {
      id: windowId(window),
      start: new Date(window.start),
      end: new Date(window.end),
      // As it would be after a crash; and what `close` does to it is not there when it is called again.
      state: JSON.parse(plainJson(window.state)),
      isLate: isLate(window),
      isEarly: window.due > (this.#windows.time ?? -Infinity),
    };
  }
}

function checkOptions<S>(options: TumblingWindowsOptions<S>): WindowSizes {
  const { split, merge } = options;
  for (const name of ["initial", "add", "close"] as const) {
    if (typeof options[name] === "function") continue;
    throw new TypeError(`Cannot make windows: "${name}" must be a function`);
  }
  for (const name of ["split", "merge", "getErrorHandlingMode", "onMaxRetryExceeded"] as const) {
    if (options[name] === undefined || typeof options[name] === "function") continue;
    throw new TypeError(`Cannot make windows: "${name}" must be a function`);
  }
  if ((split === undefined) !== (merge === undefined)) {
    throw new TypeError(
      'Cannot make windows: "split" and "merge" must be given together, or neither of them',
    );
  }
  const size = checkDuration("size", options.size, { min: SECOND, max: SIZE_MAX });
  const max = Math.min(DAY, OPEN_MAX * size);
  return { size, grace: checkDuration("grace", options.grace ?? 0, { min: 0, max }) };
}

function checkDuration(
  name: string,
  given: unknown,
  { min, max }: { readonly min: number; readonly max: number },
): number {
  const ms = typeof given === "string" ? parseDuration(given) : given;
  if (typeof ms === "number" && Number.isInteger(ms) && ms >= min && ms <= max) return ms;
  const range = `${formatDuration(min)} to ${formatDuration(max)}`;
  throw new RangeError(
    `Cannot make windows with a ${name} of ${
      JSON.stringify(given)
    }: it must be ${range}, in whole milliseconds or as a text such as "1m"`,
  );
}

/** Kinesis takes the MD5 of the partition key for its hash key. */
function ownsKey(range: HashKeyRange | null, partitionKey: string): boolean {
  if (range === null) return true;
  const hashKey = BigInt(`0x${hash("md5", partitionKey, "hex")}`);
  return BigInt(range.start) <= hashKey && hashKey <= BigInt(range.end);
}

function byteLength(text: string): number {
  // A character has three bytes at most.
  return text.length * 3 <= STATE_BYTES_MAX ? text.length : new TextEncoder().encode(text).length;
}

function isThenable(value: unknown): boolean {
  return typeof value === "object" && value !== null && "then" in value &&
    typeof value.then === "function";
}
