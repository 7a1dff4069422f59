/**
 * Owns: which windows of a shard are open, which record belongs into which, when one is over, and how they are written down.
 * Must not: know what a state is, call the user's code, or know a clock of this machine.
 * Called by: `windows/tumbling_windows.ts`.
 *
 * Time is that of the stream: the latest arrival of a record. It never goes back, so a window that is over stays over; a record that
 * belongs there comes late, and opens a window of its own.
 *
 * @module
 */

import { compareSequenceNumbers } from "./checkpoint.ts";
import { formatDuration } from "./duration.ts";

/** How windows are cut, in milliseconds. */
export interface WindowSizes {
  /** A window begins at each multiple of this since the epoch. */
  readonly size: number;
  /** For how long after its end a window still takes records. */
  readonly grace: number;
}

/** A window that is open. */
export interface OpenWindow<S> {
  /** The shard that it was opened in, or made for by a split or a merge. */
  readonly shardId: string;
  /** The first moment that belongs to it, in milliseconds since the epoch. */
  readonly start: number;
  /** The first moment after it. */
  readonly end: number;
  /** The time at which it is closed. */
  readonly due: number;
  /** Of a late one, the record that opened it. */
  readonly lateWith?: string;
  /** How often it was closed before its end. */
  part: number;
  /** Undefined if no record came since it was closed early. */
  state?: S;
}

/** Where a record is in its shard. */
export interface RecordPlace {
  readonly sequenceNumber: string;
  readonly subSequenceNumber: number | undefined;
}

/** The windows of one shard, as they are written down. */
interface Written<S> {
  /** Tells these from what another processor, or a later version, wrote. */
  readonly tumblingWindows: 1;
  readonly time?: number;
  readonly after?: readonly [string, number?];
  readonly open: readonly OpenWindow<S>[];
}

/** How the windows of a shard become those of another one, each the state of the user's. */
export interface Reshard<S> {
  /** The part of a state that is for this shard; undefined for nothing. Without it the first child gets the whole. */
  readonly split?: ((state: S) => S | undefined) | undefined;
  /** One state for two. Without it both windows stay as they are. */
  readonly merge?: ((a: S, b: S) => S) | undefined;
}

/** What is left of a parent. */
export interface Inheritance<S> {
  readonly windows: ShardWindows<S>;
  /** Whether the parent was split, and then whether this child is its first one. */
  readonly share: "whole" | "first" | "other";
}

/** The windows of one shard. */
export class ShardWindows<S> {
  readonly #shardId: string;
  readonly #sizes: WindowSizes;
  #open: OpenWindow<S>[] = [];
  #time: number | undefined;
  #after: RecordPlace | undefined;

  constructor(shardId: string, sizes: WindowSizes) {
    this.#shardId = shardId;
    this.#sizes = sizes;
  }

  /**
   * Reads what {@linkcode ShardWindows.write} wrote.
   *
   * @throws {SyntaxError} If it is something else.
   */
  static read<S>(shardId: string, sizes: WindowSizes, text: string): ShardWindows<S> {
    const written = parse<S>(text);
    const windows = new ShardWindows<S>(shardId, sizes);
    windows.#open = [...written.open];
    windows.#time = written.time;
    const [sequenceNumber, subSequenceNumber] = written.after ?? [];
    if (sequenceNumber !== undefined) windows.#after = { sequenceNumber, subSequenceNumber };
    return windows;
  }

