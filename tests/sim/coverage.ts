/**
 * Owns: how often each thing that can go wrong really happened in a simulation.
 * Must not: judge.
 * Called by: whatever makes a thing happen counts it; `reach.ts` adds the seeds up.
 *
 * @module
 */

/** Counts of what happened, by name. */
export class Coverage {
  readonly #counts = new Map<string, number>();

  count(what: string, times = 1): void {
    if (times > 0) this.#counts.set(what, (this.#counts.get(what) ?? 0) + times);
  }

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }
}
