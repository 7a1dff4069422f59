/**
 * Owns: how far a shard is finished when its records are finished in any order.
 * Must not: know what a record is, or who works on it.
 * Called by: `runtime/record_runner.ts`.
 *
 * @module
 */

import type { Checkpoint } from "./checkpoint.ts";

/** Records of a shard in hand, by number in the order of the shard, and the highest position with nothing unfinished before it. */
export class ShardProgress {
  /** The positions from the first one that was not passed yet; those before `#head` are passed. */
  #positions: Checkpoint[] = [];
  #isFinished: boolean[] = [];
  #head = 0;
  /** The number of the record at index 0. */
  #firstNumber = 0;
  #unfinished = 0;
  #position: Checkpoint | undefined;

  /** Everything up to here is finished; undefined before the first record is. */
  get position(): Checkpoint | undefined {
    return this.#position;
  }

  /** How many records are in hand and not finished. */
  get unfinished(): number {
    return this.#unfinished;
  }

  /** How many records there are from the first unfinished one on, finished or not. */
  get span(): number {
    return this.#positions.length - this.#head;
  }

  /** Takes the next record in hand; gives its number. */
  add(position: Checkpoint): number {
    this.#unfinished += 1;
    this.#isFinished.push(false);
    return this.#firstNumber + this.#positions.push(position) - 1;
  }

  /**
   * Says that a record is finished.
   *
   * @returns Whether the position moved.
   * @throws {RangeError} If the record is not in hand, or finished already.
   */
  finish(number: number): boolean {
    const index = number - this.#firstNumber;
    if (this.#isFinished[index] !== false) {
      throw new RangeError(`Cannot finish record number ${number}: it is not in hand`);
    }
    this.#isFinished[index] = true;
    this.#unfinished -= 1;
    const before = this.#head;
    while (this.#isFinished[this.#head] === true) this.#head += 1;
    if (this.#head === before) return false;
    this.#position = this.#positions[this.#head - 1];
    this.#forgetPassed();
    return true;
  }

  /** Now and then, so that a record costs the same however many there are. */
  #forgetPassed(): void {
    if (this.#head < this.#positions.length && this.#head < this.#positions.length / 2) return;
    this.#positions = this.#positions.slice(this.#head);
    this.#isFinished = this.#isFinished.slice(this.#head);
    this.#firstNumber += this.#head;
    this.#head = 0;
  }
}
