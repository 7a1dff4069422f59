/**
 * Owns: the promise that the whole cluster heeds what an operator orders.
 * Must not: know how it learns of it.
 * Called by: `simulation.ts`.
 *
 * @module
 */

import { isHalted, type ShardRow } from "../../src/core/lease.ts";
import type { Checker, Truth } from "./checker.ts";
import type { TableWrite } from "./sim_table.ts";

/** For the calls on the way, in milliseconds. */
const CALLS_MS = 5_000;

/** Nobody takes a shard that an operator stopped; where nothing goes wrong, its holder gives it up within a heartbeat and the record in hand. */
export class Orders implements Checker {
  readonly #truth: Truth;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  onWrite({ isAccepted, before, after, by }: TableWrite): void {
    if (!isAccepted || before?.kind !== "shard" || after?.kind !== "shard") return;
    const isTaken = after.holder !== null && after.holder !== before.holder;
    if (isTaken && isHalted(after)) {
      return this.#truth.world.fail("orders", `${by} took ${after.id}, which is stopped`);
    }
    const isStopped = isHalted(after) && !isHalted(before);
    if (isStopped && after.holder !== null) this.#expectEnd(after);
  }

  #expectEnd({ id, holder, term }: ShardRow): void {
    const { world, scenario, config, table } = this.#truth;
    if (!scenario.isGentle) return;
    const { slow, slowMsMax } = scenario.processor;
    const inHandMs = slow > 0 ? slowMsMax : 0;
    const boundMs = config.heartbeat / (1 - scenario.driftMax) + inHandMs + CALLS_MS;
    world.after(boundMs, () => {
      const row = table.read("shard", id);
      if (row === null || row.term !== term || !isHalted(row)) return;
      // A worker that died keeps its name in the row.
      const { processes } = this.#truth;
      const isLive = [...processes.values()].some((process) =>
        process.isLive && holder?.startsWith(`${process.name}/`)
      );
      if (isLive) {
        world.fail(
          "orders",
          `${id} is stopped, and ${holder} works on for ${Math.round(boundMs)} ms`,
        );
      }
    });
  }
}
