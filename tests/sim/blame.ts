/**
 * Owns: the promise that a record is skipped only if it was its fault: not that of a window, a stop, or a table that does not answer.
 * Must not: know how the code under test tells them apart.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import type { AppFact } from "../../src/events.ts";
import type { Checker, Delivery, Outcome, Truth } from "./checker.ts";
import type { SimProcess } from "./sim_process.ts";
import type { SimRecord } from "./sim_stream.ts";

/** Clocks drift. */
const TIMEOUT_SHARE = 0.9;

/** Of a record that is skipped an attempt threw, or took too long. */
export class Blameless implements Checker {
  readonly #truth: Truth;
  readonly #failed = new Set<SimRecord>();
  readonly #givenAt = new Map<SimRecord, number>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onDelivery({ records }: Delivery): void {
    const { now } = this.#truth.world;
    for (const record of records) if (!this.#givenAt.has(record)) this.#givenAt.set(record, now);
  }

  onReturn({ records, failed, isBlameless }: Delivery, outcome: Outcome): void {
    if (isBlameless) return;
    const isOver = outcome !== "finished";
    for (const record of records) if (isOver || failed.has(record)) this.#failed.add(record);
  }

  onFact({ name: process }: SimProcess, fact: AppFact): void {
    if (fact.type !== "record_skipped" || fact.reason !== "failed") return;
    const { world, stream, config, scenario } = this.#truth;
    const { sequenceNumber, subSequenceNumber } = fact;
    const record = stream.record(sequenceNumber, subSequenceNumber);
    if (record === undefined || this.#failed.has(record)) return;
    // Beside windows an attempt that takes too long is taken for one of a window.
    const mayTimeOut = config.processTimeout > 0 && scenario.processor.windows === 0;
    const ms = world.now - (this.#givenAt.get(record) ?? world.now);
    if (mayTimeOut && ms >= config.processTimeout * TIMEOUT_SHARE) return;
    world.fail("blame", `${process} skipped ${sequenceNumber}, for which no attempt failed`);
  }
}
