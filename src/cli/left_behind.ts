/**
 * Owns: when so many threads were given up, whose code goes on for ever, that a fresh process had better go on.
 * Must not: stop anything.
 * Called by: `run.ts` and `replay.ts`.
 *
 * @module
 */

import { compareCheckpoints, parseCheckpoint } from "../core/checkpoint.ts";
import type { AppEvent } from "../events.ts";

/** So long at most after a thread was given up, the record is told of because of which it was. */
const TOLD_MS = 1_000;
/** So many times as many as there are cores are too many, whatever becomes of the records. */
const OVERLOAD = 4;

/** A record whose processing took too long. */
interface FailedRecord {
  readonly shardId: string;
  readonly sequenceNumber: string;
}

/**
 * Counts the threads that were given up. As many as there are cores are too many. But the next process would begin with the same
 * record and no attempt made: so it waits until the policy of that record has dealt with it.
 */
export class LeftBehind implements Disposable {
  /** Resolves to the reason why this process had better end. */
  readonly tooMany: Promise<Error>;
  readonly #cores: number;
  readonly #resolve: (reason: Error) => void;
  /** The records that ended a thread, until they are dealt with. */
  #records: readonly FailedRecord[] = [];
  #threads = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param cores How many cores there are. */
  constructor(cores: number) {
    this.#cores = cores;
    ({ promise: this.tooMany, resolve: this.#resolve } = Promise.withResolvers());
  }

  /** A thread was given up. */
  add(): void {
    this.#threads += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#look();
    }, TOLD_MS);
  }

  /** Sees what becomes of the records. */
  observe(event: AppEvent): void {
    if (event.type === "record_failed" && event.error.name === "ProcessTimeoutError") {
      const { shardId, sequenceNumber } = event;
      const others = this.#records.filter((record) => record.sequenceNumber !== sequenceNumber);
      this.#records = [...others, { shardId, sequenceNumber }];
    } else if (this.#records.some((record) => isEndOf(record, event))) {
      this.#records = this.#records.filter((record) => !isEndOf(record, event));
      this.#look();
    }
  }

  /** Nobody asks any more. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    if (this.#threads < this.#cores || this.#timer !== undefined) return;
    if (this.#records.length > 0 && this.#threads < OVERLOAD * this.#cores) return;
    this.#resolve(
      new Error(
        `Cannot go on in this process: ${this.#threads} threads of the processor were given up in ` +
          `code that did not end, which keeps as many cores busy as long as the process runs; ` +
          `start the worker again, as a service manager does; --sandbox really ends such code`,
      ),
    );
  }
}

/** Whether nothing more becomes of a record here. */
function isEndOf({ shardId, sequenceNumber }: FailedRecord, event: AppEvent): boolean {
  if (!("shardId" in event) || event.shardId !== shardId) return false;
  switch (event.type) {
    case "record_skipped":
      return event.sequenceNumber === sequenceNumber;
    case "checkpoint_written": {
      const position = { kind: "sequence", sequenceNumber } as const;
      return compareCheckpoints(parseCheckpoint(event.checkpoint), position) >= 0;
    }
    case "shard_stopped":
    case "shard_ended":
    case "shard_handed_over":
    case "shard_released":
    case "lease_lost":
      return true;
    default:
      return false;
  }
}