  /** The windows that a shard begins with that was split or merged from others. */
  static inherit<S>(
    shardId: string,
    sizes: WindowSizes,
    { from, split, merge }: Reshard<S> & { readonly from: readonly Inheritance<S>[] },
  ): ShardWindows<S> {
    const heir = new ShardWindows<S>(shardId, sizes);
    for (const { windows, share } of from) {
      if (windows.#time !== undefined) heir.moveOn(windows.#time);
      if (share === "whole") heir.#open.push(...windows.#open);
      else if (split !== undefined) heir.#open.push(...heir.#partsOf(windows.#open, split));
      else if (share === "first") heir.#open.push(...windows.#open);
    }
    if (merge !== undefined) heir.#mergeSame(merge);
    heir.#open.sort((a, b) => a.start - b.start);
    return heir;
  }

  /** The latest moment that is known to have passed in the stream; undefined before the first record. */
  get time(): number | undefined {
    return this.#time;
  }

  /** Every window that is open, the oldest first. */
  get open(): readonly OpenWindow<S>[] {
    return this.#open;
  }

  /** Whether a record is in its window already: the state may be further than the checkpoint beside which it was written. */
  has({ sequenceNumber, subSequenceNumber = 0 }: RecordPlace): boolean {
    if (this.#after === undefined) return false;
    const order = compareSequenceNumbers(sequenceNumber, this.#after.sequenceNumber);
    return order < 0 || order === 0 && subSequenceNumber <= (this.#after.subSequenceNumber ?? 0);
  }

  /** Says that a time has come. */
  moveOn(time: number): void {
    this.#time = Math.max(time, this.#time ?? time);
  }

  /** The first of the windows that are over; undefined if none is. */
  get due(): OpenWindow<S> | undefined {
    const time = this.#time ?? -Infinity;
    return this.#open.find(({ due }) => due <= time);
  }

  /** Whether a window is over at a time that may have come. */
  hasDueAt(time: number): boolean {
    return this.#open.some(({ due }) => due <= time);
  }

  /** The window that a record belongs into, which it opens if need be. */
  windowOf(arrival: number, { sequenceNumber, subSequenceNumber }: RecordPlace): OpenWindow<S> {
    const { size, grace } = this.#sizes;
    const start = Math.floor(arrival / size) * size;
    const [shardId, end, part] = [this.#shardId, start + size, 0];
    // Those that an earlier version of the processor opened may be of another size.
    const same = this.#open.filter((window) => window.start === start && window.end === end);
    const found = same.findLast((window) => !isLate(window)) ?? same[0];
    if (found !== undefined) return found;
    const time = this.#time ?? arrival;
    const isOver = end + grace <= time;
    const opened: OpenWindow<S> = isOver
      ? {
        ...{ shardId, start, end, part },
        // With the window that is open now: what comes late comes together.
        due: Math.floor(time / size) * size + size + grace,
        lateWith: sequenceNumber + (subSequenceNumber ? `.${subSequenceNumber}` : ""),
      }
      : { shardId, start, end, part, due: end + grace };
    this.#open.push(opened);
    this.#open.sort((a, b) => a.start - b.start);
    return opened;
  }

  /** Says that a record is in its window. */
  added({ sequenceNumber, subSequenceNumber }: RecordPlace): void {
    this.#after = { sequenceNumber, subSequenceNumber };
  }

  /** Says that a window is closed. One that is not over yet may get more records: those are another part of it. */
  closed(window: OpenWindow<S>): void {
    if (window.due <= (this.#time ?? -Infinity) || isLate(window)) {
      this.#open = this.#open.filter((other) => other !== window);
      return;
    }
    window.part += 1;
    delete window.state;
  }

  /** The windows as they are written down. */
  write(): Written<S> {
    const { sequenceNumber, subSequenceNumber } = this.#after ?? {};
    return {
      tumblingWindows: 1,
      ...this.#time !== undefined && { time: this.#time },
      ...sequenceNumber !== undefined && {
        after: subSequenceNumber === undefined
          ? [sequenceNumber]
          : [sequenceNumber, subSequenceNumber],
      },
      open: this.#open,
    };
  }

  #partsOf(
    windows: readonly OpenWindow<S>[],
    split: NonNullable<Reshard<S>["split"]>,
  ): readonly OpenWindow<S>[] {
    return windows.flatMap((window) => {
      if (window.state === undefined) return [];
      const state = split(window.state);
      return state === undefined ? [] : [{ ...window, shardId: this.#shardId, part: 0, state }];
    });
  }

  /** Makes one window of all that are of the same time, those that are late by themselves. */
  #mergeSame(merge: NonNullable<Reshard<S>["merge"]>): void {
    const merged = new Map<string, OpenWindow<S>>();
    for (const window of this.#open) {
      const key = `${window.start} ${window.end} ${isLate(window)}`;
      const other = merged.get(key);
      if (other?.state === undefined || window.state === undefined) {
        // Of one that was closed early and had no record since, only its number of parts is left.
        if (other === undefined || window.state !== undefined) merged.set(key, window);
        continue;
      }
      merged.set(key, {
        ...other,
        shardId: this.#shardId,
        due: Math.max(other.due, window.due),
        part: 0,
        state: merge(other.state, window.state),
      });
    }
    this.#open = [...merged.values()];
  }
}

/** Whether the window is for records that came when it was closed already. */
export function isLate(window: OpenWindow<unknown>): boolean {
  return window.lateWith !== undefined;
}

/** The name of a window, or of a part of it: the same one however often it is closed, and no other window has it, of whatever size. */
export function windowId({ shardId, start, end, lateWith, part }: OpenWindow<unknown>): string {
  const late = lateWith === undefined ? "" : `/late-${lateWith}`;
  const again = part === 0 ? "" : `/part-${part + 1}`;
  return `${shardId}/${new Date(start).toISOString()}/${
    formatDuration(end - start)
  }${late}${again}`;
}

/** A shard reads in steps: for so long a record may have arrived that a read did not bring yet. */
const UNSEEN_MS = 1_000;

/**
 * How far time has come in a shard from which nothing comes: by the clock of this machine, counted from a record that has arrived,
 * so that no two clocks are compared.
 */
export class QuietTime {
  #arrival: number | undefined;
  #at = 0;

  /** A record arrived at one time of the stream, and was here at another of the monotonic clock, which is later. */
  saw(arrival: number, monotonic: number): void {
    if (this.#arrival !== undefined && arrival <= this.#arrival) return;
    this.#arrival = arrival;
    this.#at = monotonic;
  }

  /** The time of the stream that had certainly come, and before which everything was read that a read brought which was asked for now. */
  at(monotonic: number): number | undefined {
    if (this.#arrival === undefined) return undefined;
    return this.#arrival + Math.floor(Math.max(0, monotonic - this.#at - UNSEEN_MS));
  }
}

function parse<S>(text: string): Written<S> {
  const written: unknown = JSON.parse(text);
  if (
    typeof written === "object" && written !== null && "tumblingWindows" in written &&
    written.tumblingWindows === 1 && "open" in written && Array.isArray(written.open)
  ) {
    return written as Written<S>;
  }
  throw new SyntaxError("it was written by another processor, or by a later version");
}
