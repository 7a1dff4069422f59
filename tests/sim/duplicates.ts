/**
 * Owns: the promise about duplicates: who may be given a record that another turn was given already, and how many.
 * Must not: know how the code under test keeps it.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import { type Checker, type Delivery, isOutOfOrder, type Outcome, type Truth } from "./checker.ts";
import { processOf } from "./sim_clock.ts";
import type { SimProcess } from "./sim_process.ts";
import type { SimRecord } from "./sim_stream.ts";
import type { TableWrite } from "./sim_table.ts";

/** The last turn that a record was given to. */
interface Given {
  readonly process: SimProcess;
  readonly term: number;
  outcome: Outcome | "in hand";
  finishedAt: number;
}

/** How a turn was over: its worker gave the shard up, in time or not, or somebody else took it. */
type End = { readonly kind: "given up"; readonly isInTime: boolean } | { readonly kind: "taken" };

/**
 * A record comes again only from a turn that was cut off: by a crash, a loss of the shard, or a stop that ran out of time. After
 * a crash in a world without other faults, at most what was finished since the last checkpoint was due.
 */
export class BoundedDuplicates implements Checker {
  readonly #truth: Truth;
  readonly #given = new Map<SimRecord, Given>();
  readonly #ends = new Map<string, End>();
  readonly #crashedAt = new Map<SimProcess, number>();

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onCrash(process: SimProcess): void {
    this.#crashedAt.set(process, this.#truth.world.now);
  }

  onWrite({ isAccepted, before, after, by, change: { set } }: TableWrite): void {
    if (!isAccepted || before?.kind !== "shard" || before.holder === null) return;
    if (after?.kind === "shard" && after.term === before.term) return;
    const { processes, config } = this.#truth;
    const isInTime = !processes.get(by)?.isOutOfTime(config.shutdownTimeout * 0.5);
    // Whoever lost a shard may free it later, without a word about how far it came.
    const isParting = processOf(before.holder) === by && set !== "delete" && "checkpoint" in set;
    const end: End = isParting ? { kind: "given up", isInTime } : { kind: "taken" };
    this.#ends.set(`${before.id} ${before.term}`, end);
  }

  onDelivery({ process, term, attempt, records }: Delivery): void {
    if (attempt !== 1) return;
    for (const record of records) {
      const before = this.#given.get(record);
      // The older of two namesakes may not know yet that its turn is over.
      if (before !== undefined && before.term < term) {
        this.#judge(record, before, process);
      }
      this.#given.set(record, { process, term, outcome: "in hand", finishedAt: Infinity });
    }
  }

  onReturn({ process, term, records, failed }: Delivery, outcome: Outcome): void {
    for (const record of records) {
      const given = this.#given.get(record);
      if (given?.process !== process || given.term !== term) continue;
      given.outcome = outcome === "finished" && failed.has(record) ? "threw" : outcome;
      if (given.outcome === "finished") given.finishedAt = this.#truth.world.now;
    }
  }

  #judge(record: SimRecord, before: Given, process: SimProcess): void {
    const { world, config, scenario, coverage } = this.#truth;
    // What is not finished, or not said to be, comes again by right.
    if (before.outcome === "threw" || config.checkpointMode === "manual") return;
    if (before.outcome !== "finished" && config.processTimeout > 0) return;
    const end = this.#ends.get(`${record.shard.id} ${before.term}`);
    const what =
      `${process.name} got ${record.sequenceNumber} of ${record.shard.id} again, which ` +
      `${before.process.name} had ${before.outcome} in term ${before.term}`;
    if (end === undefined) return world.fail("duplicates", `${what} and did not give up`);
    // Of several at once, what is finished beyond the first that is not comes again.
    if (isOutOfOrder(this.#truth)) return;
    if (end.kind === "given up") {
      if (end.isInTime) world.fail("duplicates", `${what} and gave up in time`);
      else coverage.count("duplicate after a stop out of time");
      return;
    }
    coverage.count(`duplicate after a loss, ${before.outcome}`);
    // It may be started again under its name while it still stops.
    const crashedAt = this.#crashedAt.get(before.process);
    if (!scenario.isGentle || (crashedAt === undefined && before.process.isReplaced)) return;
    if (crashedAt === undefined) {
      return world.fail("duplicates", `${what} and lost without a crash`);
    }
    // A checkpoint is due, waits for the write before it, and travels; a request for the shard makes it travel twice.
    const unwrittenMs = Math.max(config.checkpointFrequency, 2 * scenario.store.latencyMax) /
        (1 - scenario.driftMax) + 5 * scenario.store.latencyMax;
    if (before.finishedAt >= crashedAt - unwrittenMs) return;
    world.fail(
      "duplicates",
      `${what} ${Math.round(crashedAt - before.finishedAt)} ms before it crashed`,
    );
  }
}
